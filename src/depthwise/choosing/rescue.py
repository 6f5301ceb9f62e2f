"""For `choose`: a candidate that only just misses a limit may keep it once it is shrunk.

    choose(data, budget=..., rescue=rescue)

Which candidate is worth it, rescuing.py says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from depthwise.choosing.rescuing import HELPED
from depthwise.errors import NothingFitsError
from depthwise.measuring.devices.device import Device
from depthwise.measuring.limits import Budget
from depthwise.shrinking.shrink import Shrunk, shrink

__all__ = ["rescue"]


def rescue(
    model: Any,
    data: Any,
    budget: Budget,
    *,
    device: str | Path | Device = "this",
    minutes: float = 5.0,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Callable[[str], None] | None = None,
) -> Shrunk | None:
    """The model, shrunk to keep the budget's limits, with its record; None where that fails."""
    limits = {f"max_{name}": getattr(budget, name) for name in HELPED}
    about: dict[str, Any] = {"device": device, "minutes": minutes, "seed": seed}
    try:
        return shrink(model, data, **limits, **about, out=out, watch=watch)
    except NothingFitsError:
        return None
