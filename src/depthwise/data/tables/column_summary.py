"""What each column of a table became, a line each: its kind, its features, how much of it is
missing, an example; and which column is the label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from depthwise.data.quantities import numbered_classes
from depthwise.data.tables.columns import (
    BOOLEAN,
    DATE,
    LABEL,
    LEFT_OUT,
    NUMBER,
    TEXT,
    Column,
    label_of,
)
from depthwise.task import Task

__all__ = ["HasColumns", "column_records", "column_table", "label_line"]

LISTED, VALUES_LISTED, CELL = 40, 5, 44  # columns, values of one, characters
NONE = "-"


class HasColumns(Protocol):
    """The fields of a Dataset that are read here; columns and missing are None where the items are
    not the rows of a table file."""

    inputs: np.ndarray  # float32 (N, D)
    columns: list[Column] | None
    missing: list[float] | None  # share of blank cells of each column
    classes: list[str]

    @property
    def task_row(self) -> Task: ...


def label_line(data: HasColumns) -> str | None:
    """Which column is the label, whether as classes or as numbers, and how to say otherwise."""
    name = label_of(data.columns or [])
    if name is None:
        return None
    return f"column {_short(name)!r}{_taken_as(data)}; --label NAME (label=) takes another"


def _taken_as(data: HasColumns) -> str:
    if data.task_row.predicts_numbers:
        return ", numbers to predict (--task classification: classes)"
    if not data.classes:
        return ""
    other = "" if numbered_classes(data.classes) is None else " (--task regression: numbers)"
    return f", {len(data.classes):,} classes{other}"


def column_table(data: HasColumns) -> list[str]:
    """A line a column, in the order of the table."""
    if not data.columns:
        return []
    rows = [("column", "kind", "becomes", "missing", "for example"), *_rows(data)]
    lines = ["  " + line for line in _laid(rows[: LISTED + 1])]
    if len(rows) > LISTED + 1:
        lines.append(f"  ... and {len(rows) - LISTED - 1:,} more columns")
    return lines


def column_records(data: HasColumns) -> list[dict[str, Any]] | None:
    """The same for a program; None of data that have no columns."""
    if not data.columns:
        return None
    shares = data.missing or [0.0] * len(data.columns)
    return [
        {"name": c.name, "kind": c.kind, "features": c.features, "missing": share}
        for c, share in zip(data.columns, shares)
    ]


def _rows(data: HasColumns) -> Iterator[tuple[str, ...]]:
    place = 0
    shares = data.missing or [0.0] * len(data.columns or ())
    for column, missing in zip(data.columns or (), shares):
        block = data.inputs[:, place : place + column.width]
        place += column.width
        share = f"{missing:.1%}" if column.width else NONE
        yield _short(column.name), column.kind, _becomes(column), share, _example(column, block)


def _becomes(column: Column) -> str:
    if column.kind in (LABEL, LEFT_OUT):
        return NONE
    if column.kind == NUMBER:
        return "1 number"
    if column.kind == BOOLEAN:
        return "0 or 1"
    parts = [*column.parts] if column.kind == DATE else [*column.values]
    more = f", ... {len(parts) - VALUES_LISTED} more" if len(parts) > VALUES_LISTED else ""
    return f"{len(parts)}: {', '.join(_short(part, 16) for part in parts[:VALUES_LISTED])}{more}"


def _example(column: Column, block: np.ndarray) -> str:
    """The first cell that says something, as its features (N, W) have it."""
    if not column.width:
        return NONE
    if column.kind == TEXT:
        known = np.flatnonzero(block.any(axis=1))
        return _short(column.values[int(block[known[0]].argmax())]) if len(known) else NONE
    if column.kind == BOOLEAN:
        return "true" if block[0, 0] else "false"
    if column.kind == DATE:
        return ", ".join(f"{part} {value:g}" for part, value in zip(column.parts, block[0]))
    given = np.flatnonzero(block[:, 0] != np.float32(column.median))  # not filled in
    shown = float(block[given[0] if len(given) else 0, 0]) + column.offset
    return f"{shown:.15g}" if column.offset else f"{shown:g}"


def _laid(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()


def _short(text: str, width: int = CELL) -> str:
    clean = "".join(ch if ch.isprintable() else "?" for ch in text)
    return clean if len(clean) <= width else clean[: width - 3] + "..."
