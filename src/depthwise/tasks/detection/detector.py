"""The detector: which objects are in a picture, where, and how many.

    model = Detector(size="s").fit(data)           a Dataset with boxes (VOC, COCO, YOLO, CSV)
    found = model.predict(X)[0]                    boxes (m, 4), labels (m,), scores (m,)
    model.predict(X, count=True)                   how many of each class: int64 (N, K)
    model.assess(X, boxes)                         AP50 with its interval, AP, both by class

The network is in network.py, what it minimises in loss.py, how boxes become
targets and move in targets.py, average precision in scores.py. A box is told
where its score is above `thresholds_` of its class, which are chosen so that the counts err least
(counts.py), on validation data where there is any. The network's boxes that overlap a
better one of their class by more than `overlap` are that object once more, and dropped.

Shapes: N pictures, B batch, C channels, H W picture, A positions, K classes, m boxes found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.backbones.images.features import Backbone
from depthwise.boxes import area, clip, nms
from depthwise.errors import DivergedError, InputError
from depthwise.models.abilities import FindsObjects
from depthwise.models.networks import LONG
from depthwise.settings import no_setting, number, setting, settings
from depthwise.tasks.detection.counts import best_thresholds, counted, counting_report, true_counts
from depthwise.tasks.detection.loss import DetectionLoss
from depthwise.tasks.detection.network import DetectionNetwork, positions
from depthwise.tasks.detection.scores import (
    MOST,
    Detections,
    detection_report,
    mean_precisions,
)
from depthwise.tasks.detection.targets import (
    AUGMENTATIONS,
    as_table,
    augmented,
    encoded,
    table_of,
)
from depthwise.tasks.spatial_estimator import SpatialEstimator
from depthwise.training.run import Run, look_in_time
from depthwise.training.schedules import Passes
from depthwise.training.step import Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["SIZES", "Detections", "Detector", "Rung"]

PICTURES_AT_ONCE = 8
FLOOR = 0.02  # scores below are no detection, not even for average precision
CANDIDATES = 400  # best positions of a picture that suppression looks at
USUAL = ("window", "mirror", "colours")


class Rung(NamedTuple):
    """One size: the backbone, the pyramid's width F, and the convolutions of a tower."""

    backbone: str
    width: int
    depth: int


SIZES: dict[str, Rung] = {
    "xs": Rung("residual-xs", 32, 1),
    "s": Rung("residual-s", 48, 2),
    "m": Rung("residual-m", 64, 2),
    "lite": Rung("efficientnet-lite0", 64, 2),
}


@settings
class Detector(SpatialEstimator):
    """Finds objects in images (N, C, H, W), uint8 or floats 0..1; y is a BoxTable, or a list with
    (boxes_xyxy (m, 4) in pixels, labels (m,) from 0) for each image, none for one without objects.

    Attributes: classes_ (K,), thresholds_ (K,) scores, counting_ (the mean absolute error of counts
    by class at these, and on which images it was found).
    """

    scored_after: ClassVar[int] = 1
    family: ClassVar[str] = "detector"
    tasks: ClassVar[tuple[str, ...]] = ("detection",)
    counts_objects: ClassVar[bool] = False
    seen_task: ClassVar[str] = "detection"
    sizes: ClassVar[dict[str, Rung]] = SIZES
    passes: ClassVar[dict[str, Passes]] = {"fast": Passes(450, 12, 25), "paper": LONG}
    label_smoothing = 0.0
    thresholds_: np.ndarray = no_setting()
    counting_: dict[str, Any] = no_setting()

    epochs: float | str = setting(
        default="auto",
        doc='passes over the data; "auto" is about 450 steps, within 12 .. 25 passes; at quality '
        '"paper" 3,000, within 12 .. 100',
    )
    size: str = setting(default="s", doc='"xs" .. "m" from scratch; "lite" starts from ImageNet')
    freeze: int | str = 0
    backbone_rate: float = 0.3
    overlap: float = setting(
        default=0.6,
        range=number("(0, 1)", usual=(0.4, 0.7)),
        doc="IoU above which two boxes of a class are one object",
    )
    augment: str | tuple[str, ...] | None = setting(
        default="auto",
        doc='"auto" for window, mirror and colours; a tuple of these and "upside"; None',
    )
    lr: float = 3e-3
    clip_norm: float | None = 5.0
    average: float = 0.03
    warm_start: bool = False

    # -- what is there ----------------------------------------------------------------------------

    @property
    def finder(self) -> FindsObjects | None:
        return self

    def predict(self, X: Any, *, count: bool = False, threshold: float | None = None) -> Any:
        """Detections of each image: boxes in its own pixels, class names, scores, best first. With
        `count` how many there are of each class, int64 (N, K).

        X: (N, C, H, W) of any size, or a list of images (C, H, W) of several sizes. `threshold`: of
        the score, for all classes, in place of `thresholds_`; an image may have no detection.
        """
        check_is_fitted(self, "network_")
        lows = self.thresholds_ if threshold is None else self._lows(threshold)
        found = [one for part in self._pictures(X) for one in self._found(part, lows)]
        return counted(found, self.classes_, lows) if count else found

    def calibrate(self, X: Any, y: Any) -> Self:
        """Choose `thresholds_` anew, so that counts err least on these images and boxes, which the
        model should not have learnt from."""
        check_is_fitted(self, "network_")
        self._put_thresholds(*self._take(X, y, reset=False), "given")
        return self

    def count_errors(self, X: Any, y: Any) -> dict[str, Any]:
        """{"value": minus the mean absolute error of counts over classes, "low", "high",
        "items", "per_class": the error of each class}."""
        check_is_fitted(self, "network_")
        return self._count_report(*self._take(X, y, reset=False))

    # -- learning ---------------------------------------------------------------------------------

    def build_on(self, backbone: Backbone, n_outputs: int) -> nn.Module:
        rung = SIZES[self.size]
        return DetectionNetwork(backbone, n_outputs, width=rung.width, depth=rung.depth)

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        network: Any = self.network_
        _, height, width = self.input_shape_
        return DetectionLoss(*positions((height, width), network.strides))

    def _moved(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return augmented(images, targets, self._augmentations())

    def _augmentations(self) -> tuple[str, ...]:
        if self.augment is None:
            return ()
        return USUAL if self.augment == "auto" else tuple(np.atleast_1d(self.augment))

    def _train(self, data: TrainingData, run: Run) -> None:
        super()._train(data, run)
        which = "held out" if data.held_out else "learnt"
        self._put_thresholds(*data.scored, which, run.seconds_left)

    def _train_once_more(self, data: TrainingData, recipe: Recipe) -> None:
        super()._train_once_more(data, recipe)
        self._put_thresholds(data.inputs, data.targets, "learnt")

    def _put_thresholds(
        self, images: np.ndarray, targets: np.ndarray, which: str, seconds: float | None = None
    ) -> None:
        """From the images that `seconds` suffice for, drawn at random; None: from all."""
        found, places = self._found_in_time(images, seconds)
        images, truth = images[places], table_of(targets[places])
        self.thresholds_ = best_thresholds(found, truth, self.classes_)
        counts = counted(found, self.classes_, self.thresholds_)
        report = counting_report(counts, true_counts(truth, self.n_outputs), self.classes_)
        self.counting_ = {"errors": report["per_class"], "images": which, "items": len(images)}

    def _validation_scores(
        self, inputs: np.ndarray, targets: Any, network: nn.Module
    ) -> tuple[float, ...]:
        """(AP50, AP)."""
        found = self._found(inputs, self._lows(FLOOR), network)
        return mean_precisions(found, table_of(targets), self.classes_)

    def _assessed(self, images: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        found, truth = self._found(images, self._lows(FLOOR)), table_of(targets)
        return detection_report(found, truth, self.classes_, self._seed())

    def _count_report(self, images: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        counts = counted(self._found(images, self.thresholds_), self.classes_, self.thresholds_)
        true = true_counts(table_of(targets), self.n_outputs)
        return counting_report(counts, true, self.classes_, self._seed())

    # -- inputs and targets -----------------------------------------------------------------------

    def _targets(self, y: Any, images: np.ndarray, places: np.ndarray) -> np.ndarray:
        return encoded(as_table(y), images, places)

    def _highest(self, y: Any) -> int:
        return int(as_table(y).labels.max(initial=-1))

    def _pictures(self, X: Any) -> Iterator[np.ndarray]:
        """Checked images (N', C, H, W), one at a time where they are a list."""
        if isinstance(X, list | tuple):
            for image in X:
                yield self._take(np.asarray(image)[None], reset=False)[0]
        else:
            yield self._take(X, reset=False)[0]

    def _check_settings(self, inputs: np.ndarray) -> None:
        super()._check_settings(inputs)
        unknown = [kind for kind in self._augmentations() if kind not in AUGMENTATIONS]
        self._require("augment", not unknown, f'"auto", None or some of {AUGMENTATIONS}')

    # -- saving -----------------------------------------------------------------------------------

    def describe_network(self) -> dict[str, Any]:
        return {
            **super().describe_network(),
            "thresholds": self.thresholds_.tolist(),
            "counting": self.counting_,
        }

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        thresholds = np.array(description["thresholds"], np.float64)
        if thresholds.shape != (int(description["n_classes"]),):
            raise ValueError(f"{thresholds.size} thresholds of {description['n_classes']} classes")
        self.thresholds_, self.counting_ = thresholds, dict(description["counting"])
        return super().rebuild(description)

    # -- inside -----------------------------------------------------------------------------------

    def _lows(self, threshold: float) -> np.ndarray:
        if not 0 <= threshold < 1:
            raise InputError(f"threshold must be a score in [0, 1), say 0.3; got {threshold!r}.")
        return np.full(self.n_outputs, float(threshold))

    def _found(
        self, images: np.ndarray, lows: np.ndarray, network: nn.Module | None = None
    ) -> list[Detections]:
        """Detections of each image whose score is above that of its class."""
        found = []
        for start in range(0, len(images), PICTURES_AT_ONCE):
            part = images[start : start + PICTURES_AT_ONCE]
            found += [
                self._suppressed(one, part.shape[2:], lows) for one in self._answers(part, network)
            ]
        return found

    def _found_in_time(
        self, images: np.ndarray, seconds: float | None
    ) -> tuple[list[Detections], np.ndarray]:
        """Detections, and the places (M,) of the images they are of, at least one part of them."""
        order = np.arange(len(images))
        order = order if seconds is None else np.random.default_rng(0).permutation(order)
        lows = self._lows(FLOOR)
        found, places = look_in_time(
            order, PICTURES_AT_ONCE, lambda part: self._found(images[part], lows), seconds
        )
        return [one for part in found for one in part], places

    def _answers(self, images: np.ndarray, network: nn.Module | None) -> Tensor:
        """(N, A, 4 + K). Another runtime than torch has the size that the model learnt."""
        if images.shape[1:] == self.input_shape_:
            answers = self._logits(images, network)
        else:
            answers = self._rows(images, lambda n, x: n(x), network)
        if not torch.isfinite(answers).all():
            raise DivergedError("an answer is not a number. Fit again with a lower lr.")
        return answers

    def _suppressed(self, answers: Tensor, size: tuple[int, ...], lows: np.ndarray) -> Detections:
        """(A, 4 + K) of a picture -> its detections, each position of its likeliest class."""
        scores, labels = answers[:, 4:].sigmoid().max(dim=1)
        boxes = clip(answers[:, :4], *map(float, size))
        may = (scores > torch.from_numpy(lows).float()[labels]) & (area(boxes) > 0)
        best = may.nonzero()[:, 0]
        best = best[scores[best].argsort(descending=True, stable=True)[:CANDIDATES]]
        boxes, scores, labels = boxes[best], scores[best], labels[best]
        kept = nms(boxes, scores, labels, threshold=float(self.overlap), most=MOST)
        names = self.classes_[labels[kept].numpy()]
        return Detections(boxes[kept].numpy(), names, scores[kept].numpy())
