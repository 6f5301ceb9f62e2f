"""A command that is stopped from outside: Ctrl-C ends it with exit code 130, SIGTERM (kill, a job
scheduler, docker stop) with 143, and one line says how to go on."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = [
    "INTERRUPTED",
    "STOPPED",
    "TERMINATED",
    "Terminated",
    "code_of",
    "how_to_go_on",
    "sigterm_raises",
]

INTERRUPTED, TERMINATED = 130, 143  # exit codes: 128 + SIGINT, 128 + SIGTERM
RESUMING = {"choose", "fit", "shrink"}


class Terminated(BaseException):
    """SIGTERM. No Exception, so that nothing on the way takes it for a failure of its own; no
    KeyboardInterrupt either, which training ends in peace on: whoever sends SIGTERM does not
    wait."""


STOPPED = (KeyboardInterrupt, Terminated)


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM raises Terminated meanwhile, once; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise_once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)
    raise Terminated


def code_of(stop: BaseException) -> int:
    return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED


def how_to_go_on(stop: BaseException, verb: str | None) -> str:
    """The line that a command says which was stopped."""
    what = "terminated" if isinstance(stop, Terminated) else "interrupted"
    if verb in RESUMING:
        return f"{what}: repeat the same command to go on from where it was stopped"
    return f"{what}: no file is half written; repeat the command to begin it again"
