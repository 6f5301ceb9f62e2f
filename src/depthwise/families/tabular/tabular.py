"""Networks for tables: numbers embedded piece by piece, several perceptrons in one (TabM).

The network and its mathematics are in network.py.

Shapes: N items, D features, C channels, H W image, K classes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from torch import nn

from depthwise.errors import InputError
from depthwise.families.tabular.network import TabularNetwork, quantile_edges
from depthwise.models.networks import NetworkEstimator
from depthwise.models.supervised import Classifier
from depthwise.settings import NONE, check_settings, number, setting, settings, whole, whole_numbers

__all__ = ["TabularNet"]

MOST_ROWS = 100_000  # that quantiles are taken of


@settings
class TabularNet(NetworkEstimator, Classifier):
    """Classifier for tables (N, D): embeddings of numbers, an ensemble that shares its weights."""

    family: ClassVar[str] = "tabular"
    table_only: ClassVar[bool] = True
    priority: ClassVar[dict[str, int]] = {"table": 1}
    sizes: ClassVar[dict[str, tuple[int, int]]] = {"s": (4, 64), "m": (8, 128), "l": (16, 256)}

    size: str = setting(
        default="m",
        doc='"s" (4 members, 64 and 64 units), "m" (8 members, 128 and 128) or "l" (16 members, '
        "256 and 256)",
    )
    hidden: int | tuple[int, ...] | None = setting(
        default=None, doc="units of each hidden layer, in place of the size's"
    )
    members: int | None = setting(
        default=None,
        range=whole("[1, inf)", usual=(1, 32)) | NONE,
        doc="perceptrons in one, in place of the size's",
    )
    bins: int = setting(
        default=16,
        range=whole("[1, inf)", usual=(4, 64)),
        doc="pieces that a feature's range is cut into",
    )
    units: int = setting(
        default=8,
        range=whole("[1, inf)", usual=(4, 32)),
        doc="numbers that a feature is embedded in",
    )
    dropout: float = setting(default=0.1, doc="share of hidden units silenced in training")
    lr: float = setting(default=3e-3, range=number("(0, inf)", usual=(5e-4, 1e-2)))
    weight_decay: float = 0.003
    label_smoothing: float = 0.0
    augment: str | tuple[str, ...] | None = None
    warm_start: bool = False

    @property
    def records_steps(self) -> bool:
        return True

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        check_settings(self)
        members, width = self._rung()
        hidden: tuple[int, ...] = (width, width)
        if self.hidden is not None:
            hidden = whole_numbers("hidden", self.hidden, "positive layer widths")
            if not hidden:
                raise InputError(f"hidden must be positive layer widths; got {self.hidden!r}.")
        if self.members is not None:
            members = int(self.members)
        about = (hidden, members, int(self.bins), int(self.units), self.dropout)
        return TabularNetwork(tuple(input_shape), n_outputs, *about)

    def _new_network(self, inputs: np.ndarray, targets: np.ndarray) -> nn.Module:
        network = super()._new_network(inputs, targets)
        assert isinstance(network, TabularNetwork)
        rows = inputs[:: max(1, len(inputs) // MOST_ROWS)]
        network.embedding.set_edges(quantile_edges(rows.reshape(len(rows), -1), int(self.bins)))
        return network
