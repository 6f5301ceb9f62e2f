"""Answers of a fitted model from the GPU that it computes on.

A fitted network is at home on the processor, where it is saved, measured and run by other runtimes.
Many items are answered on the GPU all the same, by a copy of it (`placed`); what takes many passes
takes the network there and back (`at_work`). Items that are gone through after every epoch are
uploaded once (`keeping_there`, `pieces`). A network that was made smaller computes at home: that is
where it was measured.

Shapes: N items.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.compute import exact_products, has_room, is_gpu, is_here, resolve_device
from depthwise.data.inputs import as_tensor
from depthwise.reshaping.edits import edits_of

__all__ = ["at_work", "gpu_of", "home_of", "keeping_there", "pieces", "placed"]

WORTH_MOVING = 1 << 20  # bytes of inputs: fewer are answered before a network has been copied


class _Computes(Protocol):
    """What of an estimator is used here."""

    device: str
    _kept_there: tuple[np.ndarray, Tensor] | None

    @property
    def network_(self) -> nn.Module: ...

    @property
    def is_fitted(self) -> bool: ...


def home_of(network: nn.Module) -> torch.device:
    """Where its weights are."""
    first = next(itertools.chain(network.parameters(), network.buffers()))
    return first.device


def gpu_of(model: _Computes) -> str | None:
    """The GPU that a model's `device` says; None where it says none or this machine has not got
    it: a model that was saved on a machine with a GPU answers on one without."""
    asked = model.device
    device: str = resolve_device("auto") if asked == "auto" else asked
    return device if is_gpu(device) and is_here(device) else None


def placed(model: _Computes, network: nn.Module, inputs: np.ndarray) -> nn.Module:
    """The network where it is, or a copy of the model's own on its GPU, for inputs that are worth
    it; columns in float64 are not, which few GPUs compute quickly."""
    own = model.is_fitted and network is model.network_
    small = inputs.nbytes < WORTH_MOVING or inputs.dtype == np.float64
    if small or not own or not _may_leave(network):
        return network
    device = gpu_of(model)
    return network if device is None else copy.deepcopy(network).to(device)


@contextlib.contextmanager
def at_work(model: _Computes, size_bytes: float = math.inf) -> Iterator[None]:
    """The model's network itself on its GPU while inputs of `size_bytes` are gone through many
    times, or much is computed without any; then at home again."""
    network = model.network_
    device = gpu_of(model) if size_bytes >= WORTH_MOVING and _may_leave(network) else None
    if device is None:
        yield
        return
    network.to(device)
    try:
        with exact_products(device):
            yield
    finally:
        network.cpu()


def _may_leave(network: nn.Module) -> bool:
    return not is_gpu(home_of(network)) and not edits_of(network)


@contextlib.contextmanager
def keeping_there(model: _Computes, inputs: Any, device: str) -> Iterator[None]:
    """A GPU that has room keeps these inputs (N, ...) for as long as the model learns."""
    array = isinstance(inputs, np.ndarray) and is_gpu(device)
    if not array or not has_room(device, inputs.nbytes):
        yield
        return
    model._kept_there = inputs, as_tensor(inputs).to(device)
    try:
        yield
    finally:
        del model._kept_there


def pieces(
    inputs: np.ndarray, size: int, device: torch.device, kept: tuple[np.ndarray, Tensor] | None
) -> Iterator[Tensor]:
    """Inputs (N, ...), `size` items at a time, on the device; of those that are kept there, parts
    of what is there."""
    there = kept[1] if kept is not None and kept[0] is inputs else None
    known = there is not None and there.device.type == device.type
    for i in range(0, len(inputs), size):
        if known and there is not None:
            yield there[i : i + size]
        else:
            yield as_tensor(inputs[i : i + size]).to(device)
