"""The interface of image backbones: raw images in, feature maps out, finest first.

    maps = backbone.features(x)          x (B, C, H, W) raw; maps[i] (B, channels[i], H/s, W/s),
                                         s = strides[i]
    backbone(x)                          (B, E): the embedding of the last map, where it was built
                                         with one
    backbone.pooled(x)                   (B, F): the embedding, and the mean of every level
    backbone.freeze(2)                   the two lowest stages learn no more; "all", or 0 for none
    backbone.description                 JSON values; `backbones.images.named.rebuild` makes the
                                         same network of them

Raw images are bytes 0..255, or floats 0..1. What the weights expect of them (scale, mean, number of
channels) is the first layer's affair, so it travels with the weights.

Shapes: B batch, C channels, H W image, E embedding.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterable, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.errors import InputError

__all__ = [
    "Backbone",
    "FixedScale",
    "Raw",
    "Shape",
    "as_times",
    "checked_shape",
    "enlarged_sides",
    "whole",
]

Shape = tuple[int, int, int]

SMALLEST, LARGEST = 1 / 64, 32  # times that an image is made larger first
LUMA = (0.299, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601
BYTES = 255.0  # a float pixel of 1 is a byte of 255


class FixedScale(nn.Module):
    """y = (x - mean) / std with the numbers that pretrained weights were learnt with; unlike
    `layers.Standardise` it is never set anew by the data. (B, C, H, W) -> the same shape."""

    mean: Tensor
    inverse_std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean)).reshape(-1, 1, 1))
        self.register_buffer("inverse_std", torch.tensor(list(std)).reciprocal().reshape(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.inverse_std


class Raw(nn.Module):
    """Raw images (B, C, H, W) -> floats 0..255 of the channels and, at least, the side wanted.

    Grey becomes colour by repetition, colour becomes grey by its luma. With `enlarge` = k the image
    is k times as high and wide (bilinear), for weights learnt on larger pictures; below 1 it is
    made smaller, halved by averages of 2 x 2 pixels first as long as k allows.
    """

    def __init__(self, channels: int, wanted: int, enlarge: float = 1):
        super().__init__()
        if channels != wanted and {channels, wanted} != {1, 3}:
            raise InputError(
                f"this backbone takes 1 or 3 channels; got images of {channels}. Convert them to "
                "grey or RGB (depthwise.load does)."
            )
        if not SMALLEST <= enlarge <= LARGEST:
            raise InputError(f"enlarge must be {SMALLEST} .. {LARGEST} times; got {enlarge!r}.")
        self.channels, self.wanted, self.enlarge = channels, wanted, enlarge

    def forward(self, x: Tensor) -> Tensor:
        x = x * BYTES if x.is_floating_point() else x.float()
        if self.channels == 1 and self.wanted == 3:
            x = x.expand(-1, 3, -1, -1)
        elif self.channels == 3 and self.wanted == 1:
            x = LUMA[0] * x[:, :1] + LUMA[1] * x[:, 1:2] + LUMA[2] * x[:, 2:]
        if self.enlarge == 1:
            return x
        size = enlarged_sides(x.shape[2:], self.enlarge)
        for _ in range(int(math.log2(1 / self.enlarge)) if self.enlarge < 1 else 0):
            x = functional.avg_pool2d(x, 2)
        return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


class Backbone(nn.Module, abc.ABC):
    """Base class of image backbones; a kind implements `features`, `stages` and `description`.

    channels: of each map; strides: pixels of the raw image from one of its positions to the next
    (below 1 where the image is enlarged first); n_embedding: E, 0 without one; keeps_statistics:
    its batch norms go on with the means and variances that they have learnt, also in training,
    because those of a small batch of a few images are worse (benchmarks/tasks/transfer_few.py).
    """

    channels: tuple[int, ...]
    strides: tuple[float, ...]
    n_embedding: int = 0
    frozen: int = 0
    keeps_statistics: bool = False

    @abc.abstractmethod
    def features(self, x: Tensor) -> list[Tensor]:
        """Raw images (B, C, H, W) -> maps (B, channels[i], H/strides[i], W/strides[i])."""

    @abc.abstractmethod
    def embed(self, last: Tensor) -> Tensor:
        """The last map -> (B, E)."""

    def levels(self, x: Tensor) -> list[Tensor]:
        """Raw images -> the maps that `pooled` takes means of; the last as in `features`."""
        return self.features(x)

    @property
    def level_channels(self) -> tuple[int, ...]:
        """Channels of `levels`."""
        return self.channels

    @abc.abstractmethod
    def stages(self) -> list[list[nn.Module]]:
        """The modules of each map, lowest first; what makes the embedding belongs to the last."""

    @property
    @abc.abstractmethod
    def description(self) -> dict[str, Any]:
        """JSON values from which `backbones.images.named.rebuild` makes the same network."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.n_embedding:
            raise InputError("this backbone was built without an embedding: embedding=True.")
        return self.embed(self.features(x)[-1])

    def pooled(self, x: Tensor) -> Tensor:
        """The embedding and the mean of every level over positions: (B, F). What is fine or local
        is told by the lower levels (Evci et al. 2022, "Head2Toe")."""
        levels = self.levels(x)
        means = [made.mean(dim=(2, 3)) for made in levels]
        return torch.cat([self.embed(levels[-1]), *means], dim=1)

    @property
    def n_pooled(self) -> int:
        """F, of a backbone with an embedding."""
        return self.n_embedding + sum(self.level_channels)

    # -- freezing -------------------------------------------------------------------------------

    def freeze(self, stages: int | str) -> None:
        """The lowest `stages` learn no more, nor do their batch norms' statistics; "all" or 0."""
        parts = self.stages()
        count = len(parts) if stages == "all" else stages
        if not isinstance(count, int) or not 0 <= count <= len(parts):
            raise InputError(f'freeze must be 0 .. {len(parts)} stages or "all"; got {stages!r}.')
        self.frozen = count
        for i, part in enumerate(parts):
            for module in part:
                module.requires_grad_(i >= count)
        self.train(self.training)

    @property
    def all_frozen(self) -> bool:
        return self.frozen == len(self.stages())

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        still = [module for part in self.stages()[: self.frozen] for module in part]
        if self.keeps_statistics:
            still += [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        for module in still:
            module.train(False)
        return self

    def learning(self) -> dict[str, Any]:
        """The part of the description that says how it goes on learning."""
        return {"frozen": self.frozen, "keeps_statistics": self.keeps_statistics}


def checked_shape(input_shape: Any) -> Shape:
    """(C, H, W) of images. Raises InputError."""
    sides = tuple(int(side) for side in input_shape)
    if len(sides) != 3 or min(sides) < 1:
        raise InputError(f"input_shape must be (C, H, W), each 1 or more; got {input_shape!r}.")
    channels, height, width = sides
    return channels, height, width


def enlarged_sides(sides: Iterable[int], enlarge: float) -> list[int]:
    """Whole pixels, at least one."""
    return [max(1, round(side * enlarge)) for side in sides]


def as_times(enlarge: Any) -> float:
    """A factor from a description; whole where it is one."""
    times = float(enlarge)
    return int(times) if times == int(times) else times


def whole(strides: Iterable[float]) -> tuple[float, ...]:
    """As whole numbers those that are."""
    return tuple(int(stride) if stride == int(stride) else stride for stride in strides)
