"""A described device's figures, corrected by the times of networks that were really run there.

Figures theta = (efficiency, relative depthwise, relative linear, overhead) are multiplied by
exp(x), and x is the most probable correction given the times t_i (maximum a posteriori):

    min_x  sum_i (log predicted_i(x) - log t_i)^2 / noise^2  +  sum_k x_k^2 / doubt_k^2

Each figure starts from what the device says of it and moves as far as its doubt allows and the
times ask for: three networks are enough, since a figure that they say nothing of stays where it
is. Power, where energies are given too, is
the geometric mean of energy over time (inside one device it
varies little: 121.5 to 135 mW over four networks on one chip, MLPerf Tiny v1.2).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from depthwise.errors import InputError
from depthwise.measuring.counting import Counts
from depthwise.measuring.devices.device import Device
from depthwise.measuring.predict import seconds_of_run

NOISE = 0.1  # runtimes differ by some 10% from the model, whatever its figures
DOUBT = {"efficiency": 3.0, "depthwise": 0.25, "linear": 0.25, "overhead_us": 0.5}


@dataclass(frozen=True)
class Timed:
    """A network that was run on a device: seconds an item at batch 1, joules where known."""

    counts: Counts
    seconds: float
    joules: float | None = None


def fitted(
    device: Device,
    timed: Sequence[Timed],
    precision: str | None = None,
    doubt: Mapping[str, float] = DOUBT,
    noise: float = NOISE,
) -> Device:
    """The device with efficiency, relative, overhead_us (and busy_watts, where energies are known)
    that explain the times. doubt: how far a figure may be off, as a standard deviation of its
    logarithm; noise: how far a time may be off, likewise. Raises InputError: no times, or one
    that is not above 0."""
    if not timed or not all(t.seconds > 0 for t in timed):
        raise InputError(f"timed must hold runs of more than 0 seconds; got {len(timed)} runs.")
    from scipy.optimize import least_squares

    chosen = precision or device.precision
    names = list(doubt)
    target = np.log([t.seconds for t in timed])

    def residuals(x: np.ndarray) -> np.ndarray:
        trial = corrected(device, dict(zip(names, x, strict=True)), chosen)
        found = np.log([seconds_of_run(t.counts, trial, precision=chosen) for t in timed])
        return np.concatenate([(found - target) / noise, x / np.array([*doubt.values()])])

    best = least_squares(residuals, np.zeros(len(names))).x
    return _with_power(corrected(device, dict(zip(names, best, strict=True)), chosen), timed)


def corrected(device: Device, logs: Mapping[str, float], precision: str) -> Device:
    """The device with figures multiplied by exp of `logs`; an efficiency stays within its 1."""
    efficiency = device.gflops_reached(precision) / device.peaks[precision]
    better = min(1.0, efficiency * math.exp(logs.get("efficiency", 0.0)))
    share = "efficiency_int8" if precision == "int8" else "efficiency"
    relative = dict(device.relative)
    for kind in ("depthwise", "linear"):
        if kind in logs:
            relative[kind] = relative.get(kind, 1.0) * math.exp(logs[kind])
    overhead = device.overhead_us * math.exp(logs.get("overhead_us", 0.0))
    changes = {share: better, "relative": relative, "overhead_us": overhead}
    return replace(device, **changes)  # type: ignore[arg-type]


def _with_power(device: Device, timed: Sequence[Timed]) -> Device:
    watts = [t.joules / t.seconds for t in timed if t.joules is not None]
    if not watts:
        return device
    return replace(device, busy_watts=math.exp(sum(map(math.log, watts)) / len(watts)))
