"""Energy an item: read from the machine's counters where there are any, else power x time.

    measured    (counter's joules over a window - idle watts * seconds) / items, a window of at
                least a second; RAPL (Linux, /sys/class/powercap, often readable by root only)
                counts the processor's packages, NVML a GPU. Both count everything that runs.
    predicted   watts under load * seconds an item; inside one device the power of different
                networks differs little (MLPerf Tiny: 121.5 to 135 mW over four networks on one
                chip). Interval: that of the time, times a factor for what is known of the power.

Memory and the rest of the board are not added by guess: the scope is what the counter, or the
device's busy_watts, covers.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from depthwise.measuring.devices import Device
from depthwise.measuring.metric import Metric

POWERCAP = Path("/sys/class/powercap")
WINDOW_SECONDS = 1.0
IDLE_SECONDS = 0.5
FACTORS = {"A": 1.15, "B": 1.4, "C": 2.0}  # how far the power may be off, by confidence


class Counter(Protocol):
    """Joules since some moment; `scope` says of what."""

    scope: str

    def joules(self) -> float: ...


def predict_energy(
    device: Device, latency: Metric, items: int = 1, power_share: float = 1.0
) -> Metric:
    """mJ an item from the time of one run of `items` items. power_share: the part of the device's
    busy power that the run draws (threads / cores on this machine)."""
    if device.busy_watts is None:
        return Metric(
            float("nan"),
            "mJ",
            "predicted",
            source=f"the power of {device.name} is unknown; give busy_watts in a TOML file",
            details={"items_per_charge": None, "watts": None},
        )
    watts = device.busy_watts * power_share
    factor = FACTORS[device.confidence("busy_watts")]
    value = watts * latency.value / items
    return Metric(
        value,
        "mJ",
        "predicted",
        low=watts * (latency.low or latency.value) / items / factor,
        high=watts * (latency.high or latency.value) / items * factor,
        source=f"{watts:.3g} W x time; power: {_why(device)}",
        details={"items_per_charge": items_per_charge(device, value), "watts": watts},
    )


def measure_energy(
    run: Callable[[], Any],
    device: Device,
    counter: Counter,
    *,
    items: int = 1,
    window_seconds: float = WINDOW_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
    clock: Callable[[], float] = time.perf_counter,
    rest: Callable[[float], Any] = time.sleep,
) -> Metric:
    """mJ an item of `run`, which handles `items`; idle power is taken first and subtracted.
    The interval: idle power counted whole (high), and half as much again taken off (low)."""
    start, begin = clock(), counter.joules()
    rest(idle_seconds)
    idle_watts = (counter.joules() - begin) / max(clock() - start, 1e-9)
    runs, start, begin = 0, clock(), counter.joules()
    while clock() - start < window_seconds:
        run()
        runs += 1
    joules, seconds = counter.joules() - begin, clock() - start
    done = runs * items
    active = max(0.0, joules - idle_watts * seconds)
    value = 1e3 * active / done
    return Metric(
        value,
        "mJ",
        "measured",
        low=1e3 * max(0.0, joules - 1.5 * idle_watts * seconds) / done,
        high=1e3 * joules / done,
        source=f"{counter.scope}, {seconds:.1f} s, idle power subtracted",
        details={
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


def find_counter(device: Device, powercap: Path = POWERCAP) -> Counter | None:
    """The counter of the device that networks run on here, or None."""
    if device.id == "cuda":
        return _nvml()
    if device.id == "this-machine":
        return Rapl.find(powercap)
    return None


@dataclass
class _Zone:
    """One package's counter of microjoules, which starts again from 0 after `range_uj`."""

    path: Path
    range_uj: int
    last_uj: int
    total_uj: int = 0

    @classmethod
    def open(cls, folder: Path) -> "_Zone":
        path = folder / "energy_uj"
        return cls(path, _read(folder / "max_energy_range_uj"), _read(path))

    def advance(self) -> int:
        now = _read(self.path)
        step = now - self.last_uj
        self.total_uj += step if step >= 0 else step + self.range_uj + 1
        self.last_uj = now
        return self.total_uj


class Rapl:
    """The sum of the processor packages' counters (intel-rapl:0, intel-rapl:1, ...)."""

    def __init__(self, zones: list[_Zone]) -> None:
        self.zones = zones
        self.scope = f"RAPL counter of {len(zones)} processor package(s)"

    @classmethod
    def find(cls, powercap: Path = POWERCAP) -> "Rapl | None":
        """None where there are no counters, or none that this user may read."""
        try:
            folders = [f for f in sorted(powercap.iterdir()) if _is_package(f)]
            zones = [_Zone.open(folder) for folder in folders]
        except (OSError, ValueError):
            return None
        return cls(zones) if zones else None

    def joules(self) -> float:
        return 1e-6 * sum(zone.advance() for zone in self.zones)


def _is_package(folder: Path) -> bool:
    """intel-rapl:N, not its parts intel-rapl:N:M, nor the same package again by intel-rapl-mmio."""
    return folder.name.startswith("intel-rapl:") and folder.name.count(":") == 1


def _read(path: Path) -> int:
    return int(path.read_text("ascii"))


class Nvml:
    """The first GPU's total energy, counted since its driver was loaded."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.handle = library.nvmlDeviceGetHandleByIndex(0)
        self.scope = "NVML counter of the GPU"

    def joules(self) -> float:
        return 1e-3 * float(self.library.nvmlDeviceGetTotalEnergyConsumption(self.handle))


def _nvml() -> Nvml | None:
    try:
        import pynvml

        pynvml.nvmlInit()
        counter = Nvml(pynvml)
        counter.joules()
    except Exception:  # the library has an exception class a driver's error
        return None
    return counter


def _why(device: Device) -> str:
    confidence, where = device.sources.get("busy_watts", ["C", "assumed"])
    return f"{where} ({confidence})"
