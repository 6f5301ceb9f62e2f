"""What estimators share whose answers are about places in a picture: boxes, or a class a pixel.

They take images (N, C, H, W) and targets that are no labels (N,): a BoxTable, or masks (N, H, W).
Classes are numbered in the order in which they are given, by a Dataset or by `fit(classes=...)`.
Augmentation moves images and targets together. A task says

    build_on(backbone, n_classes)      its network, from raw images to one tensor
    _targets(y, images, places)     checked targets as one array, a row an image, for the loop
    _highest(y)                     the largest class number in y
    _loss(), _moved(images, targets), assess(X, y)

Pictures may have any size when the model is asked about them, where the backbone takes any.

Shapes: N images, B batch, C channels, H W image, K classes.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from depthwise.compute import Compute
from depthwise.data.inputs import as_images
from depthwise.data.targets.classed import ClassedTargets
from depthwise.errors import InputError
from depthwise.tasks.backbone_estimator import BackboneEstimator
from depthwise.training.events import Watch
from depthwise.training.step import BackboneUpdate, GradientUpdate, Recipe

__all__ = ["SpatialEstimator"]


class JointUpdate(BackboneUpdate):
    """One step of gradient descent whose augmentation, `move`, takes the targets along."""

    move: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

    def objective(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        inputs, targets = self.move(inputs, targets)
        inputs = self.compute.place_batch(inputs)
        with self.compute.autocast():
            return self.loss(self.network(inputs), targets)


class SpatialEstimator(BackboneEstimator):
    """The base of estimators of boxes and of masks. seen_task: the task of Datasets to learn."""

    seen_task: ClassVar[str]
    embedded: ClassVar[bool] = False
    weighs_items: ClassVar[bool] = False
    task_mark = "classes_"
    classes_: np.ndarray

    @property
    def n_outputs(self) -> int:
        return 0 if self.known_classes is None else len(self.known_classes)

    # -- what a task says -------------------------------------------------------------------------

    @abc.abstractmethod
    def _targets(self, y: Any, images: np.ndarray, places: np.ndarray) -> np.ndarray:
        """y as an array with a row for each image, its class k now places[k]; raises InputError
        for what does not belong to these images."""

    @abc.abstractmethod
    def _highest(self, y: Any) -> int:
        """The largest class number in y, -1 for none."""

    @abc.abstractmethod
    def _moved(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A batch augmented."""

    @abc.abstractmethod
    def _assessed(self, images: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        """`assess`, of checked images and targets."""

    # -- learning ---------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        classes: Sequence[str] | None = None,
        validation: tuple[Any, Any] | None = None,
        checkpoint: str | Path | None = None,
        seconds_limit: float | None = None,
        watch: Watch | None = None,
        callbacks: Iterable[Watch] | None = None,
    ) -> Self:
        """Train on images X (N, C, H, W) and their targets y, or on a Dataset given as X.

        `classes` names what the numbers in y stand for; the rest is as in every family.
        """
        named = y if y is None else ClassedTargets(y, classes)
        return super().fit(
            X,
            named,
            sample_weight,
            validation=validation,
            checkpoint=checkpoint,
            seconds_limit=seconds_limit,
            watch=watch,
            callbacks=callbacks,
        )

    def partial_fit(self, X: Any, y: Any, classes: Sequence[str] | None = None) -> Self:
        """One pass over X, y at a constant learning rate, from the network's present weights."""
        return self._learn_more(X, ClassedTargets(y, classes), None)

    def _dataset_parts(self, dataset: Any, validation: Any) -> tuple[Any, Any, Any]:
        dataset.require_task(self.seen_task)
        train, held = dataset.train, dataset.validation
        if validation is None and len(held.X):
            validation = (held.X, ClassedTargets(held.y, dataset.classes))
        return train.X, ClassedTargets(train.y, dataset.classes), validation

    def _update(
        self, loss: Callable[[Tensor, Tensor], Tensor], recipe: Recipe, compute: Compute
    ) -> GradientUpdate:
        below: Any = self.network_.backbone
        share = self.backbone_rate if self.is_transfer else 1.0
        update = JointUpdate(self.network_, loss, recipe, compute, below=below, share=share)
        update.move = self._moved
        return update

    # -- inputs and targets -----------------------------------------------------------------------

    def _take(
        self, X: Any, y: Any = None, *, reset: bool, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        images = as_images(X)
        if reset:
            self.running_ = None
            self.input_shape_ = tuple(images.shape[1:])
            self.n_features_in_ = int(np.prod(self.input_shape_))
            self.input_dtype_ = "uint8" if images.dtype == np.uint8 else "float32"
        else:
            self._require_like(images)
        if y is None:
            return images, None
        named = y if isinstance(y, ClassedTargets) else ClassedTargets(y)
        if reset:
            self._learn_classes(named)
        return images, self._targets(named.values, images, self._places(named))

    def _require_like(self, images: np.ndarray) -> None:
        """Any height and width, but the channels and the kind of pixels that were learnt."""
        if images.shape[1] != self.input_shape_[0]:
            raise InputError(
                f"images have {images.shape[1]} channels, but this model was fitted on "
                f"{self.input_shape_[0]}. Convert them to {'grey' * (self.input_shape_[0] == 1)}"
                f"{'RGB' * (self.input_shape_[0] == 3)} (depthwise.load does)."
            )
        if (images.dtype == np.uint8) != (self.input_dtype_ == "uint8"):
            raise InputError(
                f"images are {images.dtype}, but this model was fitted on {self.input_dtype_}: "
                "pixels 0..255 and 0..1 must not be mixed. Convert them to the same type."
            )

    def _learn_classes(self, named: ClassedTargets) -> None:
        least = self._highest(named.values) + 1
        if named.classes is None:
            self.classes_ = np.arange(max(1, least))
            return
        self.classes_ = np.asarray(list(named.classes))
        if len(set(self.classes_.tolist())) != len(self.classes_) or not len(self.classes_):
            raise InputError(f"classes must be different names; got {list(named.classes)!r}.")

    def _places(self, named: ClassedTargets) -> np.ndarray:
        """Where each class of the targets is in `classes_`: int64 (K',)."""
        own = {str(name): place for place, name in enumerate(self.classes_)}
        names = [str(name) for name in self.classes_ if named.classes is None]
        names += [str(name) for name in named.classes or ()]
        unknown = [name for name in names if name not in own]
        if unknown:
            raise InputError(
                f"the class {unknown[0]!r} is none of the model's: {', '.join(own)}. Fit a new "
                "model, or leave the class out of the data."
            )
        highest = self._highest(named.values)
        if highest >= len(names):
            raise InputError(
                f"y has the class {highest}, but there are {len(names)} classes, 0 to "
                f"{len(names) - 1}. Correct y, or name all classes: classes=[...]."
            )
        return np.array([own[name] for name in names], dtype=np.int64)

    # -- how good it is ---------------------------------------------------------------------------

    def assess(self, X: Any, y: Any) -> dict[str, Any]:
        """{"value", "low", "high", ...}: the task's metric on images and targets that were not
        seen, with its 95% interval over the images, and whatever else is worth knowing."""
        check_is_fitted(self, "network_")
        return self._assessed(*self._take(X, y, reset=False))

    def score(self, X: Any, y: Any) -> float:
        """The task's metric, more is better."""
        return float(self.assess(X, y)["value"])
