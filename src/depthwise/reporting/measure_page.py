"""The page of `measure`: six figures, where they go layer by layer, the roofline, the device.

What is shown is a Scorecard's dict, a breakdown (measuring/breakdown.py) and the device's; the same
dicts give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depthwise.measuring.breakdown import breakdown as broken_down
from depthwise.measuring.devices.device import Device
from depthwise.measuring.metric import Metric, readable
from depthwise.measuring.scorecard import Scorecard, example
from depthwise.models.estimator import Estimator
from depthwise.models.modelfile import versions
from depthwise.reporting.choice_page import device_figures, highlights, support
from depthwise.reporting.figures import plain
from depthwise.reporting.page import layers_context, render, write_page

__all__ = ["render_measured", "write_measured", "write_page_of"]

NAMES = {
    "accuracy": "accuracy",
    "throughput": "throughput",
    "latency": "latency, one item",
    "energy": "energy of one item",
    "hardware_cost": "price of the device",
    "flexibility": "flexibility",
}
Record = Mapping[str, Any]


def write_page_of(
    model: Estimator, card: Scorecard, device: Device, path: Path, name: str, command: str = ""
) -> Path:
    """The page of a model whose `card` was taken on `device`: its layers are timed or predicted
    here. Raises InputError naming the path where it cannot be written."""
    sample = example(model.input_shape_, model.input_dtype_)
    layers = broken_down(model.answering(model.network_), sample, device, card)
    return write_measured(name, card.to_dict(), layers, device.to_dict(), path, command)


def write_measured(
    name: str, card: Record, breakdown: Record, device: Record, path: Path, command: str = ""
) -> Path:
    """Write the page to `path` in one step; name: of the model; card: Scorecard.to_dict(); device:
    Device.to_dict(). Raises InputError naming the path where it cannot be written."""
    return write_page(render_measured(name, card, breakdown, device, command), path)


def render_measured(
    name: str, card: Record, breakdown: Record, device: Record, command: str = ""
) -> str:
    """The page as text."""
    shown = {"name": name, "scorecard": card}
    record = {"candidates": [shown], "test": card.get("accuracy")}
    return render(
        "measured.html",
        {
            "name": name,
            "command": command,
            "version": versions()["depthwise"],
            "highlights": highlights(record, shown),
            "layers": layers_context(breakdown),
            "figures": _figures(card),
            "energy_ways": _energy_ways(card.get("energy")),
            "device": device_figures(device),
            "device_name": device.get("name", "a device"),
            "support": support(shown),
            "runs": name,
        },
    )


def _figures(card: Record) -> list[dict[str, str]]:
    """Each figure with its interval, how it was come by and where it is from."""
    taken = {key: Metric.from_dict(card[key]) for key in NAMES if card.get(key)}
    rows = [
        {
            "name": NAMES[key],
            "value": str(metric).removesuffix(f", {metric.how}"),
            "how": metric.how,
            "source": metric.source,
        }
        for key, metric in taken.items()
    ]
    return rows + _running_cost((card.get("hardware_cost") or {}).get("details") or {})


def _running_cost(about: Record) -> list[dict[str, str]]:
    """What a million items cost, and of what."""
    whole = about.get("usd_per_million_items")
    if whole is None:
        return []
    low, high = (about.get(f"usd_per_million_{end}") for end in ("low", "high"))
    between = "" if low is None or high is None else f" ({readable(low)}-{readable(high)})"
    parts = {
        f"power at {about['usd_per_kwh']:g} USD a kWh": about.get("usd_per_million_power"),
        f"device over {about['life_years']:g} years, {about['utilisation']:.0%} of them at work": (
            about.get("usd_per_million_device")
        ),
    }
    told = [f"{words}: {readable(usd)} USD" for words, usd in parts.items() if usd is not None]
    return [
        {
            "name": "a million items",
            "value": f"{readable(whole)} USD{between}",
            "how": "predicted",
            "source": "; ".join(told),
        }
    ]


def _energy_ways(energy: Record | None) -> str:
    """The two predictions beside each other, where there are two."""
    ways = ((energy or {}).get("details") or {}).get("ways") or {}
    if len(ways) < 2:
        return ""
    told = ", ".join(f"by {plain(name)} {readable(mj)} mJ" for name, mj in ways.items())
    return (
        f"Energy was predicted in two ways: {told}. The interval spans both, each with its doubt."
    )
