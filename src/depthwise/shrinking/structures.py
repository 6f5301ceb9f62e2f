"""Smaller networks that have learnt nothing: what one would cost is known before any training."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from sklearn.base import clone

from depthwise.layers import parameter_count
from depthwise.models.networks import NetworkEstimator
from depthwise.shrinking.channels import channels_of
from depthwise.shrinking.pruning import lowest, pruned_network

__all__ = ["narrowed", "on_rung", "rungs_below"]

OWN_WIDTHS = ("width", "blocks", "separable", "hidden")  # settings in place of what a rung says
LEARNT = (
    *("input_shape_", "input_dtype_", "n_features_in_", "classes_", "history_"),
    *("columns_", "split_", "class_order_", "data_fingerprint_", "n_targets_", "flat_"),
    "pixel_range_",
)


def narrowed(model: NetworkEstimator, share: float, cost: str, seed: int) -> Any:
    """A copy with that share of the cost, "weights" or "macs", its channels drawn by chance.

    Raises InputError where no layer can become narrower.
    """
    smaller = copy.copy(model)
    found = channels_of(model.network_, torch.zeros(1, *model.input_shape_))
    numbers = found.numbers if cost == "weights" else found.products
    scores = np.random.default_rng(seed).random(len(found.channels))
    removed = lowest(found, scores, share, numbers)
    smaller.network_ = pruned_network(model.network_, found, removed).eval()
    return smaller


def rungs_below(model: NetworkEstimator) -> list[str]:
    """Rungs of the family's ladder with clearly fewer weights than the model, the largest first."""
    now = parameter_count(model.network_)
    return [size for size in reversed(list(type(model).sizes)) if _weights(model, size) < 0.9 * now]


def _weights(model: NetworkEstimator, size: str) -> int:
    with torch.device("meta"):
        return parameter_count(_fresh(model, size).build(model.input_shape_, model.n_outputs))


def _fresh(model: NetworkEstimator, size: str) -> NetworkEstimator:
    """An untrained model of that rung, otherwise set as the original."""
    known = model.get_params()
    changes: dict[str, Any] = {name: None for name in OWN_WIDTHS if name in known}
    return clone(model).set_params(size=size, **changes)


def on_rung(
    model: NetworkEstimator, size: str, inputs: np.ndarray, targets: np.ndarray, seed: int
) -> NetworkEstimator:
    """The same with random weights, ready to learn what the model has learnt. inputs (N, ...),
    targets (N,) or (N, T): what its standardisation is taken from."""
    pupil = _fresh(model, size).set_params(random_state=seed)
    known = vars(model)
    vars(pupil).update({name: known[name] for name in LEARNT if name in known})
    pupil.network_ = pupil._new_network(inputs, targets)
    pupil.network_.eval()
    return pupil
