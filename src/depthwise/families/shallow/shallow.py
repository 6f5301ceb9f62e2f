"""Shallow baselines: what a deep network must beat to be worth its price.

    LogisticRegression   z = W s(x) + b,  s standardises;  min  -sum log p(y|x) + |W|^2 / 2C
    GradientBoosting     z_k = b_k + sum_t tree_tk(x), each tree fitted to the loss's gradient

Both are fitted by scikit-learn, then written into tensors: `network_` is a `torch.nn.Module` like
any other, saved without pickle, measured and exported by the same verbs. Images are flattened.

Shapes: B batch, D features, K classes.
"""

from __future__ import annotations

import math
import time
import warnings
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as ScikitLogistic
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from depthwise.compute import Compute, free_cores
from depthwise.data.inputs import as_tensor, statistics
from depthwise.families.boosting.boosting_losses import ClassLoss
from depthwise.families.boosting.rounds import Grown
from depthwise.families.boosting.sizes import Boosting, as_columns
from depthwise.families.boosting.tree_ensemble import TreeEnsemble, as_ensemble, joined
from depthwise.layers import Standardise
from depthwise.losses import smoothed_cross_entropy
from depthwise.models.supervised import Classifier
from depthwise.settings import check_settings, number, setting, settings, whole
from depthwise.training.loop import train
from depthwise.training.run import Run
from depthwise.training.step import GradientUpdate, Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["GradientBoosting", "LogisticRegression", "TreeEnsemble"]

FIRST = 3  # iterations of L-BFGS that tell how long one takes
ABSENT = -10.0  # logit of a class that no item counts for


class LinearNetwork(nn.Module):
    """(B, ...) -> logits (B, K)."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int):
        super().__init__()
        self.standardise = Standardise(input_shape[0], image=len(input_shape) == 3)
        self.output = nn.Linear(math.prod(input_shape), n_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.flatten(self.standardise(x), 1))


@settings
class LogisticRegression(Classifier):
    """Multinomial logistic regression on standardised inputs, by scikit-learn's L-BFGS. A limit of
    seconds leaves out iterations; an item of `sample_weight` 2 is one that is there twice.
    """

    family: ClassVar[str] = "logistic"
    resumes: ClassVar[bool] = False
    priority: ClassVar[dict[str, int]] = {"images": 3, "table": 0}
    resource: ClassVar[str] = "max_iter"

    C: float = setting(
        default=0.1,
        range=number("(0, inf)", usual=(1e-4, 100)),
        doc="inverse strength of the penalty on weights",
    )
    max_iter: int = setting(
        default=100, range=whole("[1, inf)", usual=(20, 1000)), doc="L-BFGS iterations at most"
    )
    lr: float = setting(default=1e-3, doc="learning rate of `partial_fit`")
    random_state: Any = setting(
        default=0, doc="seed of `partial_fit`'s order; `fit` has no randomness"
    )

    def build(self, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
        return LinearNetwork(tuple(input_shape), n_classes)

    def _train(self, data: TrainingData, run: Run) -> None:
        check_settings(self)
        network = self._drawn_network()
        network.standardise.set_statistics(*statistics(data.inputs, data.weights))
        with torch.inference_mode():
            columns = torch.flatten(network.standardise(as_tensor(data.inputs)), 1).numpy()
        solver, iterations = self._solved(columns, data.targets, data.weights, run.seconds_left)
        _copy_coefficients(network, solver)
        self.network_ = network.eval()
        self._record(iterations, data, run)

    def _solved(
        self,
        columns: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray | None,
        seconds: float | None,
    ) -> tuple[ScikitLogistic, int]:
        """The solver and its iterations; within `seconds` as many as the first three foretell."""
        solver = ScikitLogistic(C=self.C, warm_start=True)
        started, done, more = time.monotonic(), 0, self.max_iter if seconds is None else FIRST
        with threadpool_limits(free_cores()), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the limit is the user's choice
            while more > 0:
                more = min(more, self.max_iter - done)
                solver.set_params(max_iter=more).fit(columns, labels, weights)
                done += int(solver.n_iter_[0])
                if solver.n_iter_[0] < more or seconds is None:
                    break
                spent = time.monotonic() - started
                more = min(self.max_iter - done, int(0.8 * (seconds - spent) / spent * done))
        return solver, done

    def refit_settings(self, length: float) -> dict[str, Any] | None:
        return {}

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """One pass of gradient descent over X, y from the present weights."""
        inputs, labels = self._take_more(X, y, classes)
        if not self.is_fitted:
            network = self._drawn_network()
            network.standardise.set_statistics(*statistics(inputs))
            self.network_ = network
        recipe = Recipe(1, 32, self.lr, schedule="constant", average=0.0, seed=self._seed())
        update = GradientUpdate(self.network_, smoothed_cross_entropy, recipe, Compute())
        x, targets = as_tensor(inputs), torch.from_numpy(labels)
        train(self.network_, update, x, targets, recipe, compute=Compute())
        self.history_ = {"epochs": [], "stopped": "finished"}
        return self


@settings
class GradientBoosting(Boosting, Classifier):
    """Gradient-boosted trees by scikit-learn's histogram method (Ke et al. 2017), with categories
    of a table parted as categories; the mathematics is in families/boosting/rounds.py.

    `validation` chooses the number of rounds. A limit of seconds ends the growth in time, or takes
    some of the rows where all would take too long. Thresholds are put between the items whatever
    their `sample_weight`, so that one of weight 2 is nearly, not quite, one twice.
    """

    family: ClassVar[str] = "boosting"

    def build(self, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
        """As many and as large trees as this size can have, with random columns and thresholds."""
        plan, votes = self._plan(), n_classes if n_classes > 2 else 1
        nodes = 2 * plan.leaves - 1
        network = TreeEnsemble(plan.rounds * votes, nodes, plan.depth, votes, n_classes)
        return network.grow_at_random(math.prod(input_shape))

    def describe_network(self) -> dict[str, Any]:
        return {**super().describe_network(), **self._trees.describe()}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        return TreeEnsemble.rebuilt(description)

    @property
    def _trees(self) -> TreeEnsemble:
        assert isinstance(self.network_, TreeEnsemble)
        return self.network_

    def _train(self, data: TrainingData, run: Run) -> None:
        grown = self._grown(ClassLoss(len(self.classes_)), data, run)
        self.network_ = as_ensemble(grown, len(self.classes_), math.prod(self.input_shape_))
        self._record_rounds(grown, data, run)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Add ten rounds of trees, each fitted to what is still wrong on X, y: the loss's negative
        gradient, r_k = [y = k] - p_k (Friedman 2001)."""
        inputs, labels = self._take_more(X, y, classes)
        columns, n_classes = as_columns(inputs), len(self.classes_)
        if not self.is_fitted:
            none = Grown([], np.zeros(n_classes if n_classes > 2 else 1), [])
            self.network_ = as_ensemble(none, n_classes, columns.shape[1])
        logits = self._logits(inputs).double().numpy()
        start = logits if n_classes > 2 else logits[:, 1:] - logits[:, :1]
        more = self._more(ClassLoss(n_classes), columns, labels, start)
        self.network_ = joined(self._trees, as_ensemble(more, n_classes, columns.shape[1]))
        self.history_ = {"epochs": [], "stopped": "finished"}
        return self


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
