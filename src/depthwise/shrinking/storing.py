"""Smaller files and fewer products without channels leaving: weights in 8 or 4 bits, low rank.

Both work on a copy; the model that is given stays as it is.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import nn

from depthwise.errors import InputError
from depthwise.measuring.as_run import file_bytes
from depthwise.measuring.counting import count
from depthwise.reshaping.edits import edits_of
from depthwise.reshaping.rank import factored, fullest_rank
from depthwise.reshaping.storage import Stored, stored, stored_edit

__all__ = ["file_bytes", "low_rank", "rank_edit", "store"]

Any_ = TypeVar("Any_")
GROUP = 32  # weights that share a scale in 4 bits


def store(model: Any_, bits: int) -> Any_:
    """A copy whose weights are stored in 8 bits (a scale a row) or 4 (a scale a group of 32)."""
    if bits not in (4, 8):
        raise InputError(f"bits must be 8 or 4; got {bits!r}.")
    smaller: Any = copy.deepcopy(model)
    network = smaller.network_
    edit = stored_edit(network, bits, GROUP if bits == 4 else None)
    if not edit["layers"]:
        raise InputError("the network has no convolution or linear layer whose weights to store.")
    before = edits_of(network)
    smaller.network_ = stored(network, edit)
    for module in smaller.network_.modules():
        if isinstance(module, Stored):
            module.settle()
    smaller.network_.edits = [*before, edit]
    smaller.network_.eval()
    return smaller


def rank_edit(network: nn.Module, energy: float) -> dict[str, Any]:
    """The edit that factors every layer whose least rank that keeps `energy` saves products:

    sum_(i <= r) s_i^2 >= energy * sum_i s_i^2,  s the singular values, in (0, 1].
    """
    if not 0 < energy <= 1:
        raise InputError(f"energy must be above 0, and at most 1; got {energy!r}.")
    layers: dict[str, int] = {}
    for path, layer in network.named_modules():
        if most := fullest_rank(layer):
            squares = torch.linalg.svdvals(layer.weight.detach().flatten(1).double()).square()
            kept = torch.cumsum(squares, 0) / squares.sum().clamp(min=1e-300)
            rank = int((kept < energy - 1e-12).sum()) + 1
            if rank <= most:
                layers[path] = rank
    return {"kind": "low-rank", "layers": layers}


def low_rank(model: Any_, energy: float = 0.9) -> Any_:
    """A copy in which layers are factored at the least rank that keeps `energy`, where that saves
    products. Raises InputError where it saves none anywhere."""
    smaller: Any = copy.deepcopy(model)
    network = smaller.network_
    edit = rank_edit(network, energy)
    if not edit["layers"]:
        raise InputError(f"no layer of rank {energy:g} saves products: give less energy.")
    before, sample = edits_of(network), torch.zeros(1, *smaller.input_shape_)
    macs = count(network, sample).macs
    smaller.network_ = factored(network, edit)
    smaller.network_.edits = [*before, edit]
    smaller.network_.eval()
    assert count(smaller.network_, sample).macs < macs
    return smaller
