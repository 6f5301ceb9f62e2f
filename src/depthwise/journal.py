"""What `choose` has done so far, on disk after every step, so that repeating the command goes on.

A choice is a script of named steps; each is done once and its result, a JSON value, is remembered:

    accuracy = journal.recall("train/1/cnn-s", lambda: train(...))

Begun again, the script runs through the same names and does only what is not there yet.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from depthwise.checkpoint import write_atomically
from depthwise.errors import InputError

__all__ = ["Journal", "Spending", "is_begun"]


class Spending(Protocol):
    """A clock whose seconds the journal keeps."""

    before: float  # seconds of earlier sittings

    @property
    def spent(self) -> float:
        """Seconds of all sittings."""
        ...


@dataclass
class _Stopwatch:
    before: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        return self.before + time.monotonic() - self.begun


class Journal:
    """Steps done in `folder`, for one `request` (JSON values that say what was asked for). `clock`
    goes on from the seconds that earlier sittings spent."""

    def __init__(self, folder: Path, request: dict[str, Any], clock: Spending | None = None):
        self.path = folder / "journal.json"
        self.clock: Spending = clock or _Stopwatch()
        self.steps: dict[str, Any] = {}
        known = _read(self.path)
        if known is not None and known["request"] != request:
            changed = [k for k in request if known["request"].get(k) != request[k]]
            raise InputError(
                f"{folder.parent} holds another choice (it differs in {', '.join(changed)}). "
                "Give another --out, or delete that folder."
            )
        self.request = request
        if known is not None:
            self.steps = known["steps"]
            self.clock.before = known["seconds"]
        else:
            self._write()

    def recall(self, step: str, do: Callable[[], Any]) -> Any:
        """The remembered result of `step`, or `do()`, remembered from now on."""
        if step not in self.steps:
            self.steps[step] = json.loads(json.dumps(do()))
            self._write()
        return self.steps[step]

    def _write(self) -> None:
        known = {"request": self.request, "seconds": self.clock.spent, "steps": self.steps}
        text = json.dumps(known)
        write_atomically(self.path, lambda scratch: scratch.write_text(text))


def is_begun(out: Path) -> bool:
    """Whether `out` holds a journal, or a run was stopped there before it wrote anything."""
    work = out / "work"
    if (work / "journal.json").exists():
        return True
    return list(out.iterdir()) == [work] and work.is_dir() and not any(work.iterdir())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        request, steps = dict(known["request"]), dict(known["steps"])
        return {"request": request, "seconds": float(known.get("seconds", 0)), "steps": steps}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read ({error}). Delete {path.parent} to start again."
        ) from None
