"""A small residual network with a quick stem: four stages, the first already at half the side.

    stem      3x3, stride 2 (1 where the image is under 32 pixels), C -> w channels
    stage k   w 2^(k-1) channels, a residual block; before it, from the second on, 3x3 at stride 2

It costs a quarter of the CNN family's network of the same width, which keeps the full side in its
first stage, and sees four times as far: for faces and for detection from scratch. Blocks as in
families/cnn.py (He et al. 2016). E is w * 8 channels times the positions of the last map weighed
by one filter a channel (global depthwise convolution: Chen et al. 2018, "MobileFaceNets"), so that
an embedding knows where on the aligned image something was, which an average forgets.

| name        | w  | weights |
| ----------- | -- | ------- |
| residual-xs | 8  | 0.1 M   |
| residual-s  | 16 | 0.5 M   |
| residual-m  | 24 | 1.1 M   |
| residual-l  | 40 | 3.0 M   |

Shapes: B batch, C channels, H W image, E embedding.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.backbones.images.features import (
    Backbone,
    Raw,
    Shape,
    as_times,
    checked_shape,
    enlarged_sides,
    whole,
)
from depthwise.errors import InputError
from depthwise.families.cnn import ResidualBlock, conv_norm
from depthwise.layers import Standardise

__all__ = ["WIDTHS", "ResidualBackbone", "from_size", "rebuilt"]

WIDTHS = {"xs": 8, "s": 16, "m": 24, "l": 40}
STAGES, WIDEST = 4, 4096
SMALL_SIDE = 32  # below, the stem keeps the side


class ResidualBackbone(Backbone):
    """Raw images (B, C, H, W) -> maps of w, 2w, 4w and 8w channels at strides 2, 4, 8 and 16 (of
    images under 32 pixels half of that, and no stage makes a map of less than 2 positions)."""

    def __init__(
        self, width: int, input_shape: Shape, *, embedding: bool = False, enlarge: float = 1
    ):
        super().__init__()
        self.width, self.input_shape, self.enlarge = width, input_shape, enlarge
        channels, (height, wide) = input_shape[0], enlarged_sides(input_shape[1:], enlarge)
        self.raw = Raw(channels, channels, enlarge) if enlarge != 1 else None
        self.standardise = Standardise(channels, image=True)
        strides = _stage_strides(min(height, wide))
        blocks, inputs = [], channels
        for stage, stride in enumerate(strides):
            outputs = width * 2**stage
            reduced = [conv_norm(inputs, outputs, stride), nn.ReLU()]
            blocks.append(nn.Sequential(*reduced, ResidualBlock(outputs, separable=False)))
            height, wide, inputs = -(-height // stride), -(-wide // stride), outputs
        self.blocks = nn.ModuleList(blocks)
        self.channels = tuple(width * 2**stage for stage in range(STAGES))
        done = [math.prod(strides[: i + 1]) for i in range(STAGES)]
        self.strides = whole(step / enlarge for step in done)
        self.n_embedding = inputs if embedding else 0
        self.weigh = _global_depthwise(inputs, (height, wide)) if embedding else nn.Identity()

    def features(self, x: Tensor) -> list[Tensor]:
        x, maps = self.standardise(x if self.raw is None else self.raw(x)), []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return maps

    def embed(self, last: Tensor) -> Tensor:
        return torch.flatten(self.weigh(last), 1)

    def stages(self) -> list[list[nn.Module]]:
        parts: list[list[nn.Module]] = [[block] for block in self.blocks]
        return [*parts[:-1], [*parts[-1], self.weigh]]

    @property
    def description(self) -> dict[str, Any]:
        return {
            "kind": "residual",
            "width": self.width,
            "input_shape": list(self.input_shape),
            "embedding": bool(self.n_embedding),
            "enlarge": self.enlarge,
            **self.learning(),
        }


def from_size(size: str, input_shape: Shape, **options: Any) -> Backbone:
    """A rung of the ladder with random weights. Raises InputError for another name."""
    if size not in WIDTHS:
        known = ", ".join(f"residual-{name}" for name in WIDTHS)
        raise InputError(f"there is no backbone residual-{size}; there are {known}.")
    return ResidualBackbone(WIDTHS[size], input_shape, **options)


def rebuilt(description: dict[str, Any]) -> Backbone:
    """From a backbone's description, on any device. Raises ValueError for nonsense."""
    width = int(description["width"])
    if not 1 <= width <= WIDEST:
        raise ValueError(f"a residual network of width {width}")
    shape = checked_shape(description["input_shape"])
    embedding, enlarge = bool(description["embedding"]), as_times(description["enlarge"])
    return ResidualBackbone(width, shape, embedding=embedding, enlarge=enlarge)


def _stage_strides(side: int) -> list[int]:
    """Of the four stages, for images whose shorter side this is."""
    strides = []
    for stage in range(STAGES):
        stride = 2 if side >= (SMALL_SIDE if stage == 0 else 4) else 1
        strides.append(stride)
        side = -(-side // stride)
    return strides


def _global_depthwise(channels: int, size: tuple[int, int]) -> nn.Sequential:
    """(B, C, h, w) -> (B, C, 1, 1): each channel's own weighing of positions, then batch norm."""
    conv = nn.Conv2d(channels, channels, size, groups=channels, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))
