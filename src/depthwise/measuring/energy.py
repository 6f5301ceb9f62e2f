"""Energy an item: read from the machine's counters where there are any, else predicted.

    measured    (counter's joules over a window - idle watts * seconds) / items, a window of at
                least a second (energy_counters.py says which counters). They count everything
                that runs meanwhile.
    predicted   by power and time:           E = watts under load * seconds an item
                by operations and bytes:     operation_energy.py

Inside one device the power of different networks differs little (MLPerf Tiny: 121.5 to 135 mW over
four networks on one chip), so that power and a *measured* time give the better figure: 2% off in
the middle of 16 published ones, operations and bytes 11%. Where the time is predicted too (7%), the
value is the geometric mean of both ways (9%, and the smallest largest error: 20%;
benchmarks/costs/energy_ways.py). The interval always spans both, each with its own doubt: of the
time, and a factor for what is known of the power. Where the power is unknown, operations and bytes
are all there is.

Every figure says in `details` what it is: `kind` ("counter", "gauge" or "estimate"), `scope` (what
the joules are of), `window_seconds`, `idle_subtracted`. What is measured and what is predicted are
never added up or averaged. Memory and the rest of the board are not added by guess: the scope is
what the counter, or the device's busy_watts, covers.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from depthwise.measuring.devices.device import Device
from depthwise.measuring.energy_counters import Counter
from depthwise.measuring.metric import Metric
from depthwise.measuring.operation_energy import (
    DRAM_FACTOR,
    device_factor,
    layer_energies,
)
from depthwise.measuring.predict import LayerCost

FACTORS = {"A": 1.15, "B": 1.4, "C": 2.0}  # how far the power may be off, by confidence
OPERATIONS_FACTOR = 1.4  # how far operations and bytes may be off where the power is known


@dataclass(frozen=True)
class Way:
    """One way to a prediction: mJ an item, its interval, and a line on where it is from."""

    value: float
    low: float
    high: float
    source: str


def predict_energy(
    device: Device,
    latency: Metric,
    items: int = 1,
    power_share: float = 1.0,
    layers: Sequence[LayerCost] | None = None,
) -> Metric:
    """mJ an item of a run of `items` items. latency: the time of the run; power_share: the part of
    the device's power that it draws (threads / cores on this machine); layers: what each layer of
    the run does (predict.by_layer), None: by power and time alone."""
    ways: dict[str, Way] = {}
    if device.busy_watts is not None:
        ways["power x time"] = _by_power(device, latency, items, power_share)
    if layers:
        precision = latency.details.get("precision") or device.precision
        ways["operations and bytes"] = _by_operations(
            device, layers, precision, latency, items, power_share
        )
    if not ways:
        return _unknown(device)
    value = _settled(ways, latency)
    return Metric(
        value,
        "mJ",
        "predicted",
        low=min(way.low for way in ways.values()),
        high=max(way.high for way in ways.values()),
        source="; ".join(way.source for way in ways.values()),
        details={
            "kind": "estimate",
            "scope": f"{device.name}, as its busy_watts" if device.busy_watts else device.name,
            "window_seconds": None,
            "idle_subtracted": False,
            "items_per_charge": items_per_charge(device, value),
            "watts": None if device.busy_watts is None else device.busy_watts * power_share,
            "ways": {name: way.value for name, way in ways.items()},
        },
    )


def _settled(ways: dict[str, Way], latency: Metric) -> float:
    """The better way where one is better, else the geometric mean."""
    if latency.how == "measured" and "power x time" in ways:
        return ways["power x time"].value
    return math.prod(way.value for way in ways.values()) ** (1 / len(ways))


def _by_power(device: Device, latency: Metric, items: int, power_share: float) -> Way:
    assert device.busy_watts is not None
    watts = device.busy_watts * power_share
    factor = FACTORS[device.confidence("busy_watts")]
    return Way(
        watts * latency.value / items,
        watts * (latency.low or latency.value) / items / factor,
        watts * (latency.high or latency.value) / items * factor,
        f"{watts:.3g} W x time; power: {_why(device)}",
    )


def _by_operations(
    device: Device,
    layers: Sequence[LayerCost],
    precision: str,
    latency: Metric,
    items: int,
    power_share: float,
) -> Way:
    spent = layer_energies(layers, device, precision, power_share)
    arithmetic = sum(energy.arithmetic_mj for energy in spent) / items
    moved = sum(energy.bytes_mj for energy in spent) / items
    idle = device.idle_watts * power_share * latency.value / items
    factor, known = device_factor(device, precision), device.busy_watts is not None
    doubt = OPERATIONS_FACTOR * FACTORS[device.confidence("busy_watts")] if known else 1.0
    low = arithmetic * factor.low / factor.value / doubt + moved / DRAM_FACTOR + idle
    high = arithmetic * factor.high / factor.value * doubt + moved * DRAM_FACTOR + idle
    source = (
        f"operations and bytes (Horowitz 2014, 45 nm) x {factor.value:.3g}, {factor.source}"
        f", and {device.idle_watts * power_share:.3g} W idle"
    )
    return Way(arithmetic + moved + idle, low, high, source)


def _unknown(device: Device) -> Metric:
    return Metric(
        float("nan"),
        "mJ",
        "predicted",
        source=f"the power of {device.name} is unknown; give busy_watts in a TOML file",
        details={"kind": "estimate", "items_per_charge": None, "watts": None, "ways": {}},
    )


def measure_energy(
    run: Callable[[], Any],
    device: Device,
    counter: Counter,
    *,
    items: int = 1,
    window_seconds: float | None = None,
    idle_seconds: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
    rest: Callable[[float], Any] = time.sleep,
) -> Metric:
    """mJ an item of `run`, which handles `items`; idle power is taken first and subtracted.
    window_seconds, idle_seconds: None is what the counter needs, and half of it. The interval: idle
    power counted whole (high), and half as much again taken off (low); a step of the counter more
    and less."""
    window = counter.window_seconds if window_seconds is None else window_seconds
    start, begin = clock(), counter.joules()
    rest(window / 2 if idle_seconds is None else idle_seconds)
    idle_watts = (counter.joules() - begin) / max(clock() - start, 1e-9)
    runs, start, begin = 0, clock(), counter.joules()
    while clock() - start < window:
        run()
        runs += 1
    joules, seconds = counter.joules() - begin, clock() - start
    done, step = runs * items, counter.step_joules
    active = max(0.0, joules - idle_watts * seconds)
    value = 1e3 * active / done
    return Metric(
        value,
        "mJ",
        "measured",
        low=1e3 * max(0.0, joules - step - 1.5 * idle_watts * seconds) / done,
        high=1e3 * (joules + step) / done,
        source=f"{counter.scope}, {seconds:.1f} s, idle power subtracted",
        details={
            "kind": counter.kind,
            "scope": counter.scope,
            "window_seconds": seconds,
            "idle_subtracted": True,
            "items_per_charge": items_per_charge(device, value),
            "watts": active / seconds,
            "idle_watts": idle_watts,
            "runs": runs,
        },
    )


def items_per_charge(device: Device, millijoules: float) -> float | None:
    """Items one full battery pays for, the network alone; None without a battery."""
    if device.battery_wh is None or not millijoules > 0:
        return None
    return device.battery_wh * 3600e3 / millijoules


def _why(device: Device) -> str:
    confidence, where = device.sources.get("busy_watts", ["C", "assumed"])
    return f"{where} ({confidence})"
