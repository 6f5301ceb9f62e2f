"""One run at a time in a folder of results.

    with sole_use(Path("out")):
        ...                       a second run of depthwise is refused at once

The lock is on the folder itself (flock; on Windows on a file in it), so nothing has to be removed
afterwards, and the operating system lets go of it when its owner ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from depthwise.errors import InputError
from depthwise.scratch import sweep

__all__ = ["UnlockedFolderWarning", "sole_use"]


class UnlockedFolderWarning(UserWarning):
    """A folder that cannot be locked, as some network folders cannot."""


@contextlib.contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keep `folder` to this run: made where it is missing, cleared of what a killed run left half
    written, and removed again if it was made here and nothing came into it.

    Raises InputError where it is a file, cannot be written, or is in use by another run; warns with
    UnlockedFolderWarning where its file system knows no locks.
    """
    made = _make(folder)
    handle = _locked(folder)
    try:
        sweep(folder)
        yield
    finally:
        if handle is not None:
            os.close(handle)
        for empty in made:
            with contextlib.suppress(OSError):
                empty.rmdir()


def _make(folder: Path) -> list[Path]:
    """The folders that had to be made, the innermost first."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file; give a folder.")
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out {folder} cannot be made: {error.strerror or error}. Give another folder."
        ) from None
    return missing


def _locked(folder: Path) -> int | None:
    """An open handle that holds the lock; None on file systems without locks."""
    handle = None
    try:
        handle = _open(folder)
        _take(handle)
    except OSError as error:
        if handle is not None:
            os.close(handle)
        if isinstance(error, _BUSY):
            raise InputError(
                f"--out {folder} is in use by another run of depthwise. Wait until that ends, or "
                "give another folder."
            ) from None
        warnings.warn(
            f"{folder} cannot be locked ({error.strerror or error}), as on some network folders: "
            "see to it that no other run writes into it meanwhile.",
            UnlockedFolderWarning,
            stacklevel=4,
        )
        return None
    return handle


if sys.platform == "win32":
    import msvcrt

    _BUSY = PermissionError

    def _open(folder: Path) -> int:
        gone_when_closed = os.O_TEMPORARY
        return os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | gone_when_closed)

    def _take(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    _BUSY = BlockingIOError

    def _open(folder: Path) -> int:
        return os.open(folder, os.O_RDONLY)

    def _take(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
