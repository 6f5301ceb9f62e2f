"""Where joules can be read on this machine, each reader a few lines over what keeps it working.

    Zeus      the `zeus` library, where it is installed (`pip install "depthwise[energy]"`):
              processor packages and their memory, also without root through its daemon; NVIDIA and
              AMD GPUs
    Nvml      NVIDIA's own library, nvidia-ml-py (`pip install "depthwise[nvidia]"`): one GPU
    Rapl      the kernel's files, /sys/class/powercap: processor packages, often for root only
    Battery   the gauge of a machine that runs from its battery: psutil says that it does, the
              kernel's /sys/class/power_supply how much is left. It counts the whole machine, and
              coarsely, so that it is read only where measuring may take a minute

The first that answers is taken, the battery last. The core does not depend on zeus: it brings 29
packages and 200 MB (0.16), which a machine without counters has nothing from. CodeCarbon is not
used: where there is no counter it books assumed watts as energy (20 W of memory and 8 W of
processor on a virtual machine), and here what is assumed and what is measured never mix.
"""

import contextlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from depthwise.measuring.devices.device import Device

POWERCAP = Path("/sys/class/powercap")
POWER_SUPPLY = Path("/sys/class/power_supply")


class Counter(Protocol):
    """Joules since some moment. `scope`: of what; `kind`: "counter" or "gauge"; `window_seconds`:
    the shortest window in which its reading means something; `step_joules`: how far one reading may
    lag behind."""

    scope: str
    kind: str
    window_seconds: float
    step_joules: float

    def joules(self) -> float: ...


def find_counter(
    device: Device,
    seconds: float = 1.0,
    powercap: Path = POWERCAP,
    power_supply: Path = POWER_SUPPLY,
) -> Counter | None:
    """The counter of the device that networks run on here, or None. seconds: what measuring may
    take; a gauge needs a minute."""
    if device.id == "cuda":
        return Zeus.find("gpu") or Nvml.find()
    if device.id != "this-machine":
        return None
    counter = Zeus.find("cpu") or Rapl.find(powercap)
    if counter is None and seconds >= Battery.window_seconds:
        return Battery.find(power_supply)
    return counter


# -- libraries ---------------------------------------------------------------------------------


class Zeus:
    """One window of a ZeusMonitor after another, added up; `part` is "cpu" or "gpu"."""

    kind = "counter"
    window_seconds = 1.0
    step_joules = 0.0
    WINDOW = "depthwise"

    def __init__(self, monitor: Any, part: str) -> None:
        self.monitor, self.part, self.total = monitor, part, 0.0
        what = "processor packages" if part == "cpu" else "the GPU"
        self.scope = f"zeus: counters of {what}"
        monitor.begin_window(self.WINDOW)

    @classmethod
    def find(cls, part: str) -> "Zeus | None":
        """None where zeus is absent, or has no counter of that part to read."""
        try:
            library = importlib.import_module("zeus.monitor")
            monitor = library.ZeusMonitor(gpu_indices=[0] if part == "gpu" else [])
            counter = cls(monitor, part)
            counter.joules()
        except Exception:  # the library raises classes of its own for each driver
            return None
        return counter

    def joules(self) -> float:
        """Raises KeyError where the window holds nothing of this part."""
        window = self.monitor.end_window(self.WINDOW)
        self.monitor.begin_window(self.WINDOW)
        if self.part == "gpu":
            self.total += sum(window.gpu_energy.values())
            return self.total
        if not window.cpu_energy:
            raise KeyError("cpu_energy")
        parts = [window.cpu_energy, window.dram_energy or {}]
        self.total += sum(sum(part.values()) for part in parts)
        if window.dram_energy and "memory" not in self.scope:
            self.scope += " and their memory"
        return self.total


class Nvml:
    """The first GPU's total energy, counted since its driver was loaded."""

    kind = "counter"
    window_seconds = 1.0
    step_joules = 0.0
    scope = "NVML counter of the GPU"

    def __init__(self, library: Any) -> None:
        self.library = library
        self.handle = library.nvmlDeviceGetHandleByIndex(0)

    @classmethod
    def find(cls) -> "Nvml | None":
        try:
            import pynvml

            pynvml.nvmlInit()
            counter = cls(pynvml)
            counter.joules()
        except Exception:  # the library has an exception class a driver's error
            return None
        return counter

    def joules(self) -> float:
        return 1e-3 * float(self.library.nvmlDeviceGetTotalEnergyConsumption(self.handle))


# -- the kernel's files ------------------------------------------------------------------------


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

    kind = "counter"
    window_seconds = 1.0
    step_joules = 0.0

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


class Battery:
    """What the gauge has lost, J: whole machine, screen and all. A gauge of charge (uAh) is read
    with the voltage of the moment."""

    kind = "gauge"
    window_seconds = 60.0  # a laptop spends some hundred steps of its gauge in it
    step_joules = 36.0  # 10 mWh, as most gauges count
    scope = "battery gauge of the whole machine"

    def __init__(self, folder: Path) -> None:
        self.folder, self.total = folder, 0.0
        self.last = self._left()

    @classmethod
    def find(cls, power_supply: Path = POWER_SUPPLY) -> "Battery | None":
        """None where there is no battery, or where it is not what the machine runs from."""
        if _is_plugged_in():
            return None
        with contextlib.suppress(OSError, ValueError):
            for folder in sorted(power_supply.iterdir()):
                if _text(folder / "type") == "Battery" and _text(folder / "status") == (
                    "Discharging"
                ):
                    return cls(folder)
        return None

    def joules(self) -> float:
        now = self._left()
        self.total += self.last - now
        self.last = now
        return self.total

    def _left(self) -> float:
        """J; energy_now is in uWh, charge_now in uAh, voltage_now in uV."""
        energy = self.folder / "energy_now"
        if energy.exists():
            return 3600e-6 * _read(energy)
        volts = 1e-6 * _read(self.folder / "voltage_now")
        return 3600e-6 * _read(self.folder / "charge_now") * volts


def _is_plugged_in() -> bool:
    """Whether mains power is on, by psutil, or where it does not know by the battery's status."""
    try:
        battery = psutil.sensors_battery()
    except Exception:  # a gauge that reports nonsense is none
        return True
    return bool(battery is not None and battery.power_plugged)


def _is_package(folder: Path) -> bool:
    """intel-rapl:N, not its parts intel-rapl:N:M, nor the same package again by intel-rapl-mmio."""
    return folder.name.startswith("intel-rapl:") and folder.name.count(":") == 1


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def _read(path: Path) -> int:
    return int(path.read_text("ascii"))
