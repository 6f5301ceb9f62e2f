"""No silence longer than five seconds: what takes long says so by itself, from a second thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

__all__ = ["Heartbeat"]

SILENCE = 4.5  # seconds


class Heartbeat:
    """Forwards log lines to `tell`; inside the context, after `silence` seconds without a line it
    logs what is being done (`doing`) and for how long. Lines never overlap; its own come from
    another thread. An error that `tell` raises there is left to the next line."""

    def __init__(self, tell: Callable[[str], None], silence: float = SILENCE):
        self.tell, self.silence = tell, silence
        self.activity, self.since = "starting", time.monotonic()
        self.told = time.monotonic()
        self._over = threading.Event()
        self._turn = threading.RLock()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, tell: Callable[[str], None]) -> Heartbeat:
        """A heartbeat around a log function; unchanged if that is a heartbeat already."""
        return tell if isinstance(tell, cls) else cls(tell)

    def __call__(self, line: str) -> None:
        with self._turn:
            self.told = time.monotonic()
            self.tell(line)

    def doing(self, activity: str) -> None:
        """What begins now."""
        self.activity, self.since = activity, time.monotonic()

    def __enter__(self) -> Self:
        self._over.clear()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(max(0.01, self.told + self.silence - time.monotonic())):
            if time.monotonic() - self.told >= self.silence:
                try:
                    self(f"{self.activity}, {time.monotonic() - self.since:.0f} s so far")
                except BaseException:
                    return
