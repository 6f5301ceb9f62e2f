"""A network's answers to many items, batch by batch, on the processor or on a GPU.

Shapes: N items, B batch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.compute import exact_products
from depthwise.models.gpu_answers import home_of, pieces, placed

__all__ = ["PREDICT_BATCH", "answers_of", "items_at_once"]

PREDICT_BATCH = 512
# of pictures and clips: as many as keep a layer's maps in the processor's cache (for CNNs 1.5 to 3
# times as quick as 512 at once: benchmarks/promises/predict_batches.py)
LEAST_BATCH, BATCH_NUMBERS = 8, 1 << 16

Answer = Callable[[Any, Tensor], Tensor]  # (network, x (B, ...)) -> (B, ...)


class Answering(Protocol):
    """A model that a network belongs to."""

    network_: nn.Module
    device: str
    _kept_there: tuple[np.ndarray, Tensor] | None

    @property
    def is_fitted(self) -> bool: ...
    @property
    def image_only(self) -> bool: ...


def answers_of(
    model: Answering, inputs: np.ndarray, run: Answer, network: nn.Module | None = None
) -> Tensor:
    """run(network, x) batch by batch: (N, ...) -> (N, ...) in the inputs' precision, so that
    float64 columns are computed in float64. network: the model's own by default."""
    own = network or model.network_
    network = placed(model, own, inputs)
    try:
        return _answered(model, network, inputs, run)
    except torch.OutOfMemoryError:
        if network is own:
            raise
        return _answered(model, own, inputs, run)  # others hold the GPU's memory


def _answered(model: Answering, network: nn.Module, inputs: np.ndarray, run: Answer) -> Tensor:
    network = network.eval()
    if inputs.dtype == np.float64:
        network = copy.deepcopy(network).double()
    home = home_of(network)
    batch = items_at_once(model.image_only, inputs.shape[1:], home)
    with torch.inference_mode(), exact_products(home):
        parts = [run(network, x).cpu() for x in pieces(inputs, batch, home, model._kept_there)]
    return torch.cat(parts)


def items_at_once(of_images: bool, input_shape: tuple[int, ...], device: torch.device) -> int:
    """Items in a batch that is answered; fewer where large maps of images would leave the
    processor's cache."""
    if not of_images or device.type != "cpu":
        return PREDICT_BATCH
    fitting = BATCH_NUMBERS // max(1, math.prod(input_shape))
    return min(PREDICT_BATCH, max(LEAST_BATCH, 1 << max(0, fitting.bit_length() - 1)))
