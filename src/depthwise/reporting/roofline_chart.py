"""The roofline of a device with a model's layers on it, as SVG for the page.

    attainable = min(peak operations a second, operations a byte * bytes a second)

(Williams, Waterman, Patterson 2009). A layer's place is its operations per byte that it moves, and
the operations a second that it gets; how far it lies under the roof is what is left to gain. Only
layers that multiply are on it: the others have no operations to count. The area of a mark is its
share of the time, its shape what it is bound by. Both axes are logarithmic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from depthwise.measuring.metric import readable
from depthwise.reporting.canvas import (
    ACCENT,
    FAINT,
    HEIGHT,
    INK,
    PAPER,
    Box,
    as_svg,
    new_axes,
    place,
    shortened,
    write_name,
)
from depthwise.reporting.figures import plain

__all__ = ["roofline", "roofline_in_words"]

MARKS = {"compute": "o", "memory": "s", "overhead": "^"}
NAMED = 4  # layers that are named, those with the most time
WIDE = 6.6  # inches
Record = Mapping[str, Any]


def roofline(breakdown: Record) -> str:
    """Empty where no layer multiplies."""
    points = _points(breakdown["layers"])
    if not points:
        return ""
    whole = _whole(breakdown)
    axes = new_axes(
        "operations a byte moved",
        "GFLOP/s" if _is_float(breakdown) else "GOP/s",
        (WIDE, HEIGHT * 1.15),
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    _frame(axes, [*points, whole], breakdown["ceilings"])
    _roof(axes, breakdown["ceilings"])
    for point in points:
        axes.scatter(
            point["x"], point["y"], s=18 + 320 * point["share"], marker=MARKS[point["bound"]],
            facecolor=PAPER, edgecolor=INK, linewidth=1.1, zorder=3,
        )  # fmt: skip
    axes.scatter(whole["x"], whole["y"], s=110, marker="D", color=ACCENT, zorder=5)
    named = [whole, *sorted(points, key=lambda p: -p["share"])[:NAMED]]
    _name(axes, named, [*points, whole], breakdown["ceilings"])
    return as_svg(axes.figure, "roofline")


def roofline_in_words(breakdown: Record) -> str:
    """For those who cannot see it."""
    whole, ceilings = _whole(breakdown), breakdown["ceilings"]
    unit = "GFLOP/s" if _is_float(breakdown) else "GOP/s"
    return (
        f"Roofline: the whole network reaches {readable(whole['y'])} {unit} at "
        f"{readable(whole['x'])} operations a byte; the device's peak is "
        f"{readable(ceilings['gflops'])} {unit}, its memory moves "
        f"{readable(ceilings['bandwidth_gb_s'])} GB/s."
    )


def _points(layers: Sequence[Record]) -> list[dict[str, Any]]:
    seconds = sum(layer["seconds"] for layer in layers)
    return [
        {
            "name": shortened(plain(layer["layer"]) or "the network itself", 22),
            "x": 2 * layer["macs"] / layer["moved_bytes"],
            "y": 2e-9 * layer["macs"] / layer["seconds"],
            "share": layer["seconds"] / seconds,
            "bound": layer["bound"],
        }
        for layer in layers
        if layer["macs"] and layer["seconds"] > 0 and layer["moved_bytes"]
    ]


def _whole(breakdown: Record) -> dict[str, Any]:
    layers = breakdown["layers"]
    moved = sum(layer["moved_bytes"] for layer in layers if layer["seconds"] > 0)
    seconds = sum(layer["seconds"] for layer in layers)
    macs = sum(layer["macs"] for layer in layers)
    return {
        "name": "whole network",
        "x": 2 * macs / moved,
        "y": 2e-9 * macs / seconds,
        "share": 1.0,
    }


def _frame(axes: Any, points: Sequence[Record], ceilings: Record) -> None:
    """Limits that hold every mark, the ridge and the roof, with room."""
    ridge = ceilings["gflops"] / ceilings["bandwidth_gb_s"]
    xs = [point["x"] for point in points] + [ridge]
    ys = [point["y"] for point in points] + [ceilings["gflops"]]
    axes.set_xlim(min(xs) / 2.5, max(xs) * 4)
    axes.set_ylim(min(ys) / 2.5, max(ys) * 3)
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(10, subs=(1, 3) if _decades(axis) < 3 else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def _decades(axis: Any) -> float:
    import math

    low, high = axis.get_view_interval()
    return math.log10(high / low)


def _roof(axes: Any, ceilings: Record) -> None:
    """The roof, and dashed under it what networks were seen to reach."""
    left, right = axes.get_xlim()
    bandwidth = ceilings["bandwidth_gb_s"]
    for peak, style in ((ceilings["gflops"], "-"), (ceilings["reached_gflops"], (0, (4, 3)))):
        ridge = peak / bandwidth
        axes.plot(
            [left, ridge, right], [left * bandwidth, peak, peak],
            color=FAINT if style != "-" else INK, linewidth=1.3, linestyle=style, zorder=2,
        )  # fmt: skip
        words = "peak" if style == "-" else "reached\nby networks"
        axes.annotate(
            f"{words} {readable(peak)}", (right, peak), xytext=(5, 0),
            textcoords="offset points", ha="left", va="center", color=INK, annotation_clip=False,
        )  # fmt: skip
    axes.annotate(
        f"{readable(bandwidth)} GB/s", _on_slope(axes, ceilings), xytext=(6, -4),
        textcoords="offset points", ha="left", va="top", color=INK,
    )  # fmt: skip


def _on_slope(axes: Any, ceilings: Record) -> tuple[float, float]:
    """A place on the slope that is in sight: halfway, by the logarithm, to the ridge."""
    bandwidth = ceilings["bandwidth_gb_s"]
    foot = max(axes.get_xlim()[0], axes.get_ylim()[0] / bandwidth)
    ridge = ceilings["gflops"] / bandwidth
    x = (foot * ridge) ** 0.5
    return x, x * bandwidth


def _line(axes: Any, height: float) -> Box:
    """Where a ceiling runs, as something that names stay away from."""
    left, right = axes.get_xlim()
    box, end = (place(axes, (x, height), 0, -2, width=1.0) for x in (left, right))
    return box[0], box[1], end[2], box[1] + 4.0


def _name(axes: Any, named: Sequence[Record], marks: Sequence[Record], ceilings: Record) -> None:
    """The whole network first; a name stays away from marks, lines and other names, or is left
    out."""
    taken = [place(axes, (mark["x"], mark["y"]), -5, -5, width=10.0) for mark in marks]
    taken += [_line(axes, ceilings[key]) for key in ("gflops", "reached_gflops")]
    for k, point in enumerate(named):
        spot = (point["x"], point["y"])
        write_name(axes, point["name"], spot, _beside, taken, strong=not k, zorder=6)


def _beside(width: float) -> list[tuple[float, float]]:
    return [(8, 5), (8, -12), (-8 - width, 5), (-8 - width, -12), (8, 15), (8, -22)]


def _is_float(breakdown: Record) -> bool:
    return breakdown["precision"] != "int8"
