"""What the fully connected classifier and regressor share: settings, their checks, the network, and
learning with or without pretraining.

Shapes: N items, M unlabelled items, D features, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.data.inputs import as_tensor, fingerprint_arrays, statistics
from depthwise.data.pictures.augment import augmenter
from depthwise.errors import InputError
from depthwise.families.dnn.finetuning import POOL_SHARE, FineTuning
from depthwise.families.dnn.network import ACTIVATIONS, DNNNetwork
from depthwise.families.dnn.pretraining import Pretraining, pretrain, stage_names
from depthwise.layers import Rescaled
from depthwise.models.gpu_answers import keeping_there
from depthwise.models.networks import LONG, NetworkEstimator
from depthwise.settings import (
    AUTO,
    NONE,
    check_settings,
    no_setting,
    number,
    one_of,
    setting,
    settings,
    whole_numbers,
)
from depthwise.training.events import Watch
from depthwise.training.run import Run
from depthwise.training.schedules import Passes
from depthwise.training.stages import Interrupted, Stages
from depthwise.training.step import Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["Layers"]

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
class Layers(NetworkEstimator):
    """What DNN and DNNRegressor share; see DNN for the meaning of the settings."""

    _pretraining_due: bool = no_setting(default=False)

    sizes: ClassVar[dict[str, tuple[int, ...]]] = SIZES
    priority: ClassVar[dict[str, int]] = {"images": 2, "table": 1}
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    passes: ClassVar[dict[str, Passes]] = {
        "fast": Passes(1500, 12, 25, least_steps=150, least_batch=16),
        "paper": LONG,
    }

    epochs: float | str = setting(
        default="auto",
        doc='passes over the data; "auto" is about 1,500 steps, within 12 .. 25 passes; at quality '
        '"paper" 3,000, within 12 .. 100',
    )
    size: str = setting(default="s", doc='"xxs" (one layer of 16 units) .. "xl" (2048, 1024, 1024)')
    hidden: int | tuple[int, ...] | None = setting(
        default=None,
        doc="units of each hidden layer, (500, 500) or 64 for a single one, in place of `size`",
    )
    activation: str = setting(
        default="auto",
        range=one_of("auto", *ACTIVATIONS),
        doc='"relu", or "logistic" for layers that are pretrained, which "auto" sees to',
    )
    normalise: bool | str = setting(
        default="auto",
        range=one_of("auto", True, False),
        doc='batch normalisation; "auto" for rectifiers, not for logistic units',
    )
    dropout: float = setting(default=0.1, doc="share of hidden units silenced in training")
    input_dropout: float = setting(
        default=0.0,
        range=number("[0, 1)", usual=(0, 0.5)),
        doc="share of inputs silenced in training",
    )
    max_norm: float | None = setting(
        default=None,
        range=number("(0, inf)", usual=(1, 5)) | NONE,
        doc="largest length of a hidden unit's incoming weights",
    )
    pretrain: str | None = setting(
        default=None,
        range=one_of(None, *PRETRAIN_LR),
        doc="how each layer learns first, without labels: see pretraining.py",
    )
    pretrain_epochs: float | str = setting(
        default="auto",
        range=number("(0, inf)") | AUTO,
        doc='passes over the data a layer in pretraining; "auto" is about 6,000 steps',
    )
    pretrain_lr: float | str = setting(
        default="auto",
        range=number("(0, inf)", usual=(1e-4, 0.1)) | AUTO,
        doc='learning rate of pretraining; "auto" is 0.05 for "dbn" and 1e-3 for "autoencoder"',
    )
    masking: float = setting(
        default=0.25,
        range=number("[0, 1)", usual=(0.1, 0.5)),
        doc="share of values hidden from a denoising autoencoder",
    )
    layer_rate: float = setting(
        default=1.0,
        range=number("[0, 1]"),
        doc="the learning rate of the hidden layers as a share of the head's",
    )
    head_first: float = setting(
        default=0.0,
        range=number("[0, 1]", usual=(0, 0.3)),
        doc="share of the run in which only the head learns",
    )
    agreement: float = setting(
        default=0.0,
        range=number("[0, inf)", usual=(0, 2)),
        doc="weight of what unlabelled items add to the loss in the last stage of `fit`",
    )
    lr: float = 3e-3
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    augment: str | tuple[str, ...] | None = None
    warm_start: bool = False

    # -- the network ----------------------------------------------------------------------------

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        check_settings(self)
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
        return self.activation

    def _widths(self) -> tuple[int, ...]:
        if self.hidden is not None:
            widths = whole_numbers("hidden", self.hidden, "positive layer widths")
            if not widths:
                raise InputError(f"hidden must be positive layer widths; got {self.hidden!r}.")
            return widths
        own: tuple[int, ...] = self._rung()
        return own

    def _core(self) -> DNNNetwork:
        network = self.network_
        core = network.network if isinstance(network, Rescaled) else network
        assert isinstance(core, DNNNetwork)
        return core

    def _new_network(self, inputs: np.ndarray, targets: np.ndarray) -> nn.Module:
        network = super()._new_network(inputs, targets)
        self._pretraining_due = self.pretrain is not None
        return network

    # -- learning -------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        unlabelled: Any = None,
        validation: tuple[Any, Any] | None = None,
        checkpoint: str | Path | None = None,
        seconds_limit: float | None = None,
        watch: Watch | None = None,
        callbacks: Iterable[Watch] | None = None,
    ) -> Self:
        """Train on X (N, C, H, W) or (N, D) and y, or on a Dataset given as X.

        `unlabelled`: more items like X (M, ...), for pretraining and agreement. `validation` (X, y)
        chooses the best epoch of the last stage and stops early; a Dataset brings its own, and
        `validation_fraction` carves one out. `checkpoint`: a file that makes the run resumable, by
        the same call (one beside it for each stage of pretraining). `seconds_limit` stops in time;
        `watch` and `callbacks` are called with an Event several times a second. `sample_weight`
        (N,): how much each item counts in the loss of the last stage; of weight 0 it is left out.
        Raises InputError for wrong data or settings, DivergedError when the loss explodes.
        """
        if unlabelled is not None and self.pretrain is None and not self.agreement:
            raise InputError(
                "unlabelled items were given, and nothing learns from them: set "
                'pretrain="dbn", or agreement=1.'
            )
        run = Run.begin(checkpoint, seconds_limit, watch, callbacks)
        data = self._training_data(X, y, sample_weight, validation)
        if self._pretraining_due or self.agreement:
            self._train_in_stages(data, self._extra_items(unlabelled), run)
        else:
            self._train(data, run)
        return self

    @property
    def records_steps(self) -> bool:
        return self.max_norm is None  # which is kept after a step

    def _train_in_stages(self, data: TrainingData, extra: Tensor | None, run: Run) -> None:
        held = data.held_out[0] if data.held_out else None
        stages = Stages(self, self.network_, replace(data, weights=None), run)
        with stages, keeping_there(self, held, stages.compute.device):
            try:
                self._learn_in_stages(stages, extra, data)
            except Interrupted:
                self.network_.eval()
        self.history_ = stages.history()

    def _learn_in_stages(self, stages: Stages, extra: Tensor | None, data: TrainingData) -> None:
        recipe, held = self.recipe(len(data)), data.held_out
        items = stages.inputs if extra is None else torch.cat([stages.inputs, extra])
        if self._pretraining_due:
            self._pretrain(stages, items, recipe.epochs * len(data))
        update = self._update(self._loss(), recipe, stages.compute)
        if self.agreement:
            update.agree_on(items, self.agreement, self._answer)
        validate = partial(self._validation_scores, *held) if held else None
        targets = self._loop_targets(data)
        stages.run("fine-tune", update, recipe, validate=validate, targets=targets)

    def _pretrain(self, stages: Stages, items: Tensor, visits: float) -> None:
        """Every layer, from all items; `visits`: how many items fine-tuning will see after it."""
        how, standardise = self._pretraining(items), self._core().standardise
        if how.gaussian:
            standardise.set_statistics(*statistics(items.numpy()))
        else:
            channels = standardise.mean.numel()
            full = torch.full((channels,), 255.0 if items.dtype == torch.uint8 else 1.0)
            standardise.set_statistics(torch.zeros(channels), full)
        stages.plan(self._costs(how, len(items), visits))
        pretrain(self._core(), items, stages, how)
        self._pretraining_due = False

    @staticmethod
    def _answer(outputs: Tensor) -> Tensor:
        """Outputs (B, K) as the targets of another network."""
        return outputs

    def _learn_more(self, X: Any, y: Any, classes: Any) -> Self:
        """A first piece of data is what the layers are pretrained on."""
        if self.pretrain is not None and not self.is_fitted:
            inputs, labels = self._take_more(X, y, classes)
            self._check_settings(inputs)
            self.network_ = self._new_network(inputs, labels)
            data = TrainingData(inputs, labels)
            with Stages(self, self.network_, data, Run(), more=True) as stages:
                self._pretrain(stages, stages.inputs, len(inputs))
        return super()._learn_more(X, y, classes)

    def _update(
        self, loss: Callable[[Tensor, Tensor], Tensor], recipe: Recipe, compute: Compute
    ) -> FineTuning:
        return FineTuning(
            self.network_,
            self._core(),
            loss,
            recipe,
            compute,
            augmenter(self.augment, self.input_shape_),
            layer_rate=self.layer_rate,
            head_first=self.head_first,
            max_norm=self.max_norm,
        )

    def _extra_items(self, unlabelled: Any) -> Tensor | None:
        """The unlabelled items, which belong to what was fitted as much as the labelled."""
        if unlabelled is None:
            return None
        extra, _ = self._take(unlabelled, reset=False)
        both = self.data_fingerprint_ + fingerprint_arrays(extra)
        self.data_fingerprint_ = hashlib.sha256(both.encode()).hexdigest()
        return as_tensor(extra)

    def _costs(self, how: Pretraining, items: int, visits: float) -> dict[str, float]:
        """Products of each stage: five a weight and item for a layer, six for fine-tuning."""
        core = self._core()
        weights = [linear.weight.numel() for linear in core.linears]
        names = stage_names(how.kind, len(weights))
        costs = {name: 5.0 * how.epochs * items * n for name, n in zip(names, weights)}
        visits *= 1 + POOL_SHARE if self.agreement else 1
        return {**costs, "fine-tune": 6.0 * visits * sum(weights)}

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
        if self.pretrain and (self.normalise is True or self._activation() != "logistic"):
            raise InputError(
                f"pretrain={self.pretrain!r} needs logistic layers without normalisation; got "
                f"activation={self.activation!r}, normalise={self.normalise!r}. Leave both "
                '"auto".'
            )


def _within_unit(inputs: np.ndarray) -> bool:
    """Whether the values are pixels 0..255 as bytes, or numbers within [0, 1]."""
    return inputs.dtype == np.uint8 or bool(inputs.min() >= 0 and inputs.max() <= 1)
