"""A U-Net: a backbone's maps on the way down, and on the way up each of them joined again.

    maps m_1 .. m_L = backbone.features(x)           finest first, at strides s_1 < ... < s_L
    d_L = g_L(m_L)                                   1x1, to at most `widest` channels
    d_l = g_l([up(d_(l+1)), m_l])                    3x3 over the coarser map, enlarged, and m_l
    d_0 = g_0([up(d_1), f(x)])                       only where s_1 > 2: f is a 3x3 at stride 2, for
                                                     what is thinner than a position of m_1
    logits = up(W d)                                 1x1 at the finest stride, then to H x W

Each g and f is a convolution with batch norm and ReLU; `up` is bilinear. Ronneberger, Fischer and
Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation"; one convolution a
level in place of two, because the encoder has convolutions enough. Nothing looks at the whole
image at once (no pooling over all positions), so a part of an image is answered as in the whole,
but for a margin: what tiling rests on.

Images whose sides are no multiple of the coarsest stride are continued by their last row and
column until they are, and the answer is cut back: the grid of each map begins at the image's corner
whatever its size.

Shapes: B batch, C channels, H W image, K classes.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.images.features import Backbone
from depthwise.families.cnn import conv_norm
from depthwise.layers import Standardise

__all__ = ["UNet", "continued", "depthwise_in_float32"]

FINE_STRIDE = 2  # of the logits, at most
FINE_CHANNELS = 16


class Fine(nn.Module):
    """f: raw images (B, C, H, W) -> (B, 16, H/2, W/2)."""

    def __init__(self, channels: int):
        super().__init__()
        self.standardise = Standardise(channels, image=True)
        self.conv = conv_norm(channels, FINE_CHANNELS, FINE_STRIDE)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv(self.standardise(x)))


class Join(nn.Module):
    """g: the coarser map (B, c, h, w) and a finer one (B, c', h', w') -> (B, outputs, h', w')."""

    def __init__(self, coarse: int, fine: int, outputs: int):
        super().__init__()
        self.conv = conv_norm(coarse + fine, outputs)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        joined = torch.cat([enlarged(coarse, fine.shape[2:]), fine], dim=1)
        return functional.relu(self.conv(joined))


class UNet(nn.Module):
    """Raw images (B, C, H, W) of any size -> logits (B, K, H, W).

    A level has as many channels as the map it joins, but at most `widest`.
    """

    def __init__(self, below: Backbone, n_classes: int, widest: int, dropout: float = 0.0):
        super().__init__()
        self.backbone = below
        self.multiple = max(1, math.ceil(max(below.strides)))
        inputs = int(below.description["input_shape"][0])
        self.fine = Fine(inputs) if below.strides[0] > FINE_STRIDE else None
        skips = [*([FINE_CHANNELS] if self.fine else []), *below.channels]
        outputs = [min(channels, widest) for channels in skips]
        self.deepest = nn.Sequential(conv_norm(skips[-1], outputs[-1], kernel=1), nn.ReLU())
        self.joins = nn.ModuleList(
            Join(coarse, skip, out)
            for (out, coarse), skip in zip(itertools.pairwise(outputs), skips, strict=False)
        )
        self.dropout = nn.Dropout2d(dropout)
        self.output = nn.Conv2d(outputs[0], n_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = continued(x, self.multiple)
        logits = self.output(self.dropout(self.decoded(x)[-1]))
        return enlarged(logits, x.shape[2:])[:, :, :height, :width]

    def decoded(self, x: Tensor) -> list[Tensor]:
        """d_L .. d_1 or d_0, coarsest first, of images whose sides fit."""
        maps = self.backbone.features(x)
        if self.fine is not None:
            maps = [self.fine(x), *maps]
        made = [self.deepest(maps[-1])]
        for level in reversed(range(len(self.joins))):
            made.append(self.joins[level](made[-1], maps[level]))
        return made

    def representations(self, x: Tensor) -> list[Tensor]:
        """The flattened maps of the way up, coarsest first: (B, c h w) each."""
        return [torch.flatten(made, 1) for made in self.decoded(continued(x, self.multiple))]


def enlarged(maps: Tensor, size: torch.Size) -> Tensor:
    """(B, c, h, w) -> (B, c, *size), bilinear; itself where it has that size."""
    if maps.shape[2:] == size:
        return maps
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


def continued(x: Tensor, multiple: int) -> Tensor:
    """(B, C, H, W) of any dtype with sides that are multiples: the last row and column repeated."""
    down, right = (-int(side) % multiple for side in x.shape[2:])
    if right:
        x = torch.cat([x, x[:, :, :, -1:].expand(-1, -1, -1, right)], dim=3)
    if down:
        x = torch.cat([x, x[:, :, -1:].expand(-1, -1, down, -1)], dim=2)
    return x


@contextlib.contextmanager
def depthwise_in_float32(network: nn.Module) -> Iterator[None]:
    """Inside, the network's depthwise convolutions compute in float32, under autocast too.

    They multiply little and move much, so that a narrower type gains them nothing; and oneDNN's
    gradient of their weights, of 5 x 5 in bfloat16 and channels-last order, takes three to five
    times as long as in float32 (torch 2.13 on a processor with AVX-512 BF16: 20 against 4 ms of
    672 channels at 12 x 16, batch 4). A step of a U-Net on EfficientNet-lite0 takes 0.21 s for
    0.37.
    """
    narrow: list[Any] = []

    def before(module: Any, inputs: tuple[Tensor]) -> tuple[Tensor]:
        plain = torch.autocast(inputs[0].device.type, enabled=False)
        plain.__enter__()
        narrow.append(plain)
        return (inputs[0].to(module.weight.dtype),)

    def after(module: nn.Module, inputs: Any, output: Any) -> None:
        narrow.pop().__exit__(None, None, None)

    hooks: list[Any] = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            hooks.append(module.register_forward_pre_hook(before))
            hooks.append(module.register_forward_hook(after, always_call=True))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
