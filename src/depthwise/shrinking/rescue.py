"""For `choose`: a candidate that only just misses a limit may keep it once it is shrunk.

    nearly(found)                       who is worth training although it is over a limit
    rescue(model, data, budget, ...)    the trained model, made to keep the budget; or None

A candidate is worth it if its worst miss is at most WITHIN times the limit, the limit is one that
shrinking helps to keep, and it learns by gradient descent.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from depthwise.choosing.budget import Budget
from depthwise.choosing.feasibility import Feasible
from depthwise.choosing.ladder import Candidate
from depthwise.errors import NothingFitsError
from depthwise.measuring.devices import Device
from depthwise.networks import NetworkClassifier
from depthwise.shrinking.shrink import Shrunk, shrink

__all__ = ["HELPED", "WITHIN", "nearly", "rescue"]

WITHIN = 4.0  # times a limit: what whole numbers alone save
HELPED = ("size_mb", "latency_ms", "energy_mj", "memory_mb")


def nearly(found: Feasible, candidates: list[Candidate]) -> list[Candidate]:
    """Of the candidates that were dropped those worth training to be shrunk, the nearest first."""
    worth = [
        candidate
        for candidate in candidates
        if issubclass(candidate.make, NetworkClassifier)
        and (broken := found.missed.get(candidate.name))
        and broken[0].ratio <= WITHIN
        and all(miss.limit in HELPED for miss in broken)
    ]
    return sorted(worth, key=lambda candidate: found.missed[candidate.name][0].ratio)


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
