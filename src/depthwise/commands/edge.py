"""Input and output of the command line: progress on stderr, checks of options before anything is
computed, and errors as one line and an exit code.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from depthwise.errors import DepthwiseError, InputError
from depthwise.progress import as_clock

if TYPE_CHECKING:
    from depthwise.data.dataset import Dataset

__all__ = [
    "SOME_BAD",
    "exit_of",
    "fail",
    "image_side",
    "load_told",
    "print_json",
    "require_one_of",
    "require_page",
    "require_positive",
    "say",
    "survive_any_name",
    "teller",
]

SOME_BAD = 1  # exit code of a command that answered some of its files, and could not use others


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, allow_nan=False))


def say(text: str) -> None:
    """One line on stderr, whatever the text holds."""
    line = "".join(ch if ch.isprintable() else " " for ch in text)
    print(" ".join(line.split()), file=sys.stderr, flush=True)


def teller(quiet: bool) -> Callable[[str], None]:
    """Prints progress on stderr, with the time since the command began."""
    began = time.monotonic()
    if quiet:
        return lambda text: None
    return lambda text: say(f"[{as_clock(time.monotonic() - began)}] {text}")


def survive_any_name() -> None:
    """A file or class name that the terminal's encoding lacks must not stop a command, nor must a
    stream that was closed before it began (`>&-`)."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


# -- options -----------------------------------------------------------------------------------


def require_positive(option: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise InputError(f"{option} must be above 0; got {value:g}. Leave it out for no limit.")


def require_one_of(option: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise InputError(f"{option} must be one of {', '.join(known)}; got {value!r}.")


def require_page(html: str) -> Path:
    """A path that ends in .html, in a folder that is there."""
    path = Path(html)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--html must end in .html; got {html!r}.")
    if not path.parent.is_dir():
        raise InputError(f"--html {html}: there is no folder {str(path.parent)!r}. Make it first.")
    return path


def image_side(text: str | None) -> tuple[int, int] | None:
    """ "32" or "24x32" as (height, width) in pixels."""
    if text is None:
        return None
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.strip().isdecimal() for side in sides):
        raise InputError(f"--image-size must be 32 or HEIGHTxWIDTH in pixels; got {text!r}.")
    return int(sides[0]), int(sides[-1])


def load_told(
    data: str, tell: Callable[[str], None], *, image_size: str | None = None, **options: Any
) -> Dataset:
    """The data, and on stderr how much of it there is and what was noticed."""
    from depthwise.data.load import load
    from depthwise.data.tables.column_summary import label_line

    dataset = load(data, image_size=image_side(image_size), **options)
    counts = {part: len(places) for part, places in dataset.indices.items()}
    tell(f"{dataset.name}: {', '.join(f'{part} {n:,}' for part, n in counts.items())}")
    if label := label_line(dataset):
        tell(f"label: {label}")
    for problem in dataset.problems:
        tell(f"noticed {problem}")
    return dataset


def exit_of(answered: int, bad: int) -> int:
    """The exit code where so many files were answered and so many could not be used."""
    if not bad:
        return 0
    return SOME_BAD if answered else InputError.exit_code


# -- errors ------------------------------------------------------------------------------------


def fail(error: Exception) -> NoReturn:
    """One line on stderr, and the exit code of this kind of error."""
    if isinstance(error, DepthwiseError):
        _leave(f"error: {error}", error.exit_code)
    if isinstance(error, OSError):
        where = error.filename or "writing the output failed"
        _leave(f"error: {where}: {error.strerror or error}.", InputError.exit_code)
    if isinstance(error, MemoryError):
        _leave("error: out of memory; use smaller data or --image-size.", InputError.exit_code)
    _leave(
        f"error: {type(error).__name__}: {error} (not foreseen: a mistake of depthwise's own; "
        "--debug shows where)",
        DepthwiseError.exit_code,
    )


def _leave(message: str, code: int) -> NoReturn:
    try:
        sys.stdout.flush()
    except (OSError, ValueError):  # stdout itself is what failed: do not fail again at exit
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    say(message)
    sys.exit(code)
