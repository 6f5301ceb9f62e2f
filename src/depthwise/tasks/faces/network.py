"""The network of faces, what it minimises, and how its pictures are varied.

    e(x) = f(x) / |f(x)|                 the embedding, a point on the unit sphere of E dimensions
    cos theta_j = e(x) . w_j / |w_j|     how near it lies to person j of the training data

    ArcFace   z_y = s cos(theta_y + m),     z_j = s cos(theta_j) of the people j other than y
    CosFace   z_y = s (cos(theta_y) - m)    and the same z_j
              L = -log( exp(z_y) / sum_k exp(z_k) )

The margin m asks that a face lie nearer to its own person
than to any other by an angle (or a cosine), so that people who were never seen lie apart too; s is
the sharpness that a softmax of cosines needs. Deng, Guo, Xue and Zafeiriou 2019, "ArcFace",
equation 3; Wang et al. 2018, "CosFace", equation 4. Where theta_y + m passes pi, cos(theta_y) -
m sin(m) goes on falling, as in ArcFace's own code.

Shapes: B batch, C channels, H W image, E embedding, K people trained on, P people enrolled.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.images.features import Backbone
from depthwise.data.pictures.augment import random_affine, random_cutout, random_shift

__all__ = ["LOSSES", "FaceNetwork", "face_augmenter", "margin_loss"]


class FaceNetwork(nn.Module):
    """Raw faces (B, C, H, W) -> logits (B, K) of the people trained on: s times the cosines.

    `gallery` (P, E): a unit embedding for each person enrolled, part of the tensors that are saved.
    """

    gallery: Tensor

    def __init__(
        self,
        backbone: Backbone,
        n_embedding: int,
        n_people: int,
        *,
        enrolled: int,
        scale: float,
        dropout: float,
    ):
        super().__init__()
        self.backbone, self.scale = backbone, scale
        linear = nn.Linear(backbone.n_embedding, n_embedding, bias=False)
        self.head = nn.Sequential(nn.Dropout(dropout), linear, nn.BatchNorm1d(n_embedding))
        self.people = nn.Parameter(0.01 * torch.randn(n_people, n_embedding))  # w, (K, E)
        self.register_buffer("gallery", torch.zeros(enrolled, n_embedding))

    def embed(self, x: Tensor) -> Tensor:
        """Unit embeddings (B, E), float32 whatever the precision of the products."""
        return functional.normalize(self.head(self.backbone(x)).float())

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * functional.linear(self.embed(x), functional.normalize(self.people))

    def representations(self, x: Tensor) -> list[Tensor]:
        """The flattened maps, bottom up; last the embedding (B, E)."""
        maps = self.backbone.features(x)
        embedded = functional.normalize(self.head(self.backbone.embed(maps[-1])).float())
        return [*(torch.flatten(made, 1) for made in maps), embedded]


def _arc(cosines: Tensor, margin: float) -> Tensor:
    """cos(theta + m), and beyond pi - m a line that falls on. (B,) -> (B,)."""
    sines = (1 - cosines**2).clamp(min=1e-6).sqrt()
    moved = cosines * math.cos(margin) - sines * math.sin(margin)
    beyond = cosines - margin * math.sin(margin)
    return torch.where(cosines > math.cos(math.pi - margin), moved, beyond)


def _additive(cosines: Tensor, margin: float) -> Tensor:
    """cos(theta) - m. (B,) -> (B,)."""
    return cosines - margin


LOSSES: dict[str, Callable[[Tensor, float], Tensor]] = {"arcface": _arc, "cosface": _additive}


def margin_loss(
    logits: Tensor, people: Tensor, *, scale: float, margin: float, kind: str, smoothing: float = 0
) -> Tensor:
    """L of a batch: logits (B, K) = s cos theta, people (B,) -> scalar."""
    logits = logits.float()
    own = logits.gather(1, people[:, None])[:, 0] / scale
    harder = logits.scatter(1, people[:, None], scale * LOSSES[kind](own, margin)[:, None])
    return functional.cross_entropy(harder, people, label_smoothing=smoothing)


def face_augmenter(input_shape: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """For aligned faces: a little turned, stretched and moved, half of them mirrored, and a square
    of a third of the side blanked. (B, C, H, W) -> the same shape and type."""
    side = min(input_shape[1:])

    def augment(batch: Tensor) -> Tensor:
        batch = random_affine(batch, degrees=8, scale=0.08, shear=0.05, shift=0.04)
        batch = random_shift(batch, max(1, side // 32), flip=True)
        return random_cutout(batch, max(1, side // 3))

    return augment
