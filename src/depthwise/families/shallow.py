"""Shallow baselines: what a deep network must beat to be worth its price.

    LogisticRegression   z = W s(x) + b,  s standardises;  min  -sum log p(y|x) + |W|^2 / 2C
    GradientBoosting     z_k = b_k + sum_t tree_tk(x), each tree fitted to the loss's gradient

Both are fitted by scikit-learn, then written into tensors: `network_` is a `torch.nn.Module` like
any other, saved without pickle, measured and exported by the same verbs. Images are flattened.

Shapes: B batch, D features, K classes, T trees, M nodes of the largest tree.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as ScikitLogistic
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from depthwise.compute import Compute, free_cores
from depthwise.estimator import Classifier, Watch
from depthwise.inputs import as_tensor, statistics
from depthwise.layers import Standardise
from depthwise.losses import smoothed_cross_entropy
from depthwise.settings import settings
from depthwise.training import train, watching
from depthwise.updates import GradientUpdate, Recipe

__all__ = ["GradientBoosting", "LogisticRegression", "TreeEnsemble"]

MAX_DEPTH, MAX_LEAVES = 8, 31
ABSENT = -10.0  # logit of a class that no item counts for


class LinearNetwork(nn.Module):
    """(B, ...) -> logits (B, K)."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int):
        super().__init__()
        self.standardise = Standardise(input_shape[0], image=len(input_shape) == 3)
        self.output = nn.Linear(math.prod(input_shape), n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.flatten(self.standardise(x), 1))


class TreeEnsemble(nn.Module):
    """Every tree walked at once, one level a step: (B, ...) -> logits (B, K).

    A node holds the column it looks at, its threshold (go left when x <= threshold), its children
    and its value; leaves are their own children. Binary trees vote for the second class only.
    """

    feature: Tensor
    threshold: Tensor
    branches: Tensor
    value: Tensor
    baseline: Tensor

    def __init__(self, trees: int, nodes: int, depth: int, votes: int, n_classes: int):
        super().__init__()
        self.depth, self.votes, self.n_classes = depth, votes, n_classes
        self.register_buffer("feature", torch.zeros(trees, nodes, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(trees, nodes, dtype=torch.float64))
        self.register_buffer("branches", torch.zeros(trees, nodes, 2, dtype=torch.int32))
        self.register_buffer("value", torch.zeros(trees, nodes))
        self.register_buffer("baseline", torch.zeros(votes))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.flatten(x, 1)
        tree = torch.arange(self.feature.shape[0], device=x.device)
        node = torch.zeros_like(tree).expand(x.shape[0], -1)  # (B, T)
        for _ in range(self.depth):
            looked_at = x.gather(1, self.feature[tree, node].long())
            right = looked_at > self.threshold[tree, node]
            node = self.branches[tree, node, right.long()].long()
        votes = self.value[tree, node].unflatten(1, (-1, self.votes)).sum(dim=1) + self.baseline
        if self.votes == self.n_classes:
            return votes
        return torch.cat([torch.zeros_like(votes), votes], dim=1)


@settings
class LogisticRegression(Classifier):
    """Multinomial logistic regression on standardised inputs, by scikit-learn's L-BFGS.

    Parameters (unit, sensible range)
    ---------------------------------
    C : inverse strength of the penalty on weights, 1e-4 .. 1e2.
    max_iter : L-BFGS iterations at most, 20 .. 1000.
    lr : learning rate of `partial_fit`, 1e-4 .. 1e-2.
    random_state : seed of `partial_fit`'s order; `fit` has no randomness.
    """

    family: ClassVar[str] = "logistic"
    resource: ClassVar[str] = "max_iter"

    C: float = 0.1
    max_iter: int = 100
    lr: float = 1e-3
    random_state: Any = 0

    def build(self, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
        return LinearNetwork(tuple(input_shape), n_classes)

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
        """As `NetworkClassifier.fit`; the fit is one short piece, so nothing is checkpointed,
        `validation` is scored, not learnt from, and `callbacks` are called once, at the end. An
        item of `sample_weight` 2 is one that is there twice."""
        inputs, labels, held_out = self._labelled_parts(X, y, validation)
        inputs, labels, weights = self._weigh(inputs, labels, sample_weight)
        self._require("C", self.C > 0, "above 0")
        self._require("max_iter", self.max_iter >= 1, "at least 1")
        started = time.monotonic()
        network = LinearNetwork(self.input_shape_, len(self.classes_))
        network.standardise.set_statistics(*statistics(inputs, weights))
        with torch.inference_mode():
            columns = torch.flatten(network.standardise(as_tensor(inputs)), 1).numpy()
        solver = ScikitLogistic(C=self.C, max_iter=self.max_iter)
        with threadpool_limits(free_cores()), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the limit is the user's choice
            solver.fit(columns, labels, weights)
        _copy_coefficients(network, solver)
        self.network_ = network.eval()
        self._record(int(solver.n_iter_[0]), started, held_out, watching(watch, callbacks))
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """One pass of gradient descent over X, y from the present weights."""
        inputs, labels = self._take_more(X, y, classes)
        if not hasattr(self, "network_"):
            network = LinearNetwork(self.input_shape_, len(self.classes_))
            network.standardise.set_statistics(*statistics(inputs))
            self.network_ = network
        recipe = Recipe(1, 32, self.lr, schedule="constant", average=0.0, seed=self._seed())
        update = GradientUpdate(self.network_, smoothed_cross_entropy, recipe, Compute())
        x, targets = as_tensor(inputs), torch.from_numpy(labels)
        train(self.network_, update, x, targets, recipe, compute=Compute())
        self.history_ = {"epochs": [], "stopped": "finished"}
        return self


@settings
class GradientBoosting(Classifier):
    """Gradient-boosted trees by scikit-learn's histogram method (Ke et al. 2017).

    Parameters (unit, sensible range)
    ---------------------------------
    size : "s" (20 rounds) or "m" (100 rounds); a round is one tree a class.
    max_iter : rounds, in place of `size`; 10 .. 500.
    learning_rate : share of each tree that is added, 0.03 .. 0.3.
    random_state : seed of the binning's sample.
    """

    family: ClassVar[str] = "boosting"
    resource: ClassVar[str] = "max_iter"
    sizes: ClassVar[dict[str, int]] = {"s": 20, "m": 100}

    size: str = "m"
    max_iter: int | None = None
    learning_rate: float = 0.15
    random_state: Any = 0

    def build(self, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
        """As many and as large trees as this size can have, with random columns and thresholds."""
        votes = n_classes if n_classes > 2 else 1
        trees, nodes = self._rounds() * votes, 2 * MAX_LEAVES - 1
        network = TreeEnsemble(trees, nodes, MAX_DEPTH, votes, n_classes)
        network.feature.random_(0, math.prod(input_shape))
        network.threshold.normal_()
        network.value.normal_(std=1e-2)
        inner = torch.arange(nodes).repeat(trees, 1)
        network.branches[..., 0] = (2 * inner + 1).clamp(max=nodes - 1)
        network.branches[..., 1] = (2 * inner + 2).clamp(max=nodes - 1)
        return network

    def describe_network(self) -> dict[str, Any]:
        network = self.network_
        assert isinstance(network, TreeEnsemble)
        trees, nodes = network.feature.shape
        shape = {"trees": trees, "nodes": nodes, "depth": network.depth, "votes": network.votes}
        return {**super().describe_network(), **shape}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        keys = ("trees", "nodes", "depth", "votes", "n_classes")
        trees, nodes, depth, votes, n_classes = (int(description[key]) for key in keys)
        if not 0 <= depth <= nodes or votes not in (1, n_classes):
            raise ValueError(f"no tree of {nodes} nodes has depth {depth} and {votes} votes")
        return TreeEnsemble(trees, nodes, depth, votes, n_classes)

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
        """As `NetworkClassifier.fit`; nothing is checkpointed, `validation` is only scored, and
        `callbacks` are called once, at the end. Thresholds are put between the items whatever
        their `sample_weight`, so that one of weight 2 is nearly, not quite, one twice."""
        inputs, labels, held_out = self._labelled_parts(X, y, validation)
        weights = self._checked_weights(sample_weight, labels, len(inputs))
        self._require("learning_rate", self.learning_rate > 0, "above 0, say 0.15")
        started = time.monotonic()
        forest = HistGradientBoostingClassifier(
            max_iter=self._rounds(),
            learning_rate=self.learning_rate,
            max_depth=MAX_DEPTH,
            max_leaf_nodes=MAX_LEAVES,
            early_stopping=False,
            random_state=self._seed(),
        )
        with threadpool_limits(free_cores()):
            forest.fit(inputs.reshape(len(inputs), -1), labels, weights)
        rounds = [[tree.nodes for tree in row] for row in forest._predictors]
        baseline = np.asarray(forest._baseline_prediction).ravel()
        self.network_ = _as_ensemble(rounds, baseline, len(self.classes_))
        self._record(self._rounds(), started, held_out, watching(watch, callbacks))
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Add ten rounds of trees, each fitted to what is still wrong on X, y:
        the residual r_k = [y = k] - p_k, the loss's negative gradient (Friedman 2001)."""
        inputs, labels = self._take_more(X, y, classes)
        columns = inputs.reshape(len(inputs), -1)
        n_classes = len(self.classes_)
        votes = n_classes if n_classes > 2 else 1
        if not hasattr(self, "network_"):
            self.network_ = _as_ensemble([], np.zeros(votes), n_classes)
        for _ in range(10):
            p = torch.softmax(self._logits(inputs), dim=1).double().numpy()
            residual = np.eye(n_classes)[labels] - p
            row = [_fit_tree(columns, r, self.learning_rate) for r in residual.T[-votes:]]
            network = self.network_
            assert isinstance(network, TreeEnsemble)
            self.network_ = _joined(network, _as_ensemble([row], np.zeros(votes), n_classes))
        self.history_ = {"epochs": [], "stopped": "finished"}
        return self

    def _rounds(self) -> int:
        if self.max_iter is not None:
            self._require("max_iter", self.max_iter >= 1, "at least 1")
            return int(self.max_iter)
        rounds: int = self._rung()
        return rounds


@torch.no_grad()
def _copy_coefficients(network: LinearNetwork, solver: ScikitLogistic) -> None:
    """Two classes have one row of coefficients w: logits (-w/2, w/2) give the same p. A class
    whose items all weighed nothing is called unlikely."""
    weights, bias = solver.coef_, solver.intercept_
    if len(weights) == 1:
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    output, there = network.output, torch.from_numpy(solver.classes_)
    output.weight.zero_()
    output.bias.fill_(ABSENT)
    output.weight[there] = torch.from_numpy(weights).to(output.weight.dtype)
    output.bias[there] = torch.from_numpy(bias).to(output.bias.dtype)


def _fit_tree(columns: np.ndarray, residual: np.ndarray, learning_rate: float) -> np.ndarray:
    regressor = HistGradientBoostingRegressor(
        max_iter=1,
        learning_rate=learning_rate,
        max_depth=MAX_DEPTH,
        max_leaf_nodes=MAX_LEAVES,
        early_stopping=False,
    ).fit(columns, residual)
    nodes = regressor._predictors[0][0].nodes.copy()
    nodes["value"] += learning_rate * float(np.ravel(regressor._baseline_prediction)[0])
    return nodes


def _as_ensemble(
    rounds: list[list[np.ndarray]], baseline: np.ndarray, n_classes: int
) -> TreeEnsemble:
    """scikit-learn's node arrays, one a tree, as one padded tensor a field."""
    trees = [nodes for row in rounds for nodes in row]
    most = max((len(nodes) for nodes in trees), default=1)
    depth = max((int(nodes["depth"].max()) for nodes in trees), default=0)
    ensemble = TreeEnsemble(len(trees), most, depth, len(baseline), n_classes)
    for i, nodes in enumerate(trees):
        n, itself = len(nodes), np.arange(len(nodes))
        leaf = nodes["is_leaf"].astype(bool)
        ensemble.feature[i, :n] = torch.from_numpy(np.where(leaf, 0, nodes["feature_idx"]))
        ensemble.threshold[i, :n] = torch.from_numpy(np.where(leaf, 0, nodes["num_threshold"]))
        for side, name in enumerate(("left", "right")):
            ensemble.branches[i, :n, side] = torch.from_numpy(np.where(leaf, itself, nodes[name]))
        ensemble.value[i, :n] = torch.from_numpy(nodes["value"].copy())
    ensemble.baseline.copy_(torch.from_numpy(baseline))
    return ensemble.eval()


def _joined(first: TreeEnsemble, second: TreeEnsemble) -> TreeEnsemble:
    """The trees of both; the baseline of the first."""
    trees = first.feature.shape[0] + second.feature.shape[0]
    nodes = max(first.feature.shape[1], second.feature.shape[1])
    depth = max(first.depth, second.depth)
    joined = TreeEnsemble(trees, nodes, depth, first.votes, first.n_classes)
    row = 0
    for part in (first, second):
        rows, columns = slice(row, row + part.feature.shape[0]), slice(0, part.feature.shape[1])
        for name in ("feature", "threshold", "branches", "value"):
            getattr(joined, name)[rows, columns] = getattr(part, name)
        row = rows.stop
    joined.baseline.copy_(first.baseline)
    return joined.eval()
