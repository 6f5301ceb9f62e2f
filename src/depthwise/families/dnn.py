"""Deep neural network: fully connected layers, trained by gradient descent.

    h_0 = standardise(x)
    h_l = dropout(relu(norm(W_l h_{l-1})))          l = 1 .. L
    z   = W h_L + b,    p(y | x) = softmax(z)

norm is batch normalisation (Ioffe and Szegedy 2015), dropout as Srivastava et al. 2014. The weights
begin as He et al. 2015: N(0, 2 / fan_in). Images are flattened.

Shapes: N items, B batch, D features, K classes.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from depthwise.errors import InputError
from depthwise.layers import Standardise
from depthwise.networks import NetworkClassifier

__all__ = ["DNN", "DNNNetwork"]

# size -> units of each hidden layer
SIZES: dict[str, tuple[int, ...]] = {
    "xxs": (16,),
    "xs": (64,),
    "s": (128, 128),
    "m": (512, 256),
    "l": (1024, 1024),
    "xl": (2048, 1024, 1024),
}


class DNNNetwork(nn.Module):
    """(B, D) or (B, C, H, W) -> logits (B, K)."""

    def __init__(
        self, input_shape: tuple[int, ...], n_classes: int, hidden: tuple[int, ...], dropout: float
    ):
        super().__init__()
        self.standardise = Standardise(input_shape[0], image=len(input_shape) == 3)
        widths = (math.prod(input_shape), *hidden)
        self.hidden = nn.Sequential(
            *itertools.chain.from_iterable(
                (nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(dropout))
                for a, b in itertools.pairwise(widths)
            )
        )
        self.output = nn.Linear(widths[-1], n_classes)
        for layer in self.hidden:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.hidden(torch.flatten(self.standardise(x), 1)))


class DNN(NetworkClassifier):
    """Fully connected classifier for tables (N, D) and images (N, C, H, W).

    Parameters (unit, sensible range)
    ---------------------------------
    size : a rung of the ladder, "xxs" (one layer of 16 units) .. "xl" (2048, 1024, 1024).
    hidden : units of each hidden layer, in place of `size`.
    dropout : share of hidden units silenced in training, 0 .. 0.5.
    epochs : passes over the data; "auto" is about 3,000 steps, within 12 .. 100 passes.
    batch_size : items a step; "auto" is 128, less for small data.
    lr : peak learning rate, 3e-4 .. 1e-2 with "adamw".
    optimizer, schedule, weight_decay, clip_norm, average, patience : see `training.Recipe`.
    label_smoothing : 0 .. 0.2.
    augment : for images, see `data.augment.augmenter`; None by default.
    validation_fraction : share of the training data held out to choose the best epoch; 0 .. 0.3.
    warm_start : fit goes on from the present weights.
    random_state : seed; the same one gives the same network (same machine, same threads).
    device, precision, threads : "auto" measures; or e.g. "cpu", "bfloat16", 2.
    verbose : show progress on stderr.
    """

    family: ClassVar[str] = "dnn"
    sizes: ClassVar[dict[str, tuple[int, ...]]] = SIZES

    def __init__(
        self,
        *,
        size: str = "s",
        hidden: tuple[int, ...] | None = None,
        dropout: float = 0.1,
        epochs: float | str = "auto",
        batch_size: int | str = "auto",
        lr: float = 3e-3,
        optimizer: str = "adamw",
        schedule: str = "onecycle",
        weight_decay: float = 0.01,
        clip_norm: float | None = 2.0,
        average: float = 0.02,
        patience: int | str | None = "auto",
        label_smoothing: float = 0.0,
        augment: str | tuple[str, ...] | None = None,
        validation_fraction: float = 0.0,
        warm_start: bool = False,
        random_state: Any = 0,
        device: str = "auto",
        precision: str = "auto",
        threads: int | str = "auto",
        verbose: bool = False,
    ):
        self.size = size
        self.hidden = hidden
        self.dropout = dropout
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.optimizer = optimizer
        self.schedule = schedule
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.average = average
        self.patience = patience
        self.label_smoothing = label_smoothing
        self.augment = augment
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.threads = threads
        self.verbose = verbose

    def build(self, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be in [0, 1); got {self.dropout!r}.")
        return DNNNetwork(tuple(input_shape), n_classes, self._widths(), self.dropout)

    def _widths(self) -> tuple[int, ...]:
        if self.hidden is not None:
            widths = tuple(int(units) for units in self.hidden)
            if not widths or min(widths) < 1:
                raise InputError(f"hidden must be positive layer widths; got {self.hidden!r}.")
            return widths
        if self.size not in SIZES:
            raise InputError(f"size must be one of {', '.join(SIZES)}; got {self.size!r}.")
        return SIZES[self.size]
