"""The settings of a DNN, for labels and for numbers: stored, checked, made into a network.

Shapes: D features, K classes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from depthwise.errors import InputError
from depthwise.families.dnn.network import ACTIVATIONS, DNNNetwork
from depthwise.families.dnn.pretraining import Pretraining
from depthwise.models.networks import LONG, NetworkEstimator
from depthwise.settings import settings, whole_numbers
from depthwise.training.schedules import Passes

__all__ = ["DNNSettings"]

# size -> units of each hidden layer
SIZES: dict[str, tuple[int, ...]] = {
    "xxs": (16,),
    "xs": (64,),
    "s": (128, 128),
    "m": (512, 256),
    "l": (1024, 1024),
    "xl": (2048, 1024, 1024),
}
PRETRAIN_STEPS = 6000  # a layer, where epochs are "auto"
PRETRAIN_LR = {"dbn": 0.05, "autoencoder": 1e-3}


@settings
class DNNSettings(NetworkEstimator):
    """What DNN and DNNRegressor are told; see DNN for the meaning of each."""

    sizes: ClassVar[dict[str, tuple[int, ...]]] = SIZES
    priority: ClassVar[dict[str, int]] = {"images": 2, "table": 1}
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    passes: ClassVar[dict[str, Passes]] = {
        "fast": Passes(1500, 12, 25, least_steps=150, least_batch=16),
        "paper": LONG,
    }

    size: str = "s"
    hidden: int | tuple[int, ...] | None = None
    activation: str = "auto"
    normalise: bool | str = "auto"
    dropout: float = 0.1
    input_dropout: float = 0.0
    max_norm: float | None = None
    pretrain: str | None = None
    pretrain_epochs: float | str = "auto"
    pretrain_lr: float | str = "auto"
    masking: float = 0.25
    layer_rate: float = 1.0
    head_first: float = 0.0
    agreement: float = 0.0
    lr: float = 3e-3
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    augment: str | tuple[str, ...] | None = None
    warm_start: bool = False

    # -- the network ----------------------------------------------------------------------------

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        for name in ("dropout", "input_dropout"):
            self._require(name, 0 <= getattr(self, name) < 1, "in [0, 1)")
        logistic = self._activation() == "logistic"
        return DNNNetwork(
            tuple(input_shape),
            n_outputs,
            self._widths(),
            self.dropout,
            self.input_dropout,
            self._activation(),
            not logistic if self.normalise == "auto" else bool(self.normalise),
        )

    def _activation(self) -> str:
        if self.activation == "auto":
            return "logistic" if self.pretrain else "relu"
        known = ("auto", *ACTIVATIONS)
        self._require("activation", self.activation in known, " or ".join(map(repr, known)))
        return self.activation

    def _widths(self) -> tuple[int, ...]:
        if self.hidden is not None:
            widths = whole_numbers("hidden", self.hidden, "positive layer widths")
            if not widths:
                raise InputError(f"hidden must be positive layer widths; got {self.hidden!r}.")
            return widths
        own: tuple[int, ...] = self._rung()
        return own

    # -- settings -------------------------------------------------------------------------------

    def _pretraining(self, items: Tensor) -> Pretraining:
        assert self.pretrain is not None
        batch = int(min(100, max(10, len(items) / 100)))
        epochs: Any = self.pretrain_epochs
        if epochs == "auto":
            epochs = min(100, max(5, round(PRETRAIN_STEPS * batch / len(items))))
        lr = PRETRAIN_LR[self.pretrain] if self.pretrain_lr == "auto" else float(self.pretrain_lr)
        return Pretraining(
            kind=self.pretrain,
            gaussian=not _within_unit(items.numpy()),
            epochs=epochs,
            lr=lr,
            masking=self.masking,
            batch_size=batch,
            seed=self._seed(),
        )

    def _check_settings(self, inputs: np.ndarray) -> None:
        super()._check_settings(inputs)
        kinds = (None, *PRETRAIN_LR)
        self._require("pretrain", self.pretrain in kinds, 'None, "dbn" or "autoencoder"')
        for name in ("pretrain_epochs", "pretrain_lr"):
            value = getattr(self, name)
            self._require(name, value == "auto" or _positive(value), 'above 0 or "auto"')
        self._require("masking", 0 <= self.masking < 1, "in [0, 1)")
        self._require("layer_rate", 0 <= self.layer_rate <= 1, "in [0, 1]")
        self._require("head_first", 0 <= self.head_first <= 1, "a share of the run, in [0, 1]")
        self._require("agreement", 0 <= self.agreement < float("inf"), "0 or more, say 1")
        self._require("max_norm", self.max_norm is None or _positive(self.max_norm), "above 0")
        normal = self.normalise in ("auto", True, False)
        self._require("normalise", normal, 'True, False or "auto"')
        if self.pretrain and (self.normalise is True or self._activation() != "logistic"):
            raise InputError(
                f"pretrain={self.pretrain!r} needs logistic layers without normalisation; got "
                f"activation={self.activation!r}, normalise={self.normalise!r}. Leave both "
                '"auto".'
            )


def _within_unit(inputs: np.ndarray) -> bool:
    """Whether the values are pixels 0..255 as bytes, or numbers within [0, 1]."""
    return inputs.dtype == np.uint8 or bool(inputs.min() >= 0 and inputs.max() <= 1)


def _positive(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(0 < value < float("inf"))
