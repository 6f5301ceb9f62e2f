"""What the commands print: tables of 80 columns and more, plain where nobody looks on.

Columns are laid out here and not by rich's Table, because a candidate takes two lines: its figures,
and under them, as wide as the screen, why it ended where it did.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthwise.commands.edge import exit_of, print_json, say
from depthwise.errors import InputError
from depthwise.measuring.classes import told_scores
from depthwise.measuring.metric import readable
from depthwise.reporting.figures import (
    LIMITS,
    NOTHING,
    Row,
    Score,
    plain,
    rows,
    score_of,
    told_of_items,
    unit_of,
)
from depthwise.reporting.judging import worthless
from depthwise.reporting.verdict import limits, verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from depthwise.inference.generating import Seen, Verdict
    from depthwise.inference.input_files import Numbers, Prediction
    from depthwise.measuring.devices.device import Device
    from depthwise.measuring.metric import Metric

__all__ = [
    "console",
    "print_choice",
    "print_devices",
    "print_fitted",
    "print_numbers",
    "print_people",
    "print_predictions",
    "print_seen",
    "print_verdict",
    "print_verdicts",
    "show_answers",
    "show_choice",
    "stored_choice",
    "write",
]

COLUMNS = (  # key of a figure, heading, unit; the score's own come before these
    ("latency", "latency", "ms p50"),
    ("throughput", "rate", "items/s"),
    ("energy", "energy", "mJ"),
    ("size", "size", "MB"),
    ("memory", "memory", "MB"),
    ("flexibility", "flex", "ways"),
)
STYLES = {"winner": "bold green", "dropped": "dim", "untried": "dim", "failed": "dim"}
ASCII = str.maketrans({"≈": "~", "–": "-", "▸": ">", "◆": "*", "≤": "<", "×": "x", "±": "+-"})
STRANGE = {True: "strange", False: "usual", None: NOTHING}
Cell = tuple[str, str]  # text, style


def console(stderr: bool = False) -> Console:
    """On which nothing is wrapped, highlighted or taken for markup."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def write(out: Console, *parts: Cell | str) -> None:
    """One line; characters that the terminal's encoding lacks become plain ones."""
    from rich.text import Text

    line = Text()
    for part in parts:
        text, style = part if isinstance(part, tuple) else (part, "")
        text = text.replace("\N{NO-BREAK SPACE}", " ")
        line.append(text if "utf" in out.encoding.lower() else text.translate(ASCII), style)
    out.print(_trimmed(line))


def _trimmed(line: Text) -> Text:
    line.rstrip()
    return line


def stored_choice(folder: str) -> dict[str, Any] | None:
    """choice.json as a run that has just failed left it."""
    try:
        return dict(json.loads((Path(folder) / "choice.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def show_choice(record: Mapping[str, Any], folder: str, as_json: bool) -> None:
    """The whole outcome on stdout: the record itself, or the table and what to ship."""
    if as_json:
        print_json(record)
        return
    screen = console()
    print_choice(record, screen)
    print_verdict(record, Path(folder), screen)


def print_choice(record: Mapping[str, Any], out: Console) -> None:
    """Every candidate of a choice.json: two lines each, or one where the screen is wide; on a
    narrow one without the score's interval."""
    if told := worthless(record):
        for line in textwrap.wrap(told, max(40, min(out.width, 100))):
            write(out, (line, "bold red"))
        write(out)
    table, heads, bounds = rows(record), _heads(score_of(unit_of(record))), _bounds(record)
    lines = [_figures(row) for row in table]
    widths = _widths([*heads, bounds], lines)
    if sum(widths) + len(widths) > out.width:
        lines = [_figures(row, interval=False) for row in table]
        widths = _widths([*heads, bounds], lines)
    for head in heads:
        write(out, (_laid(head, widths), "dim"))
    if limits(record):
        write(out, (_laid(bounds, widths), "red"))
    for row, cells in zip(table, lines):
        _print_row(row, cells, widths, out)
    write(out, ("▸ winner  ◆ Pareto front  ≈ predicted, the rest measured or counted", "dim"))


def print_verdict(record: Mapping[str, Any], folder: Path, out: Console) -> None:
    """What to ship and why, and where it lies."""
    write(out)
    for line in textwrap.wrap(verdict(record), max(40, min(out.width, 100))):
        write(out, line)
    write(out)
    if record.get("winner"):
        write(out, f"model   {folder / 'best'}")
    write(out, f"report  {folder / 'report.html'}")


def _heads(measure: Score) -> list[list[str]]:
    """Names of the columns, and under them their units."""
    score = ("accuracy", measure.name, measure.heading("validation"))
    named = [(name, unit) for _, name, unit in (score, *COLUMNS)]
    return [["", "candidate", *(n for n, _ in named)], ["", "", *(u for _, u in named)]]


def _widths(texts: Sequence[Sequence[str]], lines: Sequence[Sequence[Cell]]) -> list[int]:
    body = [[text for text, _ in cells] for cells in lines]
    return [max(map(len, column)) for column in zip(*texts, *body)]


def _figures(row: Row, interval: bool = True) -> list[Cell]:
    style = STYLES.get(row.status, "")
    mark = "▸" if row.is_winner else "◆" if row.pareto else ""
    score = row.figures["accuracy"]
    told = f"{score} ({score.interval})" if interval and score.interval else str(score)
    cells = [(mark, "green"), (row.name, style), (told, style)]
    figures = [row.figures[key] for key, _, _ in COLUMNS]
    return cells + [(str(figure), "red" if figure.over else style) for figure in figures]


def _bounds(record: Mapping[str, Any]) -> list[str]:
    budget = record.get("budget") or {}
    bound = {LIMITS[key][0]: value for key, value in budget.items() if key in LIMITS and value}
    return ["", "limit", "", *(f"≤ {bound[k]:g}" if k in bound else "" for k, _, _ in COLUMNS)]


def _print_row(row: Row, cells: list[Cell], widths: list[int], out: Console) -> None:
    parts = [(_padded(k, text, widths), style) for k, (text, style) in enumerate(cells)]
    reason = f"{row.status}: {row.reason}" if row.reason else row.status
    used = sum(widths) + len(widths)
    if out.width - used - 2 >= len(reason):
        write(out, *_spaced(parts), ("  " + reason, "dim"))
        return
    write(out, *_spaced(parts))
    for line in textwrap.wrap(reason, max(40, out.width - 4)):
        write(out, ("    " + line, "dim"))


def _laid(texts: Sequence[str], widths: list[int]) -> str:
    return " ".join(_padded(k, text, widths) for k, text in enumerate(texts))


def _spaced(parts: Iterable[Cell]) -> list[Cell]:
    return [(text + " ", style) for text, style in parts]


def _padded(k: int, text: str, widths: list[int]) -> str:
    """Names to the left, figures to the right."""
    return text.ljust(widths[k]) if k < 2 else text.rjust(widths[k])


# -- answers -----------------------------------------------------------------------------------


def show_answers(
    told: Iterable[Any], table: Callable[[list[Any], Console], None], as_json: bool
) -> tuple[list[Any], int]:
    """Answers on stdout, in a table or a JSON object a line as they come, and on stderr the errors
    that stand among them; returns the answers, and the exit code: 0, SOME_BAD or, where nothing
    was answered, that of bad input."""
    found: list[Any] = []
    errors: list[InputError] = []
    for entry in told:
        (errors if isinstance(entry, InputError) else found).append(entry)
        if as_json and not isinstance(entry, InputError):
            print(json.dumps(entry.to_dict()))
    if found and not as_json:
        table(found, console())
    for error in errors:
        say(f"error: {error}")
    return found, exit_of(len(found), len(errors))


def print_predictions(found: Sequence[Prediction], out: Console) -> None:
    """A line an item: its name, then each class with its probability."""
    most = max((len(p.ranked) for p in found), default=1)
    heads = ["file", *(["class", "probability"] * most)]
    body = [
        [plain(p.name), *(t for name, share in p.ranked for t in (plain(name), f"{share:.4f}"))]
        for p in found
    ]
    _print_columns(heads, body, out, left=(0, *range(1, 2 * most, 2)))


def print_numbers(found: Sequence[Numbers], out: Console) -> None:
    """A line an item: its name, then the number predicted of it, or several."""
    several = max((len(entry.values) for entry in found), default=1)
    called = found[0].called if found else "value"
    heads = [called] if several == 1 else [f"{called} {t + 1}" for t in range(several)]
    body = [[plain(entry.name), *(f"{value:.6g}" for value in entry.values)] for entry in found]
    _print_columns(["file", *map(plain, heads)], body, out, left=(0,))


def print_matches(found: Sequence[Any], out: Console) -> None:
    """A line a picture and a text that fit, with their cosine, the best first."""
    body = [
        [plain(picture), plain(text), f"{cosine:.3f}"]
        for entry in found
        for picture, text, cosine in entry.lines()
    ]
    _print_columns(["file", "text", "cosine"], body, out, left=(0, 1))


def print_people(found: Sequence[Any], out: Console) -> None:
    """A line a picture: who is on it, and how similar to the nearest person enrolled."""
    body = [[plain(entry.where), plain(entry.name), f"{entry.similarity:.3f}"] for entry in found]
    _print_columns(["file", "person", "similarity"], body, out, left=(0, 1))


def print_verdicts(found: Sequence[Verdict], out: Console) -> None:
    """A line an item: how strange it is, and whether that is called strange."""
    body = [_verdict(entry) for entry in found]
    _print_columns(["file", "anomaly score", "verdict"], body, out, left=(0, 2))
    _print_threshold(found[0].threshold, out)


def print_places(found: Sequence[Any], out: Console) -> None:
    """Boxes a line each, under their file; counts, or shares of the picture, a line a file."""
    heads, body = ["file", "class", "score", "left", "top", "right", "bottom"], []
    for entry in found:
        told = entry.to_dict()
        if said := told.get("caption") or ("similarity" in told and f"{told['similarity']:.3f}"):
            write(out, (f"{plain(entry.name)}  {plain(said)}", ""))
            continue
        if "boxes" not in told:
            numbers = told.get("counts") or told.get("shares") or {}
            texts = [f"{n:.1%}" if isinstance(n, float) else f"{n:,}" for n in numbers.values()]
            pairs = [f"{plain(name)} {text}" for name, text in zip(numbers, texts)]
            write(out, (f"{plain(entry.name)}  {', '.join(pairs) or 'nothing'}", ""))
            continue
        boxes = [
            [plain(b["class"]), f"{b['score']:.2f}", *(f"{side:.0f}" for side in b["box"])]
            for b in told["boxes"]
        ]
        lines = boxes or [["nothing", *[""] * 5]]
        body += [[plain(entry.name) if k == 0 else "", *line] for k, line in enumerate(lines)]
    if body:
        _print_columns(heads, body, out, left=(0, 1))


def print_seen(found: Sequence[Seen], out: Console) -> None:
    """A verdict an item, and how far its reconstruction is from it."""
    body = [[*_verdict(seen.verdict), readable(seen.difference)] for seen in found]
    heads = ["file", "anomaly score", "verdict", "rms difference"]
    _print_columns(heads, body, out, left=(0, 2))
    _print_threshold(found[0].verdict.threshold, out)


def _verdict(entry: Verdict) -> list[str]:
    return [plain(entry.name), f"{entry.score:,.2f}", STRANGE[entry.strange]]


def _print_threshold(threshold: float | None, out: Console) -> None:
    if threshold is not None:
        write(out, (f"strange: an anomaly score above {threshold:,.2f}", "dim"))


# -- devices and fits --------------------------------------------------------------------------


def print_devices(devices: Sequence[Device], out: Console) -> None:
    """A line a device; its long name only where the screen has room for it."""
    heads = ["device", "cores", "GFLOP/s", "int8", "GB", "GB/s", "W", "USD", "name"]
    body = [["this" if d.is_here else d.id, *_device(d), plain(d.name)] for d in devices]
    if out.width < 120:
        heads, body = heads[:-1], [row[:-1] for row in body]
    _print_columns(heads, body, out, left=(0, len(heads) - 1 if out.width >= 120 else 0))
    write(out, ("GFLOP/s and int8 GOP/s are peaks, GB and GB/s the memory's, W under load.", "dim"))
    write(out, ("Take one with --device; a TOML file of your own is taken by its path.", "dim"))


def _device(device: Device) -> list[str]:
    figures = (
        device.cores,
        device.peak_gflops,
        device.peak_gops_int8,
        device.memory_mb / 1e3,
        device.bandwidth_gb_s,
        device.busy_watts,
        device.price_usd,
    )
    return [NOTHING if figure is None else _short(float(figure)) for figure in figures]


def _short(value: float) -> str:
    if 1e-4 <= value < 0.01:
        return f"{value:.2g}"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else readable(value)


def print_fitted(quality: Metric, model: str, already: bool, out: Console) -> None:
    """How good a model is on the test part, and where it lies."""
    name = f"test {score_of(quality.unit).name}"
    known = told_of_items(quality.to_dict()) if quality.known else f"unknown: {quality.source}"
    others = told_scores(quality.details) if quality.known else []
    wide = max(map(len, (name, "model", *(other for other, _ in others)))) + 2
    again = " (finished before; nothing was trained)" if already else ""
    write(out, f"{name:<{wide}}{known}{again}")
    for other, text in others:
        write(out, f"{other:<{wide}}{text}")
    write(out, f"{'model':<{wide}}{model}")


def _print_columns(
    heads: list[str], body: list[list[str]], out: Console, left: Sequence[int]
) -> None:
    """Columns as wide as their widest cell on the screen; those in `left` begin at the left."""
    from rich.cells import cell_len

    widths = [max(cell_len(row[k]) for row in [heads, *body]) for k in range(len(heads))]
    for number, row in enumerate([heads, *body]):
        room = [" " * (width - cell_len(text)) for text, width in zip(row, widths)]
        cells = [t + r if k in left else r + t for k, (t, r) in enumerate(zip(row, room))]
        write(out, ("  ".join(cells), "" if number else "dim"))
