"""Networks that learn by gradient descent, through the one loop in training/loop.py.

A family says `build` and its settings; fitting, resuming, incremental learning and the choice of
precision, memory layout and threads are the same for all.

Shapes: N items, B batch, C channels, H W image, D features, K classes.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import TransformerMixin
from torch import Tensor, nn

from depthwise.checkpoint import moved
from depthwise.compute import (
    Compute,
    is_gpu,
    resolve_device,
)
from depthwise.data.inputs import as_tensor, fingerprint_arrays, statistics
from depthwise.data.pictures.augment import augmenter
from depthwise.errors import InputError
from depthwise.layers import Standardise
from depthwise.losses import Taught, Weighted
from depthwise.models.compute_choice import Work, choose_compute
from depthwise.models.estimator import Estimator
from depthwise.models.frozen_features import FrozenFeatures, head_alone
from depthwise.models.gpu_answers import keeping_there
from depthwise.models.layer_outputs import get_feature_names_out, transform
from depthwise.models.supervised import Classifier, Regressor
from depthwise.reshaping.int8 import learning
from depthwise.settings import check_settings, no_setting, settings
from depthwise.training.graphs import RecordedUpdate, are_wanted
from depthwise.training.history import recorded_compute
from depthwise.training.loop import train
from depthwise.training.run import Run
from depthwise.training.schedules import Passes, of_quality
from depthwise.training.step import GradientUpdate, Recipe, Update
from depthwise.training.training_data import TrainingData

__all__ = ["LONG", "NetworkClassifier", "NetworkEstimator", "NetworkRegressor", "auto_batch_size"]

LONG = Passes(steps=3000, fewest=12, most=100)


@settings
class NetworkEstimator(TransformerMixin, Estimator):
    """Trained by gradient descent; see `training.step.Recipe` for the settings, and a family for
    what its own mean. `quality`: training/schedules.py."""

    passes: ClassVar[dict[str, Passes]] = {"fast": LONG, "paper": LONG}  # by `quality`
    scored_after: ClassVar[int] = 0  # times that the held-out part is gone through after training
    task_mark: ClassVar[str]  # the attribute that tells one task's outputs from another's
    # set by each family
    label_smoothing: float = no_setting()
    augment: str | tuple[str, ...] | None = no_setting()
    warm_start: bool = no_setting()
    # (N, K) of the items that `fit` is about to learn, in their order: a teacher's logits
    teacher_logits: np.ndarray | None = no_setting(default=None)
    _optimizer_state: dict[str, Any] | None = no_setting(default=None)
    _whole: nn.Module | None = no_setting(default=None)  # while the head alone is `network_`

    quality: str = "fast"
    epochs: float | str = "auto"
    batch_size: int | str = "auto"
    lr: float = 1e-3
    optimizer: str = "adamw"
    schedule: str = "onecycle"
    weight_decay: float = 0.05
    clip_norm: float | None = 2.0
    average: float = 0.02
    patience: int | str | None = "auto"
    validation_fraction: float = 0.0
    random_state: Any = 0
    device: str = "auto"
    precision: str = "auto"
    threads: int | str = "auto"
    verbose: bool = False

    transform, get_feature_names_out = transform, get_feature_names_out

    # -- learning -------------------------------------------------------------------------------

    def _training_data(self, X: Any, y: Any, sample_weight: Any, validation: Any) -> TrainingData:
        before = dict(vars(self))
        data = super()._training_data(X, y, sample_weight, validation)
        self._check_settings(data.inputs)
        if data.held_out is None and self.validation_fraction:
            data = self._hold_out(data)
        if self.warm_start and self.is_fitted:
            self._require_same_task(before)
        else:
            self.network_ = self._new_network(data.inputs, data.targets)
        self._optimizer_state = None
        return replace(data, teacher=self.__dict__.pop("teacher_logits", None))

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """One pass over X, y at a constant learning rate, from the network's present weights. The
        first call fixes all that is learnt from a whole set of data: classes, words, the targets'
        mean and scale.

        `classes`, of a classifier: every label there will ever be; needed on the first call unless
        y has them all.
        """
        return self._learn_more(X, y, classes)

    def _learn_more(self, X: Any, y: Any, classes: Any) -> Self:
        """`partial_fit`, of what a family makes of its arguments."""
        first = not self.is_fitted
        inputs, labels = self._take_more(X, y, classes)
        self._check_settings(inputs)
        if len(inputs) < 2:
            raise InputError("X has 1 item; batch normalisation compares items: give 2 or more.")
        if first:
            self.network_ = self._new_network(inputs, labels)
        recipe = self.recipe(len(inputs), epochs=1, schedule="constant", average=0.0)
        self._train_once_more(TrainingData(inputs, labels), recipe)
        return self

    def _train(self, data: TrainingData, run: Run) -> None:
        with self._learning_part(data, run) as (data, held):
            recipe = self._planned(data)
            options: dict[str, Any] = {
                "validate": partial(self._validation_scores, *held) if held else None,
                "checkpoint": run.checkpoint,
                "fingerprint": self._run_fingerprint(recipe, held) if run.checkpoint else "",
                "held_out": len(held[1]) if held else 0,
                "scorings": 1 + self.scored_after,
            }
            with (
                run.watched(self.family, self.verbose) as watch,
                self._at_work(data, recipe, run) as (update, x, y, compute),
            ):
                options |= {"watch": watch, "seconds_limit": run.seconds_left, "compute": compute}
                history = train(self.network_, update, x, y, recipe, **options)
            self.history_ = asdict(history)

    def _train_once_more(self, data: TrainingData, recipe: Recipe) -> None:
        """One pass, with the moments that the optimiser has from the pass before."""
        with self._learning_part(data, Run()) as (data, _):
            with self._at_work(data, recipe, Run()) as (update, x, y, compute):
                if self._optimizer_state is not None:
                    update.load_state_dict(moved(self._optimizer_state, compute.device))
                history = train(self.network_, update, x, y, recipe, compute=compute)
                state = update.state_dict()
            self._optimizer_state = moved(state, "cpu")
            self.history_ = asdict(history)

    def _planned(self, data: TrainingData) -> Recipe:
        """How a fit learns from the data: fewer passes where they turn out to be easy."""
        recipe, easy = self.recipe(len(data)), of_quality(self.quality, self.passes).easy
        if easy and self.epochs == "auto":
            return replace(recipe, enough=(easy, self._little_left(data.targets)))
        return recipe

    def _frozen_features(self) -> FrozenFeatures | None:
        """What is computed of each item once, where nothing below the head learns; else None."""
        return None

    @contextlib.contextmanager
    def _learning_part(
        self, data: TrainingData, run: Run
    ) -> Iterator[tuple[TrainingData, tuple[np.ndarray, Any] | None]]:
        """Inside, `network_` is what learns, the head alone on frozen features; the data that it
        takes, and their held-out part."""
        features = self._frozen_features()
        if features is None:
            yield data, data.held_out
            return
        with head_alone(self, features, data, run) as seen:
            yield seen, seen.held_out

    @property
    def _is_head_alone(self) -> bool:
        """Whether `network_` is the head alone just now, which takes frozen features."""
        return self._whole is not None

    @contextlib.contextmanager
    def _at_work(
        self, data: TrainingData, recipe: Recipe, run: Run
    ) -> Iterator[tuple[Update, Tensor, Any, Compute]]:
        """The network at the place where it learns, in the way that was chosen; the update, the
        inputs and the targets that the loop takes."""
        x, y = as_tensor(data.inputs), self._loop_targets(data)
        loss, compute = self._loss(), recorded_compute(run.checkpoint, self.device)
        if compute is None or self.threads not in ("auto", compute.threads):
            compute = self._choose_compute(x, y, recipe, loss, run.seconds_left)
        held = data.held_out[0] if data.held_out else None
        compute.place(self.network_)
        try:
            with learning(self.network_), keeping_there(self, held, compute.device):
                update = self._update(loss, recipe, compute)
                yield (RecordedUpdate(update) if compute.graph else update), x, y, compute
        finally:
            Compute().place(self.network_)

    def _loop_targets(self, data: TrainingData) -> Tensor | Weighted:
        """The items' targets, with their weights or a teacher's logits where there are some."""
        targets = torch.from_numpy(data.targets)
        if data.teacher is not None:
            if len(data.teacher) != len(targets):
                raise InputError(
                    f"teacher_logits must be of the {len(targets):,} items that are learnt; got "
                    f"{len(data.teacher):,}. Leave validation_fraction at 0."
                )
            logits = torch.from_numpy(data.teacher).float()
            return Taught(targets, torch.ones(len(targets)), logits)
        weights = data.weights
        if weights is None or (weights == weights[0]).all():
            return targets
        return Weighted(targets, torch.from_numpy(weights / weights.mean()).float())

    def _update(
        self, loss: Callable[[Tensor, Tensor], Tensor], recipe: Recipe, compute: Compute
    ) -> GradientUpdate:
        """One step of gradient descent."""
        if self._is_head_alone:
            return GradientUpdate(self.network_, loss, recipe, compute)
        augment = augmenter(self.augment, self.input_shape_)
        return GradientUpdate(self.network_, loss, recipe, compute, augment)

    @property
    def records_steps(self) -> bool:
        """Whether each step is the same work whatever a batch holds, so that a GPU may record it
        and replay it. A family says so."""
        return False

    def _new_network(self, inputs: np.ndarray, targets: np.ndarray) -> nn.Module:
        network: nn.Module = self._drawn_network()
        for module in network.modules():
            if isinstance(module, Standardise):
                module.set_statistics(*statistics(inputs))
        self._set_scale(network, targets)
        return network

    # -- settings -------------------------------------------------------------------------------

    def refit_settings(self, length: float) -> dict[str, Any] | None:
        return {"epochs": length, "patience": None, "warm_start": False}

    def recipe(self, items: int, **changes: Any) -> Recipe:
        """How `items` would be trained: the settings, "auto" filled in, with `changes`."""
        passes = of_quality(self.quality, self.passes)
        batch_size = auto_batch_size(items, passes.least_batch)
        batch_size = batch_size if self.batch_size == "auto" else int(self.batch_size)
        auto_passes = passes.epochs(items, batch_size)
        epochs = auto_passes if self.epochs == "auto" else float(self.epochs)
        patience = max(10, math.ceil(epochs / 2)) if self.patience == "auto" else self.patience
        auto = {"epochs": epochs, "batch_size": batch_size, "patience": patience}
        return Recipe.of(self, **{**auto, "seed": self._seed(), **changes})

    def _check_settings(self, inputs: np.ndarray) -> None:
        """Settings are stored unchecked, as scikit-learn asks, and checked when they are used."""
        check_settings(self)
        self._check_axes(inputs)

    def _check_axes(self, inputs: np.ndarray) -> None:
        """Raises InputError where a family cannot learn from inputs of so many axes."""
        if self.image_only and inputs.ndim != 4:
            raise InputError(
                f"{type(self).__name__} learns from images (N, C, H, W); got {inputs.shape}. "
                "For flat rows use DNN, or reshape: X.reshape(-1, 1, 28, 28)."
            )

    def _require_same_task(self, before: dict[str, Any]) -> None:
        """That a network which goes on has its inputs and classes; else all is as it was before."""
        now = dict(vars(self))
        for name in ("input_shape_", "input_dtype_", self.task_mark):
            if not np.array_equal(before[name], now[name]):
                self.__dict__.update(before)
                raise InputError(
                    f"warm_start=True goes on with a network of {name} {_told(before[name])}, but "
                    f"this data has {_told(now[name])}. Fit a new model, or set warm_start=False."
                )

    def _choose_compute(
        self,
        x: Tensor,
        y: Any,
        recipe: Recipe,
        loss: Callable[[Tensor, Tensor], Tensor],
        seconds_limit: float | None = None,
    ) -> Compute:
        """Precision, memory layout and threads: as set, else by timing: see compute_choice.py."""
        device = resolve_device(self.device)
        precision = "float32" if self.precision == "auto" else self.precision
        threads = 1 if self.threads == "auto" else int(self.threads)
        graph = is_gpu(device) and are_wanted() and self.records_steps and not self.shrunk_
        work = Work(self.network_, x, y, recipe, loss, self.image_only, seconds_limit)
        return choose_compute(
            work,
            Compute(device, precision, False, threads, graph),
            auto_precision=self.precision == "auto",
            auto_threads=self.threads == "auto",
        )

    def _hold_out(self, data: TrainingData) -> TrainingData:
        """`validation_fraction` of the training data, labels stratified, put aside."""
        from sklearn.model_selection import train_test_split

        targets = data.targets
        several = targets.ndim == 1 and np.bincount(targets).min() >= 2
        keep, hold = train_test_split(
            np.arange(len(data)),
            test_size=self.validation_fraction,
            random_state=self._seed(),
            stratify=targets if several else None,
        )
        return replace(data.at(keep), held_out=(data.inputs[hold], targets[hold]))

    def _run_fingerprint(self, recipe: Recipe, held_out: Any) -> str:
        settings = {k: v for k, v in self.get_params().items() if k not in _NOT_SETTINGS}
        start = hashlib.sha256()
        for name, tensor in self.network_.state_dict().items():
            start.update(name.encode())
            start.update(tensor.numpy().tobytes())
        held = fingerprint_arrays(*held_out) if held_out else ""
        text = f"{settings}|{recipe}|{self.data_fingerprint_}|{held}|{start.hexdigest()}"
        return hashlib.sha256(text.encode()).hexdigest()


class NetworkClassifier(NetworkEstimator, Classifier):
    """A base for a family of your own that learns labels: `build` and settings are all it needs."""


class NetworkRegressor(NetworkEstimator, Regressor):
    """A base for a family of your own that learns numbers."""


_NOT_SETTINGS = ("verbose", "device", "precision", "threads")


def auto_batch_size(items: int, least: int = 8) -> int:
    """128, and for small data the power of two that leaves about 20 steps an epoch, but `least`."""
    return int(min(128, max(least, 2 ** round(math.log2(max(items / 20, 1))))))


def _told(value: Any) -> str:
    """In a line, whatever the number of classes."""
    text = str(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= 80 else text[:77] + "..."
