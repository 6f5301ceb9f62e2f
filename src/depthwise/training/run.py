"""One run of `fit`: the file that makes it resumable, the time it has left, and who is called with
its progress; and looking at items for as long as there is time.

Shapes: N items, M items looked at.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from depthwise.progress import ConsoleProgress
from depthwise.training.events import Watch, watching

__all__ = ["Run", "look_in_time", "time_left"]


@dataclass(frozen=True)
class Run:
    """checkpoint: a file, others beside it; limit: seconds, of which the clock has taken some since
    `begun` (time.monotonic()); watch: called with an Event now and then."""

    checkpoint: Path | None = None
    limit: float | None = None
    watch: Watch | None = None
    begun: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(
        cls,
        checkpoint: str | Path | None = None,
        seconds_limit: float | None = None,
        watch: Watch | None = None,
        callbacks: Iterable[Watch] | None = None,
    ) -> Self:
        """The arguments of `fit` as one value, its clock running. Raises InputError for callbacks
        that cannot be called."""
        path = None if checkpoint is None else Path(checkpoint)
        return cls(path, seconds_limit, watching(watch, callbacks))

    @property
    def seconds(self) -> float:
        """Since the run was begun."""
        return time.monotonic() - self.begun

    @property
    def seconds_left(self) -> float | None:
        """Of the limit, at least 0; None without one."""
        return time_left(self.limit, self.begun)

    @contextlib.contextmanager
    def watched(self, title: str, verbose: bool) -> Iterator[Watch | None]:
        """The callback while the run learns: its own, or a progress bar where it has none and the
        model is `verbose`."""
        if self.watch is not None or not verbose:
            yield self.watch
            return
        with ConsoleProgress(title) as bar:
            yield bar


def time_left(limit: float | None, since: float) -> float | None:
    """Seconds of a limit that ran from `since` (time.monotonic()); None without a limit."""
    return None if limit is None else max(0.0, limit - (time.monotonic() - since))


def look_in_time(
    order: np.ndarray,
    part: int,
    look: Callable[[np.ndarray], Any],
    seconds: float | None,
    enough: Callable[[np.ndarray], bool] = lambda places: True,
) -> tuple[list[Any], np.ndarray]:
    """look(places) of `part` items after the other in `order` (N,), until another part would take
    longer than `seconds` in all and those done are `enough`, at least one part; None: of all. What
    came of each part, and the places that were looked at (M,)."""
    begun, done = time.monotonic(), list[Any]()
    for start in range(0, len(order), part):
        taken = time.monotonic() - begun
        late = seconds is not None and done and taken * (1 + 1 / len(done)) > seconds
        if late and enough(order[:start]):
            return done, order[:start]
        done.append(look(order[start : start + part]))
    return done, order
