"""Scratch files: what is written under another name until it is whole, and how those are removed
that a killed process left.

    .model.json.9f3a01c2-4711.scratch     model.json, being written by process 4711 of this machine

The name says who writes, so that a scratch file whose process is gone is known as a leftover.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import psutil

from depthwise.errors import InputError

__all__ = [
    "is_scratch",
    "remove_whole",
    "scratch_beside",
    "scratch_folder",
    "scratch_suffix",
    "sweep",
    "sweep_once",
]

_NAME = re.compile(r"\.([0-9a-f]{8})-([0-9]+)\.scratch$")
_swept: set[str] = set()


def scratch_suffix() -> str:
    """What the name of a scratch file of this process ends in."""
    return f".{_machine()}-{os.getpid()}.scratch"


def scratch_beside(path: Path) -> Path:
    """The scratch file that becomes `path`."""
    return path.with_name(f".{path.name}{scratch_suffix()}")


@contextlib.contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """A folder of this process beside the path `beside`, whose folders are made where they are
    missing; removed in the end, and with it every folder that was made and stayed empty.

    Raises InputError where it cannot be made.
    """
    missing = [path for path in beside.parents if not path.exists()]
    folder = scratch_beside(beside)
    sweep_once(folder.parent)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"{folder.parent} cannot be written: {error.strerror or error}. Give another folder."
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for empty in missing:
            with contextlib.suppress(OSError):
                empty.rmdir()


def is_scratch(name: str) -> bool:
    return _NAME.search(name) is not None


def sweep(folder: Path) -> None:
    """Remove every scratch file and folder of a folder of results that nobody else writes into:
    in itself, and below its best/ and work/."""
    inside = [path for name in ("best", "work") for path in (folder / name).rglob("*.scratch")]
    for path in [*folder.glob("*.scratch"), *inside]:
        if is_scratch(path.name):
            _remove(path)


def sweep_once(folder: Path) -> None:
    """Remove the scratch files and folders in `folder` whose process is gone; once a process."""
    if str(folder) in _swept:
        return
    _swept.add(str(folder))
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if _is_left(path.name):
                _remove(path)


def remove_whole(folder: Path) -> None:
    """Remove a folder with all that is in it; a kill meanwhile leaves it whole or as scratch."""
    doomed = scratch_beside(folder)
    with contextlib.suppress(OSError):
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _is_left(name: str) -> bool:
    """Whether it is scratch of a process of this machine that has ended; one with this process's
    number that was there before it wrote anything is of an earlier one."""
    found = _NAME.search(name)
    if found is None or found[1] != _machine():
        return False
    return int(found[2]) == os.getpid() or not psutil.pid_exists(int(found[2]))


def _machine() -> str:
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
