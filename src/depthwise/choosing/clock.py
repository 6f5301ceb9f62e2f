"""How the minutes given to `choose` are spent: one budget for screening, pacing, training,
measuring again, testing and the report. Reading the data comes before and is not counted.

    screening   at most SCREENING of it: what each candidate costs on the device
    finishing   FINISHING of it is kept for the end: the contenders measured again, the winner
                tested, the report written
    training    the rest, and at least TRAINING of it, whatever the screening took

A choice that was killed and begun again goes on with what was left: the journal keeps the seconds
spent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from depthwise.progress import as_duration

__all__ = ["Clock"]

SCREENING, FINISHING, MOST_TESTING, TRAINING = 0.12, 0.12, 0.3, 0.4  # of the budget
LEAST_SCREENING, LEAST_FINISHING, MOST_FINISHING = 4.0, 1.5, 60.0  # seconds


@dataclass
class Clock:
    """`seconds`: the whole budget; `before`: seconds that earlier sittings spent of it."""

    seconds: float
    before: float = 0.0
    begun: float = field(default_factory=time.monotonic)
    refitting: float = 0.0  # seconds kept for training the winner again

    @property
    def spent(self) -> float:
        """Seconds, of all sittings."""
        return self.before + time.monotonic() - self.begun

    @property
    def left(self) -> float:
        """Seconds, never below 0."""
        return max(0.0, self.seconds - self.spent)

    @property
    def screening(self) -> float:
        """Seconds by which screening is over."""
        return max(LEAST_SCREENING, SCREENING * self.seconds)

    @property
    def finishing(self) -> float:
        """Seconds that are kept for the end, unless testing takes longer."""
        return min(MOST_FINISHING, max(LEAST_FINISHING, FINISHING * self.seconds))

    def outlook(self, candidates: int) -> str:
        """How the budget will be spent, in a sentence."""
        first = min(self.screening, self.seconds)
        last = min(self.finishing, self.seconds - first)
        return (
            f"{as_duration(self.seconds)} in all: up to {as_duration(first)} to screen "
            f"{candidates} candidates, then training, and {as_duration(last)} to measure the best "
            "again, test the winner and write the report"
        )

    def training(self, testing: float = 0.0) -> float:
        """Seconds for training from now on, where the winner's test takes `testing`."""
        end = max(self.finishing, min(testing + LEAST_FINISHING, MOST_TESTING * self.seconds))
        return max(TRAINING * self.seconds, self.left - end)
