"""How a fit in stages is computed: device, precision and threads, as set or by measuring."""

from __future__ import annotations

from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.compute import (
    Compute,
    cached_choice,
    fastest,
    free_cores,
    has_bfloat16,
    resolve_device,
)
from depthwise.errors import InputError

__all__ = ["compute_for"]

PRODUCTS_MACS, PRODUCTS_SECONDS = 1_000_000_000, 2.0  # multiply-accumulates a timing; all of it
TINY = 100_000  # weights: below, a second thread costs more than it gives


class Computing(Protocol):
    """A model that says how it is to be computed. precisions: those that "auto" chooses among."""

    device: str
    precision: str
    threads: int | str

    @property
    def precisions(self) -> tuple[str, ...]: ...


def compute_for(model: Computing, network: nn.Module) -> Compute:
    """Device, precision and threads as `model` sets them. precision "auto" takes bfloat16 where
    products of the network's size are clearly faster in it and the family allows it; threads
    "auto" takes the cores that are free, one for a tiny network. Raises InputError."""
    device = resolve_device(model.device)
    known = ("auto", "float32", "bfloat16")
    if model.precision not in known:
        names = " or ".join(map(repr, known))
        raise InputError(f"precision must be {names}; got {model.precision!r}.")
    whole = isinstance(model.threads, int | np.integer) and model.threads > 0
    if not (whole or model.threads == "auto"):
        raise InputError(f'threads must be at least 1 or "auto"; got {model.threads!r}.')
    weights = sum(p.numel() for p in network.parameters())
    threads = int(model.threads) if whole else 1 if weights < TINY else free_cores()
    if model.precision != "auto":
        return Compute(device, model.precision, False, threads)
    allowed = model.precisions if has_bfloat16(device) else ("float32",)
    ways = [Compute(device, precision, False, threads) for precision in allowed]
    if weights < TINY or len(ways) == 1:
        return ways[0]
    largest = max(network.parameters(), key=Tensor.numel)
    rows, columns = largest.shape[0], largest[0].numel()

    def race() -> Compute:
        both = torch.randn(128, rows).to(device), torch.randn(rows, columns).to(device)
        product = partial(_products, *both)
        return fastest(product, ways, advantage=1.3, seconds=PRODUCTS_SECONDS)

    return cached_choice(f"product 128x{rows}x{columns}|{ways}", race)


def _products(a: Tensor, b: Tensor, compute: Compute) -> None:
    times = max(1, min(20, PRODUCTS_MACS // (a.numel() * b.shape[1])))
    with torch.inference_mode(), compute.autocast():
        for _ in range(times):
            torch.mm(a, b)
