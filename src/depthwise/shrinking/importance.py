"""How much a channel matters: what is lost when everything that reads it reads zero.

    taylor      the change of the loss to first order, over all places that read channel c
                    I_c = mean over batches of (sum_l sum_(o, k) W_l[o, c, k] dL/dW_l[o, c, k])^2
                which is (sum of gradient x activation)^2, without the activations being kept:
                dL/da_c . a_c = dL/dW[:, c] . W[:, c]. Molchanov et al. 2017 and 2019.
    batch-norm  the sum of |g_c| over the norms that scale the channel (Liu et al. 2017)
    magnitude   the length of all weights that make the channel (Li et al. 2017)

Coupled channels count as one: what they make or are read by is summed over all of their layers.
Shapes: B batch, N items, M channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.errors import InputError
from depthwise.reshaping.widths import AXES, NORMS
from depthwise.shrinking.channels import Channels

__all__ = ["CRITERIA", "importance"]

CRITERIA = ("taylor", "batch-norm", "magnitude")
BATCH = 32  # items of one gradient: smaller ones tell more, and cost more
Loss = Callable[[Tensor, Tensor], Tensor]


def importance(
    network: nn.Module,
    found: Channels,
    inputs: Tensor,
    targets: Tensor,
    loss: Loss,
    criterion: str = "taylor",
) -> np.ndarray:
    """(M,) of every channel in `found`, from inputs (N, ...) and their targets (N, ...), real ones.

    Raises InputError for an unknown criterion, or batch norms that are not there.
    """
    if criterion not in CRITERIA:
        raise InputError(f"criterion must be one of {', '.join(CRITERIA)}; got {criterion!r}.")
    if criterion == "taylor":
        return _taylor(network, found, inputs, targets, loss)
    if criterion == "magnitude":
        return np.sqrt(_made(network, found, tuple(AXES), lambda w: w.square()))
    scales = _made(network, found, NORMS, lambda w: w.abs())
    if not scales.all():
        raise InputError(
            'criterion="batch-norm" needs a batch norm after every layer. Use "taylor".'
        )
    return scales


def _taylor(
    network: nn.Module, found: Channels, inputs: Tensor, targets: Tensor, loss: Loss
) -> np.ndarray:
    network.eval()
    total = np.zeros(len(found.channels))
    batches = range(0, len(inputs), BATCH)
    for start in batches:
        network.zero_grad(set_to_none=True)
        with torch.enable_grad():
            part = slice(start, start + BATCH)
            loss(network(inputs[part]), targets[part]).backward()
        total += _first_order(network, found) ** 2
    network.zero_grad(set_to_none=True)
    return total / len(batches)


def _first_order(network: nn.Module, found: Channels) -> np.ndarray:
    """The loss's first-order change, were each channel read as zero: (M,)."""
    read: dict[str, np.ndarray] = {}
    for path, side in found.widths:
        layer: Any = network.get_submodule(path)
        if side == "in" and isinstance(layer.weight.grad, Tensor):
            product = (layer.weight.detach() * layer.weight.grad).double()
            axis = AXES[type(layer)][1]
            read[path] = product.movedim(axis, 0).flatten(1).sum(1).numpy()
    return _gathered(found, "in", read)


def _made(
    network: nn.Module,
    found: Channels,
    kinds: tuple[type[nn.Module], ...],
    measure: Callable[[Tensor], Tensor],
) -> np.ndarray:
    """The sum of `measure(weights)` over what makes each channel: (M,)."""
    made: dict[str, np.ndarray] = {}
    for path, side in found.widths:
        layer: Any = network.get_submodule(path)
        if side == "out" and type(layer) in kinds:
            axis = AXES.get(type(layer), (0, 1))[0]
            value = measure(layer.weight.detach().double())
            made[path] = value.movedim(axis, 0).reshape(value.shape[axis], -1).sum(1).numpy()
    return _gathered(found, "out", made)


def _gathered(found: Channels, side: str, values: dict[str, np.ndarray]) -> np.ndarray:
    return np.array(
        [
            sum(
                float(values[path][places].sum())
                for (path, where), places in channel.places.items()
                if where == side and path in values
            )
            for channel in found.channels
        ]
    )
