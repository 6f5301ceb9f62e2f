"""The four reference networks of MLPerf Tiny, from their published shapes, weights at random.

Banbury et al. 2021, "MLPerf Tiny Benchmark", and the training scripts of github.com/mlcommons/tiny:

    name          task                             input         classes     parameters        macs
    resnet-8      image classification, CIFAR-10   (3, 32, 32)        10         78,666  12,501,632
    mobilenet     visual wake words, COCO          (3, 96, 96)         2        221,794   7,489,664
    ds-cnn        key words, Speech Commands       (1, 49, 10)        12         24,908   2,656,768
    autoencoder   anomalous sounds, ToyADMOS       (640,)              -        269,992     264,192

Parameters as Keras counts them: running means and variances of the batch normalisations included.
Windows are padded as TensorFlow's "same" does, at the end where it cannot be even. They are
a yardstick: their latency and energy are published for many boards (mlperf_tiny.py).

Shapes: B batch, C channels, H W image, D features.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["REFERENCES", "Reference", "keras_parameters"]

MOBILENET = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)] + [(128, 1)] * 5
MOBILENET += [(256, 2), (256, 1)]  # (channels, stride) of each separable block


class Block(nn.Module):
    """relu(f(x) + skip(x)), f = conv-norm-relu-conv-norm: (B, C, H, W) -> (B, C', H/s, W/s)."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(*_conv(before, after, stride), *_conv(after, after)[:-1])
        same = before == after and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(before, after, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def resnet_8() -> nn.Module:
    """(B, 3, 32, 32) -> (B, 10)."""
    blocks = [Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)]
    head = [nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1)]
    return nn.Sequential(*_conv(3, 16), *blocks, *head)


def mobilenet() -> nn.Module:
    """MobileNetV1, a quarter as wide (Howard et al. 2017): (B, 3, 96, 96) -> (B, 2)."""
    layers, before = _conv(3, 8, 2), 8
    for after, stride in MOBILENET:
        layers += [*_conv(before, before, stride, groups=before), *_conv(before, after, kernel=1)]
        before = after
    return nn.Sequential(*layers, nn.AvgPool2d(3), nn.Flatten(), nn.Linear(256, 2), nn.Softmax(1))


def ds_cnn() -> nn.Module:
    """Depthwise separable network for key words (Zhang et al. 2017): (B, 1, 49, 10) -> (B, 12)."""
    first = nn.Conv2d(1, 64, (10, 4), 2)
    layers = [nn.ZeroPad2d((1, 1, 4, 5)), first, nn.BatchNorm2d(64), nn.ReLU(), nn.Dropout(0.2)]
    for _ in range(4):
        layers += [*_conv(64, 64, groups=64), *_conv(64, 64, kernel=1)]
    head = [nn.Dropout(0.4), nn.AvgPool2d((25, 5)), nn.Flatten(), nn.Linear(64, 12), nn.Softmax(1)]
    return nn.Sequential(*layers, *head)


def autoencoder() -> nn.Module:
    """(B, 640) -> (B, 640), through 8 units."""
    widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 640))


def _conv(
    before: int, after: int, stride: int = 1, kernel: int = 3, groups: int = 1
) -> list[nn.Module]:
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups)
    return [conv, nn.BatchNorm2d(after), nn.ReLU()]


@dataclass(frozen=True)
class Reference:
    """One network and what is published of it."""

    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    parameters: int
    macs: int


REFERENCES: dict[str, Reference] = {
    "resnet-8": Reference(resnet_8, (3, 32, 32), 78_666, 12_501_632),
    "mobilenet": Reference(mobilenet, (3, 96, 96), 221_794, 7_489_664),
    "ds-cnn": Reference(ds_cnn, (1, 49, 10), 24_908, 2_656_768),
    "autoencoder": Reference(autoencoder, (640,), 269_992, 264_192),
}


def keras_parameters(network: nn.Module) -> int:
    """Weights and running statistics, as Keras' summary adds them up."""
    running = [b for name, b in network.named_buffers() if "running" in name]
    return sum(t.numel() for t in [*network.parameters(), *running])
