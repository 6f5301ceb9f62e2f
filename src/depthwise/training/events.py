"""What a fit reports while it runs: events, and the functions that are called with them.

A callback looks on and never steers: whatever it does with an event, the weights come out the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from depthwise.errors import InputError

__all__ = ["Event", "Watch", "finished", "watching"]


@dataclass(frozen=True)
class Event:
    """How far a run is, several times a second at most. Times in seconds, rate in items/s;
    seconds_left of the whole run; stage: which of several, "" where there is one."""

    epoch: float
    epochs: float
    step: int
    steps: int
    loss: float
    score: float | None
    items_per_second: float
    seconds: float
    seconds_left: float
    stage: str = ""

    @classmethod
    def at(
        cls,
        step: int,
        steps: int,
        seconds: float,
        *,
        loss: float,
        score: float | None,
        items: int,
        steps_per_epoch: int = 1,
    ) -> Event:
        """After `step` of `steps`, which took `seconds`; an epoch goes over so many `items`."""
        rate = step / max(seconds, 1e-9)
        return cls(
            epoch=step / steps_per_epoch,
            epochs=steps / steps_per_epoch,
            step=step,
            steps=steps,
            loss=loss,
            score=score,
            items_per_second=rate * items / steps_per_epoch,
            seconds=seconds,
            seconds_left=(steps - step) / rate if rate else math.inf,
        )


Watch = Callable[[Event], None]


def finished(amount: int, seconds: float, score: float | None) -> Event:
    """The event of a fit that was one piece, of `amount` iterations, once it is over. The loss of
    such a fit is its solver's own affair: NaN."""
    rate = amount / max(seconds, 1e-9)
    return Event(amount, amount, amount, amount, math.nan, score, rate, seconds, 0.0)


def watching(watch: Watch | None, callbacks: Iterable[Watch] | None) -> Watch | None:
    """One callback that calls all that are given; None where none is. Raises InputError."""
    if callbacks is None:
        return watch
    called = [callbacks] if callable(callbacks) else [*callbacks]
    wrong = next((one for one in called if not callable(one)), None)
    if wrong is not None:
        raise InputError(
            f"callbacks must be functions that take a depthwise.training.loop.Event; got {wrong!r}."
        )
    called = [watch, *called] if watch is not None else called

    def call_all(event: Event) -> None:
        for one in called:
            one(event)

    return call_all if called else None
