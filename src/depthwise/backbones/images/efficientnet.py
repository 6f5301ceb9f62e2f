"""EfficientNet-lite0: inverted residual blocks, for processors without special hardware.

    stem      3x3, stride 2, 3 -> 32 channels
    block     x + project(depthwise(expand(x)))      the sum only where the shape stays
              expand     1x1, c -> e c channels      (absent where e = 1)
              depthwise  k x k, one filter a channel, stride s
              project    1x1, e c -> c' channels, no activation after it
    head      1x1, 320 -> 1280 channels, then the mean over positions
    output    linear, 1280 -> 1000 classes of ImageNet

Every convolution has no bias and is followed by batch normalisation (eps 1e-3) and, but for
`project`, by ReLU6: y = min(max(x, 0), 6). Inverted residuals: Sandler et al. 2018, "MobileNetV2".
The table of stages: Tan and Le 2019, "EfficientNet", table 1. The lite variant, by the same
authors' group (2020), leaves out squeeze-and-excite, takes ReLU6 for swish and never scales stem
and head, which integer hardware asked for. Padding is TensorFlow's "same": the output has
ceil(side / stride) positions, and what must be added is added evenly, the odd one below and right.

Shapes: B batch, C channels, H W image, E embedding, K classes.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.images.features import Backbone, FixedScale, Raw, Shape, whole

__all__ = ["NAMES", "EfficientNetLite", "name_in_file"]


class Stage(NamedTuple):
    """Several blocks: e, c', how many, stride of the first, k."""

    expansion: int
    channels: int
    blocks: int
    stride: int
    kernel: int


STAGES = (
    Stage(1, 16, 1, 1, 3),
    Stage(6, 24, 2, 2, 3),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2, 3),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1, 3),
)
STEM, HEAD, IMAGENET_CLASSES = 32, 1280, 1000
MAP_STAGES = (2, 3, 5, 7)  # the last stages before each halving: maps at strides 4, 8, 16, 32
STRIDES = (4, 8, 16, 32)
EPSILON = 1e-3  # of the batch norms
MEAN, STD = 127.0, 128.0  # of pixels 0..255, as the weights were learnt
NAMES = ("efficientnet-lite0",)


class SamePad(nn.Module):
    """What a convolution of this kernel and stride needs round its input: zeros, so that the
    output has ceil(side / stride) positions. (B, C, H, W) -> (B, C, H + p, W + q)."""

    def __init__(self, kernel: int, stride: int):
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        high, wide = (self._needed(int(side)) for side in x.shape[2:])
        return functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))

    def _needed(self, side: int) -> int:
        positions = -(-side // self.stride)
        return max(0, (positions - 1) * self.stride + self.kernel - side)

    def extra_repr(self) -> str:
        return f"kernel={self.kernel}, stride={self.stride}"


def conv_norm(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Sequential:
    """Convolution, batch norm and, with `act`, ReLU6."""
    around = kernel // 2 if stride == 1 else 0  # at stride 1 "same" is the symmetric padding
    conv = nn.Conv2d(inputs, outputs, kernel, stride, around, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    layers: dict[str, nn.Module] = {"pad": SamePad(kernel, stride)} if stride > 1 else {}
    layers |= {"conv": conv, "norm": nn.BatchNorm2d(outputs, eps=EPSILON)}
    layers |= {"act": nn.ReLU6()} if act else {}
    return nn.Sequential(OrderedDict(layers))


class InvertedResidual(nn.Module):
    """(B, c, H, W) -> (B, c', H/s, W/s)."""

    def __init__(self, inputs: int, stage: Stage, stride: int):
        super().__init__()
        wide = inputs * stage.expansion
        self.expand = conv_norm(inputs, wide, 1) if stage.expansion > 1 else nn.Identity()
        self.depthwise = conv_norm(wide, wide, stage.kernel, stride, groups=wide)
        self.project = conv_norm(wide, stage.channels, 1, act=False)
        self.has_sum = stride == 1 and inputs == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.has_sum else y


class EfficientNetLite(Backbone):
    """Raw images (B, C, H, W), C 1 or 3 -> maps of 24, 40, 112 and 320 channels at strides 4, 8,
    16 and 32; E = 1280.

    With `classes` it also has the output layer: `classify` gives logits of ImageNet.
    """

    def __init__(
        self,
        input_shape: Shape,
        *,
        embedding: bool = False,
        enlarge: float = 1,
        classes: bool = False,
    ):
        super().__init__()
        self.input_shape, self.enlarge = tuple(input_shape), enlarge
        self.raw = Raw(input_shape[0], 3, enlarge)
        self.scale = FixedScale([MEAN] * 3, [STD] * 3)
        self.stem = conv_norm(3, STEM, 3, stride=2)
        channels, blocks = STEM, []
        for stage in STAGES:
            for i in range(stage.blocks):
                blocks.append(InvertedResidual(channels, stage, stage.stride if i == 0 else 1))
                channels = stage.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = conv_norm(channels, HEAD, 1) if embedding or classes else nn.Identity()
        self.output = nn.Linear(HEAD, IMAGENET_CLASSES) if classes else nn.Identity()
        self.channels = tuple(STAGES[last - 1].channels for last in MAP_STAGES)
        self.strides = whole(step / enlarge for step in STRIDES)
        self.n_embedding = HEAD if embedding or classes else 0

    def features(self, x: Tensor) -> list[Tensor]:
        x, maps, done = self.stem(self.scale(self.raw(x))), [], 0
        for end in _block_ends():
            x, done = self.blocks[done:end](x), end
            maps.append(x)
        return maps

    def levels(self, x: Tensor) -> list[Tensor]:
        """The stem's map and that of every stage: 8."""
        maps, done = [self.stem(self.scale(self.raw(x)))], 0
        for end in _block_ends(range(1, len(STAGES) + 1)):
            maps.append(self.blocks[done:end](maps[-1]))
            done = end
        return maps

    @property
    def level_channels(self) -> tuple[int, ...]:
        return (STEM, *(stage.channels for stage in STAGES))

    def embed(self, last: Tensor) -> Tensor:
        return self.head(last).mean(dim=(2, 3))

    def classify(self, x: Tensor) -> Tensor:
        """Logits of ImageNet's classes (B, 1000)."""
        logits: Tensor = self.output(self(x))
        return logits

    def stages(self) -> list[list[nn.Module]]:
        starts = [0, *_block_ends()]
        blocks: list[nn.Module] = list(self.blocks)
        parts = [blocks[start:end] for start, end in itertools.pairwise(starts)]
        return [[self.stem, *parts[0]], *parts[1:-1], [*parts[-1], self.head, self.output]]

    @property
    def description(self) -> dict[str, Any]:
        return {
            "kind": "efficientnet-lite",
            "name": NAMES[0],
            "input_shape": list(self.input_shape),
            "embedding": bool(self.n_embedding),
            "enlarge": self.enlarge,
            **self.learning(),
        }


def _block_ends(stages: Iterable[int] = MAP_STAGES) -> list[int]:
    """How many blocks lie below the ends of these stages: by default of each map's."""
    return [sum(stage.blocks for stage in STAGES[:last]) for last in stages]


def name_in_file(name: str) -> str:
    """Our name of a tensor -> its name in the published file of weights:

    stem.norm.bias -> _bn0.bias, blocks.3.expand.conv.weight -> _blocks.3._expand_conv.weight, ...
    """
    if name.startswith("output."):
        return f"_fc.{name.removeprefix('output.')}"
    *above, part, layer, tensor = name.split(".")
    block = f"_blocks.{above[1]}." if above else ""
    return f"{block}{THEIR_NAMES[part][layer]}.{tensor}"


THEIR_NAMES = {
    "stem": {"conv": "_conv_stem", "norm": "_bn0"},
    "expand": {"conv": "_expand_conv", "norm": "_bn0"},
    "depthwise": {"conv": "_depthwise_conv", "norm": "_bn1"},
    "project": {"conv": "_project_conv", "norm": "_bn2"},
    "head": {"conv": "_conv_head", "norm": "_bn1"},
}
