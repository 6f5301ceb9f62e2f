"""The scikit-learn contract around a `torch.nn.Module`: predict, score, save.

A family is a class whose constructor's arguments are its whole configuration, with a `fit` and a
`build(input_shape, n_classes)`, the network from raw inputs (B, ...) to logits (B, K). What is
learnt ends in an underscore:

    network_      the trained torch.nn.Module, in eval mode; takes raw pixels or columns
    classes_      class labels, in the order of the network's outputs
    input_shape_  (C, H, W) or (D,);   input_dtype_  "uint8" or "float32"
    history_      dict: one record an epoch, why training stopped, how it was computed
    columns_      what the columns of the table became, split_ which split it was: of a Dataset
                  that was fitted; None for arrays

`Classifier` takes inputs and labels, predicts and saves; how a network learns is its family's
affair: by the loop (networks.py) or otherwise (families/shallow.py).

Shapes: N items, B batch, C channels, H W image, D features, K classes.
"""

from __future__ import annotations

import abc
import copy
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from depthwise.data.columns import Column, width
from depthwise.data.dataset import SplitMarks
from depthwise.errors import DivergedError, InputError
from depthwise.inputs import as_images, as_tensor, check_labels, fingerprint_arrays
from depthwise.losses import smoothed_cross_entropy
from depthwise.modelfile import write_model
from depthwise.training import Event

__all__ = ["Classifier", "Watch", "dataset_parts"]

PREDICT_BATCH = 512
FLOATS = (np.float64, np.float32)
Watch = Callable[[Event], None]


class Classifier(ClassifierMixin, BaseEstimator, abc.ABC):
    """What every classifying family shares. See a family for the meaning of its settings.

    `resource` names the setting that says how long to train, `sizes` the rungs of the ladder.
    """

    family: ClassVar[str]
    image_only: ClassVar[bool] = False
    resource: ClassVar[str] = "epochs"
    sizes: ClassVar[dict[str, Any]] = {}
    random_state: Any
    # learnt
    network_: nn.Module
    classes_: np.ndarray
    input_shape_: tuple[int, ...]
    input_dtype_: str
    history_: dict[str, Any]
    columns_: list[Column] | None = None
    split_: SplitMarks | None = None

    @abc.abstractmethod
    def build(self, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
        """An untrained network from raw inputs (B, *input_shape) to logits (B, n_classes)."""

    @abc.abstractmethod
    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        validation: tuple[Any, Any] | None = None,
        checkpoint: str | Path | None = None,
        seconds_limit: float | None = None,
        watch: Watch | None = None,
    ) -> Self:
        """Train on X (N, C, H, W) or (N, D) and labels y (N,), or on a Dataset given as X."""

    # -- predicting -----------------------------------------------------------------------------

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities (N, K), columns in the order of `classes_`.

        Raises DivergedError where the network's answer is not a number.
        """
        check_is_fitted(self, "network_")
        p = torch.softmax(self._logits(self._take(X, reset=False)[0]), dim=1).numpy()
        bad = np.flatnonzero(~np.isfinite(p).all(axis=1))
        if len(bad):
            raise DivergedError(
                f"the network's answer for item {bad[0]} is not a number ({len(bad)} such). "
                "Look for extreme values in the inputs (depthwise inspect), or fit again."
            )
        return p

    def predict(self, X: Any) -> np.ndarray:
        """Class labels (N,)."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def _logits(self, inputs: np.ndarray, network: nn.Module | None = None) -> Tensor:
        """(N, ...) -> (N, K) in the inputs' precision: float64 columns are computed in float64."""
        network = (network or self.network_).eval()
        if inputs.dtype == np.float64:
            network = copy.deepcopy(network).double()
        device = next(itertools.chain(network.parameters(), network.buffers())).device
        with torch.inference_mode():
            parts = [
                network(as_tensor(inputs[i : i + PREDICT_BATCH]).to(device)).cpu()
                for i in range(0, len(inputs), PREDICT_BATCH)
            ]
        return torch.cat(parts)

    # -- saving ---------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Write `model.safetensors` and `model.json` into `folder`; `depthwise.load` reads them."""
        check_is_fitted(self, "network_")
        return write_model(self, Path(folder))

    def describe_network(self) -> dict[str, Any]:
        """What `rebuild` needs besides the settings to make the same network; JSON values."""
        return {"input_shape": list(self.input_shape_), "n_classes": len(self.classes_)}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        shape = tuple(int(side) for side in description["input_shape"])
        return self.build(shape, int(description["n_classes"]))

    # -- settings -------------------------------------------------------------------------------

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _require(self, name: str, holds: bool, remedy: str) -> None:
        if not holds:
            raise InputError(f"{name} must be {remedy}; got {getattr(self, name)!r}.")

    # -- parts of fitting -----------------------------------------------------------------------

    def _parts(
        self, X: Any, y: Any, validation: tuple[Any, Any] | None
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
        """Checked inputs, label indices and validation part, from arrays or a Dataset."""
        self.columns_ = self.split_ = None
        if hasattr(X, "train") and y is None:
            self.columns_, self.split_ = _columns(X), getattr(X, "split_marks", None)
            X, y, validation = dataset_parts(X, validation)
        inputs, labels = self._take(X, y, reset=True)
        self.data_fingerprint_ = fingerprint_arrays(inputs, labels)
        if validation is None:
            return inputs, labels, None
        return inputs, labels, self._take(*validation, reset=False, classes=self.classes_)

    def _take_more(self, X: Any, y: Any, classes: Any) -> tuple[np.ndarray, np.ndarray]:
        """`partial_fit`'s arguments; the first call fixes shape and classes."""
        first = not hasattr(self, "network_")
        if first and classes is not None:
            self.classes_ = np.unique(classes)
        known = self.classes_ if hasattr(self, "classes_") else None
        return self._take(X, y, reset=first, classes=known)

    def _record(
        self, amount: int, started: float, held_out: tuple[np.ndarray, np.ndarray] | None
    ) -> None:
        """The history of a fit that was one piece: one record."""
        seconds = time.monotonic() - started
        record: dict[str, Any] = {"epoch": amount, "seconds": seconds}
        if held_out:
            record["score"] = self._validation_scores(*held_out, self.network_)[0]
        self.n_iter_ = amount
        self.history_ = {"epochs": [record], "stopped": "finished", "seconds": seconds}

    def _validation_scores(
        self, inputs: np.ndarray, labels: np.ndarray, network: nn.Module
    ) -> tuple[float, float]:
        """(accuracy, -cross-entropy): the second breaks the ties of a small validation part."""
        logits, truth = self._logits(inputs, network), torch.from_numpy(labels)
        accuracy = (logits.argmax(dim=1) == truth).double().mean()
        return float(accuracy), -float(smoothed_cross_entropy(logits, truth))

    # -- inputs ---------------------------------------------------------------------------------

    def _take(
        self, X: Any, y: Any = None, *, reset: bool, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Checked inputs (N, ...) and label indices (N,); remembers shape and classes on reset."""
        if _dimensions(X) >= 3:
            inputs = as_images(X)
            labels = None if y is None else check_labels(y, len(inputs))
            self._take_shape(inputs, reset)
        elif not reset and len(self.input_shape_) == 3:
            raise InputError(
                f"this model was fitted on images of {self.input_shape_} (C, H, W); got flat rows. "
                f"Reshape them: X.reshape(-1, {', '.join(map(str, self.input_shape_))})."
            )
        elif y is None and not reset:
            inputs, labels = validate_data(self, X, dtype=FLOATS, reset=False), None
        else:
            inputs, labels = validate_data(
                self, X, y, dtype=FLOATS, reset=reset, ensure_min_samples=2 if reset else 1
            )
        if reset:
            self.input_shape_ = tuple(inputs.shape[1:])
            self.input_dtype_ = "uint8" if inputs.dtype == np.uint8 else "float32"
        if labels is None:
            return inputs, np.empty(0, np.int64)
        return inputs, self._encode(labels, reset, classes)

    def _take_shape(self, inputs: np.ndarray, reset: bool) -> None:
        if reset:
            self.n_features_in_ = int(np.prod(inputs.shape[1:]))
            return
        if tuple(inputs.shape[1:]) != self.input_shape_:
            raise InputError(
                f"images are {tuple(inputs.shape[1:])} (C, H, W), but this model was fitted on "
                f"{self.input_shape_}. Resize them (depthwise.load does)."
            )
        if (inputs.dtype == np.uint8) != (self.input_dtype_ == "uint8"):
            raise InputError(
                f"images are {inputs.dtype}, but this model was fitted on {self.input_dtype_}: "
                "pixels 0..255 and 0..1 must not be mixed. Convert them to the same type."
            )

    def _encode(self, labels: np.ndarray, reset: bool, classes: np.ndarray | None) -> np.ndarray:
        check_classification_targets(labels)
        if classes is None and (reset or not hasattr(self, "classes_")):
            self.classes_ = np.unique(labels)
        if len(self.classes_) < 2:
            raise InputError(
                f"y has one class only ({self.classes_[0]!r}): a classifier needs at least 2 "
                "classes to tell apart."
            )
        places = np.searchsorted(self.classes_, labels).clip(max=len(self.classes_) - 1)
        wrong = self.classes_[places] != labels
        if wrong.any():
            raise InputError(
                f"y has the label {labels[wrong][0]!r}, which is not among the classes "
                f"{list(self.classes_)}. Pass every class there will be to the first call."
            )
        return places.astype(np.int64)


def dataset_parts(dataset: Any, validation: Any) -> tuple[Any, Any, Any]:
    """A Dataset's training part, its labels as class names, and its validation part."""
    names = np.asarray(dataset.classes)
    train_part, held = dataset.train, dataset.validation
    if validation is None and len(held.y):
        validation = (held.X, names[held.y])
    return train_part.X, names[train_part.y], validation


def _columns(dataset: Any) -> list[Column] | None:
    """The Dataset's columns, unless its inputs have been changed to another width since."""
    columns = getattr(dataset, "columns", None)
    return columns if columns and (width(columns),) == dataset.input_shape else None


def _dimensions(X: Any) -> int:
    return X.ndim if hasattr(X, "ndim") else np.ndim(X) if isinstance(X, list | tuple) else 2
