"""Gradient-boosted trees for numbers, by scikit-learn's histogram method (Ke et al. 2017).

    y_t(x) = mean_t + scale_t sum_r tree_tr(x),    tree_tr fitted to  (y_t - mean_t) / scale_t
                                                   less the trees before it

A target has trees of its own; they are walked as those of classes are (shallow.TreeEnsemble).

Shapes: N items, T targets.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits
from torch import nn

from depthwise.compute import free_cores
from depthwise.estimator import Regressor, Watch
from depthwise.families.shallow import (
    MAX_DEPTH,
    MAX_LEAVES,
    TreeEnsemble,
    _as_ensemble,
    _fit_tree,
    _joined,
)
from depthwise.layers import Rescaled
from depthwise.settings import settings
from depthwise.training import watching

__all__ = ["GradientBoostingRegressor"]

MORE = 10  # rounds that a call of partial_fit adds


@settings
class GradientBoostingRegressor(Regressor):
    """Gradient-boosted trees for numbers, one or several an item.

    Parameters (unit, sensible range)
    ---------------------------------
    size : "s" (20 rounds) or "m" (100 rounds); a round is one tree a target.
    max_iter : rounds, in place of `size`; 10 .. 500.
    learning_rate : share of each tree that is added, 0.03 .. 0.3.
    random_state : seed of the binning's sample.
    """

    family: ClassVar[str] = "boosting_regressor"
    resource: ClassVar[str] = "max_iter"
    sizes: ClassVar[dict[str, int]] = {"s": 20, "m": 100}

    size: str = "m"
    max_iter: int | None = None
    learning_rate: float = 0.15
    random_state: Any = 0

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """As many and as large trees as this size can have, with random columns and thresholds."""
        trees, nodes = self._rounds() * n_outputs, 2 * MAX_LEAVES - 1
        network = TreeEnsemble(trees, nodes, MAX_DEPTH, n_outputs, n_outputs)
        network.feature.random_(0, math.prod(input_shape))
        network.threshold.normal_()
        network.value.normal_(std=1e-2)
        inner = torch.arange(nodes).repeat(trees, 1)
        network.branches[..., 0] = (2 * inner + 1).clamp(max=nodes - 1)
        network.branches[..., 1] = (2 * inner + 2).clamp(max=nodes - 1)
        return network

    def describe_network(self) -> dict[str, Any]:
        trees, nodes = self._trees.feature.shape
        shape = {"trees": trees, "nodes": nodes, "depth": self._trees.depth}
        return {**super().describe_network(), **shape}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        self.n_targets_, self.flat_ = int(description["n_classes"]), bool(description["flat"])
        trees, nodes, depth = (int(description[key]) for key in ("trees", "nodes", "depth"))
        if not 0 <= depth <= nodes or trees % self.n_targets_:
            raise ValueError(f"no {trees} trees of {nodes} nodes have depth {depth}")
        ensemble = TreeEnsemble(trees, nodes, depth, self.n_targets_, self.n_targets_)
        return Rescaled(ensemble, self.n_targets_)

    @property
    def _trees(self) -> TreeEnsemble:
        network = self.network_
        assert isinstance(network, Rescaled) and isinstance(network.network, TreeEnsemble)
        return network.network

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        validation: tuple[Any, Any] | None = None,
        checkpoint: str | Path | None = None,
        seconds_limit: float | None = None,
        watch: Watch | None = None,
        callbacks: Iterable[Watch] | None = None,
    ) -> Self:
        """As `NetworkRegressor.fit`; nothing is checkpointed, `validation` is only scored, and
        `callbacks` are called once, at the end. `sample_weight` as in `GradientBoosting`."""
        started = time.monotonic()
        inputs, targets, held_out = self._labelled_parts(X, y, validation)
        weights = self._checked_weights(sample_weight, targets, len(inputs))
        self._require("learning_rate", self.learning_rate > 0, "above 0, say 0.15")
        network = self._empty(targets, weights)
        columns, wanted = inputs.reshape(len(inputs), -1), self._standardised(network, targets)
        with threadpool_limits(free_cores()):
            forests = [self._forest().fit(columns, column, weights) for column in wanted.T]
        rounds = zip(*(forest._predictors for forest in forests))
        rows = [[trees[0].nodes for trees in round_] for round_ in rounds]
        baseline = [float(np.ravel(forest._baseline_prediction)[0]) for forest in forests]
        network.network = _as_ensemble(rows, np.array(baseline), self.n_targets_)
        self.network_ = network.eval()
        self._record(self._rounds(), started, held_out, watching(watch, callbacks))
        return self

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Add ten rounds of trees, each fitted to what is still wrong on X, y. The first call
        fixes the targets' mean and scale."""
        inputs, targets = self._take_more(X, y, None)
        if not hasattr(self, "network_"):
            self.network_ = self._empty(targets).eval()
        network: Any = self.network_
        columns, none = inputs.reshape(len(inputs), -1), np.zeros(self.n_targets_)
        for _ in range(MORE):
            left = self._standardised(network, targets - self._logits(inputs).numpy(), mean=False)
            trees = [_fit_tree(columns, column, self.learning_rate) for column in left.T]
            network.network = _joined(self._trees, _as_ensemble([trees], none, self.n_targets_))
        self.history_ = {"epochs": [], "stopped": "finished"}
        return self

    def _empty(self, targets: np.ndarray, weights: np.ndarray | None = None) -> Any:
        """No trees, with the scale of these targets (N, T)."""
        trees = _as_ensemble([], np.zeros(self.n_targets_), self.n_targets_)
        network = Rescaled(trees, self.n_targets_)
        self._set_scale(network, targets, weights)
        return network

    def _standardised(self, network: Any, numbers: np.ndarray, mean: bool = True) -> np.ndarray:
        """float64 (N, T): over the targets' scale, less their mean."""
        centre = network.mean.double().numpy() if mean else 0.0
        shown: np.ndarray = (numbers - centre) / network.scale.double().numpy()
        return shown

    def _forest(self) -> Any:
        return HistGradientBoostingRegressor(
            max_iter=self._rounds(),
            learning_rate=self.learning_rate,
            max_depth=MAX_DEPTH,
            max_leaf_nodes=MAX_LEAVES,
            early_stopping=False,
            random_state=self._seed(),
        )

    def _rounds(self) -> int:
        if self.max_iter is not None:
            self._require("max_iter", self.max_iter >= 1, "at least 1")
            return int(self.max_iter)
        rounds: int = self._rung()
        return rounds
