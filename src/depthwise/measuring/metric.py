"""One figure of a Scorecard: a value, its unit, its interval and how it was come by.

`how` is the honest word that every table prints:

    measured    timed, read from a counter, or computed from held-out data
    predicted   from a formula and a device's description; wide interval
    counted     exact, from the network itself (parameters, bytes)

An unknown value (the price of an unknown machine) is NaN in Python, None in JSON and
"unknown" in print, never a made-up number.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from depthwise.errors import InputError
from depthwise.task import SCORES, per_cent

WAYS = ("measured", "predicted", "counted")


@dataclass(frozen=True)
class Metric:
    """value: in `unit`; low, high: the interval in the same unit, or None; how: one of WAYS;
    source: one line on where it comes from; details: whatever else is worth keeping, JSON-able."""

    value: float
    unit: str
    how: str
    low: float | None = None
    high: float | None = None
    source: str = ""
    details: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.how not in WAYS:
            raise InputError(f"how must be one of {', '.join(WAYS)}; got {self.how!r}.")

    @property
    def known(self) -> bool:
        return not math.isnan(self.value)

    def to_dict(self) -> dict[str, Any]:
        return {
            "value": self.value if self.known else None,
            "unit": self.unit,
            "how": self.how,
            "low": self.low,
            "high": self.high,
            "source": self.source,
            "details": self.details,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Metric":
        """The inverse of to_dict. Raises InputError where a key is missing."""
        try:
            value, unit, how = stored["value"], stored["unit"], stored["how"]
        except KeyError as missing:
            raise InputError(
                f"a stored metric needs the key {missing}; got {sorted(stored)}."
            ) from None
        return cls(
            value=math.nan if value is None else float(value),
            unit=unit,
            how=how,
            low=stored.get("low"),
            high=stored.get("high"),
            source=stored.get("source", ""),
            details=dict(stored.get("details", {})),
        )

    @property
    def _is_share(self) -> bool:
        """Whether it is printed in per cent; in `value` and in JSON it is 0 .. 1."""
        return self.unit in SCORES and SCORES[self.unit].is_share

    def __str__(self) -> str:
        if not self.known:
            return "unknown" if self._is_share else f"unknown ({self.unit})"
        interval = ""
        if self._is_share:
            if self.low is not None and self.high is not None and self.low != self.high:
                interval = f" ({100 * self.low:.1f}-{100 * self.high:.1f})"
            name = "" if self.unit == "fraction" else f" {self.unit}"
            return f"{per_cent(self.value)}{name}{interval}, {self.how}"
        if self.low is not None and self.high is not None and self.low != self.high:
            dash = " to " if self.low < 0 else "-"
            interval = f" ({readable(self.low)}{dash}{readable(self.high)})"
        return f"{readable(self.value)} {self.unit}{interval}, {self.how}"


def readable(value: float) -> str:
    """Three significant digits, thousands with commas, no exponent: 1.24, 0.0312, 48,200."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    rounded = round(value, 2 - math.floor(math.log10(abs(value))))
    return f"{rounded:,.{digits}f}"
