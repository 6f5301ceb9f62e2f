"""What the layers of a network make of the items: `transform` and the names of its columns.

A model whose network has layers to look into, `representations(x)` being their list, takes the two
functions as its methods, beside scikit-learn's `TransformerMixin`:

    transform, get_feature_names_out = transform, get_feature_names_out

Shapes: N items, B batch, H units of a layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.data.inputs import as_tensor
from depthwise.errors import InputError
from depthwise.models.gpu_answers import home_of

__all__ = ["forget_layer", "get_feature_names_out", "transform"]

# of models whose `transform` was last asked for another layer than the last: the layer, its units
_LAYERS_ASKED: WeakKeyDictionary[Any, tuple[int, int]] = WeakKeyDictionary()


class Layered(Protocol):
    """A model that the functions below are methods of."""

    network_: nn.Module
    input_shape_: tuple[int, ...]
    input_dtype_: str
    n_features_in_: int

    def _take(self, X: Any, y: Any = None, *, reset: bool) -> tuple[np.ndarray, Any]: ...
    def _rows(self, inputs: np.ndarray, run: Callable[[Any, Tensor], Tensor]) -> Tensor: ...


def forget_layer(asked: object) -> None:
    """The last layer is asked for again, of a model that learns anew."""
    _LAYERS_ASKED.pop(asked, None)


def transform(model: Layered, X: Any, layer: int | None = None) -> np.ndarray:
    """What a layer makes of X: (N, H) of its H units, flattened; the last layer by default.

    Layers count from 1, bottom up. Raises InputError for a layer that is not there.
    """
    check_is_fitted(model, "network_")
    inputs = model._take(X, reset=False)[0]
    layers = len(_layers(model.network_, as_tensor(inputs[:2]).to(home_of(model.network_))))
    wanted = layers if layer is None else layer
    if not isinstance(wanted, int | np.integer) or not 1 <= wanted <= layers:
        raise InputError(f"layer must be 1 to {layers}, or None for the last; got {layer!r}.")
    shown: np.ndarray = model._rows(inputs, lambda n, x: _layers(n, x)[wanted - 1]).numpy()
    _LAYERS_ASKED.pop(model, None)
    if wanted != layers:
        _LAYERS_ASKED[model] = (int(wanted), shown.shape[1])
    return shown


def get_feature_names_out(model: Layered, input_features: Any = None) -> np.ndarray:
    """What the columns of `transform` are called: dnn0, dnn1, ...; of another layer than the
    last that `transform` was just asked for, dnn_layer1_0, ...

    `input_features`: those that were fitted, or None; a unit is made of all of them. Raises
    InputError for others."""
    check_is_fitted(model, "network_")
    if input_features is not None:
        _require_input_features(model, np.asarray(input_features, dtype=object))
    name = type(model).__name__.lower()
    if model in _LAYERS_ASKED:
        layer, width = _LAYERS_ASKED[model]
        return np.array([f"{name}_layer{layer}_{k}" for k in range(width)], dtype=object)
    item = torch.zeros(1, *model.input_shape_)
    raw = item.to(torch.uint8) if model.input_dtype_ == "uint8" else item
    width = _layers(model.network_, raw.to(home_of(model.network_)))[-1].shape[1]
    return np.array([f"{name}{k}" for k in range(width)], dtype=object)


def _require_input_features(model: Layered, names: np.ndarray) -> None:
    fitted = vars(model).get("feature_names_in_")
    if fitted is not None and not np.array_equal(fitted, names):
        raise InputError(f"input_features is not equal to feature_names_in_: {list(names)[:5]}.")
    if len(names) != model.n_features_in_:
        raise InputError(
            "input_features should have length equal to number of features "
            f"({model.n_features_in_}), got {len(names)}."
        )


@torch.inference_mode()
def _layers(network: Any, x: Tensor) -> list[Tensor]:
    """(B, H_l) of each layer, bottom up."""
    dtype = next(network.parameters()).dtype
    x = x if x.dtype == torch.uint8 else x.to(dtype)
    return [torch.flatten(hidden, 1) for hidden in network.eval().representations(x)]
