"""The detector's network: a backbone, a feature pyramid, and one head for all of its levels.

    maps C_l at strides s_l            of the backbone; a further level is a 3x3 convolution of the
                                       one before, at stride 2
    P_l = conv3x3(W_l C_l + up(P_l+1)) the pyramid: what is large is told to what is fine
                                       (Lin et al. 2017, "Feature Pyramid Networks")
    d, z = head(P_l)                   two towers of 3x3 convolutions, then d (4,) and z (K,) at
                                       each position

Nothing is anchored: position (i, j) of level l stands for the point p = ((i + 1/2) s, (j + 1/2) s)
of the picture and answers with the distances from there to the four sides of a box,

    left, top = p - 2 s exp(d1, d2)      right, bottom = p + 2 s exp(d3, d4)

so that a network that has learnt nothing says boxes of four strides (FCOS: Tian et al. 2019). The
towers' convolutions are shared by the levels, their batch norms are not, because what an object
looks like is the same on all, and how strong its features are is not (RTMDet: Lyu et al. 2022).

Pictures of any size: right and bottom are repeated to a multiple of the largest stride.

Shapes: B batch, C channels, H W image, F width of the pyramid, L levels, A positions of all levels,
K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.images.features import Backbone
from depthwise.errors import InputError

__all__ = ["DetectionNetwork", "positions", "repeated", "strides_for"]

SMALL_SIDE = 96  # pixels of the shorter side, below which the finest level is at stride 4
PRIOR = 0.01  # probability of each class at each position before anything is learnt
FARTHEST = 6.0  # largest d: 400 strides


class DetectionNetwork(nn.Module):
    """Raw images (B, C, H, W) -> (B, A, 4 + K): box left, top, right, bottom in pixels of the
    image, and a logit a class. Positions level by level, finest first, row by row."""

    def __init__(self, backbone: Backbone, n_classes: int, *, width: int, depth: int):
        super().__init__()
        self.backbone = backbone
        self.strides = strides_for(min(backbone.description["input_shape"][1:]))
        self.used = _maps_at(backbone, self.strides)
        channels = [backbone.channels[place] for place in self.used]
        self.pyramid = Pyramid(channels, width, len(self.strides))
        self.head = Head(width, depth, len(self.strides), n_classes)

    def forward(self, x: Tensor) -> Tensor:
        levels = self.levels(x)
        answers = []
        for number, (level, stride) in enumerate(zip(levels, self.strides, strict=True)):
            d, z = self.head(level, number)
            answers.append(decoded(d, z, stride))
        return torch.cat(answers, dim=1)

    def levels(self, x: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> the pyramid's maps (B, F, H/s, W/s), finest first."""
        maps = self.backbone.features(repeated(x, self.strides[-1]))
        levels: list[Tensor] = self.pyramid([maps[place] for place in self.used])
        return levels

    def representations(self, x: Tensor) -> list[Tensor]:
        """The pyramid's levels, flattened, finest first."""
        return [torch.flatten(level, 1) for level in self.levels(x)]


class Pyramid(nn.Module):
    """Maps of the backbone, finest first -> L levels (B, F, H/s, W/s)."""

    def __init__(self, channels: Sequence[int], width: int, n_levels: int):
        super().__init__()
        self.lateral = nn.ModuleList(_conv_norm(c, width, 1) for c in channels)
        self.smooth = nn.ModuleList(_conv_norm(width, width, 3) for _ in channels)
        self.further = nn.ModuleList(
            _conv_norm(width, width, 3, stride=2) for _ in range(n_levels - len(channels))
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        same = [lateral(found) for lateral, found in zip(self.lateral, maps, strict=True)]
        for fine in range(len(same) - 2, -1, -1):
            same[fine] = same[fine] + functional.interpolate(same[fine + 1], scale_factor=2)
        levels = [smooth(found) for smooth, found in zip(self.smooth, same, strict=True)]
        for further in self.further:
            levels.append(further(levels[-1]))
        return levels


class Head(nn.Module):
    """A level (B, F, h, w) -> d (B, 4, h, w) and z (B, K, h, w)."""

    def __init__(self, width: int, depth: int, n_levels: int, n_classes: int):
        super().__init__()
        self.box_tower = Tower(width, depth, n_levels)
        self.class_tower = Tower(width, depth, n_levels)
        self.sides = nn.Conv2d(width, 4, 1)
        self.classes = nn.Conv2d(width, n_classes, 1)
        for layer in (self.sides, self.classes):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(self.sides.bias)  # type: ignore[arg-type]
        nn.init.constant_(self.classes.bias, -math.log(1 / PRIOR - 1))  # type: ignore[arg-type]

    def forward(self, level: Tensor, number: int) -> tuple[Tensor, Tensor]:
        return (
            self.sides(self.box_tower(level, number)),
            self.classes(self.class_tower(level, number)),
        )


class Tower(nn.Module):
    """`depth` 3x3 convolutions that all levels share, each level with batch norms of its own."""

    def __init__(self, width: int, depth: int, n_levels: int):
        super().__init__()
        self.convs = nn.ModuleList(_conv(width, width, 3) for _ in range(depth))
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(width) for _ in range(depth)) for _ in range(n_levels)
        )

    def forward(self, x: Tensor, number: int) -> Tensor:
        norms: nn.ModuleList = self.norms[number]  # type: ignore[assignment]
        for conv, norm in zip(self.convs, norms, strict=True):
            x = functional.relu(norm(conv(x)))
        return x


# -- where it looks -------------------------------------------------------------------------------


def strides_for(side: int) -> tuple[int, ...]:
    """The levels' strides for pictures whose shorter side this is, in pixels."""
    return (4, 8, 16) if side < SMALL_SIDE else (8, 16, 32)


def positions(size: tuple[int, int], strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Of pictures of (H, W): the points (A, 2), x and y in pixels, and the stride of each (A,)."""
    high, wide = (-(-side // strides[-1]) * strides[-1] for side in size)
    points = [_points(high // stride, wide // stride, stride) for stride in strides]
    of_each = [torch.full((len(p),), float(s)) for p, s in zip(points, strides, strict=True)]
    return torch.cat(points), torch.cat(of_each)


def decoded(d: Tensor, z: Tensor, stride: int) -> Tensor:
    """d (B, 4, h, w) and z (B, K, h, w) of one level -> (B, h w, 4 + K), in float32."""
    points = _points(d.shape[2], d.shape[3], stride).to(d.device)
    reach = 2 * stride * d.flatten(2).transpose(1, 2).float().clamp(max=FARTHEST).exp()
    logits = z.flatten(2).transpose(1, 2).float()
    return torch.cat([points - reach[..., :2], points + reach[..., 2:], logits], dim=2)


def repeated(x: Tensor, multiple: int) -> Tensor:
    """(B, C, H, W) -> the same with its last row and column repeated, to multiples."""
    below, beside = (-side % multiple for side in x.shape[2:])
    if below:
        x = torch.cat([x, x[:, :, -1:].expand(-1, -1, below, -1)], dim=2)
    if beside:
        x = torch.cat([x, x[:, :, :, -1:].expand(-1, -1, -1, beside)], dim=3)
    return x


def _points(high: int, wide: int, stride: int) -> Tensor:
    """(h w, 2), row by row."""
    down, across = torch.meshgrid(torch.arange(high), torch.arange(wide), indexing="ij")
    return (torch.stack([across, down], dim=-1).reshape(-1, 2) + 0.5) * stride


def _maps_at(backbone: Backbone, strides: Sequence[int]) -> list[int]:
    """Which of the backbone's maps the levels start from: those at the finest strides."""
    places = [backbone.strides.index(stride) for stride in strides if stride in backbone.strides]
    if not places or backbone.strides[places[0]] != strides[0]:
        raise InputError(
            f"this backbone has maps at strides {', '.join(map(str, backbone.strides))}, and a "
            f"detector needs one at {strides[0]} for pictures of this size. Take another backbone, "
            "such as residual-s or efficientnet-lite0."
        )
    return places


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm and ReLU; without the ReLU where it only changes the channels."""
    conv = [_conv(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*conv, *([nn.ReLU()] if kernel > 1 else []))
