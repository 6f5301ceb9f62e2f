"""The convolutional encoder and decoder of a deep autoencoder, for images of any size.

    encoder   s stages: 4x4 convolution of stride 2, (C, H, W) -> (w 2^l, ceil(H/2), ceil(W/2));
              flattened, one layer of `units`, the code
    decoder   the code, `units`, the smallest maps, s transposed convolutions of stride 2, each cut
              to the height and width that its mirror stage was given

so sides need not be powers of two. A stage is left out once the smaller side is under 4. Activation
and layer normalisation (over all of a stage's maps: group normalisation with one group, Wu and He
2018) as in the dense network; none of either at the code.

Shapes: B batch, C channels, H W image, Z code, w channels of the first stage.
"""

from __future__ import annotations

import itertools
import math

from torch import Tensor, nn

from depthwise.families.autoencoder.network import layer_after

__all__ = ["conv_decoder", "conv_encoder", "map_shapes"]

STAGES = 2
SMALLEST_SIDE = 4
Shape = tuple[int, int, int]


def map_shapes(input_shape: Shape, width: int) -> list[Shape]:
    """The image's shape and each stage's maps': [(C, H, W), (w, H/2, W/2), (2w, H/4, W/4)]."""
    shapes = [input_shape]
    for stage in range(STAGES):
        _, height, side = shapes[-1]
        if min(height, side) < SMALLEST_SIDE:
            break
        shapes.append((width * 2**stage, (height + 1) // 2, (side + 1) // 2))
    return shapes


class PadToEven(nn.Module):
    """An odd side gets one more row or column of zeros: (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))


class CutTo(nn.Module):
    """The upper left of maps, (B, C, H', W') -> (B, C, H, W)."""

    def __init__(self, height: int, width: int):
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, : self.height, : self.width]


def conv_encoder(
    input_shape: Shape,
    width: int,
    units: int,
    code_size: int,
    activation: str,
    last: str,
    normalise: bool,
) -> nn.Sequential:
    """Flat visible values (B, C H W) -> codes (B, Z)."""
    shapes = map_shapes(input_shape, width)
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(itertools.pairwise(shapes)):
        layer = layer_after(nn.Conv2d(a[0], b[0], 4, 2, 1), activation, _norm(b[0], normalise))
        before = [nn.Unflatten(1, input_shape)] if i == 0 else []
        layers.append(nn.Sequential(*before, PadToEven(), *layer))
    to_units = layer_after(nn.Linear(math.prod(shapes[-1]), units), activation)
    layers.append(nn.Sequential(nn.Flatten(), *to_units))
    return nn.Sequential(*layers, layer_after(nn.Linear(units, code_size), last))


def conv_decoder(
    input_shape: Shape,
    width: int,
    units: int,
    code_size: int,
    activation: str,
    normalise: bool,
) -> nn.Sequential:
    """Codes (B, Z) -> the total input of the flat output (B, C H W)."""
    shapes = map_shapes(input_shape, width)[::-1]
    only = len(shapes) == 1  # too small an image for any stage
    layers: list[nn.Module] = [
        layer_after(nn.Linear(code_size, units), activation),
        nn.Sequential(
            *layer_after(nn.Linear(units, math.prod(shapes[0])), "linear" if only else activation),
            nn.Unflatten(1, shapes[0]),
        ),
    ]
    for i, (a, b) in enumerate(itertools.pairwise(shapes)):
        final = i == len(shapes) - 2
        up = nn.ConvTranspose2d(a[0], b[0], 4, 2, 1)
        norm = None if final else _norm(b[0], normalise)
        layer = layer_after(up, "linear" if final else activation, norm)
        _, *after = layer.children()
        layers.append(nn.Sequential(up, CutTo(b[1], b[2]), *after))
    layers.append(nn.Flatten())
    return nn.Sequential(*layers)


def _norm(channels: int, normalise: bool) -> nn.Module | None:
    return nn.GroupNorm(1, channels) if normalise else None
