"""Seconds of one operator on a machine that was measured: interpolated between measured points.

A table of calibration.py holds grids (GFLOP/s by width and rows) and curves (seconds by bytes);
both are read linearly in logarithms. The road that the runtime takes picks the grid.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from depthwise.measuring.counting import Operation
from depthwise.measuring.devices.roofline import SCALES

IN_CACHE_BYTES = 4e6  # weights beyond this are not all in a core's own cache
Table = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """How a network runs: `items` of them together, counted `counted` at a time; footprint: bytes
    of all its weights, as 32-bit floats."""

    items: float
    counted: int
    precision: str
    threads: int
    footprint: float

    @property
    def times(self) -> float:
        return self.items / self.counted


def seconds(op: Operation, run: Run, table: Table) -> float:
    """Of one operator."""
    times, precision = run.times, run.precision
    if op.kind == "view" or is_fused(op, precision):
        return float(table["view_seconds"])
    scale = SCALES[precision]
    if op.product is None:
        moved = scale * (times * (op.read_bytes + op.written_bytes) + op.weight_bytes)
        return _on_curve(table[op.kind if op.kind in table else "elementwise"], moved)
    grid = table[road(op, run)]
    width = op.product.groups if op.kind == "depthwise" else _width(op)
    spent = 1e-9 * times * op.flops / _on_grid(grid, width, times * op.product.rows)
    if op.kind == "linear" and scale * run.footprint > IN_CACHE_BYTES:
        spent = max(spent, _fetch_seconds(op, grid, run.footprint))
    return max(spent, _least_seconds(op, grid))


def is_fused(op: Operation, precision: str) -> bool:
    """8-bit networks run in a compiling runtime: see roofline.is_free."""
    alone = op.kind == "elementwise" and len(op.reads) < 2
    return precision == "int8" and (op.kind == "norm" or alone)


def road(op: Operation, run: Run) -> str:
    """The grid that describes how this product is computed."""
    layout = "last" if op.channels_last else "first"
    if op.kind == "linear":
        return "linear"
    many = "batched" if run.items > 1 else "single"
    if run.precision == "int8":
        return f"{op.kind} {many}"
    if op.kind == "depthwise":
        return f"depthwise {many} {layout}"
    library = run.precision == "bf16" or uses_library(op, run.items, run.times, run.threads)
    how = "batched" if run.items > 1 else "library" if library else "native"
    if op.kind == "pointwise":  # a single image's road by the library is not measured apart
        plain = how == "library" and run.precision == "fp32"
        return f"pointwise {'native' if plain else how}"
    return f"conv {how} {layout}"


def uses_library(op: Operation, items: float, times: float, threads: int) -> bool:
    """ATen's rule (`use_mkldnn` in Convolution.cpp) for a 32-bit convolution of `items`, counted
    `times` times; strides of 1x1 convolutions are not known here and taken as 1."""
    assert op.product is not None
    many = items > 1
    if op.product.kernel == 1 and threads == 1 and items < 16:
        return False
    large = times * op.read_bytes / 4 > 20480
    return op.product.groups > 1 or op.product.kernel > 3 or many or large


def scratch_bytes(op: Operation, items: float, times: float) -> float:
    """Bytes a 32-bit convolution takes besides its tensors: the unfolded windows (native), or the
    library's own copy of images and weights."""
    if op.product is None or op.kind not in ("conv", "depthwise"):
        return 0.0
    if uses_library(op, items, times, 1):
        return op.weight_bytes + (0 if op.channels_last else times * op.written_bytes)
    return 4.0 * times * op.product.rows * op.product.inner


def _fetch_seconds(op: Operation, grid: Table, footprint: float) -> float:
    """Time to fetch the weights from where all of them fit: as fast as the one-row product of one
    matrix of that size, which is bound by fetching one number for 2 operations."""
    numbers_a_second = 0.5e9 * _on_grid(grid, math.sqrt(footprint / 4), 1)
    return op.weight_bytes / 4 / numbers_a_second


def _width(op: Operation) -> float:
    assert op.product is not None
    return math.sqrt(op.product.inner * op.product.columns) / op.product.kernel


def _least_seconds(op: Operation, grid: Table) -> float:
    """What even the smallest operator of the grid takes: a call's overhead."""
    area = 9 if op.kind in ("conv", "depthwise") else 1
    width, rows = grid["widths"][0], grid["rows"][0]
    channels = width if op.kind == "depthwise" else width**2
    return float(2e-9 * rows * channels * area / grid["gflops"][0][0])


def _on_grid(grid: Table, width: float, rows: float) -> float:
    """GFLOP/s at (width, rows), linear in the logarithms, the grid's edge beyond its ends."""
    along_rows = [
        _interpolate(grid["rows"], [math.log(v) for v in row], rows) for row in grid["gflops"]
    ]
    return math.exp(_interpolate(grid["widths"], along_rows, width))


def _on_curve(curve: Table, moved: float) -> float:
    """Seconds to move that many bytes; beyond the last point in proportion to it."""
    sizes, spent = curve["bytes"], curve["seconds"]
    if moved > sizes[-1]:
        return float(spent[-1] * moved / sizes[-1])
    return math.exp(_interpolate(sizes, [math.log(s) for s in spent], moved))


def _interpolate(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """y at x, linear between the points in log x."""
    if x <= xs[0]:
        return ys[0]
    if x >= xs[-1]:
        return ys[-1]
    i = bisect_right(xs, x)
    share = math.log(x / xs[i - 1]) / math.log(xs[i] / xs[i - 1])
    return ys[i - 1] + share * (ys[i] - ys[i - 1])
