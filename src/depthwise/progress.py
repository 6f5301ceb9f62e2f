"""Looking on while something trains: a bar on a terminal, plain lines in a log, never in the way.

Everything goes to stderr, so that stdout holds results alone.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Self

__all__ = ["ConsoleProgress", "as_clock"]

PLAIN_SECONDS = 10.0


def as_clock(seconds: float) -> str:
    """83 -> "1:23"; 3700 -> "1:01:40"."""
    if not seconds < 360_000:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ConsoleProgress:
    """A watcher for `training.train`: epoch, loss, best score, items/s, time left.

    On a terminal a bar; elsewhere one line every ten seconds.
    """

    def __init__(self, title: str):
        self.title = title
        self.bar: Any = None
        self.told = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._start_bar()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def __call__(self, event: Any) -> None:
        if self.bar is not None:
            self.bar.update(self.task, total=event.steps, completed=event.step, text=line(event))
        elif time.monotonic() - self.told >= PLAIN_SECONDS:
            self.told = time.monotonic()
            print(f"{self.title}: {line(event)}", file=sys.stderr, flush=True)

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn(self.title), BarColumn(24), TextColumn("{task.fields[text]}"))
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task("", total=1, text="")
        self.bar.start()


def line(event: Any) -> str:
    score = f"  best {event.score:.4f}" if event.score is not None else ""
    return (
        f"epoch {event.epoch:.1f}/{event.epochs:.4g}  loss {event.loss:.4f}{score}"
        f"  {event.items_per_second:,.0f} items/s  {as_clock(event.seconds_left)} left"
    )
