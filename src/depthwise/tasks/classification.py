"""Image classification that starts from what a backbone knows already.

    z = W n(e(x)) + b        e: the backbone's embedding (B, E), n: each of its E standardised

With `freeze="all"` n(e(x)) is computed once for every image and only W and b are learnt, from zero,
which takes seconds; with fewer frozen stages the backbone is adapted too, at a share of the
learning rate, and n is a batch norm. With few images the first is hard to beat: Kornblith, Shlens
and Le 2019, "Do Better ImageNet Models Transfer Better?".

Shapes: N images, B batch, C channels, H W image, E embedding, K classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.backbones.features import Backbone
from depthwise.backbones.once import SeesOnce
from depthwise.backbones.standing import OnBackbone
from depthwise.errors import InputError
from depthwise.networks import NetworkClassifier
from depthwise.settings import settings
from depthwise.updates import Recipe

__all__ = ["ImageClassifier"]

ALONE_BATCH, ALONE_EPOCHS = 128, 30


class BackboneClassifier(nn.Module):
    """Raw images (B, C, H, W) -> logits (B, K)."""

    def __init__(self, backbone: Backbone, n_classes: int, dropout: float):
        super().__init__()
        self.backbone = backbone
        self.norm = nn.BatchNorm1d(backbone.n_embedding, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(backbone.n_embedding, n_classes)
        nn.init.zeros_(self.output.weight)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(self.norm(self.backbone(x))))
        return logits

    @torch.no_grad()
    def standardise(self, embedded: Tensor) -> None:
        """Set n by these embeddings (N, E), once."""
        if not int(self.norm.num_batches_tracked):  # type: ignore[arg-type]
            self.norm.running_mean.copy_(embedded.mean(dim=0))  # type: ignore[union-attr]
            self.norm.running_var.copy_(embedded.var(dim=0, correction=0))  # type: ignore[union-attr]
            self.norm.num_batches_tracked.fill_(1)  # type: ignore[union-attr]

    def representations(self, x: Tensor) -> list[Tensor]:
        """The flattened maps, finest first; last the embedding (B, E)."""
        maps = self.backbone.features(x)
        flat = [torch.flatten(made, 1) for made in maps]
        return [*flat, self.backbone.embed(maps[-1])]


@settings
class ImageClassifier(SeesOnce, OnBackbone, NetworkClassifier):
    """Labels of images (N, C, H, W), uint8 or floats 0..1, on a backbone that was learnt before.

    Parameters (unit, sensible range)
    ---------------------------------
    backbone : "efficientnet-lite0" (extra `backbones`), a folder of a saved CNN, or another of
        backbones/named.py.
    freeze : "all" learns the output layer only; 0 .. 4 lowest stages adapt the rest.
    backbone_rate : learning rate of what is adapted, as a share of `lr`, 0.01 .. 1.
    enlarge : how many times larger images are made first, 1 .. 8; "auto" brings small ones to 128
        pixels a side at least, where the backbone has been learnt before.
    dropout : share of the embedding silenced in training, 0 .. 0.7.
    augment : as in `CNN`; has no meaning with freeze="all", where each image is seen once.
    epochs, batch_size, lr, optimizer, schedule, weight_decay, clip_norm, average, patience,
    label_smoothing, validation_fraction, warm_start, random_state, device, precision, threads,
    verbose : as in `DNN`.
    """

    family: ClassVar[str] = "image-classifier"
    tasks: ClassVar[tuple[str, ...]] = ("transfer",)

    backbone: str = "efficientnet-lite0"
    freeze: int | str = "all"
    enlarge: int | str = "auto"
    dropout: float = 0.5
    augment: str | tuple[str, ...] | None = "auto"
    label_smoothing: float = 0.05
    warm_start: bool = False

    def stand(self, below: Backbone, n_outputs: int) -> nn.Module:
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be in [0, 1); got {self.dropout!r}.")
        return BackboneClassifier(below, n_outputs, self.dropout)

    def recipe(self, items: int, **changes: Any) -> Recipe:
        """Frozen, it is one layer: larger batches, fewer passes."""
        made = super().recipe(items, **changes)
        if self.freeze != "all":
            return made
        size = min(items, ALONE_BATCH) if self.batch_size == "auto" else made.batch_size
        epochs = ALONE_EPOCHS if self.epochs == "auto" else made.epochs
        return replace(made, **{"batch_size": size, "epochs": epochs, **changes})

    # -- learning the output layer only -----------------------------------------------------------

    def _seen(self, images: np.ndarray) -> np.ndarray:
        """n(e(x)), (N, C, H, W) -> (N, E); the first images ever embedded set n."""
        whole: Any = self.network_
        embedded = self._rows(images, lambda n, x: n(x), whole.backbone)
        whole.standardise(embedded)
        with torch.inference_mode():
            found: np.ndarray = whole.norm.eval()(embedded).numpy()
        return found

    def _head(self, network: Any) -> nn.Module:
        """The output layer, from standardised embeddings (B, E)."""
        return nn.Sequential(network.dropout, network.output)
