"""What a person reads of a breakdown: each layer as a row of three bars, and where most of it goes.

A breakdown is the dict that measuring/breakdown.py makes. Layers that take little are folded into
one row, so that the large ones can be seen. Bars are drawn by the page as shares of the column's
longest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from depthwise.measuring.metric import readable
from depthwise.reporting.figures import plain

__all__ = ["LayerRow", "in_words", "layer_rows"]

MOST_ROWS = 24
LEAST_SHARE = 0.01  # of the time or the energy, for a row of its own
KINDS = {
    "conv": "convolution",
    "pointwise": "1×1 convolution",
    "depthwise": "depthwise convolution",
    "linear": "matrix product",
    "norm": "normalisation",
    "pool": "pooling",
    "reduction": "sums and means",
    "elementwise": "element by element",
    "view": "nothing moves",
}
BOUNDS = {"compute": "arithmetic", "memory": "memory", "overhead": "its start"}
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Bar:
    """Its text, and its parts as per cent of the column's longest: {"arithmetic": 41.2, ...}."""

    text: str
    share: str
    parts: dict[str, float]


@dataclass(frozen=True)
class LayerRow:
    """One layer, or several small ones: `time`, `memory` and `energy` are bars."""

    name: str
    kind: str
    bound: str
    time: Bar
    memory: Bar
    energy: Bar


def layer_rows(breakdown: Record) -> list[LayerRow]:
    """In order of execution, what is folded last."""
    large, small = _parted(breakdown["layers"])
    shown = [*large, _folded(small)] if small else large
    whole_seconds = sum(layer["seconds"] for layer in shown)
    whole_mj = sum(map(_mj, shown))
    longest = {
        "seconds": max(layer["seconds"] for layer in large),
        "bytes": max(layer["weight_bytes"] + layer["live_bytes"] for layer in large),
        "mj": max(map(_mj, large)),
    }
    rows = [_row(layer, whole_seconds, whole_mj, longest) for layer in shown]
    return rows if not small else [*rows[:-1], _without_bars(rows[-1])]


def _parted(layers: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """(rows of their own, the rest), each in order."""
    seconds, mj = (sum(layer["seconds"] for layer in layers), sum(map(_mj, layers)))

    def weight(layer: Record) -> float:
        return max(_share(layer["seconds"], seconds), _share(_mj(layer), mj))

    largest = sorted(range(len(layers)), key=lambda i: -weight(layers[i]))[:MOST_ROWS]
    own = {i for i in largest if weight(layers[i]) >= LEAST_SHARE}
    if len(layers) - len(own) == 1:  # one alone is no row shorter when folded
        own = set(range(len(layers)))
    return (
        [layer for i, layer in enumerate(layers) if i in own],
        [layer for i, layer in enumerate(layers) if i not in own],
    )


def _folded(layers: Sequence[Record]) -> dict[str, Any]:
    sums = ("seconds", "weight_bytes", "arithmetic_mj", "bytes_mj", "rest_mj")
    return {
        "layer": f"{len(layers)} others",
        "kind": "",
        "bound": "",
        "live_bytes": max(layer["live_bytes"] for layer in layers),
        **{key: sum(layer[key] for layer in layers) for key in sums},
    }


def _without_bars(row: LayerRow) -> LayerRow:
    """The bars of several layers together would dwarf those of one."""
    bars = {key: replace(getattr(row, key), parts={}) for key in ("time", "memory", "energy")}
    return replace(row, **bars)


def _row(
    layer: Record, whole_seconds: float, whole_mj: float, longest: Mapping[str, float]
) -> LayerRow:
    resident = layer["weight_bytes"] + layer["live_bytes"]
    memory = {"weights": layer["weight_bytes"], "alive": layer["live_bytes"]}
    energy = {
        "arithmetic": layer["arithmetic_mj"],
        "bytes": layer["bytes_mj"],
        "rest": layer["rest_mj"],
    }
    return LayerRow(
        name=plain(layer["layer"]) or "the network itself",
        kind=KINDS.get(layer["kind"], plain(layer["kind"])),
        bound=BOUNDS.get(layer["bound"], ""),
        time=Bar(
            in_seconds(layer["seconds"]),
            _percent(layer["seconds"], whole_seconds),
            _parts({"time": layer["seconds"]}, longest["seconds"]),
        ),
        memory=Bar(in_bytes(resident), "", _parts(memory, longest["bytes"])),
        energy=Bar(
            in_joules(_mj(layer)), _percent(_mj(layer), whole_mj), _parts(energy, longest["mj"])
        ),
    )


def in_words(breakdown: Record) -> str:
    """Two or three sentences: what the time goes to, where memory is at its peak."""
    layers = breakdown["layers"]
    seconds = sum(layer["seconds"] for layer in layers)
    by_bound = dict.fromkeys(BOUNDS, 0.0)
    for layer in layers:
        by_bound[layer["bound"]] += layer["seconds"]
    causes = {
        "compute": "arithmetic",
        "memory": "moving bytes",
        "overhead": "starting operators",
    }
    told = [
        f"{_percent(spent, seconds)} in layers bound by {causes[name]}"
        for name, spent in sorted(by_bound.items(), key=lambda item: -item[1])
        if spent >= 0.005 * seconds
    ]
    peak = max(layers, key=lambda layer: layer["live_bytes"])
    resident = breakdown["weight_bytes"] + peak["live_bytes"]
    where = plain(peak["layer"]) or "the network itself"
    return (
        f"One item takes {in_seconds(seconds)}: {', '.join(told)}. Weights and activations "
        f"together are at their peak, {in_bytes(resident)}, in {where}: "
        f"{in_bytes(breakdown['weight_bytes'])} of weights and {in_bytes(peak['live_bytes'])} "
        "alive."
    )


def in_seconds(seconds: float) -> str:
    return _scaled(seconds, [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")])


def in_joules(millijoules: float) -> str:
    return _scaled(1e-3 * millijoules, [(1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")])


def in_bytes(count: float) -> str:
    return _scaled(count, [(1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B")])


def _scaled(value: float, units: Sequence[tuple[float, str]]) -> str:
    """In the largest unit that leaves at least 1: "64.3 µs"."""
    size, name = next(((s, n) for s, n in units if value >= s), units[-1])
    return f"{readable(value / size)}\N{NO-BREAK SPACE}{name}"


def _percent(part: float, whole: float) -> str:
    share = _share(part, whole)
    return f"{share:.0%}" if share >= 0.005 or not share else "<1%"


def _parts(values: Mapping[str, float], longest: float) -> dict[str, float]:
    return {name: round(100 * _share(value, longest), 2) for name, value in values.items()}


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _mj(layer: Record) -> float:
    return float(layer["arithmetic_mj"] + layer["bytes_mj"] + layer["rest_mj"])
