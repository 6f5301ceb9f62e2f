"""The small networks to whose times the predictor is fitted (corrections.py).

Chains of the layers that networks are made of, so that each runs in eager PyTorch and, as integer
operators, in ONNX Runtime: plain and separable convolutions of several widths, and dense layers.
None is a network of the library's ladder, which predictions are checked on.
"""

import copy
import itertools
from collections.abc import Callable, Sequence

import torch
from torch import nn

from depthwise.measuring.counting import count
from depthwise.measuring.devices.calibration import DTYPES, own_clock, quickest
from depthwise.measuring.devices.calibration_int8 import session
from depthwise.measuring.devices.corrections import Measured
from depthwise.measuring.speed import using_threads

BATCHES = (1, 32)
BURSTS, SECONDS = 6, 0.06
Chain = tuple[nn.Sequential, tuple[int, ...]]


def chains() -> dict[str, Chain]:
    """Name -> (network, shape of one item)."""
    found: dict[str, Chain] = {}
    for width in (6, 12, 20, 40, 72):
        found[f"plain {width}"] = (convolutions(3, width, _plain), (3, 28, 28))
    for width in (12, 24, 48):
        found[f"separable {width}"] = (convolutions(3, width, _separable), (3, 32, 32))
    for widths in ((784, 48, 24), (784, 200, 200, 100), (640, 512, 512), (3072, 1536, 768)):
        found[f"dense {widths[1]}"] = (dense(*widths), (widths[0],))
    return found


def convolutions(channels: int, width: int, brick: Callable[..., list[nn.Module]]) -> nn.Sequential:
    """Five bricks in three stages, the width doubling as the side halves, and a linear head."""
    layers = _plain(channels, width)
    for before, after, stride in ((1, 1, 1), (1, 2, 2), (2, 2, 1), (2, 4, 2), (4, 4, 1)):
        layers += brick(before * width, after * width, stride)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10)]
    return nn.Sequential(*layers, *head).eval()


def dense(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10)).eval()


def _plain(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return [conv, nn.BatchNorm2d(after), nn.ReLU()]


def _separable(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    across = nn.Conv2d(before, before, 3, stride, 1, groups=before, bias=False)
    mix = nn.Conv2d(before, after, 1, bias=False)
    return [across, nn.BatchNorm2d(before), mix, nn.BatchNorm2d(after), nn.ReLU()]


def measured(precision: str, threads: int) -> list[Measured]:
    """Every chain timed at every batch, with that many threads."""
    runs = []
    for name, (network, shape) in chains().items():
        counts = count(network, torch.zeros(1, *shape))
        for batch in BATCHES:
            seconds = _seconds(network, (batch, *shape), precision, threads)
            runs.append(Measured(name, counts, batch, seconds))
    return runs


def _seconds(network: nn.Sequential, shape: Sequence[int], precision: str, threads: int) -> float:
    with using_threads(threads), torch.inference_mode():
        if precision == "int8":
            run = session([*network], tuple(shape), threads)
        else:
            placed = copy.deepcopy(network).to(DTYPES[precision])
            x = torch.rand(*shape).to(DTYPES[precision])
            run = lambda: placed(x)  # noqa: E731
        return quickest(run, BURSTS, SECONDS, own_clock())
