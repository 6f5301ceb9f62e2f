"""Segmentation: a class for every pixel, by a U-Net on a backbone.

    model = Segmenter().fit(X, y)        X (N, C, H, W) images, y (N, H, W) masks: a class each
                                         pixel, 255 for those to be ignored
    model.predict(X)                     masks uint8 (N, H, W), positions in model.classes_
    model.assess(X, y)                   mean intersection over union, by class, its interval

The network is in network.py, the loss in loss.py, the scores in
scores.py, large images in tiles.py. Images may be of any size; what is
longer than `tile` pixels is answered in tiles.

Shapes: N images, B batch, C channels, H W image, K classes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.backbones.images.features import BYTES, Backbone
from depthwise.data.dataset import IGNORE
from depthwise.data.inputs import as_tensor
from depthwise.data.pictures.augment_targets import (
    move_images,
    move_masks,
    random_colours,
    random_windows,
)
from depthwise.data.targets.classed import ClassedTargets
from depthwise.errors import DivergedError, InputError
from depthwise.models.abilities import Predicts
from depthwise.settings import AUTO, no_setting, number, one_of, setting, settings, whole
from depthwise.tasks.segmentation.loss import (
    ClassWeight,
    Shown,
    class_weights,
    is_class_weight,
    pixel_loss,
)
from depthwise.tasks.segmentation.masks import as_masks, checked_against
from depthwise.tasks.segmentation.network import UNet, depthwise_in_float32
from depthwise.tasks.segmentation.scores import confusions, mean_iou, segmentation_report
from depthwise.tasks.segmentation.tiles import blended_bands
from depthwise.tasks.spatial_estimator import SpatialEstimator
from depthwise.training.run import Run
from depthwise.training.step import Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["Segmenter"]

STEPS, FEWEST_PASSES, MOST_PASSES = 3000, 12, 60  # of epochs="auto"
BATCH = 4  # of batch_size="auto"
COLOURS = {"brightness": 0.3, "contrast": 0.3, "saturation": 0.4}  # light changes outdoors
AT_ONCE = 16  # images by a runtime


class Rung(NamedTuple):
    """One size: the backbone, and the most channels of a level on the way up."""

    backbone: str
    widest: int


SIZES: dict[str, Rung] = {
    "xs": Rung("residual-xs", 32),
    "s": Rung("residual-s", 64),
    "m": Rung("residual-m", 64),
    "lite": Rung("efficientnet-lite0", 64),
}


@settings
class Segmenter(SpatialEstimator):
    """A class for each pixel of images (N, C, H, W), uint8 or floats 0..1.

    Attributes: classes_ (K names or numbers), class_weight_ (K,).
    """

    family: ClassVar[str] = "segmenter"
    tasks: ClassVar[tuple[str, ...]] = ("segmentation",)
    sizes: ClassVar[dict[str, Rung]] = SIZES
    seen_task: ClassVar[str] = "segmentation"
    class_weight_: np.ndarray = no_setting()

    size: str = setting(
        default="s",
        doc='"xs" (0.1 million weights) .. "m" (1 million) from scratch, or "lite" (3 million) on '
        "what was learnt on ImageNet (extra `backbones`)",
    )
    freeze: int | str = 0
    enlarge: int | str = setting(
        default=1,
        range=whole("[1, 8]") | AUTO,
        doc="how many times larger images are made first; what is thin or small in small pictures "
        "gains by 2, at four times the cost",
    )
    class_weight: ClassWeight = setting(
        default=0.5,
        doc='0 .. 1, the power of median frequency balancing: 1 ("balanced") makes all classes '
        "count about alike, 0 (None) all pixels; or K weights, in the order of the classes",
    )
    dice: float = setting(
        default=0.0,
        range=number("[0, inf)", usual=(0, 1)),
        doc="weight of the Dice loss beside the cross-entropy",
    )
    dropout: float = setting(
        default=0.0, doc="share of the last map's channels silenced in training"
    )
    tile: int = setting(
        default=512,
        range=whole("[64, inf)", usual=(256, 1024)),
        doc="pixels; what is longer is answered in tiles that overlap by a quarter",
    )
    augment: str | None = setting(
        default="auto",
        range=one_of("auto", "plain", None),
        doc='"auto" shows each image in a window of 0.7 to 1.5 times its scale, half of them '
        'mirrored, in changed colours; "plain" without mirroring',
    )
    lr: float = 3e-3
    average: float = 0.03
    label_smoothing: float = 0.0
    warm_start: bool = False

    @property
    def predictor(self) -> Predicts | None:
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Masks uint8 (N, H, W) of positions in `classes_`, as large as the images.

        Raises InputError for other channels or pixels than those learnt, DivergedError where the
        network's answer is not a number.
        """
        check_is_fitted(self, "network_")
        return self._masks(self._take(X, reset=False)[0])

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities float32 (N, K, H, W); of large images they are large."""
        check_is_fitted(self, "network_")
        images = self._take(X, reset=False)[0]
        if self._fits(images):
            return self._made(images, _probabilities).numpy()
        return np.stack([torch.cat(list(self._bands(image)), dim=1).numpy() for image in images])

    # -- the network ------------------------------------------------------------------------------

    def build_on(self, backbone: Backbone, n_outputs: int) -> nn.Module:
        return UNet(backbone, n_outputs, SIZES[self.size].widest, self.dropout)

    # -- learning ---------------------------------------------------------------------------------

    def recipe(self, items: int, **changes: Any) -> Recipe:
        """As in every family, but batches of few images: each has many pixels."""
        batch = BATCH if self.batch_size == "auto" else int(self.batch_size)
        passes = round(STEPS / -(-items // batch))
        epochs = min(MOST_PASSES, max(FEWEST_PASSES, passes)) if self.epochs == "auto" else None
        filled = {"batch_size": batch} | ({} if epochs is None else {"epochs": float(epochs)})
        return super().recipe(items, **{**filled, **changes})

    @contextlib.contextmanager
    def _at_work(self, data: TrainingData, recipe: Recipe, run: Run) -> Iterator[Any]:
        if self._optimizer_state is None:
            self._shown = Shown(self.n_outputs)
        self._shown.add(data.targets)
        self.class_weight_ = class_weights(self.class_weight, self._shown)
        with depthwise_in_float32(self.network_), super()._at_work(data, recipe, run) as work:
            yield work

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        weights = torch.from_numpy(self.class_weight_)
        smoothing, dice = float(self.label_smoothing), float(self.dice)

        def loss(logits: Tensor, masks: Tensor) -> Tensor:
            own = weights.to(logits.device)
            return pixel_loss(logits, masks, weights=own, smoothing=smoothing, dice=dice)

        return loss

    def _moved(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        if self.augment is None:
            return images, targets
        sides = images.shape[2:]
        mirror = self.augment == "auto"
        windows = random_windows(len(images), *sides, mirror=mirror, device=images.device)
        levels = BYTES if images.is_floating_point() else 1
        coloured = random_colours(move_images(images, windows) * levels, **COLOURS)
        moved = coloured / levels if images.is_floating_point() else coloured
        return moved, move_masks(targets, windows)

    def _validation_scores(
        self, inputs: np.ndarray, targets: Any, network: nn.Module
    ) -> tuple[float, ...]:
        """(mean IoU, share of pixels given their class)."""
        total = self._confusions(inputs, targets, network).sum(axis=0)
        return float(mean_iou(total)), float(np.trace(total) / max(1, total.sum()))

    # -- inputs and targets -----------------------------------------------------------------------

    def _targets(self, y: Any, images: np.ndarray, places: np.ndarray) -> np.ndarray:
        masks = checked_against(as_masks(y), images)
        codes = np.full(IGNORE + 1, IGNORE, np.uint8)
        codes[: len(places)] = places
        return codes[masks]

    def _highest(self, y: Any) -> int:
        return _highest(as_masks(y))

    def _learn_classes(self, named: ClassedTargets) -> None:
        super()._learn_classes(named)
        if not 2 <= len(self.classes_) <= IGNORE:
            raise InputError(
                f"masks need 2 to {IGNORE} classes to tell apart; there are {len(self.classes_)}. "
                "Give masks of several classes, or name them all: classes=[...]."
            )

    def _check_settings(self, inputs: np.ndarray) -> None:
        super()._check_settings(inputs)
        k = self.n_outputs
        weighs = is_class_weight(self.class_weight, k)
        wanted = f'0 .. 1, "balanced", None, or {k} weights of 0 or more'
        self._require("class_weight", weighs, wanted)

    # -- answers ----------------------------------------------------------------------------------

    def _assessed(self, images: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
        if (targets == IGNORE).all():
            raise InputError(f"y has no pixel to score: all are {IGNORE}. Give masks with classes.")
        names = [str(name) for name in self.classes_]
        return segmentation_report(self._confusions(images, targets), names)

    def _confusions(
        self, images: np.ndarray, targets: np.ndarray, network: nn.Module | None = None
    ) -> np.ndarray:
        """(N, K, K)."""
        return confusions(targets, self._masks(images, network), self.n_outputs)

    def _masks(self, images: np.ndarray, network: nn.Module | None = None) -> np.ndarray:
        """uint8 (N, H, W)."""
        if self._fits(images):
            return self._made(images, _best, network).numpy()
        return np.stack([_mask_of(self._bands(image, network)) for image in images])

    def _bands(self, image: np.ndarray, network: nn.Module | None = None) -> Iterator[Tensor]:
        """Probabilities of a large image (C, H, W) in bands (K, h, W), from above."""

        def answer(part: Tensor) -> Tensor:
            return self._made(part[None].numpy(), _probabilities, network)[0]

        multiple: Any = (network or self.network_).multiple
        return blended_bands(as_tensor(image), answer, self.tile, multiple)

    def _made(
        self,
        images: np.ndarray,
        make: Callable[[Tensor], Tensor],
        network: nn.Module | None = None,
    ) -> Tensor:
        """`make` of the logits, a few images at a time; by the model's runtime where it has one,
        and the images have the shape that it was made for."""
        by_runtime = network is None and self.runtime_ is not None
        if not by_runtime or tuple(images.shape[1:]) != self.input_shape_:
            return self._rows(images, lambda n, x: make(_finite(n(x))), network)
        parts = [images[i : i + AT_ONCE] for i in range(0, len(images), AT_ONCE)]
        return torch.cat([make(_finite(self._logits(part))) for part in parts])

    def _fits(self, images: np.ndarray) -> bool:
        return max(images.shape[2:]) <= self.tile


def _mask_of(bands: Iterator[Tensor]) -> np.ndarray:
    """uint8 (H, W)."""
    return np.concatenate([_best(band[None])[0].numpy() for band in bands])


def _best(scores: Tensor) -> Tensor:
    """(B, K, H, W) -> uint8 (B, H, W)."""
    return scores.argmax(dim=1).to(torch.uint8)


def _probabilities(logits: Tensor) -> Tensor:
    return torch.softmax(logits, dim=1)


def _finite(logits: Tensor) -> Tensor:
    if not torch.isfinite(logits).all():
        raise DivergedError(
            "the network's answer is not a number. Fit again with a lower lr, or look for extreme "
            "values in the images (depthwise inspect)."
        )
    return logits


def _highest(masks: np.ndarray) -> int:
    """The largest class, image by image, -1 where all is to be ignored."""
    classes = (np.bincount(m.reshape(-1), minlength=IGNORE + 1)[:IGNORE] for m in masks)
    return max((int(k) for counts in classes for k in np.flatnonzero(counts)), default=-1)
