"""What this process has of its machine: cores, and a folder for what can be made again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs
import psutil

__all__ = ["available_cores", "cache_folder"]


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
