"""What each kind of operator really reaches on this machine, measured in a few seconds.

A processor's peak says little about a 3x3 convolution of 16 channels. So every kind of matrix
product is timed over a small grid of

    width = sqrt(channels in * channels out)        rows = output positions * batch

and what it reached, in GFLOP/s, is kept; operators.py interpolates between the points (in
logarithms). Operators that only move bytes are timed over sizes. All times are the quickest of
several short bursts, which other work on the machine disturbs least, and include what a module's
call costs in Python. One thread is timed by its own clock, which stands still while it waits for a
core; with several threads the quickest single run counts, since on a busy machine most runs wait.

A convolution of PyTorch on a processor takes one of two roads (`use_mkldnn` in ATen's
Convolution.cpp): its own im2col product ("native"), or the vendor library ("library"); each has
its own grid, and in bfloat16 there is only the library. Batches have grids of their own
("batched"), and the layout of the images (channels first or last) matters too. Integers of 8 bits
run in ONNX Runtime: calibration_int8.py.

    {"conv native first": {"widths": [...], "rows": [...], "gflops": [[...], ...]}, ...
     "elementwise": {"bytes": [...], "seconds": [...]}, ..., "view_seconds": ...}

An operator inside a network runs slower or faster than one repeated alone, whose code and data are
all in the nearest cache: corrections.py fits that to networks.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.measuring.speed import using_threads

BURST_SECONDS = 0.0008
BURSTS = 4
POINT_SECONDS = 0.012  # one point's share of the time, threads that wait for each other included
MOST_FLOPS = 1e9  # of one point; a larger one reaches what the last one did
Grid = dict[str, Any]
Clock = Callable[[], float]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def operators(threads: int, precision: str = "fp32") -> dict[str, Any]:
    """Every grid and curve with that many threads, of eager PyTorch in fp32 or bf16."""
    dtype = DTYPES[precision]
    table: dict[str, Any] = {}
    with using_threads(threads), torch.inference_mode():
        for layout in ("first", "last"):
            table |= {f"{road} {layout}": g for road, g in _spatial(layout, dtype).items()}
        table |= _pointwise(dtype)
        table["linear"] = _linear_grid(dtype)
        table |= _curves(dtype)
        small = torch.ones(4, 4)
        table["view_seconds"] = quickest(lambda: small.flatten(1), clock=own_clock())
    return table


BETTER: dict[str, Callable[..., Any]] = {"gflops": np.maximum, "seconds": np.minimum}


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The quicker of two measurements, point by point."""
    both: dict[str, Any] = {}
    for key, value in one.items():
        if isinstance(value, dict):
            both[key] = merged(value, other[key])
        elif key.rpartition("_")[2] in BETTER:
            both[key] = BETTER[key.rpartition("_")[2]](value, other[key]).tolist()
        else:
            both[key] = value
    return both


def own_clock() -> Clock:
    """The thread's own clock where there is one thread, else that on the wall."""
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def quickest(
    run: Callable[[], object],
    bursts: int = BURSTS,
    limit_seconds: float = POINT_SECONDS,
    clock: Clock = time.perf_counter,
) -> float:
    """Seconds of one run by the clock: the least of a few short bursts' medians, or with several
    threads of all runs. At least one run after a first one, and little more than limit_seconds."""
    run()
    of_burst = statistics.median if torch.get_num_threads() == 1 else min
    end = time.perf_counter() + limit_seconds
    best = of_burst(_burst(run, clock))
    for _ in range(bursts - 1):
        if time.perf_counter() > end:
            break
        best = min(best, of_burst(_burst(run, clock)))
    return float(best)


def _burst(run: Callable[[], object], clock: Clock) -> list[float]:
    """Seconds of single runs, for about BURST_SECONDS."""
    times: list[float] = []
    before = clock()
    end = before + BURST_SECONDS
    while before < end or not times:
        run()
        now = clock()
        times.append(now - before)
        before = now
    return times


def _spatial(layout: str, dtype: torch.dtype) -> dict[str, Grid]:
    """3x3 convolutions, full and depthwise, by road."""
    roads = {
        "conv batched": _conv_grid(3, layout, dtype, (4, 16, 48, 128), (7, 14, 28), batch=8),
        "depthwise single": _depthwise_grid(layout, dtype, batch=1),
        "depthwise batched": _depthwise_grid(layout, dtype, batch=8),
    }
    if dtype is torch.float32:
        roads["conv native"] = _conv_grid(3, layout, dtype, (4, 8, 16, 24, 64, 128), (4, 8, 14, 28))
        roads["conv library"] = _conv_grid(3, layout, dtype, (32, 64, 128), (14, 28, 56))
    else:
        roads["conv library"] = _conv_grid(3, layout, dtype, (4, 16, 48, 128), (7, 14, 28, 56))
    return roads


def _pointwise(dtype: torch.dtype) -> dict[str, Grid]:
    widths, sides = (4, 16, 64, 256), (7, 14, 28)
    batched = _conv_grid(1, "first", dtype, widths, sides, batch=16)
    single = _conv_grid(1, "first", dtype, widths, (4, *sides))
    road = "pointwise native" if dtype is torch.float32 else "pointwise library"
    return {road: single, "pointwise batched": batched}


def _conv_grid(
    kernel: int,
    layout: str,
    dtype: torch.dtype,
    widths: Sequence[int],
    sides: Sequence[int],
    batch: int = 1,
) -> Grid:
    """Square convolutions of `batch` images."""

    def gflops(width: int, side: int) -> float | None:
        flops = 2 * batch * side**2 * width**2 * kernel**2
        if flops > MOST_FLOPS:
            return None
        x = _images(batch, width, side, layout, dtype)
        conv = nn.Conv2d(width, width, kernel, padding=kernel // 2, bias=False, dtype=dtype)
        return 1e-9 * flops / _seconds(conv, x, layout)

    return grid(widths, sides, gflops, [batch * side * side for side in sides])


def _depthwise_grid(layout: str, dtype: torch.dtype, batch: int) -> Grid:
    def gflops(width: int, side: int) -> float:
        conv = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False, dtype=dtype)
        x = _images(batch, width, side, layout, dtype)
        return 2e-9 * batch * side**2 * width * 9 / _seconds(conv, x, layout)

    sides = (7, 14, 28)
    return grid((8, 32, 128), sides, gflops, [batch * side * side for side in sides])


def grid(
    widths: Sequence[int],
    sides: Sequence[int],
    gflops: Callable[[int, int], float | None],
    rows: Sequence[int],
) -> Grid:
    """A table over widths and sides; a point of None is that before it in its row."""
    table = []
    for width in widths:
        row: list[float] = []
        for side in sides:
            found = gflops(width, side)
            row.append(row[-1] if found is None else found)
        table.append(row)
    return {
        "widths": list(widths),
        "rows": list(rows),
        "gflops": table,
    }


def _linear_grid(dtype: torch.dtype) -> Grid:
    def gflops(width: int, n: int) -> float | None:
        if n * width > 200_000:
            return None
        layer, x = nn.Linear(width, width, dtype=dtype), torch.randn(n, width).to(dtype)
        clock = own_clock()
        seconds = quickest(lambda: layer(x), bursts=8, limit_seconds=0.03, clock=clock)
        return 2e-9 * n * width**2 / seconds

    rows = (1, 8, 64)
    return grid((16, 64, 256, 512, 1024, 2048, 3072), rows, gflops, rows)


def _curves(dtype: torch.dtype) -> dict[str, Any]:
    norm = nn.BatchNorm2d(16).to(dtype).eval()
    return {
        "elementwise": _curve(torch.relu, 2, dtype),
        "norm": _curve(norm, 2, dtype),
        "pool": _curve(nn.MaxPool2d(2), 1.25, dtype),
        "reduction": _curve(lambda x: x.mean((2, 3)), 1, dtype),
    }


def _curve(
    layer: Callable[[Tensor], Tensor], traffic: float, dtype: torch.dtype
) -> dict[str, list[float]]:
    """Seconds by bytes moved; traffic: bytes moved over bytes of the input."""
    sizes = (16, 64, 256, 1024, 4096, 32768, 131072)  # positions of 16 channels
    images = [torch.randn(1, 16, n // 4, 4).to(dtype) for n in sizes]
    clock = own_clock()
    return {
        "bytes": [traffic * x.nbytes for x in images],
        "seconds": [quickest(lambda x=x: layer(x), clock=clock) for x in images],  # type: ignore[misc]
    }


def _seconds(layer: nn.Module, x: Tensor, layout: str) -> float:
    if layout == "last":
        layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return quickest(lambda: layer(x), clock=own_clock())


def _images(batch: int, width: int, side: int, layout: str, dtype: torch.dtype) -> Tensor:
    x = torch.randn(batch, width, side, side).to(dtype)
    return x.contiguous(memory_format=torch.channels_last) if layout == "last" else x
