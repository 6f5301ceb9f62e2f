"""Latency, throughput and memory of a network on a device, predicted from its counts.

A described device takes the sum of its operators' rooflines (devices/roofline.py). A device that
was measured (`calibration`) has tables, by precision and threads: what each kind of operator
reached at its width and number of rows (devices/operators.py), corrected by what networks took
(devices/corrections.py); the quicker number of threads is taken, as the measurement does.

The interval: of a described device its `spread`, a factor either way; of a measured one the factor
that nine in ten of the networks left out were predicted within.
"""

from dataclasses import dataclass
from typing import Any

from depthwise.measuring.counting import Counts, Operation
from depthwise.measuring.devices import corrections, roofline
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.operators import scratch_bytes
from depthwise.measuring.devices.roofline import SCALES, Bound
from depthwise.measuring.metric import Metric
from depthwise.measuring.schedule import plan

BATCHES = (1, 4, 16, 64, 256, 1024)
ITEM_BYTES = {"fp32": None, "bf16": 2, "int8": 1}  # of one activation
PLANNED = (
    2000  # operators whose order is searched; an answer of more, token by token, keeps its own
)


@dataclass(frozen=True)
class LayerCost:
    """What one layer takes of a run: bytes and macs of the whole batch, in the run's precision."""

    layer: str  # the module's name; "" for the network's own operators
    kind: str  # of its operator with the most work, one of operations.KINDS
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
    value, spread = 1e3 * seconds, _spread(device, precision, threads)
    return Metric(
        value,
        "ms",
        "predicted",
        low=value / spread,
        high=value * spread,
        source=_source(device, precision),
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
    chosen = precision or device.precision
    room = [b for b in BATCHES if _peak_bytes(counts, b, chosen) <= 1e6 * device.memory_mb]
    rates = {b: b / seconds_of_run(counts, device, None, b, precision) for b in room or [1]}
    batch = max(rates, key=lambda b: rates[b])
    threads = _quickest(counts, device, batch, precision)[1]
    spread = _spread(device, precision, threads)
    return Metric(
        rates[batch],
        "items/s",
        "predicted",
        low=rates[batch] / spread,
        high=rates[batch] * spread,
        source=_source(device, precision),
        details={
            "batch": batch,
            "threads": threads,
            "rates": {str(b): rate for b, rate in rates.items()},
        },
    )


def predict_memory(
    counts: Counts, device: Device, batch: int = 1, precision: str | None = None
) -> Metric:
    """Peak bytes of a run of `batch` items: weights, sample and activations; in a fused runtime
    those of the best order of execution (schedule.py), on a measured machine also the scratch
    space that its convolutions are known to take. details: weight_bytes, batch, exact: whether
    the order is surely the best (None: as executed). precision: None, the device's own."""
    chosen = precision or device.precision
    weight_bytes = round(SCALES[chosen] * counts.weight_bytes)
    planned = device.runtime == "fused" and bool(counts.storages)
    planned &= len(counts.operations) <= PLANNED
    exact, source = None, "weights and live tensors counted"
    if planned:
        best = plan(counts, ITEM_BYTES[chosen])
        value = weight_bytes + best.peak_bytes * batch / counts.batch
        exact, source = best.exact, "weights, and live tensors in the best order of execution"
    else:
        value = float(_peak_bytes(counts, batch, chosen, scratch=bool(device.calibration)))
        source += ", convolutions' scratch space added" if device.calibration else ""
    return Metric(
        value,
        "bytes",
        "predicted",
        low=value / 1.25,
        high=value * 1.25,
        source=source,
        details={"weight_bytes": weight_bytes, "batch": batch, "exact": exact},
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
    chosen = precision or device.precision
    tables = _tables(device, chosen)
    if tables:
        wanted = [str(threads)] if str(threads) in tables else list(tables)
        seconds = {
            int(n): corrections.run_seconds(counts, batch, tables[n], chosen, int(n))
            for n in wanted
        }
        best = min(seconds, key=lambda n: seconds[n])
        return seconds[best], best
    times = batch / counts.batch
    shares = (roofline.share(op, times, device, chosen) for op in counts.operations)
    return sum(share.seconds for share in shares), device.cores


def _tables(device: Device, precision: str) -> dict[str, Any]:
    """What was measured in that precision on this machine, by threads; else nothing."""
    found: dict[str, Any] = device.calibration.get("tables", {}).get(precision, {})
    return found


def _spread(device: Device, precision: str | None, threads: int) -> float:
    """The factor either way within which predictions are right."""
    table = _tables(device, precision or device.precision).get(str(threads), {})
    return float(table.get("spread", device.spread))


def _by_operation(
    counts: Counts, device: Device, times: float, precision: str, threads: int
) -> list[float]:
    """Seconds of each operator, by the road that _quickest took."""
    table = _tables(device, precision).get(str(threads))
    if table is not None:
        batch = times * counts.batch
        return corrections.by_operator(counts, batch, table, precision, threads)
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


def _peak_bytes(counts: Counts, batch: int, precision: str | None, scratch: bool = False) -> float:
    times = batch / counts.batch
    live = [
        times * op.live_bytes + (scratch_bytes(op, batch, times) if scratch else 0)
        for op in counts.operations
    ]
    scale = SCALES[precision or "fp32"]
    return scale * (counts.weight_bytes + max([times * counts.sample_bytes, *live]))


def _source(device: Device, precision: str | None) -> str:
    chosen = precision or device.precision
    if _tables(device, chosen):
        return "operators measured on this machine, corrected by networks measured on it"
    return f"roofline, {device.gflops_reached(chosen):,.3g} GFLOP/s reached"
