"""What each kind of operator really reaches on this machine, measured in a few seconds.

A processor's peak says little about a 3x3 convolution of 16 channels. So every kind of matrix
product is timed over a small grid of

    width = sqrt(channels in * channels out)        rows = output positions * batch

and what it reached, in GFLOP/s, is kept; predict.py interpolates between the points (in
logarithms). Operators that only move bytes are timed over sizes. All times are the quickest of
several short bursts, which other work on the machine disturbs least, and include what a module's
call costs in Python. With several threads the quickest single run counts: on a busy machine most
runs wait for a core, and only a few show what the operator takes.

An operator inside a network runs a little slower than one repeated alone, whose code and data are
all in the nearest cache: "chain" is the factor by which a small reference network was slower.

A convolution of PyTorch on a processor takes one of two roads (`use_mkldnn` in ATen's
Convolution.cpp): its own im2col product ("native"), or the vendor library ("library"); each has
its own grid. The layout of the images (channels first or last) matters too.

    {"1": {"conv native first": {"widths": [...], "rows": [...], "gflops": [[...], ...]}, ...
           "elementwise": {"bytes": [...], "seconds": [...]}, ...,
           "view_seconds": ..., "chain": ...}, "2": {...}}
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.measuring.counting import Counts, count
from depthwise.measuring.speed import timed, using_threads

BURST_SECONDS = 0.0008
BURSTS = 4
POINT_SECONDS = 0.012  # one point's share of the time, threads that wait for each other included
Grid = dict[str, Any]


def calibrate(threads: list[int]) -> dict[str, Any]:
    """Every grid and curve, by number of threads (as text, since JSON's keys are)."""
    return {str(n): _at(n) for n in threads}


def quickest(
    run: Callable[[], object], bursts: int = BURSTS, limit_seconds: float = POINT_SECONDS
) -> float:
    """Seconds of one run: the least of a few short bursts' medians, or with several threads of
    all runs. At least one run after a first one, and little more than limit_seconds."""

    def once() -> None:
        run()

    once()
    of_burst = statistics.median if torch.get_num_threads() == 1 else min
    end = time.perf_counter() + limit_seconds
    best = of_burst(timed(once, BURST_SECONDS, least=1))
    for _ in range(bursts - 1):
        if time.perf_counter() > end:
            break
        best = min(best, of_burst(timed(once, BURST_SECONDS, least=1)))
    return best


def _at(threads: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    with using_threads(threads), torch.inference_mode():
        for layout in ("first", "last"):
            table[f"conv native {layout}"] = _conv_grid(
                3, layout, (4, 8, 16, 24, 64), (4, 8, 14, 28)
            )
            table[f"conv library {layout}"] = _conv_grid(
                3, layout, (4, 16, 24, 48, 128), (7, 14, 28, 56), library=True
            )
            table[f"depthwise {layout}"] = _depthwise_grid(layout)
        table["pointwise native"] = _conv_grid(1, "first", (4, 16, 64, 256), (4, 8, 14, 28))
        table["pointwise library"] = _conv_grid(
            1, "last", (4, 16, 64, 256), (7, 14, 28), library=True
        )
        table["linear"] = _linear_grid()
        table["elementwise"] = _curve(nn.ReLU(), 2)
        table["norm"] = _curve(nn.BatchNorm2d(16).eval(), 2)
        table["pool"] = _curve(nn.MaxPool2d(2), 1.25)
        table["reduction"] = _curve(nn.AdaptiveAvgPool2d(1), 1)
        small = torch.ones(4, 4)
        table["view_seconds"] = quickest(lambda: small.flatten(1))
    return table


def _conv_grid(
    kernel: int, layout: str, widths: tuple[int, ...], sides: tuple[int, ...], library: bool = False
) -> Grid:
    """Square convolutions of one image, or of two where that forces the library's road."""

    def gflops(width: int, side: int) -> float:
        batch = 2 if library and width * side * side <= 20480 else 1
        x = _images(batch, width, side, layout)
        conv = nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False)
        return 2e-9 * batch * side**2 * width**2 * kernel**2 / _seconds(conv, x, layout)

    return _grid(widths, sides, gflops)


def _depthwise_grid(layout: str) -> Grid:
    def gflops(width: int, side: int) -> float:
        conv = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        x = _images(1, width, side, layout)
        return 2e-9 * side**2 * width * 9 / _seconds(conv, x, layout)

    return _grid((8, 32, 128), (7, 14, 28, 56), gflops)


def _grid(
    widths: tuple[int, ...], sides: tuple[int, ...], gflops: Callable[[int, int], float]
) -> Grid:
    return {
        "widths": list(widths),
        "rows": [side * side for side in sides],
        "gflops": [[gflops(width, side) for side in sides] for width in widths],
    }


def _linear_grid() -> Grid:
    widths, rows = (16, 64, 256, 512, 1024, 2048, 3072), (1, 8, 64)

    def gflops(width: int, n: int) -> float:
        layer, x = nn.Linear(width, width), torch.randn(n, width)
        return 2e-9 * n * width**2 / quickest(lambda: layer(x), bursts=8, limit_seconds=0.03)

    table = [[gflops(width, n) for n in rows if n * width < 100_000] for width in widths]
    full = [row + row[-1:] * (len(rows) - len(row)) for row in table]
    return {"widths": list(widths), "rows": list(rows), "gflops": full}


def _curve(layer: nn.Module, traffic: float) -> dict[str, list[float]]:
    """Seconds by bytes moved; traffic: bytes moved over bytes of the input."""
    sizes = (16, 64, 256, 1024, 4096, 32768)  # positions of 16 channels
    images = [torch.randn(1, 16, n // 4, 4) for n in sizes]
    return {
        "bytes": [traffic * x.nbytes for x in images],
        "seconds": [quickest(lambda x=x: layer(x)) for x in images],  # type: ignore[misc]
    }


def _seconds(layer: nn.Module, x: Tensor, layout: str) -> float:
    if layout == "last":
        layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return quickest(lambda: layer(x))


def _images(batch: int, width: int, side: int, layout: str) -> Tensor:
    x = torch.randn(batch, width, side, side)
    return x.contiguous(memory_format=torch.channels_last) if layout == "last" else x


def chain_factor(predicted: Callable[[Counts], float], threads: int) -> float:
    """How much slower small networks run than `predicted`, the sum of their operators' seconds."""
    ratios = []
    for network, side in ((_reference(20), 26), (_reference(40), 12), (_reference(10), 18)):
        x = torch.randn(1, 3, side, side)
        counts = count(network, x)
        with using_threads(threads), torch.inference_mode():
            seconds = min(quickest(lambda n=network, x=x: n(x)) for _ in range(3))  # type: ignore[misc]
        ratios.append(seconds / predicted(counts))
    return min(1.5, max(1.0, statistics.median(ratios)))


def _reference(width: int) -> nn.Module:
    """Plain, strided and 1x1 convolutions with their normalisation, a pool and a linear layer."""
    sizes = [(3, width, 3, 1), (width, width, 3, 1), (width, 2 * width, 3, 2)]
    sizes += [(2 * width, 2 * width, 3, 1), (2 * width, 3 * width, 1, 1)]
    layers: list[nn.Module] = []
    for before, after, kernel, stride in sizes:
        conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        layers += [conv, nn.BatchNorm2d(after), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3 * width, 10)]
    return nn.Sequential(*layers, *head).eval()
