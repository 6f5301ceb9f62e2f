"""Networks for tables: numbers embedded piece by piece, several perceptrons in one (TabM).

The network and its mathematics are in network.py.

Shapes: N items, D features, C channels, H W image, K classes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from torch import nn

from depthwise.errors import InputError
from depthwise.families.tabular.network import TabularNetwork, quantile_edges
from depthwise.models.networks import NetworkEstimator
from depthwise.models.supervised import Classifier
from depthwise.settings import settings, whole_numbers

__all__ = ["TabularNet"]

MOST_ROWS = 100_000  # that quantiles are taken of


@settings
class TabularNet(NetworkEstimator, Classifier):
    """Classifier for tables (N, D): embeddings of numbers and an ensemble that shares its weights.

    Parameters
    ----------
    size : "s" (4 members, 64 and 64 units), "m" (8 members, 128 and 128) or "l" (16 members, 256
        and 256).
    hidden : units of each hidden layer, in place of `size`'s.
    members : perceptrons in one, in place of `size`'s; 1 .. 32.
    bins, units : pieces that a feature's range is cut into, 4 .. 64, and numbers that it is
        embedded in, 4 .. 32.
    dropout : share of hidden units silenced in training, 0 .. 0.5.
    epochs : passes over the data; "auto" is about 3,000 steps, within 12 .. 100 passes.
    batch_size : items a step; "auto" is 128, less for small data.
    lr : peak learning rate, 5e-4 .. 1e-2 with "adamw".
    optimizer, schedule, weight_decay, clip_norm, average, patience : see `training.step.Recipe`.
    label_smoothing : 0 .. 0.2.
    validation_fraction : share of the training data held out to choose the best epoch; 0 .. 0.3.
    warm_start : fit goes on from the present weights.
    class_weight, metric : of rare classes; see `models.supervised.Classifier`.
    random_state : seed; the same one gives the same network (same machine, same threads).
    device, precision, threads : "auto" measures; or e.g. "cpu", "bfloat16", 2.
    verbose : show progress on stderr.
    """

    family: ClassVar[str] = "tabular"
    table_only: ClassVar[bool] = True
    priority: ClassVar[dict[str, int]] = {"table": 1}
    sizes: ClassVar[dict[str, tuple[int, int]]] = {"s": (4, 64), "m": (8, 128), "l": (16, 256)}

    size: str = "m"
    hidden: int | tuple[int, ...] | None = None
    members: int | None = None
    bins: int = 16
    units: int = 8
    dropout: float = 0.1
    lr: float = 3e-3
    weight_decay: float = 0.003
    label_smoothing: float = 0.0
    augment: str | tuple[str, ...] | None = None
    warm_start: bool = False

    @property
    def records_steps(self) -> bool:
        return True

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        members, width = self._rung()
        hidden: tuple[int, ...] = (width, width)
        if self.hidden is not None:
            hidden = whole_numbers("hidden", self.hidden, "positive layer widths")
            if not hidden:
                raise InputError(f"hidden must be positive layer widths; got {self.hidden!r}.")
        if self.members is not None:
            self._require("members", _counts(self.members), "at least 1")
            members = int(self.members)
        for name in ("bins", "units"):
            self._require(name, _counts(getattr(self, name)), "at least 1")
        self._require("dropout", 0 <= self.dropout < 1, "in [0, 1)")
        about = (hidden, members, int(self.bins), int(self.units), self.dropout)
        return TabularNetwork(tuple(input_shape), n_outputs, *about)

    def _new_network(self, inputs: np.ndarray, targets: np.ndarray) -> nn.Module:
        network = super()._new_network(inputs, targets)
        assert isinstance(network, TabularNetwork)
        rows = inputs[:: max(1, len(inputs) // MOST_ROWS)]
        network.embedding.set_edges(quantile_edges(rows.reshape(len(rows), -1), int(self.bins)))
        return network


def _counts(value: Any) -> bool:
    return isinstance(value, int | np.integer) and bool(value >= 1)
