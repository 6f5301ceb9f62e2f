"""Gradient-boosted trees for numbers, by scikit-learn's histogram method (Ke et al. 2017).

    y_t(x) = mean_t + scale_t sum_r tree_tr(x),    tree_tr fitted to  (y_t - mean_t) / scale_t
                                                   less the trees before it

A target has trees of its own; they are walked as those of classes are (tree_ensemble.py), and grow
as those do (rounds.py).

Shapes: N items, T targets.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from torch import nn

from depthwise.families.boosting.boosting_losses import NumberLoss
from depthwise.families.boosting.rounds import Grown
from depthwise.families.boosting.sizes import Boosting, as_columns
from depthwise.families.boosting.tree_ensemble import TreeEnsemble, as_ensemble, joined
from depthwise.layers import Rescaled
from depthwise.models.supervised import Regressor
from depthwise.training.run import Run
from depthwise.training.training_data import TrainingData

__all__ = ["GradientBoostingRegressor"]


class GradientBoostingRegressor(Boosting, Regressor):
    """Gradient-boosted trees for numbers, one or several an item.

    Parameters (unit, sensible range): as in `GradientBoosting`; a round is one tree a target, and
    `patience` waits for a smaller squared error.
    """

    family: ClassVar[str] = "boosting_regressor"

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """As many and as large trees as this size can have, with random columns and thresholds."""
        plan = self._plan()
        trees, nodes = plan.rounds * n_outputs, 2 * plan.leaves - 1
        network = TreeEnsemble(trees, nodes, plan.depth, n_outputs, n_outputs)
        return network.grow_at_random(math.prod(input_shape))

    def describe_network(self) -> dict[str, Any]:
        return {**super().describe_network(), **self._trees.describe()}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        self.n_targets_, self.flat_ = int(description["n_classes"]), bool(description["flat"])
        return Rescaled(TreeEnsemble.rebuilt(description), self.n_targets_)

    @property
    def _trees(self) -> TreeEnsemble:
        network = self.network_
        assert isinstance(network, Rescaled) and isinstance(network.network, TreeEnsemble)
        return network.network

    def _train(self, data: TrainingData, run: Run) -> None:
        network, held = self._empty(data.targets, data.weights), data.held_out
        standard = replace(
            data,
            targets=self._standardised(network, data.targets),
            held_out=held and (held[0], self._standardised(network, held[1])),
        )
        grown = self._grown(NumberLoss(), standard, run)
        network.network = as_ensemble(grown, self.n_targets_, math.prod(self.input_shape_))
        self.network_ = network.eval()
        self._record_rounds(grown, data, run)

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Add ten rounds of trees, each fitted to what is still wrong on X, y. The first call
        fixes the targets' mean and scale."""
        inputs, targets = self._take_more(X, y, None)
        if not self.is_fitted:
            self.network_ = self._empty(targets).eval()
        network: Any = self.network_
        answers = self._standardised(network, self._logits(inputs).double().numpy())
        wanted = self._standardised(network, targets)
        columns = as_columns(inputs)
        more = self._more(NumberLoss(), columns, wanted, answers)
        added = as_ensemble(more, self.n_targets_, columns.shape[1])
        network.network = joined(self._trees, added)
        self.history_ = {"epochs": [], "stopped": "finished"}
        return self

    def _empty(self, targets: np.ndarray, weights: np.ndarray | None = None) -> Any:
        """No trees, with the scale of these targets (N, T)."""
        nothing, columns = Grown([], np.zeros(self.n_targets_), []), math.prod(self.input_shape_)
        trees = as_ensemble(nothing, self.n_targets_, columns)
        network = Rescaled(trees, self.n_targets_)
        self._set_scale(network, targets, weights)
        return network

    def _standardised(self, network: Any, numbers: np.ndarray) -> np.ndarray:
        """float64 (N, T): over the targets' scale, less their mean."""
        centre = network.mean.double().numpy()
        shown: np.ndarray = (numbers - centre) / network.scale.double().numpy()
        return shown
