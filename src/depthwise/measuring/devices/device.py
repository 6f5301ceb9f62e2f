"""Device: what a network will run on, in figures.

The figures that matter are the two ceilings of a roofline (operations and bytes a second), the
time to start one operator, memory, power and price. `calibration` holds, for a machine that was
measured, what each kind of operator really reaches (calibration.py), else it is empty.
"""

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any

from depthwise.errors import InputError
from depthwise.measuring.devices import measured_tables

__all__ = ["FIELDS", "KINDS", "Device"]

KINDS = (
    "microcontroller",
    "single-board computer",
    "accelerator",
    "phone",
    "laptop",
    "desktop",
    "server",
    "gpu",
    "computer",
)


@dataclass(frozen=True)
class Device:
    """Units are in the names (devices.toml explains each); None: not there, or not known."""

    id: str
    name: str
    memory_mb: float
    bandwidth_gb_s: float
    kind: str = "computer"
    cores: int = 1
    clock_ghz: float | None = None
    peak_gflops: float | None = None
    peak_gflops_bf16: float | None = None
    peak_gops_int8: float | None = None
    flash_mb: float | None = None
    cache_kb: float | None = None
    idle_watts: float = 0.0
    busy_watts: float | None = None
    battery_wh: float | None = None
    price_usd: float | None = None
    overhead_us: float = 10.0
    efficiency: float = 0.4
    efficiency_int8: float | None = None
    relative: dict[str, float] = field(default_factory=dict, hash=False)
    lanes: int = 1
    runtime: str = "eager"
    spread: float = 2.0
    as_of: str = ""
    sources: dict[str, list[str]] = field(default_factory=dict, hash=False)
    calibration: dict[str, Any] = field(default_factory=dict, hash=False, repr=False)

    @property
    def is_here(self) -> bool:
        """Whether networks can be timed on it now: this machine, or its GPU."""
        return self.id in ("this-machine", "cuda")

    @property
    def precision(self) -> str:
        """The precision it is predicted in unless another is asked for: of a microcontroller int8,
        which is what networks run in there."""
        bytes_only = self.peak_gflops is None or self.kind == "microcontroller"
        return "int8" if bytes_only and self.peak_gops_int8 is not None else "fp32"

    @property
    def peaks(self) -> dict[str, float]:
        """GFLOP/s (GOP/s in 8 bits) of the precisions it runs."""
        all_of_them = {
            "fp32": self.peak_gflops,
            "bf16": self.peak_gflops_bf16,
            "int8": self.peak_gops_int8,
        }
        return {name: peak for name, peak in all_of_them.items() if peak is not None}

    def gflops_reached(self, precision: str = "fp32") -> float:
        """Operations a second that networks reach in fp32, bf16 or int8, GFLOP/s."""
        peak = self.peaks.get(precision)
        if peak is None:
            able = ", ".join(self.peaks)
            raise InputError(f"{self.name} has no figure for {precision!r}; it runs {able}.")
        share = self.efficiency
        if precision == "int8" and self.efficiency_int8 is not None:
            share = self.efficiency_int8
        return peak * share

    def confidence(self, figure: str) -> str:
        """ "A" measured, "B" vendor or press, "C" derived or assumed."""
        return self.sources.get(figure, ["C"])[0]

    def to_toml(self) -> str:
        """A file that `read` makes the same device of, wherever it is read; figures that are not
        known are left out."""
        return "\n".join(
            _toml_lines({k: v for k, v in self.to_dict().items() if v not in (None, {})})
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any], where: str = "a stored device") -> "Device":
        """Raises InputError that names `where`, the field and its value."""
        checked = {key: _checked(key, value, where) for key, value in stored.items()}
        missing = [name for name in REQUIRED if name not in checked]
        if missing:
            raise InputError(f"{where}: {missing[0]} is missing; every device needs it.")
        device = cls(**checked)
        if device.peak_gflops is None and device.peak_gops_int8 is None:
            raise InputError(
                f"{where}: peak_gflops is missing; give it, or peak_gops_int8 "
                "for a device that runs 8-bit integers only."
            )
        return device

    def changed(self, entry: Mapping[str, Any], where: str) -> "Device":
        """A copy with the entry's figures; the id stays, so that this machine is still timed.
        Raises InputError that names `where`, the field and its value."""
        checked = {key: _checked(key, value, where) for key, value in entry.items()}
        given = {key: ["B", where] for key in entry if key not in TEXTS + TABLES}
        checked["sources"] = {**self.sources, **given, **checked.get("sources", {})}
        return replace(self, **checked)

    def __str__(self) -> str:
        speed = f"{self.peak_gflops or self.peak_gops_int8:,.3g}"
        unit = "GFLOP/s" if self.peak_gflops else "GOP/s int8"
        return f"{self.name}: {self.cores} cores, {speed} {unit}, {self.memory_mb:,.6g} MB"


FIELDS = {f.name: f for f in fields(Device)}
REQUIRED = [f.name for f in fields(Device) if f.default is MISSING and f.default_factory is MISSING]
TEXTS = ("id", "name", "kind", "runtime", "as_of")
TABLES = ("sources", "calibration", "relative")
RUNTIMES = ("eager", "fused")
PRODUCTS = ("conv", "pointwise", "depthwise", "linear")
MAY_BE_ZERO = ("idle_watts", "overhead_us", "price_usd")


def _checked(key: str, value: Any, where: str) -> Any:
    if key not in FIELDS:
        near = difflib.get_close_matches(key, FIELDS, 1)
        hint = f"Did you mean {near[0]}?" if near else f"Fields: {', '.join(FIELDS)}."
        raise InputError(f"{where}: {key} = {value!r} is not a device's figure. {hint}")
    if key == "sources":
        return _checked_sources(value, where)
    if key == "relative":
        return _checked_relative(value, where)
    if key == "calibration":
        return measured_tables.checked(value, where)
    if key in TEXTS:
        return _checked_text(key, value, where)
    return _checked_number(key, value, where)


def _checked_text(key: str, value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where}: {key} must be text in quotes; got {value!r}.")
    if key == "kind" and value not in KINDS:
        raise InputError(f"{where}: kind must be one of {', '.join(KINDS)}; got {value!r}.")
    if key == "runtime" and value not in RUNTIMES:
        raise InputError(f'{where}: runtime must be "eager" or "fused"; got {value!r}.')
    return value


def _checked_number(key: str, value: Any, where: str) -> Any:
    if value is None and key in FIELDS and FIELDS[key].default is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{where}: {key} must be a number; got {value!r}.")
    if value < 0 or (value == 0 and key not in MAY_BE_ZERO):
        raise InputError(f"{where}: {key} must be above 0; got {value!r}.")
    if key.startswith("efficiency") and value > 1:
        raise InputError(f"{where}: {key} is a share of the peak, 0 to 1; got {value!r}.")
    if key == "spread" and value < 1:
        raise InputError(f"{where}: spread is a factor of at least 1; got {value!r}.")
    if key in ("cores", "lanes") and value != int(value):
        raise InputError(f"{where}: {key} must be a whole number; got {value!r}.")
    return value


def _checked_relative(value: Any, where: str) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: relative must be a table such as {{ depthwise = 0.5 }}.")
    for key, share in value.items():
        if key not in PRODUCTS:
            raise InputError(
                f"{where}: relative has {', '.join(PRODUCTS)}; {key} = {share!r} is none of them."
            )
        _checked_number(f"relative.{key}", share, where)
    return {key: float(share) for key, share in value.items()}


def _checked_sources(value: Any, where: str) -> dict[str, list[str]]:
    if not isinstance(value, Mapping):
        raise InputError(f'{where}: sources must be a table of figure = ["A", "where from"].')
    for key, entry in value.items():
        if not isinstance(entry, list) or len(entry) != 2 or entry[0] not in ("A", "B", "C"):
            raise InputError(
                f'{where}: sources.{key} must be ["A", "where from"] (or B, C); got {entry!r}.'
            )
    return {key: list(entry) for key, entry in value.items()}


def _toml_lines(table: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Plain values first, then each table under its header."""
    for key, value in table.items():
        if not isinstance(value, Mapping):
            yield f"{_toml_key(key)} = {_toml_value(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            inner = (*path, _toml_key(key))
            yield f"\n[{'.'.join(inner)}]"
            yield from _toml_lines(value, inner)


def _toml_key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)


def _toml_value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml_value, value))}]"
    if isinstance(value, float):
        return f"{value:.5g}" if value != int(value) else repr(value)
    return json.dumps(value)
