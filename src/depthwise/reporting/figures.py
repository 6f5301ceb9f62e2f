"""What a person reads of a choice: each figure as text, each candidate as a row, the verdict in
words. The report and the terminal show the same texts, made here from the dict of choice.json.

A figure that was predicted, not measured, is marked with "≈". A figure over its limit is `over`.
Candidates are compared by one Score, known by its metric's unit: models of labels by accuracy,
models of the data by log-likelihood or by how well they tell what is strange (AUROC).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from depthwise.measuring.metric import readable
from depthwise.task import SCORES, UNITS, Score, per_cent

__all__ = [
    "LIMITS",
    "NOTHING",
    "Figure",
    "Row",
    "Score",
    "accuracy_of",
    "bound",
    "counted",
    "items_of",
    "plain",
    "row_of",
    "rows",
    "score",
    "score_of",
    "told",
    "told_of_items",
    "unit_of",
]

NOTHING = "–"
PREDICTED = "≈"
ORDER = {
    "winner": 0,
    "trained": 1,
    "stopped": 1,
    "baseline": 1,
    "failed": 2,
    "dropped": 3,
    "untried": 4,
}
# field of the budget -> column it bounds, name in a sentence, unit
LIMITS = {
    "latency_ms": ("latency", "latency", "ms"),
    "size_mb": ("size", "size", "MB"),
    "memory_mb": ("memory", "peak memory", "MB"),
    "energy_mj": ("energy", "energy", "mJ an item"),
    "price_usd": ("price", "price", "USD"),
    "parameters": ("parameters", "parameters", ""),
    "macs": ("macs", "multiply-accumulates", "an item"),
}

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """One cell: its text and interval without unit, whether predicted, whether over its limit;
    `about`: where it is from; `tail`: what a limit is held against, if not the value itself."""

    text: str = NOTHING
    interval: str = ""
    predicted: bool = False
    over: bool = False
    about: str = ""
    tail: str = ""

    def __str__(self) -> str:
        return (PREDICTED if self.predicted else "") + self.text


@dataclass(frozen=True)
class Row:
    """One candidate: `figures` by column name (accuracy, latency, ...), then where it ended."""

    name: str
    status: str
    reason: str
    pareto: bool
    figures: dict[str, Figure]

    @property
    def is_winner(self) -> bool:
        return self.status == "winner"


def rows(record: Record) -> list[Row]:
    """Every candidate, the winner first, then by how far it got and by accuracy."""
    made = [row_of(candidate, record.get("budget") or {}) for candidate in record["candidates"]]
    scores = [_value(accuracy_of(c)) for c in record["candidates"]]

    def place(entry: tuple[Row, float | None]) -> tuple[int, float]:
        row, value = entry
        return ORDER.get(row.status, len(ORDER)), math.inf if value is None else -value

    return [row for row, _ in sorted(zip(made, scores), key=place)]


def unit_of(record: Record) -> str:
    """The unit that its candidates are scored in."""
    for metric in (record.get("test"), *map(accuracy_of, record["candidates"])):
        if metric:
            return str(metric.get("unit", "fraction"))
    return UNITS.get(str(record.get("task")), "fraction")


def score_of(unit: str) -> Score:
    """What a metric of this unit is called."""
    return SCORES.get(unit, Score(plain(unit), ""))


def accuracy_of(candidate: Record) -> Record | None:
    """The metric that candidates are compared by: on the validation part, else the card's."""
    return candidate.get("validation_accuracy") or (candidate.get("scorecard") or {}).get(
        "accuracy"
    )


def row_of(candidate: Record, budget: Record) -> Row:
    card = candidate.get("scorecard") or {}
    bounds = {LIMITS[name][0]: value for name, value in budget.items() if name in LIMITS}
    cost = (card.get("hardware_cost") or {}).get("details") or {}
    memory_predicted = cost.get("peak_memory_how") == "predicted"
    figures = {
        "accuracy": score(accuracy_of(candidate)),
        "latency": _latency(card.get("latency"), bounds.get("latency")),
        "throughput": number(card.get("throughput")),
        "energy": number(card.get("energy"), bounds.get("energy")),
        "size": megabytes(cost.get("weight_bytes"), bounds.get("size")),
        "memory": megabytes(cost.get("peak_memory_bytes"), bounds.get("memory"), memory_predicted),
        "price": number(card.get("hardware_cost"), bounds.get("price")),
        "parameters": counted(cost.get("parameters"), bounds.get("parameters")),
        "macs": counted(cost.get("macs"), bounds.get("macs")),
        "flexibility": support(card.get("flexibility")),
    }
    return Row(
        name=plain(str(candidate["name"])),
        status=str(candidate.get("status", "untried")),
        reason=plain(str(candidate.get("reason") or "")),
        pareto=bool(candidate.get("pareto")),
        figures=figures,
    )


def _latency(metric: Record | None, limit: float | None) -> Figure:
    """The median, which the limit is held against, and the 95th percentile where measured."""
    figure, tail = number(metric, limit), ((metric or {}).get("details") or {}).get("p95")
    if not tail:
        return figure
    return replace(figure, tail=f"p95 {readable(tail)}")


# -- one figure --------------------------------------------------------------------------------


def share(metric: Record | None) -> Figure:
    """A share as per cent with its interval: "98.4" ("97.1-99.2")."""
    value = _value(metric)
    if metric is None or value is None:
        return Figure()
    digits = 0 if value == 1 else 2 if value >= 0.99 else 1
    low, high = metric.get("low"), metric.get("high")
    known = low is not None and high is not None
    interval = f"{low:.{max(1, digits)}%}–{high:.{max(1, digits)}%}" if known else ""
    return Figure(
        per_cent(value).rstrip("%"),
        interval.replace("%", ""),
        metric.get("how") == "predicted",
        about=str(metric.get("source", "")),
    )


def score(metric: Record | None) -> Figure:
    """In its own manner: a share as per cent, nats as "-86.3" ("±0.7"), an AUROC as "0.971"."""
    value, unit = _value(metric), str((metric or {}).get("unit", "fraction"))
    if metric is None or value is None or score_of(unit).is_share:
        return share(metric)
    low, high = metric.get("low"), metric.get("high")
    interval, digits = "", 2 if abs(value) < 10 else 1
    if unit in ("AUROC", "R2"):
        digits = 4 if value >= 0.99 else 3
    if low is not None and high is not None:
        widest = max(high - value, value - low)
        ends = f"{low:,.{digits}f}–{high:,.{digits}f}"
        interval = ends if min(low, value) >= 0 else f"±{widest:,.{digits}f}"
    predicted, about = metric.get("how") == "predicted", str(metric.get("source", ""))
    return Figure(f"{value:,.{digits}f}", interval, predicted, about=about)


def number(metric: Record | None, limit: float | None = None) -> Figure:
    value = _value(metric)
    if metric is None or value is None:
        return Figure()
    low, high = metric.get("low"), metric.get("high")
    interval = "" if low is None or high is None else f"{readable(low)}–{readable(high)}"
    predicted = metric.get("how") == "predicted"
    over = limit is not None and value > limit
    return Figure(readable(value), interval, predicted, over, str(metric.get("source", "")))


def megabytes(count: float | None, limit: float | None = None, predicted: bool = False) -> Figure:
    if count is None:
        return Figure()
    over = limit is not None and count / 1e6 > limit
    return Figure(readable(count / 1e6), predicted=predicted, over=over)


def counted(count: float | None, limit: float | None = None) -> Figure:
    """To the last one: "121,914"."""
    if count is None:
        return Figure()
    return Figure(f"{count:,.0f}", over=limit is not None and count > limit)


def bound(limit: float) -> str:
    """A limit as it is read: "0.5", "78,000"."""
    return f"{limit:,.0f}" if limit >= 10_000 else f"{limit:g}"


def support(metric: Record | None) -> Figure:
    """The support matrix as "7/8": cells that ran and agreed, of all."""
    if metric is None:
        return Figure()
    cells = (metric.get("details") or {}).get("cells") or []
    if not cells:
        return share(metric)
    return Figure(f"{sum(bool(c.get('ok')) for c in cells)}/{len(cells)}")


def told(metric: Record | None) -> str:
    """ "98.4% (95% interval 97.1–99.2)" or "-86.3 nats (95% interval ±0.7)"; the spaces before
    units do not break."""
    figure, measure = score(metric), score_of(str((metric or {}).get("unit", "fraction")))
    interval = f" (95% interval {figure.interval})" if figure.interval else ""
    if measure.is_share:
        return (f"{figure}%" if figure.text != NOTHING else str(figure)) + interval
    return f"{figure}\N{NO-BREAK SPACE}{measure.unit}".strip("\N{NO-BREAK SPACE}") + interval


def told_of_items(metric: Record) -> str:
    """ "98.4% (95% interval 97.1–99.2) of 270 items"."""
    items = items_of(metric)
    return told(metric) + (f" of {items}" if items else "")


def items_of(metric: Record | None, which: str = "") -> str:
    """ "270 items", "270 test items", "5,982 bytes"; "" where nobody knows."""
    details = (metric or {}).get("details") or {}
    count, each = details.get("items"), details.get("each", "items")
    return f"{count:,} {which}{each}" if count else ""


def plain(text: str) -> str:
    """Names are hostile: no control characters, no line breaks, no terminal escapes."""
    return "".join(ch if ch.isprintable() else "?" for ch in text)


def _value(metric: Record | None) -> float | None:
    value = metric.get("value") if metric else None
    return None if value is None or not math.isfinite(value) else float(value)
