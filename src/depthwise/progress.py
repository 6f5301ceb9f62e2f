"""Training progress: a bar on a terminal, plain lines in a log.

Everything goes to stderr, so that stdout holds results alone.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, Self

__all__ = ["ConsoleProgress", "as_clock", "as_duration"]

PLAIN_SECONDS = 10.0
PACE_SECONDS = 1.0  # of training, before it is said how long it will take


def as_clock(seconds: float) -> str:
    """83 -> "1:23"; 3700 -> "1:01:40"."""
    if not seconds < 360_000:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def as_duration(seconds: float) -> str:
    """8 -> "8 s"; 90 -> "1.5 minutes"; 7200 -> "2 hours"."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    amount, unit = (seconds / 60, "minute") if seconds < 3600 else (seconds / 3600, "hour")
    return f"{amount:.3g} {unit}{'' if amount == 1 else 's'}"


class _Event(Protocol):
    """What of an event of training is shown."""

    @property
    def epoch(self) -> float: ...

    @property
    def epochs(self) -> float: ...

    @property
    def loss(self) -> float: ...

    @property
    def score(self) -> float | None: ...

    @property
    def items_per_second(self) -> float: ...

    @property
    def seconds_left(self) -> float: ...

    @property
    def stage(self) -> str: ...


class ConsoleProgress:
    """A watcher for `training.loop.train` and `Stages`: epoch, loss, best score, items/s, time left
    of the whole run; and, once the pace is known, how long it will take in all.

    On a terminal a bar; elsewhere one line every ten seconds. words: how a score is told.
    """

    def __init__(self, title: str, words: Callable[[float], str] = "{:.4f}".format):
        self.title, self.words = title, words
        self.bar: Any = None
        self.told = self.begun = time.monotonic()
        self.foreseen = False

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._start_bar()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, event: Any) -> None:
        self._foresee(event)
        text = line(event, self.words)
        if self.bar is not None:
            self.bar.update(self.task, total=event.steps, completed=event.step, text=text)
        elif time.monotonic() - self.told >= PLAIN_SECONDS:
            self.told = time.monotonic()
            self._say(text)

    def _foresee(self, event: Any) -> None:
        """Print the expected duration once, if it is long enough to matter."""
        if self.foreseen or event.seconds < PACE_SECONDS or not math.isfinite(event.seconds_left):
            return
        self.foreseen = True
        if event.seconds_left >= PLAIN_SECONDS:
            whole = time.monotonic() - self.begun + event.seconds_left
            self._say(f"about {as_duration(_roughly(whole))} in all")

    def _say(self, text: str) -> None:
        if self.bar is not None:
            self.bar.console.print(f"{self.title}: {text}", markup=False, highlight=False)
        else:
            print(f"{self.title}: {text}", file=sys.stderr, flush=True)

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn(self.title), BarColumn(24), TextColumn("{task.fields[text]}"))
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task("", total=1, text="")
        self.bar.start()


def _roughly(seconds: float) -> float:
    """A forecast rounded to 5 seconds, half a minute or a tenth of an hour."""
    step = 5 if seconds < 120 else 30 if seconds < 3600 else 360
    return float(step * round(seconds / step))


def line(event: _Event, words: Callable[[float], str] = "{:.4f}".format) -> str:
    score = f"  best {words(event.score)}" if event.score is not None else ""
    stage = f"{event.stage}  " if event.stage else ""
    return (
        f"{stage}epoch {event.epoch:.1f}/{event.epochs:.4g}  loss {event.loss:.4f}{score}"
        f"  {event.items_per_second:,.0f} items/s  {as_clock(event.seconds_left)} left"
    )
