"""Hardware cost: the device's price, what the network takes of it, what a million items cost.

usd per million items = 1e6 * (energy an item * power price + price of the device * time an
                        item / (life * share of its life at work))
"""

from depthwise.measuring.counting import Counts
from depthwise.measuring.devices import Device
from depthwise.measuring.metric import Metric

USD_PER_KWH = 0.25
LIFE_YEARS = 4.0
UTILISATION = 0.5
YEAR_SECONDS = 365.25 * 86400


def hardware_cost(
    counts: Counts,
    device: Device,
    throughput: Metric,
    energy: Metric,
    peak_memory: Metric,
    *,
    usd_per_kwh: float = USD_PER_KWH,
    life_years: float = LIFE_YEARS,
    utilisation: float = UTILISATION,
) -> Metric:
    """Price of the device, USD; unknown (NaN) where it is. details: parameters, weight_bytes,
    peak_memory_bytes, peak_memory_how, fits_memory, usd_per_million_items and what it rests on."""
    per_million = usd_per_million_items(
        device,
        throughput.value,
        energy.value,
        usd_per_kwh=usd_per_kwh,
        life_years=life_years,
        utilisation=utilisation,
    )
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
            "fits_memory": fits_memory(counts, device, peak_memory.value),
            "usd_per_million_items": per_million,
            "usd_per_kwh": usd_per_kwh,
            "life_years": life_years,
            "utilisation": utilisation,
        },
    )


def usd_per_million_items(
    device: Device,
    items_per_second: float,
    millijoules: float,
    *,
    usd_per_kwh: float = USD_PER_KWH,
    life_years: float = LIFE_YEARS,
    utilisation: float = UTILISATION,
) -> float | None:
    """Power plus the device's wear, USD for a million items; None where neither is known, and
    what is known of the two otherwise."""
    known = []
    if millijoules == millijoules:  # not NaN
        known.append(1e6 * millijoules / 3.6e9 * usd_per_kwh)
    if device.price_usd is not None:
        busy_seconds = life_years * YEAR_SECONDS * utilisation
        known.append(1e6 / items_per_second * device.price_usd / busy_seconds)
    return sum(known) if known else None


def fits_memory(counts: Counts, device: Device, peak_bytes: float) -> bool:
    """Whether the network fits: all of it in the RAM, or its weights in the flash and the rest in
    the RAM."""
    if device.flash_mb is None:
        return peak_bytes <= 1e6 * device.memory_mb
    live = peak_bytes - counts.weight_bytes
    return counts.weight_bytes <= 1e6 * device.flash_mb and live <= 1e6 * device.memory_mb


def _source(device: Device) -> str:
    if device.price_usd is None:
        return f"the price of {device.name} is unknown: set DEPTHWISE_PRICE_USD or price_usd"
    where = device.sources.get("price_usd", ["C", "assumed"])
    return f"{where[1]} ({where[0]}), {device.as_of}".rstrip(", ")
