"""What this process has of its machine: cores, a folder for what can be made again, and whether it
may write where it was told to."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import psutil

from depthwise.errors import InputError

__all__ = ["available_cores", "cache_folder", "require_folder"]


def available_cores() -> int:
    """Cores this process may run on, which a container or taskset may have limited."""
    try:
        return len(psutil.Process().cpu_affinity())
    except AttributeError:  # macOS has no affinity
        return psutil.cpu_count(logical=False) or 1


def cache_folder() -> Path:
    """`DEPTHWISE_CACHE`, else the user's cache."""
    given = os.environ.get("DEPTHWISE_CACHE")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("depthwise"))


def require_folder(out: str, option: str = "--out") -> None:
    """That `out` is no file, and that it, or the nearest folder above it, can be written."""
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{option} {out} is a file; give a folder.")
    above = next((path for path in [folder, *folder.parents] if path.exists()), Path())
    if not above.is_dir():
        raise InputError(f"{option} {out}: {above} is a file; give another folder.")
    if not os.access(above, os.W_OK):
        raise InputError(f"{option} {out}: {above} cannot be written; give another folder.")
