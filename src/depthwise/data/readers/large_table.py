"""A large table of nothing but numbers, parsed by numpy in a tenth of the memory.

Shapes: N items, D features.
"""

from __future__ import annotations

import io

import numpy as np

from depthwise.data.item_names import Rows
from depthwise.data.problem import Problem
from depthwise.data.quantities import asks_for_classes, asks_for_numbers, is_quantity
from depthwise.data.raw import Raw, encode_labels
from depthwise.data.readers.label_column import are_plain, label_place
from depthwise.data.tables.columns import LABEL, LEFT_OUT, NUMBER, Column
from depthwise.data.tables.delimited import WHITE
from depthwise.data.tables.encoding import find_columns
from depthwise.data.tables.leaks import row_numbers
from depthwise.data.tables.offsets import offset_of
from depthwise.data.tables.readings import Readings
from depthwise.data.tables.rows import Known, Table, table_of

__all__ = ["all_numbers"]

FIRST = 1024  # lines, by which it is looked at
BLOCK = 1 << 22  # characters looked through at once


def all_numbers(
    text: str,
    where: str,
    label: str | None,
    known: Known,
    guess: bool,
    task: str | None,
    readings: Readings,
) -> Raw | None:
    """Its features float32 (N, D) and classes; None where there is anything else in it.

    None is no verdict: the careful way then reads it again, and says what is wrong.
    """
    begin = _beginning(text)
    head = table_of(begin, where, known, header=readings.header)
    column = label_place(head, label, known, guess)
    is_plain = all(problem.kind == "first line" for problem in head.told)
    numbers = _numbers(text, head) if is_plain else None
    if numbers is None or readings.decimal == ",":
        return None
    labels = np.zeros(len(numbers)) if column is None else numbers[:, column]
    if not np.isfinite(numbers).all() or (labels != np.rint(labels)).any():
        return None
    asked = asks_for_numbers(task) or (not asks_for_classes(task) and is_quantity(labels))
    if column is not None and (asked or not _are_plain(text, head, column)):
        return None
    return _raw(numbers, labels, head, column, known, readings)


def _beginning(text: str) -> str:
    """Its first lines."""
    place = 0
    for _ in range(FIRST):
        place = text.find("\n", place) + 1
        if not place:
            return text
    return text[:place]


def _numbers(text: str, head: Table) -> np.ndarray | None:
    """float64 (N, K), or None: also where blank lines would be counted wrongly."""
    skipped = head.lines[0] - 1
    separator = None if head.separator == WHITE else head.separator
    try:
        numbers = np.loadtxt(
            io.StringIO(text), np.float64, None, separator, skiprows=skipped, ndmin=2
        )
    except ValueError:
        return None
    lines = text.count("\n") + (not text.endswith("\n"))
    return (
        numbers
        if len(numbers) == lines - skipped and numbers.shape[1] == len(head.columns)
        else None
    )


def _are_plain(text: str, head: Table, column: int) -> bool:
    """Whether the labels are whole numbers as classes are counted: 007 and 1E3 are names."""
    separator = None if head.separator == WHITE else head.separator
    last = separator if column == len(head.columns) - 1 else None
    place, found = _line_start(text, head.lines[0]), set[str]()
    while place < len(text):
        end = text.find("\n", place + BLOCK)
        lines = text[place : end if end >= 0 else len(text)].split("\n")
        place = end + 1 if end >= 0 else len(text)
        if last is not None:
            found.update({line.rpartition(last)[2] for line in lines if line})
        else:
            found.update({line.split(separator)[column] for line in lines if line})
    return are_plain({label.strip() for label in found} - {""})


def _line_start(text: str, number: int) -> int:
    """Where the line of this number begins, from 1."""
    place = 0
    for _ in range(number - 1):
        place = text.find("\n", place) + 1
    return place


def _raw(
    numbers: np.ndarray,
    labels: np.ndarray,
    head: Table,
    column: int | None,
    known: Known,
    readings: Readings,
) -> Raw | None:
    columns, problems = (
        _columns(numbers, head, column, readings) if known is None else ([*known], [])
    )
    if known is not None and not all(c.kind in (NUMBER, LABEL, LEFT_OUT) for c in known):
        return None
    used = [c for c in columns if c.width]
    if not used:
        return None
    places = find_columns(columns, head.columns, head.has_header, head.where)
    order = [places[c.name] for c in used]
    in_order = order == [*range(order[0], order[0] + len(order))]
    taken = numbers[:, order[0] : order[-1] + 1] if in_order else numbers[:, order]
    if any(c.offset for c in used):
        taken = taken - np.array([c.offset for c in used])
    with np.errstate(over="ignore"):
        features = taken.astype(np.float32)
    if not np.isfinite(features).all():
        return None
    codes, classes = encode_labels(labels, head.where)
    raw = Raw("table", features, codes, [] if column is None else classes, columns=columns)
    raw.problems = [*head.told, *problems]
    raw.names = Rows(("",), (head.lines[0],), (len(features),))
    return raw


def _columns(
    numbers: np.ndarray, head: Table, label: int | None, readings: Readings
) -> tuple[list[Column], list[Problem]]:
    columns, problems = [], []
    for place, name in enumerate(head.columns):
        if place == label:
            columns.append(Column(name, LABEL))
            continue
        why = None if name in readings.keep else row_numbers(name, numbers[:, place])
        if why is not None or name in readings.leave_out:
            columns.append(Column(name, LEFT_OUT))
            problems += [why] if why is not None else []
        else:
            columns.append(Column(name, NUMBER, offset=offset_of(numbers[:, place])))
    return columns, problems
