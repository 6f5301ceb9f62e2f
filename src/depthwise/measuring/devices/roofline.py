"""Seconds of one operator on a device that is described by its figures.

Each operator takes the time of the higher of two ceilings (Williams, Waterman, Patterson 2009,
"Roofline"), and some to start:

    seconds = max(work / reached, bytes / bandwidth) + start

    work      flops; of a convolution in 8 bits with its channels rounded up to whole `lanes`, which
              a SIMD instruction takes at once (an image of 1 channel keeps 1 lane of 4 busy)
    reached   peak * efficiency * what this kind reaches relative to a convolution (`relative`):
              a depthwise one reuses no input over channels, a matrix-vector product no weight
    bytes     activations in and out, and weights, at the precision's width
    start     overhead_us

In a "fused" runtime normalisations, activations and casts happen inside the operator before them:
they take nothing. "eager" ones start each operator by itself.
"""

from dataclasses import dataclass
from typing import Literal

from depthwise.measuring.counting import Operation
from depthwise.measuring.devices.device import Device

SCALES = {"fp32": 1.0, "bf16": 0.5, "int8": 0.25}  # bytes, relative to 32-bit floats
Bound = Literal["compute", "memory", "overhead"]


@dataclass(frozen=True)
class Share:
    """Seconds that an operator would take for its work, its bytes and its start, each alone."""

    compute: float
    memory: float
    overhead: float

    @property
    def seconds(self) -> float:
        return max(self.compute, self.memory) + self.overhead


NOTHING = Share(0.0, 0.0, 0.0)


def share(op: Operation, times: float, device: Device, precision: str) -> Share:
    """Of one operator; times: how many times the counted batch. Raises InputError where the device
    has no figure for the precision."""
    if is_free(op, device):
        return NOTHING
    moved = SCALES[precision] * (times * (op.read_bytes + op.written_bytes) + op.weight_bytes)
    reached = 1e9 * device.gflops_reached(precision) * device.relative.get(op.kind, 1.0)
    return Share(
        compute=times * op.flops * _padding(op, device, precision) / reached,
        memory=moved / (1e9 * device.bandwidth_gb_s),
        overhead=1e-6 * device.overhead_us,
    )


def is_free(op: Operation, device: Device) -> bool:
    """Views, and what a fused runtime does inside the operator before."""
    if op.kind == "view":
        return True
    alone = op.kind == "elementwise" and len(op.reads) < 2
    return device.runtime == "fused" and (op.kind == "norm" or alone)


def bound(shares: list[Share]) -> Bound:
    """What most of the seconds of several operators go to."""
    totals: dict[Bound, float] = {"compute": 0.0, "memory": 0.0, "overhead": 0.0}
    for one in shares:
        totals["compute"] += one.compute if one.compute >= one.memory else 0.0
        totals["memory"] += one.memory if one.compute < one.memory else 0.0
        totals["overhead"] += one.overhead
    return max(totals, key=lambda name: totals[name])


def _padding(op: Operation, device: Device, precision: str) -> float:
    """How much work grows when channels fill whole lanes: 4 for one channel in lanes of four."""
    if precision != "int8" or op.product is None or op.kind not in ("conv", "pointwise"):
        return 1.0
    channels = op.product.inner // op.product.area
    return -(-channels // device.lanes) * device.lanes / channels
