"""What the deep stacking classifier and regressor share: settings, their checks, fitting, and going
on with new items. The mathematics is in dsn.py and the files it names.

Shapes: N items, B batch, D features, L features of a module, K classes or targets.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import TransformerMixin
from torch import nn

from depthwise.compute import own_randomness
from depthwise.errors import InputError
from depthwise.families.dsn.gram import Gram
from depthwise.families.dsn.learning import Growth, Plan, Sums, fit_softmax
from depthwise.families.dsn.module import (
    ConvexModule,
    KernelModule,
    SigmoidModule,
    TensorModule,
)
from depthwise.families.dsn.network import DSNNetwork
from depthwise.families.dsn.row_blocks import Rows, column_statistics
from depthwise.layers import Rescaled
from depthwise.losses import Weighted
from depthwise.models.estimator import Estimator
from depthwise.models.layer_outputs import get_feature_names_out, transform
from depthwise.models.supervised import Classifier
from depthwise.settings import (
    AUTO,
    NONE,
    Learning,
    check_settings,
    no_setting,
    number,
    one_of,
    setting,
    settings,
    whole,
)
from depthwise.training.run import Run
from depthwise.training.stages import Stages
from depthwise.training.step import Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["DeepStacking"]

# size -> features of a module, modules
SIZES: dict[str, tuple[int, int]] = {"s": (200, 2), "m": (1000, 2), "l": (3000, 2)}
VARIANTS = ("dsn", "tensor", "kernel")
TUNE_STEPS, BEGIN_STEPS = 60, 4000


@settings
class DeepStacking(Learning, TransformerMixin, Estimator):
    """A stack of convex modules; see DSN for the meaning of its settings."""

    sizes: ClassVar[dict[str, tuple[int, int]]] = SIZES
    priority: ClassVar[dict[str, int]] = {"images": 6, "table": 4}
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    _sums: list[Sums] | None = no_setting(default=None)

    epochs: float | str = setting(
        default="auto",
        range=number("[0, inf)") | AUTO,
        doc='passes of each module\'s fine-tuning; "auto" makes 60 steps, 0 leaves W as it begins',
    )
    batch_size: int | str = setting(
        default="auto",
        range=whole("[2, inf)") | AUTO,
        doc="items of a fine-tuning step, many times a module's features, for U to be more than "
        'the batch\'s; "auto" is 10 times, within 2,000 .. 30,000',
    )
    size: str = setting(
        default="s",
        doc='features of a module and modules: "s" (200, 2), "m" (1000, 2) or "l" (3000, 2)',
    )
    variant: str = setting(
        default="dsn",
        range=one_of(*VARIANTS),
        doc="what a module is: sigmoid units, products of two such layers, or random features of "
        "a Gaussian kernel",
    )
    n_hidden: int | None = setting(
        default=None,
        range=whole("[1, inf)", usual=(100, 5000)) | NONE,
        doc='features of a module, in place of the size\'s; "tensor" has two layers of its root '
        "each",
    )
    n_modules: int | None = setting(
        default=None,
        range=whole("[1, inf)", usual=(1, 5)) | NONE,
        doc="modules at most, in place of the size's",
    )
    init: str = setting(
        default="auto",
        range=one_of("auto", "random", "rbm"),
        doc="lower weights of the first module: random, or of a restricted Boltzmann machine; "
        '"auto" is "rbm" for pixels and columns within [0, 1]. Those above begin as the one '
        "below",
    )
    init_epochs: float | str = setting(
        default="auto",
        range=number("(0, inf)") | AUTO,
        doc='passes over the data for the RBM; "auto" is about 4,000 steps, within 5 .. 50',
    )
    lr: float = setting(
        default=0.03, range=number("(0, inf)", usual=(3e-3, 0.1)), doc="peak learning rate of W"
    )
    optimizer: str = "adamw"
    weight_decay: float = setting(default=0.0, doc="share of W lost per unit of learning rate")
    ridge: float | str = setting(
        default="auto",
        range=number("[0, inf)", usual=(0.01, 100)) | AUTO,
        doc='penalty on U for all training items together; "auto" is chosen by generalised cross- '
        "validation on the features that a module begins with",
    )
    gamma: float | str = setting(
        default="auto",
        range=number("(0, inf)") | AUTO,
        doc='kernel width of "kernel"; "auto" is 1 / (D times the mean variance of a column)',
    )
    noise: float = setting(
        default=0.0,
        range=number("[0, 1)", usual=(0, 0.3)),
        doc="share of a module's inputs that is hidden at a step of fine-tuning",
    )
    dropout: float = setting(default=0.0, doc="probability of losing a hidden unit, in closed form")
    average: float = setting(
        default=0.0, doc="share of fine-tuning the weight average looks back over"
    )
    patience: int | None = setting(
        default=None,
        range=whole("[1, inf)") | NONE,
        doc="epochs of fine-tuning without a better validation score before stopping",
    )
    softmax: bool = setting(
        default=False,
        range=one_of(True, False),
        doc="train a softmax layer on top (classifier only), on held-out items where there are",
    )
    n_jobs: int = setting(
        default=1,
        range=whole("[1, inf)"),
        doc="workers that gather Gram matrices, a shard each, 1 .. cores; same result for any",
    )

    transform, get_feature_names_out = transform, get_feature_names_out

    # -- the network ----------------------------------------------------------------------------

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        check_settings(self)
        return DSNNetwork(
            tuple(input_shape),
            n_outputs,
            self._modules(),
            lambda n_inputs: self._make_module(n_inputs, n_outputs),
            labels=isinstance(self, Classifier),
        )

    def _make_module(self, n_inputs: int, n_outputs: int) -> ConvexModule:
        features = self._features()
        if self.variant == "kernel":
            return KernelModule(n_inputs, features, n_outputs)
        if self.variant == "tensor":
            side = max(1, round(math.sqrt(features)))
            return TensorModule(n_inputs, side, side, n_outputs)
        return SigmoidModule(n_inputs, features, n_outputs)

    def _features(self) -> int:
        return SIZES[self.size][0] if self.n_hidden is None else int(self.n_hidden)

    def _modules(self) -> int:
        return SIZES[self.size][1] if self.n_modules is None else int(self.n_modules)

    @property
    def _stack(self) -> DSNNetwork:
        return _inner(self.network_)

    def describe_network(self) -> dict[str, Any]:
        return {**super().describe_network(), "modules": len(self._stack.stack)}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        modules = description["modules"]
        if type(modules) is not int or not 1 <= modules <= self._modules():
            raise ValueError(f"{modules!r} modules of {self._modules()}")
        network = super().rebuild(description)
        inner = _inner(network)
        inner.stack = inner.stack[:modules]
        return network

    # -- learning -------------------------------------------------------------------------------

    def _training_data(self, X: Any, y: Any, sample_weight: Any, validation: Any) -> TrainingData:
        data = super()._training_data(X, y, sample_weight, validation)
        self._check_settings()
        self.network_ = self._new_network(data.inputs, data.targets, data.weights)
        return data

    def _train(self, data: TrainingData, run: Run) -> None:
        nothing = TrainingData(np.zeros(0))  # its loop is given numbers of rows, read when needed
        with Stages(self, self.network_, nothing, run) as stages:
            self._learn(stages, data)
        self.network_.eval()

    def _learn(self, stages: Stages, data: TrainingData) -> None:
        device = stages.compute.device
        rows = self._as_rows(data.inputs, data.targets, device, data.weights)
        held = self._as_rows(*data.held_out, device) if data.held_out else None
        growth = Growth(self._stack, rows, held, self._plan(len(data)), stages)
        with own_randomness(self._seed(), device), stages.compute.active():
            growth.run()
        self._sums = growth.sums[: len(self._stack.stack)]
        if self.softmax:
            known = rows if held is None else held
            labels: Any = torch.from_numpy(known.targets).to(device)
            if known.weights is not None:
                shares = torch.from_numpy(known.weights / known.weights.mean())
                labels = Weighted(labels, shares.to(device))
            fit_softmax(self._stack.output, known.earlier[-1].to(device), labels)
        history = stages.history()
        self.history_ = {
            **history,
            "epochs": history["epochs"] + growth.records,
            "seconds": growth.records[-1]["seconds"],
        }
        self.n_iter_ = max(1, history["steps"])

    def refit_settings(self, length: float) -> dict[str, Any] | None:
        """As many modules as the held-out items left; each is fine-tuned to the end."""
        return {"n_modules": len(self._stack.stack)}

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Take X, y into every module's sums and solve for its upper weights again.

        Lower weights stay as they are: random in a model that was not fitted, learnt in one that
        was. The first module's answer is exactly that of one ridge regression on all items ever
        seen. Modules above saw each item with the predictions of its day, which is an
        approximation. A model that was loaded has weights but no sums: new items correct its
        predictions, by the ridge regression of what they leave over.

        `classes`: every label there will ever be; needed on the first call unless y has them all.
        """
        first = not self.is_fitted
        inputs, targets = self._take_more(X, y, classes)
        self._check_settings()
        if first:
            self.network_ = self._new_network(inputs, targets)
        rows = self._as_rows(inputs, targets, "cpu")
        plan = replace(self._plan(len(rows)), begin=None)
        Growth(self._stack, rows, None, plan).go_on(self._known_sums(), first)
        self.history_ = {"epochs": [], "stopped": "finished"}
        return self

    def _known_sums(self) -> list[Sums]:
        if self._sums is None:
            self._sums = [
                Sums(Gram(*upper.shape), None, upper.clone(), bias.clone())
                for upper, bias in self._stack.upper_weights()
            ]
        return self._sums

    def _new_network(
        self, inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
    ) -> nn.Module:
        with own_randomness(self._seed()):
            network = self._whole_network(self.input_shape_, self.n_outputs)
        inner = _inner(network)
        channels = inner.standardise.mean.numel()
        if inputs.dtype == np.uint8 or (inputs.min() >= 0 and inputs.max() <= 1):
            full = 255.0 if inputs.dtype == np.uint8 else 1.0
            mean, std = torch.zeros(channels), torch.full((channels,), full)
        else:
            mean, std = column_statistics(inputs, weights)
        inner.standardise.set_statistics(mean, std)
        self._sums = None
        return network

    def _as_rows(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        device: str,
        weights: np.ndarray | None = None,
    ) -> Rows:
        return Rows(inputs, targets, self.n_outputs, device, weights)

    # -- settings -------------------------------------------------------------------------------

    def _plan(self, items: int) -> Plan:
        return Plan(
            tune=None if self.epochs == 0 else self._tuning(items),
            begin=self._beginning(items) if self._begins_with_rbm() else None,
            ridge=self.ridge,
            gamma=self.gamma,
            noise=self.noise,
            dropout=self.dropout,
            n_jobs=int(self.n_jobs),
            labels=isinstance(self, Classifier),
        )

    def _tuning(self, items: int) -> Recipe:
        batch = self.batch_size
        batch = min(30_000, max(2000, 10 * self._features())) if batch == "auto" else int(batch)
        steps = math.ceil(items / batch)
        return Recipe(
            epochs=max(1, TUNE_STEPS / steps) if self.epochs == "auto" else float(self.epochs),
            batch_size=batch,
            lr=self.lr,
            optimizer=self.optimizer,
            weight_decay=self.weight_decay,
            average=self.average,
            patience=self.patience,
            seed=self._seed(),
        )

    def _beginning(self, items: int) -> Recipe:
        batch = min(128, max(10, items // 20))
        auto = min(50, max(5, round(BEGIN_STEPS * batch / items)))
        epochs = auto if self.init_epochs == "auto" else float(self.init_epochs)
        return Recipe(epochs, batch, 0.1, schedule="cosine", average=0.0, seed=self._seed())

    def _begins_with_rbm(self) -> bool:
        if self.variant != "dsn":
            return False
        unit = bool(self._stack.standardise.mean.eq(0).all())
        return self.init == "rbm" or (self.init == "auto" and unit)

    def _check_settings(self) -> None:
        """Settings are stored unchecked, as scikit-learn asks, and checked when they are used."""
        check_settings(self)
        if self.init == "rbm" and self.variant != "dsn":
            raise InputError(f'init="rbm" is of variant="dsn"; got variant={self.variant!r}.')


def _inner(network: nn.Module) -> DSNNetwork:
    """The stack, without what scales its answers."""
    inner = network.network if isinstance(network, Rescaled) else network
    assert isinstance(inner, DSNNetwork)
    return inner
