"""Deep neural network: fully connected layers, with or without generative pretraining.

    pretrain=None           all layers at once, from random weights: rectifiers, normalisation
    pretrain="dbn"          first each layer as a restricted Boltzmann machine, bottom up (Hinton
                            and Salakhutdinov 2006), then all together with a softmax on top
    pretrain="autoencoder"  first each layer as a denoising autoencoder (Vincent et al. 2010)

The network and its mathematics are in network.py, pretraining in pretraining.py, the last
stage in finetuning.py. Pretraining needs no labels: `fit(X, y, unlabelled=more)` pretrains on
X and more together and fine-tunes on X, y; with `agreement` above 0 the last stage learns from the
unlabelled items too.

Shapes: N items, B batch, C channels, H W image, D features, K classes, T targets.
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
from depthwise.families.dnn.network import DNNNetwork
from depthwise.families.dnn.pretraining import Pretraining, pretrain, stage_names
from depthwise.families.dnn.sizes import DNNSettings
from depthwise.layers import Rescaled
from depthwise.models.gpu_answers import keeping_there
from depthwise.models.networks import NetworkClassifier, NetworkRegressor
from depthwise.settings import Deciding, settings
from depthwise.training.events import Watch
from depthwise.training.run import Run
from depthwise.training.stages import Interrupted, Stages
from depthwise.training.step import Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["DNN", "DNNNetwork", "DNNRegressor"]


class Layers(DNNSettings):
    """The learning that DNN and DNNRegressor share."""

    _pretraining_due = False

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
        if self.pretrain is not None and not hasattr(self, "network_"):
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


@settings
class DNN(Deciding, Layers, NetworkClassifier):
    """Fully connected classifier for tables (N, D) and images (N, C, H, W).

    Parameters
    ----------
    size : a rung of the ladder, "xxs" (one layer of 16 units) .. "xl" (2048, 1024, 1024).
    hidden : units of each hidden layer, (500, 500) or 64 for a single one, in place of `size`.
    activation, normalise : "relu" with batch normalisation, or "logistic" without; "auto" is the
        first, and the second where layers are pretrained.
    dropout, input_dropout : share of hidden units and of inputs silenced in training, 0 .. 0.5.
    max_norm : largest length of a hidden unit's incoming weights, 1 .. 5; None leaves them alone.
    pretrain : None, "dbn" or "autoencoder": see pretraining.py.
    pretrain_epochs : passes over the data a layer; "auto" is about 6,000 steps.
    pretrain_lr : "auto" is 0.05 for "dbn" and 1e-3 for "autoencoder".
    masking : share of values hidden from a denoising autoencoder, 0.1 .. 0.5.
    layer_rate : the learning rate of the hidden layers as a share of the head's, 0 .. 1.
    head_first : share of the run in which only the head learns, 0 .. 0.3.
    agreement : weight of what unlabelled items say in the last stage of `fit`, 0 .. 2.
    quality : "fast", or "paper" for schedules as long as published figures took.
    epochs : passes over the data; "auto" is about 1,500 steps, within 12 .. 25 passes; at quality
        "paper" 3,000, within 12 .. 100.
    batch_size : items a step; "auto" is 128, less for small data.
    lr : peak learning rate, 3e-4 .. 1e-2 with "adamw".
    optimizer, schedule, weight_decay, clip_norm, average, patience : see `training.step.Recipe`.
    label_smoothing : 0 .. 0.2.
    augment : for images, see `data.augment.augmenter`; None by default.
    validation_fraction : share of the training data held out to choose the best epoch; 0 .. 0.3.
    warm_start : fit goes on from the present weights.
    class_weight, metric : of rare classes; see `settings.Deciding`.
    random_state : seed; the same one gives the same network (same machine, same threads).
    device, precision, threads : "auto" measures; or e.g. "cpu", "bfloat16", 2.
    verbose : show progress on stderr.
    """

    family: ClassVar[str] = "dnn"

    @staticmethod
    def _answer(outputs: Tensor) -> Tensor:
        """Logits (B, K) as class probabilities."""
        return torch.softmax(outputs, dim=1)


class DNNRegressor(Layers, NetworkRegressor):
    """Fully connected regressor for tables (N, D) and images (N, C, H, W), y (N,) or (N, T).

    It minimises the squared error of the standardised targets. Parameters: as in `DNN`;
    `label_smoothing` has no meaning here.
    """

    family: ClassVar[str] = "dnn_regressor"
