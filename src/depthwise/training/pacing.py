"""Clocks that measure a GPU's own pace: it is given work long before it does it.

A processor can be hundreds of steps ahead of its GPU: a clock read then tells how long it took to
ask, and a limit of seconds is passed while the queue is emptied. `Pace` lets it be a few steps
ahead, which is enough to keep the GPU busy, and a schedule that is cut to its limit by the pace so
far sees the GPU's own.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from depthwise.compute import is_gpu

__all__ = ["AHEAD", "FIRST_STEPS", "Pace", "StepClock"]

AHEAD = 4  # steps that may be asked for before the first of them is done
FIRST_STEPS = 5  # of a run, which are slow ones and foretell nothing


class Pace:
    """Called once a step. On a processor, which does a step when it is asked to, it does nothing.

    `mark`: makes something with `record()` and `synchronize()`, as torch.cuda.Event has them.
    """

    def __init__(self, device: str, mark: Callable[[], Any] | None = None):
        self.mark = mark or (torch.cuda.Event if is_gpu(device) else None)
        self.asked: deque[Any] = deque()

    def __call__(self) -> None:
        if self.mark is None:
            return
        now = self.mark()
        now.record()
        self.asked.append(now)
        if len(self.asked) > AHEAD:
            self.asked.popleft().synchronize()


class StepClock:
    """How long a step takes in this sitting, validation included; the first steps do not count,
    once there are others."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """No step has been made."""
        self.steps, self.settled = 0, None
        self.begun = time.monotonic()

    steps: int
    settled: float | None  # when the first steps were over

    def step(self) -> None:
        """One more has been made."""
        self.steps += 1
        if self.steps == FIRST_STEPS:
            self.settled = time.monotonic()

    @property
    def step_seconds(self) -> float:
        """The mean so far."""
        if self.steps > FIRST_STEPS and self.settled is not None:
            return (time.monotonic() - self.settled) / (self.steps - FIRST_STEPS)
        return (time.monotonic() - self.begun) / max(1, self.steps)
