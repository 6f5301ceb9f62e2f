"""Latency, throughput and memory of a network on a device, predicted from its counts.

Each operator takes the time of the higher of two ceilings (Williams, Waterman, Patterson 2009,
"Roofline"), and some to start:

    seconds = max(flops / (efficiency * peak), bytes / bandwidth) + overhead

and operators run one after another. A device that was measured (`calibration`) has, in place of
one efficiency, what each kind of operator reached at its width and number of rows, with the
overhead inside, for one thread and for all; the faster is taken, as the measurement does.

The interval is the device's `spread`, a factor either way.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from depthwise.measuring import roofline
from depthwise.measuring.counting import Counts, Operation
from depthwise.measuring.devices import Device
from depthwise.measuring.metric import Metric
from depthwise.measuring.roofline import SCALES, Bound

BATCHES = (1, 4, 16, 64, 256, 1024)
IN_CACHE_BYTES = 4e6  # weights beyond this are not all in a core's own cache


@dataclass(frozen=True)
class LayerCost:
    """What one layer takes of a run: bytes and macs of the whole batch, in the run's precision."""

    layer: str  # the module's name; "" for the network's own operators
    kind: str  # of its operator with the most work, one of counting.KINDS
    macs: int
    read_bytes: int  # of activations
    written_bytes: int
    weight_bytes: int  # of parameters and buffers
    live_bytes: int  # activations and sample alive at its peak; the weights are not in it
    seconds: float  # predicted
    bound: Bound  # what most of the seconds go to


def by_layer(
    counts: Counts,
    device: Device,
    batch: int = 1,
    precision: str | None = None,
    threads: int | None = None,
) -> list[LayerCost]:
    """The layers in order of execution; their seconds add up to predict_latency's. batch,
    precision, threads and errors: as there."""
    total, threads = _quickest(counts, device, batch, precision, threads)
    chosen, times = precision or device.precision, batch / counts.batch
    seconds = _by_operation(counts, device, times, chosen, threads)
    factor = total / sum(seconds) if sum(seconds) else 1.0
    layers: dict[str, list[tuple[Operation, float]]] = {}
    for op, spent in zip(counts.operations, seconds, strict=True):
        layers.setdefault(op.layer, []).append((op, factor * spent))
    return [_layer_cost(name, parts, device, times, chosen) for name, parts in layers.items()]


def predict_latency(
    counts: Counts,
    device: Device,
    batch: int = 1,
    precision: str | None = None,
    threads: int | None = None,
) -> Metric:
    """Time of one run of `batch` items, ms. precision: fp32, bf16 or int8, None: the device's
    own; threads: of a measured machine, None: the quicker. Raises InputError: a precision that
    the device has no figure for."""
    seconds, threads = _quickest(counts, device, batch, precision, threads)
    value = 1e3 * seconds
    return Metric(
        value,
        "ms",
        "predicted",
        low=value / device.spread,
        high=value * device.spread,
        source=_source(device),
        details={
            "p50": value,
            "p95": None,
            "p99": None,
            "batch": batch,
            "threads": threads,
            "runs": 0,
            "precision": precision or device.precision,
        },
    )


def predict_throughput(counts: Counts, device: Device, precision: str | None = None) -> Metric:
    """Items a second at the best batch of BATCHES whose memory the device has."""
    room = [b for b in BATCHES if _peak_bytes(counts, b, precision) <= 1e6 * device.memory_mb]
    rates = {b: b / seconds_of_run(counts, device, None, b, precision) for b in room or [1]}
    batch = max(rates, key=lambda b: rates[b])
    return Metric(
        rates[batch],
        "items/s",
        "predicted",
        low=rates[batch] / device.spread,
        high=rates[batch] * device.spread,
        source=_source(device),
        details={
            "batch": batch,
            "threads": _quickest(counts, device, batch, precision)[1],
            "rates": {str(b): rate for b, rate in rates.items()},
        },
    )


def predict_memory(
    counts: Counts, device: Device, batch: int = 1, precision: str | None = None
) -> Metric:
    """Peak bytes of a run of `batch` items: weights, sample, activations, and on a measured
    machine the scratch space that its convolutions are known to take."""
    value = float(_peak_bytes(counts, batch, precision, scratch=bool(device.calibration)))
    return Metric(
        value,
        "bytes",
        "predicted",
        low=value / 1.25,
        high=value * 1.25,
        source="weights and live tensors counted"
        + (", convolutions' scratch space added" if device.calibration else ""),
        details={"weight_bytes": counts.weight_bytes, "batch": batch},
    )


def seconds_of_run(
    counts: Counts,
    device: Device,
    threads: int | None = None,
    batch: int = 1,
    precision: str | None = None,
) -> float:
    """Seconds of one run of `batch` items."""
    return _quickest(counts, device, batch, precision, threads)[0]


def _quickest(
    counts: Counts, device: Device, batch: int, precision: str | None, threads: int | None = None
) -> tuple[float, int]:
    """Time of a run, and the threads it is reached with."""
    chosen, times = precision or device.precision, batch / counts.batch
    tables = device.calibration.get("threads", {})
    if tables and chosen == "fp32":
        wanted = [str(threads)] if str(threads) in tables else list(tables)
        seconds = {int(n): _calibrated_run(counts, times, tables[n], int(n)) for n in wanted}
        best = min(seconds, key=lambda n: seconds[n])
        return seconds[best], best
    shares = (roofline.share(op, times, device, chosen) for op in counts.operations)
    return sum(share.seconds for share in shares), device.cores


def _by_operation(
    counts: Counts, device: Device, times: float, precision: str, threads: int
) -> list[float]:
    """Seconds of each operator, by the road that _quickest took."""
    table = device.calibration.get("threads", {}).get(str(threads))
    if table is not None and precision == "fp32":
        footprint = counts.weight_bytes
        return [_calibrated(op, times, table, threads, footprint) for op in counts.operations]
    return [roofline.share(op, times, device, precision).seconds for op in counts.operations]


def _layer_cost(
    name: str, parts: list[tuple[Operation, float]], device: Device, times: float, precision: str
) -> LayerCost:
    def total(field: str) -> int:
        return round(times * SCALES[precision] * sum(getattr(op, field) for op, _ in parts))

    seconds = sum(spent for _, spent in parts)
    main = max((op for op, _ in parts), key=lambda op: (op.macs, op.written_bytes))
    return LayerCost(
        layer=name,
        kind=main.kind,
        macs=round(times * sum(op.macs for op, _ in parts)),
        read_bytes=total("read_bytes"),
        written_bytes=total("written_bytes"),
        weight_bytes=round(SCALES[precision] * sum(op.weight_bytes for op, _ in parts)),
        live_bytes=round(times * SCALES[precision] * max(op.live_bytes for op, _ in parts)),
        seconds=seconds,
        bound=roofline.bound([roofline.share(op, times, device, precision) for op, _ in parts]),
    )


def _calibrated_run(counts: Counts, times: float, table: dict[str, Any], threads: int) -> float:
    footprint = counts.weight_bytes
    parts = (_calibrated(op, times, table, threads, footprint) for op in counts.operations)
    return sum(parts) * float(table.get("chain", 1.0))


def _calibrated(
    op: Operation,
    times: float,
    table: dict[str, Any],
    threads: int,
    footprint: float,
) -> float:
    """Seconds of one operator on a measured machine; footprint: bytes of all weights."""
    moved = times * (op.read_bytes + op.written_bytes) + op.weight_bytes
    if op.kind == "view":
        return float(table["view_seconds"])
    if op.product is None:
        return _on_curve(table[op.kind if op.kind in table else "elementwise"], moved)
    grid = table[_road(op, times, threads)]
    product = op.product
    width = product.groups if op.kind == "depthwise" else _width(op)
    seconds = 1e-9 * times * op.flops / _on_grid(grid, width, times * product.rows)
    if op.kind == "linear" and footprint > IN_CACHE_BYTES:
        seconds = max(seconds, _fetch_seconds(op, grid, footprint))
    return max(seconds, _least_seconds(op, grid))


def _fetch_seconds(op: Operation, grid: dict[str, Any], footprint: float) -> float:
    """Time to fetch the weights from where all of them fit: as fast as the one-row product of one
    matrix of that size, which is bound by fetching 4 bytes for 2 operations."""
    bytes_a_second = 2e9 * _on_grid(grid, math.sqrt(footprint / 4), 1)
    return op.weight_bytes / bytes_a_second


def _width(op: Operation) -> float:
    assert op.product is not None
    return math.sqrt(op.product.inner * op.product.columns) / op.product.kernel


def _least_seconds(op: Operation, grid: dict[str, Any]) -> float:
    """What even the smallest operator of the grid takes: a call's overhead."""
    area = 9 if op.kind in ("conv", "depthwise") else 1
    width, rows = grid["widths"][0], grid["rows"][0]
    channels = width if op.kind == "depthwise" else width**2
    return float(2e-9 * rows * channels * area / grid["gflops"][0][0])


def _road(op: Operation, times: float, threads: int) -> str:
    """The grid that describes how PyTorch will compute this product."""
    layout = "last" if op.channels_last else "first"
    if op.kind == "linear":
        return "linear"
    if op.kind == "depthwise":
        return f"depthwise {layout}"
    road = "library" if uses_library(op, times, threads) else "native"
    return f"conv {road} {layout}" if op.kind == "conv" else f"pointwise {road}"


def uses_library(op: Operation, times: float, threads: int) -> bool:
    """ATen's rule (`use_mkldnn` in Convolution.cpp) for a 32-bit convolution of one item taken
    `times` times; strides of 1x1 convolutions are not known here and taken as 1."""
    assert op.product is not None
    many = times > 1
    if op.product.kernel == 1 and threads == 1 and times < 16:
        return False
    large = times * op.read_bytes / 4 > 20480
    return op.product.groups > 1 or op.product.kernel > 3 or many or large


def _on_grid(grid: dict[str, Any], width: float, rows: float) -> float:
    """GFLOP/s at (width, rows), linear in the logarithms, the grid's edge beyond its ends."""
    along_rows = [
        _interpolate(grid["rows"], [math.log(v) for v in row], rows) for row in grid["gflops"]
    ]
    return math.exp(_interpolate(grid["widths"], along_rows, width))


def _on_curve(curve: dict[str, Any], moved: float) -> float:
    """Seconds to move that many bytes; beyond the last point in proportion to it."""
    sizes, seconds = curve["bytes"], curve["seconds"]
    if moved > sizes[-1]:
        return float(seconds[-1] * moved / sizes[-1])
    return math.exp(_interpolate(sizes, [math.log(s) for s in seconds], moved))


def _interpolate(xs: Sequence[float], ys: Sequence[float], x: float) -> float:
    """y at x, linear between the points in log x."""
    if x <= xs[0]:
        return ys[0]
    if x >= xs[-1]:
        return ys[-1]
    i = bisect_right(xs, x)
    share = math.log(x / xs[i - 1]) / math.log(xs[i] / xs[i - 1])
    return ys[i - 1] + share * (ys[i] - ys[i - 1])


def _peak_bytes(counts: Counts, batch: int, precision: str | None, scratch: bool = False) -> float:
    times = batch / counts.batch
    live = [
        times * op.live_bytes + (_scratch(op, times) if scratch else 0) for op in counts.operations
    ]
    scale = SCALES[precision or "fp32"]
    return scale * (counts.weight_bytes + max([times * counts.sample_bytes, *live]))


def _scratch(op: Operation, times: float) -> float:
    """Bytes a convolution takes besides its tensors: the unfolded windows (native), or the
    library's own copy of images and weights."""
    if op.product is None or op.kind not in ("conv", "depthwise"):
        return 0.0
    if uses_library(op, times, 1):
        return op.weight_bytes + (0 if op.channels_last else times * op.written_bytes)
    return 4.0 * times * op.product.rows * op.product.inner


def _source(device: Device) -> str:
    if device.calibration:
        return "operators measured on this machine"
    return f"roofline, {device.gflops_reached(device.precision):,.3g} GFLOP/s reached"
