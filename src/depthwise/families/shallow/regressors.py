"""Shallow models of numbers: what a deep regressor must beat to be worth its price.

    MeanRegressor               y = mean of the training targets, or their median, whatever x is
    LinearRegression            y = W s(x) + b,  s standardises;  min |y - W s(x) - b|^2 + a |W|^2

Both learn standardised targets and answer in their own units (layers.Rescaled). Images are
flattened. How a is chosen and the system solved: ridge.py; trees: families/boosting/regressor.py.

Shapes: N items, B batch, D features, T targets.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.compute import Compute, free_cores
from depthwise.data.inputs import as_tensor, statistics
from depthwise.families.shallow.ridge import choose_ridge, solve_ridge
from depthwise.families.shallow.shallow import LinearNetwork
from depthwise.layers import Rescaled
from depthwise.models.supervised import Regressor
from depthwise.settings import AUTO, check_settings, number, one_of, setting, settings
from depthwise.training.loop import train
from depthwise.training.run import Run
from depthwise.training.step import GradientUpdate, Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["LinearRegression", "MeanRegressor"]


class ConstantNetwork(nn.Module):
    """(B, ...) -> zeros (B, T): what is left when nothing is made of the inputs."""

    def __init__(self, n_targets: int):
        super().__init__()
        self.register_buffer("answer", torch.zeros(n_targets))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.answer  # type: ignore[assignment]
        return answer.expand(x.shape[0], -1)


@settings
class MeanRegressor(Regressor):
    """The mean of the training targets, whatever is asked: R2 is 0, or just below."""

    family: ClassVar[str] = "mean"
    resumes: ClassVar[bool] = False

    statistic: str = setting(
        default="mean",
        range=one_of("mean", "median"),
        doc='"mean", the least squared error of all constants, or "median", the least absolute',
    )
    random_state: Any = setting(default=0, doc="as other families have it; there is no randomness")

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return ConstantNetwork(n_outputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags

    def refit_settings(self, length: float) -> dict[str, Any] | None:
        return {}

    def _train(self, data: TrainingData, run: Run) -> None:
        check_settings(self)
        network = self._whole_network(self.input_shape_, self.n_targets_)
        self._set_scale(network, data.targets, data.weights)
        if self.statistic == "median":
            assert isinstance(network, Rescaled)
            middle = _median(data.targets.astype(np.float64), data.weights)
            network.mean.copy_(torch.from_numpy(middle))
        self.network_ = network.eval()
        self._record(1, data, run)


def _median(targets: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """(T,) of targets (N, T), each as often as its weight (N,) says."""
    if weights is None:
        found: np.ndarray = np.median(targets, axis=0)
        return found
    order = np.argsort(targets, axis=0)
    ends, half = weights[order].cumsum(axis=0), weights.sum() / 2
    low, high = (ends >= half).argmax(axis=0), (ends > half).argmax(axis=0)
    values = np.take_along_axis(targets, order, axis=0)
    columns = np.arange(targets.shape[1])
    return (values[low, columns] + values[high, columns]) / 2


@settings
class LinearRegression(Regressor):
    """Ridge regression on standardised inputs, solved in one piece. An item of `sample_weight` 2 is
    one that is there twice.
    """

    family: ClassVar[str] = "linear"
    resumes: ClassVar[bool] = False

    alpha: float | str = setting(
        default="auto",
        range=number("[0, inf)", usual=(0.01, 1e4)) | AUTO,
        doc='penalty on the weights for all training items together; "auto" is chosen by '
        "generalised cross-validation",
    )
    lr: float = setting(default=1e-3, doc="learning rate of `partial_fit`")
    random_state: Any = setting(
        default=0,
        doc='seed of `partial_fit`\'s order, and of the items that "auto" looks at where there are '
        "many; else `fit` has no randomness",
    )

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return LinearNetwork(tuple(input_shape), n_outputs)

    def refit_settings(self, length: float) -> dict[str, Any] | None:
        return {}

    def _train(self, data: TrainingData, run: Run) -> None:
        check_settings(self)
        network = self._new_network(data.inputs, data.targets, data.weights)
        counts = None if data.weights is None else torch.from_numpy(data.weights)
        compute = Compute(threads=free_cores())
        with compute.active(), torch.inference_mode():
            rows = torch.flatten(network.network.standardise(as_tensor(data.inputs)), 1)  # (N, D)
            wanted = (torch.from_numpy(data.targets) - network.mean) / network.scale
            auto = self.alpha == "auto"
            ridge = choose_ridge(rows, wanted, self._seed(), counts) if auto else float(self.alpha)
            slopes, bias = solve_ridge(rows, wanted, ridge, counts)
        self.alpha_ = ridge
        with torch.no_grad():
            network.network.output.weight.copy_(slopes.t())
            network.network.output.bias.copy_(bias)
        self.network_ = network.eval()
        self._record(1, data, run)

    def partial_fit(self, X: Any, y: Any) -> Self:
        """One pass of gradient descent over X, y from the present weights. The first call fixes the
        standardisation of inputs and targets."""
        inputs, targets = self._take_more(X, y, None)
        if not self.is_fitted:
            self.network_ = self._new_network(inputs, targets)
        network: Any = self.network_
        recipe = Recipe(1, 32, self.lr, schedule="constant", average=0.0, seed=self._seed())

        def loss(answers: Tensor, wanted: Tensor) -> Tensor:
            return (((answers - wanted) / network.scale) ** 2).mean()

        update = GradientUpdate(network, loss, recipe, Compute())
        x, y = as_tensor(inputs), torch.from_numpy(targets)
        train(network, update, x, y, recipe, compute=Compute())
        self.history_ = {"epochs": [], "stopped": "finished"}
        return self

    def _new_network(
        self, inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
    ) -> Any:
        network = self._drawn_network()
        network.network.standardise.set_statistics(*statistics(inputs, weights))
        self._set_scale(network, targets, weights)
        return network
