"""The limits a network must keep, and how far a Scorecard is from keeping them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from depthwise.errors import InputError
from depthwise.measuring.devices.device import Device
from depthwise.measuring.metric import readable
from depthwise.measuring.scorecard import Scorecard

__all__ = ["Budget", "Limits", "Miss", "advice", "misses", "require_above_zero"]

UNITS = {
    "latency_ms": "ms",
    "memory_mb": "MB",
    "energy_mj": "mJ",
    "price_usd": "USD",
    "size_mb": "MB",
    "parameters": "",
    "macs": "",
}
MINUTES = 10.0  # unless said otherwise
WHOLE = ("parameters", "macs")  # counted, and told to the last one


@dataclass(frozen=True)
class Limits:
    """What a network may cost at most. Every limit is optional.

    | field           | unit                     | compared with                                  |
    | --------------- | ------------------------ | ---------------------------------------------- |
    | `latency_ms`    | milliseconds, batch of 1 | median (a neighbour's load moves the 95th)     |
    | `memory_mb`     | 10^6 bytes               | weights and live activations at their peak     |
    | `energy_mj`     | millijoules an item      | energy                                         |
    | `price_usd`     | US dollars               | price of the device                            |
    | `size_mb`       | 10^6 bytes               | the network's weights                          |
    | `parameters`    | numbers                  | numbers that are learnt                        |
    | `macs`          | multiply-accumulates     | those of one item (half the FLOPs)             |
    """

    latency_ms: float | None = None
    memory_mb: float | None = None
    energy_mj: float | None = None
    price_usd: float | None = None
    size_mb: float | None = None
    parameters: float | None = None
    macs: float | None = None

    def __post_init__(self) -> None:
        require_above_zero(asdict(self))

    def limits(self) -> dict[str, float]:
        """The limits that are set, by name."""
        return {name: v for name in UNITS if (v := getattr(self, name)) is not None}

    def misses(self, costs: Mapping[str, float]) -> list[Miss]:
        """The limits that these costs break, the worst first; a cost that is not known (missing or
        nan) breaks none."""
        known = {name: (costs.get(name, math.nan), most) for name, most in self.limits().items()}
        broken = [Miss(name, cost, most) for name, (cost, most) in known.items() if cost > most]
        return sorted(broken, key=lambda miss: -miss.ratio)

    def worst_share(self, costs: Mapping[str, float]) -> float:
        """The largest known cost as a share of its limit: at most 1 where all limits are kept."""
        return float(max(costs[name] / a for name, a in self.limits().items() if name in costs))


@dataclass(frozen=True)
class Budget(Limits):
    """What the chosen network may cost, and how long choosing it may take. Every limit is optional.

    | field           | unit                     | compared with                                  |
    | --------------- | ------------------------ | ---------------------------------------------- |
    | all of `Limits` |                          |                                                |
    | `minutes`       | minutes                  | all of it: screening, training, measuring again,|
    |                 |                          | testing and the report; reading is not counted |

    `train_minutes` is the older name of `minutes`.
    """

    train_minutes: float | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if None not in (self.minutes, self.train_minutes) and self.minutes != self.train_minutes:
            raise InputError(
                f"minutes={self.minutes!r} and train_minutes={self.train_minutes!r} are one limit "
                "under two names. Give minutes."
            )
        minutes = next((m for m in (self.minutes, self.train_minutes) if m is not None), MINUTES)
        for name in ("minutes", "train_minutes"):
            object.__setattr__(self, name, minutes)
        super().__post_init__()

    @property
    def seconds(self) -> float:
        """For all of a choice but reading."""
        assert self.minutes is not None
        return 60 * self.minutes

    def check_device(self, device: Device) -> None:
        """Raises InputError where a limit needs a figure that the device does not state."""
        if self.price_usd is not None and math.isnan(device.price_usd or math.nan):
            raise InputError(
                f"price_usd={self.price_usd:g} cannot be checked: the price of {device.name!r} is "
                "unknown. Describe the device in a TOML file with price_usd, and pass that."
            )


@dataclass(frozen=True)
class Miss:
    """A limit that is broken: by what, and what was allowed."""

    limit: str
    value: float
    allowed: float

    @property
    def ratio(self) -> float:
        """How many times the limit; inf of a limit of 0."""
        return self.value / self.allowed if self.allowed else math.inf

    def __str__(self) -> str:
        if self.limit in WHOLE:
            return f"{self.value:,.0f} {self.limit} are over the limit of {self.allowed:,.0f}"
        unit, name = UNITS[self.limit], self.limit.rpartition("_")[0]
        return f"{name} {readable(self.value)} {unit} is over the limit of {self.allowed:g} {unit}"

    @property
    def enough(self) -> str:
        """A limit that it would keep with a little room, as it is typed."""
        if self.limit in WHOLE:
            return f"{math.ceil(self.value)}"
        return readable(math.ceil(self.value * 1.05 * 1000) / 1000)

    def to_dict(self) -> dict[str, Any]:
        return {"limit": self.limit, "value": self.value, "allowed": self.allowed}


def misses(card: Scorecard, limits: Limits) -> list[Miss]:
    """The limits that a Scorecard breaks, the worst first; a cost that is not known breaks none."""
    return limits.misses(_costs(card))


def _costs(card: Scorecard) -> dict[str, float]:
    assert card.latency and card.energy and card.hardware_cost
    cost = card.hardware_cost.details
    return {
        "latency_ms": card.latency.value,
        "memory_mb": cost["peak_memory_bytes"] / 1e6,
        "energy_mj": card.energy.value,
        "price_usd": card.hardware_cost.value,
        "size_mb": cost["weight_bytes"] / 1e6,
        "parameters": cost["parameters"],
        "macs": cost["macs"],
    }


def require_above_zero(limits: Mapping[str, float | None]) -> None:
    """Raises InputError that names a limit which is not above 0."""
    for name, limit in limits.items():
        if limit is not None and not (math.isfinite(limit) and limit > 0):
            raise InputError(f"{name} must be above 0; got {limit!r}. Leave it out for no limit.")


def advice(name: str, miss: Miss) -> str:
    """Which limit to relax, and to what."""
    option = "--max-" + miss.limit.replace("_", "-")
    return f"{name} comes nearest: {miss}. Relax it: {option} {miss.enough}"
