"""Convolutional neural network: a residual network whose width is its size.

    stem     3x3 convolution, C -> w channels (large images are first reduced to at most 64 x 64)
    stage 1  residual block(s) of w channels
    stage 2  downsample to half the side, 2w channels, residual block(s)
    stage 3  downsample to half the side, 4w channels, residual block(s)
    head     average and maximum over positions, linear to K logits

Residual block: y = relu(x + f(x)), f = conv-norm-relu-conv-norm (He et al. 2016); norm is batch
normalisation, begun at zero in the last norm of f, so that every block begins as the identity
(Goyal et al. 2017). A separable block replaces each 3x3 convolution by a depthwise 3x3 and a
pointwise 1x1 (Howard et al. 2017): about a ninth of the products, but bound by memory.

Shapes: B batch, C channels, H W image, K classes, T targets, w width.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from depthwise.errors import InputError
from depthwise.layers import Standardise
from depthwise.models.networks import LONG, NetworkEstimator
from depthwise.models.supervised import Classifier, Regressor
from depthwise.settings import NONE, check_settings, one_of, setting, settings, whole
from depthwise.training.schedules import Passes

__all__ = ["CNN", "CNNNetwork", "CNNRegressor"]

STAGES = 3
LARGEST_SIDE = 64  # what the stem reduces larger images to, at most


@dataclass(frozen=True)
class Rung:
    """One size: channels of the first stage, residual blocks a stage, separable or not."""

    width: int
    blocks: int
    separable: bool = False


SIZES: dict[str, Rung] = {
    "xxs": Rung(4, 1),
    "xs": Rung(8, 1),
    "s": Rung(16, 1),
    "m": Rung(32, 1),
    "l": Rung(64, 1),
    "xl": Rung(96, 1),
}


def conv_norm(
    inputs: int, outputs: int, stride: int = 1, kernel: int = 3, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, then batch normalisation: (B, C, H, W) -> (B, C', H/s, W/s)."""
    conv = nn.Conv2d(
        inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def mixing(inputs: int, outputs: int, stride: int, separable: bool) -> nn.Sequential:
    """A 3x3 convolution with norm, or its separable form."""
    if not separable:
        return conv_norm(inputs, outputs, stride)
    return nn.Sequential(
        conv_norm(inputs, inputs, stride, groups=inputs), conv_norm(inputs, outputs, kernel=1)
    )


class ResidualBlock(nn.Module):
    """y = relu(x + f(x)); (B, C, H, W) -> the same shape."""

    def __init__(self, channels: int, separable: bool):
        super().__init__()
        self.first = mixing(channels, channels, 1, separable)
        self.second = mixing(channels, channels, 1, separable)
        last_norm = [m for m in self.second.modules() if isinstance(m, nn.BatchNorm2d)][-1]
        nn.init.zeros_(last_norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class CNNNetwork(nn.Module):
    """Raw images (B, C, H, W) -> logits (B, K)."""

    def __init__(
        self, input_shape: tuple[int, int, int], n_classes: int, rung: Rung, dropout: float
    ):
        super().__init__()
        channels, height, width = input_shape
        self.standardise = Standardise(channels, image=True)
        side, stem = min(height, width), []
        w = rung.width
        while side > LARGEST_SIDE:
            stem += [conv_norm(channels, w, stride=2), nn.ReLU()]
            channels, side = w, (side + 1) // 2
        stem += [conv_norm(channels, w), nn.ReLU()]
        self.stem = nn.Sequential(*stem)
        self.stages = nn.Sequential(*_stages(w, rung.blocks, rung.separable, side))
        self.stage_ends = [rung.blocks + stage * (rung.blocks + 2) for stage in range(STAGES)]
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * w * 2 ** (STAGES - 1), n_classes)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.stages(self.stem(self.standardise(x)))  # (B, 4w, H/4, W/4)
        return self.output(self.dropout(pooled(maps)))

    def representations(self, x: Tensor) -> list[Tensor]:
        """The maps after each stage, flattened (B, H_l), bottom up; last the pooled features
        (B, 8w) that the head sees."""
        maps, shown = self.stem(self.standardise(x)), []
        for start, end in itertools.pairwise([0, *self.stage_ends]):
            maps = self.stages[start:end](maps)
            shown.append(torch.flatten(maps, 1))
        return [*shown, pooled(maps)]


def pooled(maps: Tensor) -> Tensor:
    """Average and maximum over positions: (B, C, H, W) -> (B, 2C)."""
    return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


def _stages(width: int, blocks: int, separable: bool, side: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for stage in range(STAGES):
        channels = width * 2**stage
        if stage:
            stride = 2 if side >= 4 else 1
            layers += [mixing(channels // 2, channels, stride, separable), nn.ReLU()]
            side = (side + stride - 1) // stride
        layers += [ResidualBlock(channels, separable) for _ in range(blocks)]
    return layers


@settings
class Convolutions(NetworkEstimator):
    """The configuration that CNN and CNNRegressor share."""

    image_only: ClassVar[bool] = True
    sizes: ClassVar[dict[str, Rung]] = SIZES
    passes: ClassVar[dict[str, Passes]] = {
        "fast": Passes(2000, 12, 60, least_steps=150, easy=20),
        "paper": LONG,
    }

    epochs: float | str = setting(
        default="auto",
        doc='passes over the data; "auto" is about 2,000 steps, within 12 .. 60 passes, and 20 '
        'where the training loss falls at once; at quality "paper" 3,000, within 12 .. 100',
    )
    size: str = setting(default="s", doc='"xxs" (5 thousand weights) .. "xl" (5 million)')
    width: int | None = setting(
        default=None,
        range=whole("[1, inf)", usual=(8, 128)) | NONE,
        doc="channels of the first stage, in place of the size's",
    )
    blocks: int | None = setting(
        default=None,
        range=whole("[0, inf)", usual=(0, 3)) | NONE,
        doc="residual blocks a stage, in place of the size's",
    )
    separable: bool | None = setting(
        default=None,
        range=one_of(True, False, None),
        doc="whether convolutions are separable, in place of what the size has",
    )
    dropout: float = setting(default=0.0, doc="share of pooled features silenced in training")
    augment: str | tuple[str, ...] | None = "auto"
    lr: float = 1e-2
    label_smoothing: float = 0.05
    warm_start: bool = False

    @property
    def records_steps(self) -> bool:
        return True

    def build(self, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
        if len(input_shape) != 3:
            raise InputError(f"CNN needs images (C, H, W); got inputs of shape {input_shape}.")
        check_settings(self)
        channels, height, width = input_shape
        return CNNNetwork((channels, height, width), n_classes, self._rung(), self.dropout)

    def _rung(self) -> Rung:
        rung: Rung = super()._rung()
        width = rung.width if self.width is None else int(self.width)
        blocks = rung.blocks if self.blocks is None else int(self.blocks)
        separable = rung.separable if self.separable is None else bool(self.separable)
        return Rung(width, blocks, separable)


@settings
class CNN(Convolutions, Classifier):
    """Convolutional classifier for images (N, C, H, W), uint8 or float."""

    family: ClassVar[str] = "cnn"


class CNNRegressor(Convolutions, Regressor):
    """Convolutional regressor for images (N, C, H, W), y (N,) or (N, T).

    It minimises the squared error of the standardised targets. Parameters: as in `CNN`;
    `label_smoothing` has no meaning here. "auto" augmentation shifts: where y says where something
    is, set augment=None.
    """

    family: ClassVar[str] = "cnn_regressor"
