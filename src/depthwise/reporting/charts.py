"""The report's charts, as SVG text that inherits the page's font and colours (canvas.py).

Accuracy is drawn on a scale of the error's logarithm, labelled in per cent right: from 99.0 to
99.5 is as far as from 98 to 99, which is what the difference is worth; an AUROC likewise, and a
log-likelihood as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from depthwise.reporting.canvas import (
    ACCENT,
    FAINT,
    INK,
    LIMIT,
    PAPER,
    WIDTH,
    as_svg,
    new_axes,
    place,
    shortened,
    write_name,
)
from depthwise.reporting.figures import accuracy_of, plain, score_of, unit_of

__all__ = ["confusion", "learning_curves", "scatter", "trade_off"]

TICKS = (0, 50, 70, 80, 90, 95, 98, 99, 99.5, 99.8, 99.9, 99.95, 99.98, 99.99)
MARKERS = "osD^vP*X"
COUNTS_SHOWN = 15  # classes up to which the confusion matrix prints its counts
Record = Mapping[str, Any]


def trade_off(record: Record, measure: Callable[[Record], Any], axis: str, limit: Any) -> str:
    """The score against a cost: `measure(scorecard)` gives a candidate's (value, low, high).

    Points of the Pareto front of this very pair are joined, the limit is a line, the winner is
    filled. Empty where fewer than one candidate was scored.
    """
    points = [p for c in record["candidates"] if (p := _point(c, measure))]
    if not points:
        return ""
    scale = SCALES.get(unit_of(record), SCALES["nats"])
    axes = new_axes(axis, score_of(unit_of(record)).label)
    families = sorted({p["family"] for p in points})
    for point in points:
        marker = MARKERS[families.index(point["family"]) % len(MARKERS)]
        _draw_point(axes, point, marker, scale)
    _draw_front(axes, points, scale)
    _scale_cost(axes, [p["x"] for p in points] + ([limit] if limit else []))
    scale.fit(axes, [p[key] for p in points for key in scale.shown if p[key] is not None])
    if limit:
        axes.axvline(limit, color=LIMIT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        axes.annotate(
            f"limit {limit:g}", (limit, 0), xycoords=("data", "axes fraction"),
            xytext=(-4, 4), textcoords="offset points", color=LIMIT, ha="right", va="bottom",
        )  # fmt: skip
    _label(axes, points, scale, barrier=limit)
    return as_svg(axes.figure, f"front-{axis.split(',', maxsplit=1)[0]}")


def learning_curves(record: Record) -> str:
    """The score on validation against seconds of training, one line a candidate, the winner's bold.
    Models of the data itself have none: each watches something else while it learns."""
    unit = unit_of(record)
    curves = {c["name"]: _curve(c) for c in record["candidates"]}
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves or unit not in WATCHED:
        return ""
    scale = SCALES[unit]
    axes = new_axes("training time, s", f"validation {score_of(unit).label}")
    ends = []
    for name, curve in sorted(curves.items(), key=lambda item: item[0] == record.get("winner")):
        won = name == record.get("winner")
        seconds, scores = zip(*curve)
        places = [scale.place(score) for score in scores]
        style = {"color": ACCENT, "linewidth": 2.0} if won else {"color": FAINT, "linewidth": 1.0}
        dot = {"marker": "o", "markersize": 3} if len(curve) < 4 else {}
        axes.plot(seconds, places, **style, **dot, zorder=3 if won else 2)
        ends.append({"name": name, "x": seconds[-1], "accuracy": scores[-1], "won": won})
    axes.set_xlim(left=0)
    axes.margins(x=0.12)
    scale.fit(axes, [score for curve in curves.values() for _, score in curve])
    _label(axes, ends, scale)
    return as_svg(axes.figure, "learning")


def _curve(candidate: Record) -> list[tuple[float, float]]:
    """(seconds, accuracy) of its epochs; those of a pretraining have another score or none."""
    scored = [e for e in candidate.get("history") or [] if e.get("score") is not None]
    return [(e["seconds"], e["score"]) for e in scored if 0 <= e["score"] <= 1]


def confusion(matrix: list[list[int]], classes: list[str]) -> str:
    """Rows the truth, columns the answer, shaded by the row's share; (K, K) counts."""
    counts = np.asarray(matrix, dtype=float)  # (K, K)
    n = len(counts)
    if n == 0 or counts.shape != (n, n):
        return ""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes = new_axes("said", "truth", size=(WIDTH, WIDTH * 0.94))
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.imshow(_tint(shares), interpolation="nearest", aspect="equal")
    every = max(1, math.ceil(n / 20))
    names = [shortened(plain(str(name))) for name in classes][::every]
    long = max(map(len, names), default=0) > 2
    axes.set_xticks(range(0, n, every), names, rotation=90 if long else 0)
    axes.set_yticks(range(0, n, every), names)
    if n <= COUNTS_SHOWN:
        for i, j in np.argwhere(counts > 0):
            colour = PAPER if shares[i, j] > 0.55 else INK
            axes.text(j, i, f"{counts[i, j]:.0f}", color=colour, ha="center", va="center")
    return as_svg(axes.figure, "confusion")


def scatter(truth: list[float], predicted: list[float], name: str) -> str:
    """Predicted over true numbers (n,) called `name`; on the line both are the same."""
    if not truth:
        return ""
    axes = new_axes(f"{name}: truth", "predicted", size=(WIDTH, WIDTH * 0.94))
    low, high = min(*truth, *predicted), max(*truth, *predicted)
    room = 0.04 * (high - low) or 1.0
    ends = [low - room, high + room]
    axes.plot(ends, ends, color=FAINT, linewidth=1.0, zorder=1)
    size = 9 if len(truth) > 200 else 16
    axes.scatter(truth, predicted, s=size, color=ACCENT, alpha=0.5, linewidths=0, zorder=2)
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal")
    return as_svg(axes.figure, "scatter")


# -- points ------------------------------------------------------------------------------------


def _point(candidate: Record, measure: Callable[[Record], Any]) -> dict[str, Any] | None:
    accuracy, card = accuracy_of(candidate), candidate.get("scorecard")
    cost = measure(card) if card else None
    if not accuracy or accuracy.get("value") is None or not cost or not cost[0]:
        return None
    return {
        "name": plain(str(candidate["name"])),
        "family": str(candidate.get("family", "")),
        "won": candidate.get("status") == "winner",
        "x": float(cost[0]),
        "x_low": cost[1],
        "x_high": cost[2],
        "accuracy": float(accuracy["value"]),
        "low": accuracy.get("low"),
        "high": accuracy.get("high"),
    }


def _draw_point(axes: Any, point: dict[str, Any], marker: str, scale: Scale) -> None:
    colour = ACCENT if point["won"] else INK
    y = scale.place(point["accuracy"])
    bars: dict[str, Any] = {}
    if point["low"] is not None and point["high"] is not None:
        ends = sorted((scale.place(point["low"]), scale.place(point["high"])))
        bars["yerr"] = [[max(0.0, y - ends[0])], [max(0.0, ends[1] - y)]]
    if point["x_low"] and point["x_high"]:
        bars["xerr"] = [
            [max(0, point["x"] - point["x_low"])],
            [max(0, point["x_high"] - point["x"])],
        ]
    axes.errorbar(
        point["x"], y, **bars, fmt=marker, color=colour, ecolor=ACCENT if point["won"] else FAINT,
        elinewidth=0.9, markersize=7.5 if point["won"] else 4.5, zorder=4 if point["won"] else 3,
        markerfacecolor=ACCENT if point["won"] else PAPER, markeredgewidth=1.1,
    )  # fmt: skip


def _draw_front(axes: Any, points: list[dict[str, Any]], scale: Scale) -> None:
    """A staircase: what score each cost buys."""
    front: list[dict[str, Any]] = []
    for point in sorted(points, key=lambda p: (p["x"], -p["accuracy"])):
        if not front or point["accuracy"] > front[-1]["accuracy"]:
            front.append(point)
    axes.step(
        [p["x"] for p in front], [scale.place(p["accuracy"]) for p in front],
        where="post", color=ACCENT, linewidth=1.1, alpha=0.7, zorder=2,
    )  # fmt: skip


def _label(
    axes: Any, points: list[dict[str, Any]], scale: Scale, barrier: float | None = None
) -> None:
    """Names beside points, the best first, each at the first of a few places that is free: not on
    a point, another name, or the line at x = `barrier`."""
    spots = {p["name"]: (p["x"], scale.place(p["accuracy"])) for p in points}
    taken = [place(axes, spot, -4, -4, width=8.0) for spot in spots.values()]
    if barrier:
        x = place(axes, (barrier, 0.0), -1, 0, width=2.0)
        taken.append((x[0], -1e9, x[2], 1e9))
    for point in sorted(points, key=lambda p: (not p["won"], -p["accuracy"])):
        name, won = point["name"], point["won"]
        write_name(axes, name, spots[name], _beside, taken, strong=won, zorder=5)


def _beside(width: float) -> list[tuple[float, float]]:
    return [(7, 5), (7, -11), (-7 - width, 5), (-7 - width, -11), (7, 14), (7, -20)]


# -- scales ------------------------------------------------------------------------------------


class Scale:
    """The linear scale of an axis of scores. `shown`: the keys of a point that must be in sight."""

    shown: ClassVar[tuple[str, ...]] = ("accuracy", "low", "high")

    def place(self, score: float) -> float:
        return score

    def fit(self, axes: Any, scores: list[float]) -> None:
        """Limits with room for the names, and ticks."""
        room = 0.14 * (max(scores) - min(scores)) or 0.05 * abs(scores[0]) or 1.0
        axes.set_ylim(min(scores) - room, max(scores) + room)


class FlooredScale(Scale):
    """As it is, but for what is below 0, which is all drawn there: no better than the mean."""

    shown = ("accuracy",)

    def place(self, score: float) -> float:
        return max(score, 0.0)

    def fit(self, axes: Any, scores: list[float]) -> None:
        super().fit(axes, [*map(self.place, scores)])


class ErrorScale(Scale):
    """By the logarithm of the error, 1 - score; ticks as `score * unit`."""

    shown = ("accuracy",)

    def __init__(self, unit: float):
        self.unit = unit

    def place(self, score: float) -> float:
        """An error of none is drawn as one in twenty thousand."""
        return math.log10(max(1 - score, 5e-5))

    def fit(self, axes: Any, scores: list[float]) -> None:
        worst, best = max(map(self.place, scores)), min(map(self.place, scores))
        room = max(0.12, 0.14 * (worst - best))
        low, high = worst + room, best - room
        ticks = [t for t in TICKS if high <= self.place(t / 100) <= low]
        if len(ticks) < 3:
            spread = np.linspace(1 - 10 ** (low - room / 2), 1 - 10 ** (high + room / 2), 4)
            ticks = sorted({round(100 * float(value), 1) for value in spread})
        axes.set_ylim(low, high)
        names = [f"{t * self.unit / 100:g}" for t in ticks]
        axes.set_yticks([self.place(t / 100) for t in ticks], names)


WATCHED = ("fraction", "AP50", "mIoU", "R2")  # what training watches is what is scored
SCALES: dict[str, Scale] = {
    "fraction": ErrorScale(100),
    "balanced accuracy": ErrorScale(100),
    "AUROC": ErrorScale(1),
    "nats": Scale(),
    "AP50": ErrorScale(1),
    "mIoU": Scale(),
    "BLEU-4": Scale(),
    "Spearman": Scale(),
    "F1": Scale(),
    "R2": FlooredScale(),
    "-MAE": Scale(),
    "-bits/byte": Scale(),
}


def _scale_cost(axes: Any, values: list[float]) -> None:
    """Logarithmic where the costs span a decade; plain numbers, never 10^2."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = min(values), max(values)
    if high > 8 * low:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.7, high * 1.9)
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 3)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.15 * (high - low) or 0.2 * high
        axes.set_xlim(max(0.0, low - room), high + 1.6 * room)
        axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


# -- drawing -----------------------------------------------------------------------------------


def _tint(shares: np.ndarray) -> np.ndarray:
    """(K, K) shares -> one blue, ever more opaque: it darkens white paper and lightens black."""
    image = np.empty((*shares.shape, 4), np.uint8)
    image[..., :3] = (0x2F, 0x7F, 0xC1)
    image[..., 3] = np.rint(255 * np.where(shares > 0, 0.06 + 0.94 * shares, 0))
    return image
