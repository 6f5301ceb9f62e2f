"""report.html: the evidence for one choice on one page, in one file.

What is shown is the dict of choice.json and nothing else; the same dict gives the same bytes. The
page asks the network for nothing and runs no script. Every name in it (files, classes, devices)
goes through the template's escaping.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from depthwise.measuring.classes import told_scores
from depthwise.measuring.metric import readable
from depthwise.reporting import charts
from depthwise.reporting.canvas import shortened
from depthwise.reporting.figures import (
    LIMITS,
    accuracy_of,
    bound,
    items_of,
    megabytes,
    number,
    plain,
    rows,
    score,
    score_of,
    share,
    told,
    unit_of,
)
from depthwise.reporting.judging import headline, score_rows, why_this_one, worthless
from depthwise.reporting.page import layers_context, render, write_page
from depthwise.reporting.verdict import limits, promise, verdict, winner_of
from depthwise.task import per_cent

__all__ = ["device_figures", "highlights", "render_report", "support", "write_report"]

ONLY_LIMITED = ("parameters", "macs", "price")  # columns shown where there is a limit on them
MOST_PROBLEMS, MOST_MISTAKES, MOST_CLASSES = 50, 60, 200
MOST_PICTURE_BYTES = 1_500_000  # of all pictures together, as text
PICTURES = {  # of record["pictures"] -> title, what it shows
    "answers": ("Answers", "test pictures, and what it says of them"),
    "samples": ("Samples", "new items that it makes"),
    "reconstructions": ("Reconstructions", "test items, and under each what it makes of them"),
    "filters": ("Filters", "first-layer weights, the largest first; blue is below zero, red above"),
}
DEVICE_FIGURES = {  # field -> what it is called, unit
    "cores": ("cores", ""),
    "clock_ghz": ("clock", "GHz"),
    "peak_gflops": ("peak, 32-bit float", "GFLOP/s"),
    "peak_gflops_bf16": ("peak, bfloat16", "GFLOP/s"),
    "peak_gops_int8": ("peak, 8-bit integer", "GOP/s"),
    "memory_mb": ("memory", "MB"),
    "flash_mb": ("flash", "MB"),
    "bandwidth_gb_s": ("memory bandwidth", "GB/s"),
    "busy_watts": ("power under load", "W"),
    "battery_wh": ("battery", "Wh"),
    "price_usd": ("price", "USD"),
}
CONFIDENCE = {"A": "measured", "B": "vendor or press", "C": "derived or assumed"}
Record = Mapping[str, Any]


def write_report(record: dict[str, Any], path: Path) -> Path:
    """Write the report of a choice, the dict of choice.json, to `path` in one step.

    Raises InputError naming the path where it cannot be written.
    """
    return write_page(render_report(record), path)


def render_report(record: Record) -> str:
    """The page as text."""
    return render("report.html", _context(record))


def _context(record: Record) -> dict[str, Any]:
    winner = winner_of(record)
    return {
        "record": record,
        "verdict": promise(record, winner) if winner else verdict(record),
        "headline": headline(record),
        "worthless": worthless(record),
        "why": why_this_one(record),
        "scores": score_rows(record),
        "highlights": highlights(record, winner) if winner else [],
        "rows": rows(record),
        "limits": limits(record),
        "columns": _columns(record),
        "measure": score_of(unit_of(record)),
        "charts": _charts(record, winner),
        "layers": layers_context(record.get("layers")),
        "confused": _most_confused(record, winner),
        "mistakes": _mistakes(record),
        "recalls": _recalls(record, winner),
        "pictures": _pictures(record, winner),
        "problems": (record["dataset"].get("problems") or [])[:MOST_PROBLEMS],
        # few pixels are shown as squares, as the network sees them; photographs are smoothed
        "tiny": max([0, *(record["dataset"].get("input_shape") or [])[-2:]]) < 96,
        "shape": " × ".join(map(str, record["dataset"].get("input_shape") or [])),
        "class_names": record["dataset"]["classes"][:MOST_CLASSES],
        "device": device_figures(record.get("device") or {}),
        "device_name": (record.get("device") or {}).get("name", "a device"),
        "support": support(winner),
        "runs": winner["name"] if winner else "",
        "winner": winner,
    }


# -- the figures of the winner -----------------------------------------------------------------


def highlights(record: Record, winner: Record) -> list[dict[str, str]]:
    """The six metrics of the network to ship: name, value, unit, and one line on each."""
    card = winner.get("scorecard") or {}
    cost = (card.get("hardware_cost") or {}).get("details") or {}
    test = record.get("test") or card.get("accuracy")
    measure = score_of(unit_of(record))
    named = [
        (measure.name, score(test), measure.unit, _score_note(test)),
        ("latency", number(card.get("latency")), "ms", _latency_note(card.get("latency"))),
        ("throughput", number(card.get("throughput")), "items/s", _batch_note(card)),
        ("energy", number(card.get("energy")), "mJ an item", _energy_note(card.get("energy"))),
        ("hardware cost", megabytes(cost.get("weight_bytes")), "MB", _cost_note(cost)),
        ("flexibility", share(card.get("flexibility")), "%", _support_note(card)),
    ]
    return [
        {"name": name, "value": f"{figure}%", "unit": "", "note": note}
        if unit == "%"
        else {"name": name, "value": str(figure), "unit": unit, "note": note}
        for name, figure, unit, note in named
        if figure.text != "–"
    ]


def _score_note(metric: Record | None) -> str:
    items, interval = items_of(metric, "test "), score(metric).interval
    parts = [f"95% interval {interval}"] if interval else []
    return " ".join([*parts, f"on {items}"] if items else parts)


def _latency_note(metric: Record | None) -> str:
    details = (metric or {}).get("details") or {}
    tails = [f"{p} {readable(details[p])}" for p in ("p95", "p99") if details.get(p)]
    return ", ".join(["p50, one item at a time", *tails, _how(metric)])


def _batch_note(card: Record) -> str:
    batch = ((card.get("throughput") or {}).get("details") or {}).get("batch")
    return (f"in batches of {batch}, " if batch else "") + _how(card.get("throughput"))


def _energy_note(metric: Record | None) -> str:
    charge = ((metric or {}).get("details") or {}).get("items_per_charge")
    items = f"{readable(charge)} items a battery charge, " if charge else ""
    return f"{items}{_how(metric)} ({number(metric).interval})"


def _cost_note(cost: Record) -> str:
    parts = []
    if cost.get("parameters"):
        parts.append(f"{cost['parameters']:,} weights")
    if cost.get("peak_memory_bytes") is not None:
        parts.append(f"peak memory {megabytes(cost['peak_memory_bytes'])} MB")
    if cost.get("usd_per_million_items"):
        parts.append(f"{cost['usd_per_million_items']:.2g} USD a million items")
    return ", ".join(parts)


def _support_note(card: Record) -> str:
    cells = ((card.get("flexibility") or {}).get("details") or {}).get("cells") or []
    return f"{sum(bool(c.get('ok')) for c in cells)} of {len(cells)} ways to run it agree"


def _how(metric: Record | None) -> str:
    return str((metric or {}).get("how", ""))


# -- tables ------------------------------------------------------------------------------------


def _columns(record: Record) -> list[dict[str, str]]:
    """The columns of the candidates: key, heading, unit, and the limit on it; some only if they are
    limited."""
    measure = score_of(unit_of(record))
    named = measure.name[0].upper() + measure.name[1:]
    columns = [
        ("accuracy", named, measure.heading("of validation" if measure.unit else "on validation")),
        ("latency", "Latency", "ms, p50"),
        ("throughput", "Throughput", "items/s"),
        ("energy", "Energy", "mJ an item"),
        ("size", "Size", "MB"),
        ("memory", "Peak memory", "MB"),
        ("parameters", "Parameters", ""),
        ("macs", "MACs", "an item"),
        ("price", "Price", "USD"),
        ("flexibility", "Flexibility", "ways that agree"),
    ]
    budget = record.get("budget") or {}
    bounds = {LIMITS[k][0]: v for k, v in budget.items() if k in LIMITS and v is not None}
    return [
        {
            "key": key,
            "name": name,
            "unit": unit,
            "limit": f"≤ {bound(bounds[key])}" if key in bounds else "",
        }
        for key, name, unit in columns
        if key not in ONLY_LIMITED or key in bounds
    ]


def support(winner: Record | None) -> dict[str, Any]:
    """The support matrix: a row a runtime and precision, a column a batch size."""
    metric = ((winner or {}).get("scorecard") or {}).get("flexibility") or {}
    cells = (metric.get("details") or {}).get("cells") or []
    batches = sorted({cell["batch"] for cell in cells})
    matrix: dict[tuple[str, str], dict[int, Any]] = {}
    for cell in cells:
        matrix.setdefault((cell["runtime"], cell["precision"]), {})[cell["batch"]] = cell
    return {"batches": batches, "rows": matrix}


def device_figures(device: Record) -> list[tuple[str, str, str]]:
    """(what, value with unit, where it is from) of each known figure."""
    listed = []
    for key, (name, unit) in DEVICE_FIGURES.items():
        value = device.get(key)
        if value is None:
            continue
        mark, origin = (device.get("sources") or {}).get(key, ["", ""])
        source = f"{CONFIDENCE.get(mark, '')}: {origin}".strip(": ")
        listed.append((name, f"{_number(value)} {unit}".strip(), source))
    return listed


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 or value == int(value) else readable(value)


def _report_of(record: Record, winner: Record | None) -> Record:
    """Confusion and recalls of the test part, else of the winner's card."""
    card = (winner or {}).get("scorecard") or {}
    for metric in (record.get("test"), card.get("accuracy")):
        if metric and (metric.get("details") or {}).get("confusion"):
            return dict(metric["details"])
    return {}


def _most_confused(record: Record, winner: Record | None, most: int = 5) -> list[dict[str, Any]]:
    classes, matrix = record["dataset"]["classes"], _report_of(record, winner).get("confusion", [])
    pairs = [
        {"truth": classes[i], "said": classes[j], "count": count}
        for i, row in enumerate(matrix)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: -pair["count"])[:most]


def _recalls(record: Record, winner: Record | None, most: int = 5) -> list[tuple[str, str]]:
    """The classes that are recognised worst, as (name, "92.6%")."""
    recalls = _report_of(record, winner).get("per_class") or {}
    known = [(value, name) for name, value in recalls.items() if value is not None and value < 1]
    return [(name, per_cent(value)) for value, name in sorted(known)[:most]]


def _mistakes(record: Record) -> list[dict[str, Any]]:
    """Those that are shown, each with `where` it is; in older records by its number."""
    listed = (record.get("mistakes") or [])[:MOST_MISTAKES]
    return [{**each, "where": each.get("name") or f"item {each['index']:,}"} for each in listed]


def _pictures(record: Record, winner: Record | None) -> list[dict[str, str]]:
    """The winner's pictures, then the other candidates', as far as there is room for them."""
    others = [c for c in record["candidates"] if c.get("pictures") and c is not winner]
    shown, room = [], MOST_PICTURE_BYTES
    for name, made in [("", record.get("pictures")), *((c["name"], c["pictures"]) for c in others)]:
        for key, (title, caption) in PICTURES.items():
            text = (made or {}).get(key)
            if not text or len(text) > room:
                continue
            room -= len(text)
            of = f" of {plain(str(name))}" if name else ""
            if key == "answers" and not name and record.get("answered"):
                caption = f"{caption}: {plain(', '.join(record['answered']))}"
            shown.append({"png": text, "title": title + of, "caption": caption})
    return shown


# -- charts ------------------------------------------------------------------------------------


def _charts(record: Record, winner: Record | None) -> list[dict[str, str]]:
    """Each with its svg, caption, and a text for those who cannot see it."""
    budget, measure = record.get("budget") or {}, score_of(unit_of(record))
    bought = measure.name[0].upper() + measure.name[1:]
    drawn = [
        {
            "svg": charts.trade_off(
                record, _latency, "latency, ms: p50, whisker to p95", budget.get("latency_ms")
            ),
            "caption": f"{bought} bought with latency",
            "alt": _alt(record, "latency", "ms", _latency),
        },
        {
            "svg": charts.trade_off(record, _size, "size, MB", budget.get("size_mb")),
            "caption": f"{bought} bought with size",
            "alt": _alt(record, "size", "MB", _size),
        },
        {
            "svg": charts.learning_curves(record),
            "caption": "Learning, candidate by candidate",
            "alt": "Line chart: validation accuracy of every trained candidate over its training.",
        },
    ]
    matrix = _report_of(record, winner).get("confusion")
    if matrix:
        drawn.append(
            {
                "svg": charts.confusion(matrix, record["dataset"]["classes"]),
                "caption": "What the winner takes for what, on the test part",
                "alt": "Confusion matrix; its largest confusions are listed below the charts.",
            }
        )
    drawn += _scattered(record)
    return [chart for chart in drawn if chart["svg"]]


def _scattered(record: Record) -> list[dict[str, str]]:
    """Predicted over true numbers of test items, where numbers are what is predicted."""
    made = record.get("predicted")
    if not made:
        return []
    name = plain(str((record["dataset"].get("target") or {}).get("name") or "number"))
    first = " (the first of them)" if made["targets"] > 1 else ""
    figures = (record.get("test") or {}).get("details") or {}
    told = [f"{n} {t}" for n, t in told_scores({**figures, "metric": ""})]
    return [
        {
            "svg": charts.scatter(made["truth"], made["predicted"], shortened(name)),
            "caption": f"What the winner predicts{first}, on the test part",
            "alt": f"Scatter chart of predicted against true numbers: {', '.join(told)}.",
        }
    ]


def _alt(record: Record, what: str, unit: str, measure: Any) -> str:
    said = [
        f"{plain(c['name'])} {told(accuracy_of(c))} at {readable(measure(c['scorecard'])[0])}"
        for c in record["candidates"]
        if accuracy_of(c) and c.get("scorecard") and measure(c["scorecard"])
    ]
    name = score_of(unit_of(record)).name
    return f"Scatter chart of {name} against {what} in {unit}: {'; '.join(said)}."


def _latency(card: Record) -> tuple[float, float | None, float | None] | None:
    metric = card.get("latency")
    if not metric or metric.get("value") is None:
        return None
    return (
        metric["value"],
        metric.get("low"),
        (metric.get("details") or {}).get("p95") or metric.get("high"),
    )


def _size(card: Record) -> tuple[float, None, None] | None:
    count = ((card.get("hardware_cost") or {}).get("details") or {}).get("weight_bytes")
    return (count / 1e6, None, None) if count else None
