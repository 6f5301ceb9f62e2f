"""In which order items are visited, epoch by epoch, and the seeds that this comes from.

Shapes: N items.
"""

from __future__ import annotations

import torch
from torch import Tensor

from depthwise.compute import has_room

__all__ = ["drawn_by_visits", "mixed", "on_device_if_room", "visiting_order"]


def visiting_order(items: int, seed: int, visits: Tensor | None = None) -> Tensor:
    """int64 (N,): the items in a random order; those with more `visits` (N,) oftener."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(items, generator=generator)
    return order if visits is None else drawn_by_visits(visits, generator)[order]


def drawn_by_visits(visits: Tensor, generator: torch.Generator) -> Tensor:
    """N of N items, item i n_i or n_i + 1 times where N visits_i / sum visits lies between the two,
    and that often on average (systematic sampling, Madow 1949): int64 (N,), in order."""
    ends = visits.double().cumsum(0)
    ends *= len(visits) / ends[-1]
    ends[-1] = len(visits)
    marks = torch.arange(len(visits)) + torch.rand((), generator=generator, dtype=torch.float64)
    return torch.searchsorted(ends, marks, right=True).clamp(max=len(visits) - 1)


def mixed(seed: int, number: int) -> int:
    """A 64-bit seed from two integers, by the finaliser of SplitMix64 (Steele et al. 2014)."""
    z = (seed * 0x9E3779B97F4A7C15 + number * 0xD1342543DE82EF95) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return z ^ (z >> 31)


def on_device_if_room(inputs: Tensor, device: str) -> Tensor:
    """The items of a run, on its device where they have room; else each batch is brought there."""
    return inputs.to(device) if has_room(device, inputs.nbytes) else inputs
