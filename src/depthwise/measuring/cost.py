"""Hardware cost: the device's price, what the network takes of it, what a million items cost.

    power  = 1e6 * energy an item * price of power
    device = 1e6 * price of the device * time an item / (life * share of its life at work)

and USD for a million items is their sum. The time an item is that of the best batch; the interval
takes both figures' intervals at their dear and at their cheap ends.
"""

import math
from dataclasses import asdict, dataclass

from depthwise.errors import InputError
from depthwise.measuring.counting import Counts
from depthwise.measuring.devices.device import Device
from depthwise.measuring.metric import Metric

YEAR_SECONDS = 365.25 * 86400


@dataclass(frozen=True)
class Prices:
    """What power costs, and how a device's price is spread over its work.

    | field         | unit                   | meaning                                            |
    | ------------- | ---------------------- | -------------------------------------------------- |
    | `usd_per_kwh` | US dollars             | price of a kilowatt-hour; 0 .. 1                   |
    | `life_years`  | years                  | until the device is replaced; 1 .. 10              |
    | `utilisation` | share, above 0 up to 1 | of its life that it works on this network          |
    """

    usd_per_kwh: float = 0.25
    life_years: float = 4.0
    utilisation: float = 0.5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0) or (value == 0 and name != "usd_per_kwh"):
                raise InputError(f"{name} must be above 0; got {value!r}.")
        if self.utilisation > 1:
            raise InputError(f"utilisation is a share, at most 1; got {self.utilisation!r}.")

    @property
    def work_seconds(self) -> float:
        """Seconds that a device works in its life."""
        return self.life_years * YEAR_SECONDS * self.utilisation


def hardware_cost(
    counts: Counts,
    device: Device,
    throughput: Metric,
    energy: Metric,
    peak_memory: Metric,
    prices: Prices | None = None,
) -> Metric:
    """Price of the device, USD; unknown (NaN) where it is. details: parameters, macs, weight_bytes,
    peak_memory_bytes, peak_memory_how, fits_memory, usd_per_million_items with its interval, its
    two parts and what it rests on."""
    price = device.price_usd
    return Metric(
        float("nan") if price is None else float(price),
        "USD",
        "counted",
        low=price,
        high=price,
        source=_source(device),
        details={
            "parameters": counts.parameters,
            "weight_bytes": counts.weight_bytes,
            "macs": counts.macs,
            "peak_memory_bytes": int(peak_memory.value),
            "peak_memory_how": peak_memory.how,
            "fits_memory": fits_memory(peak_memory, counts, device),
            **_per_million(device, throughput, energy, prices or Prices()),
        },
    )


def _per_million(
    device: Device, throughput: Metric, energy: Metric, prices: Prices
) -> dict[str, float | None]:
    """The figures for a million items, by name."""
    rate, joules = throughput.value, energy.value
    fast, slow = throughput.high or rate, throughput.low or rate
    low, high = (joules if end is None else end for end in (energy.low, energy.high))
    return {
        "usd_per_million_items": usd_per_million_items(device, rate, joules, prices),
        "usd_per_million_low": usd_per_million_items(device, fast, low, prices),
        "usd_per_million_high": usd_per_million_items(device, slow, high, prices),
        "usd_per_million_power": power_usd(joules, prices),
        "usd_per_million_device": device_usd(device, rate, prices),
        **asdict(prices),
    }


def usd_per_million_items(
    device: Device, items_per_second: float, millijoules: float, prices: Prices | None = None
) -> float | None:
    """Power plus the device's wear, USD for a million items; None where neither is known, and
    what is known of the two otherwise."""
    prices = prices or Prices()
    parts = (power_usd(millijoules, prices), device_usd(device, items_per_second, prices))
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def power_usd(millijoules: float, prices: Prices) -> float | None:
    """USD of power for a million items of that many mJ; None for NaN."""
    if math.isnan(millijoules):
        return None
    return 1e6 * millijoules / 3.6e9 * prices.usd_per_kwh


def device_usd(device: Device, items_per_second: float, prices: Prices) -> float | None:
    """USD of the device's price that a million items use up; None where it is unknown."""
    if device.price_usd is None:
        return None
    return 1e6 / items_per_second * device.price_usd / prices.work_seconds


def fits_memory(peak: Metric, counts: Counts, device: Device) -> bool:
    """Whether the network fits: all of it in the RAM, or its weights in the flash and the rest in
    the RAM."""
    if device.flash_mb is None:
        return peak.value <= 1e6 * device.memory_mb
    weights = peak.details.get("weight_bytes", counts.weight_bytes)
    live = peak.value - weights
    return bool(weights <= 1e6 * device.flash_mb and live <= 1e6 * device.memory_mb)


def _source(device: Device) -> str:
    if device.price_usd is None:
        return f"the price of {device.name} is unknown: set DEPTHWISE_PRICE_USD or price_usd"
    where = device.sources.get("price_usd", ["C", "assumed"])
    return f"{where[1]} ({where[0]}), {device.as_of}".rstrip(", ")
