"""How much of the minutes given to `choose` is left: one budget for screening, pacing, training,
measuring again, testing and the report. Reading the data comes before and is not counted.

A choice that was killed and begun again goes on with what was left: the journal keeps the seconds
spent.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

__all__ = ["Clock"]


@dataclass
class Clock:
    """`seconds`: the whole budget; `before`: seconds that earlier sittings spent of it."""

    seconds: float
    before: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds, of all sittings."""
        return self.before + time.monotonic() - self.begun

    @property
    def left(self) -> float:
        """Seconds, never below 0."""
        return max(0.0, self.seconds - self.spent)
