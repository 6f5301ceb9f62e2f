"""A limit of seconds on a run: when it is over, and how many more steps fit.

Time is kept to go through the validation part at the end; how long that takes is guessed from the
steps until it has been done once.
"""

from __future__ import annotations

import time

from depthwise.training.pacing import FIRST_STEPS, StepClock

__all__ = ["TimeLimit"]

SLOW_STEP = 0.1  # of a limit: whether the next step still fits is asked before it is made
MOST_SCORING = 0.3  # of a limit that a validation is expected to take
FORWARD_SHARE = 0.4  # of a training step's time that an item's answer takes
CUT_SECONDS = 0.25  # between looks at whether the plan fits the limit


class TimeLimit:
    """seconds: None for no limit; clock: of the run's steps; scorings: times that the validation
    part of so many `batches` is gone through after the last step, 0 where there is none."""

    def __init__(self, seconds: float | None, clock: StepClock, scorings: int, batches: float):
        self.seconds, self.clock = seconds, clock
        self.scorings, self.batches = scorings, batches
        self.scoring_seconds: float | None = None  # that the latest validation took
        self.looked = time.monotonic()

    def is_over(self, spent: float) -> bool:
        """Whether no other step fits, after so many seconds."""
        if self.seconds is None:
            return False
        step, all_spent = self.clock.step_seconds, spent + self.scoring()
        if step < SLOW_STEP * self.seconds:
            return all_spent >= self.seconds
        return all_spent + step >= (1 + SLOW_STEP) * self.seconds

    def scoring(self) -> float:
        """Seconds that the validation to come will take; before the first a guess."""
        if self.scorings and self.scoring_seconds is not None:
            return self.scorings * self.scoring_seconds
        if self.seconds is None or self.clock.steps < FIRST_STEPS:
            return 0.0
        once = FORWARD_SHARE * self.clock.step_seconds * self.batches
        return min(self.scorings * once, MOST_SCORING * self.seconds)

    def steps_left(self, spent: float) -> int | None:
        """How many more steps fit, by the pace so far; now and then, else None."""
        now = time.monotonic()
        early = self.clock.steps <= FIRST_STEPS or now - self.looked < CUT_SECONDS
        if self.seconds is None or early:
            return None
        self.looked = now
        return int(max(0.0, self.seconds - spent - self.scoring()) / self.clock.step_seconds)
