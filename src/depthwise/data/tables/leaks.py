"""Columns that no model should learn from: row numbers and ids, which say where an item stood and
not what it is; and a warning of single columns that nearly give the label away.

    left out    whole numbers that count the rows; a column called id, index, key, ... that is
                different in each row; texts that are different in each
    warned of   a column by which alone almost every label is told, by the value next to it

Shapes: N items, D features, W features of a column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from depthwise.data.problem import Problem
from depthwise.data.tables.columns import Column
from depthwise.data.tables.encoding import Cells
from depthwise.data.tables.numbers import as_numbers
from depthwise.data.tables.readings import asked

__all__ = ["counts_rows", "giveaways", "left_out_as", "row_numbers"]

FEWEST = 20  # rows, from which on what is different in each says something
FEWEST_NAMED = 10  # likewise of a column that is called id
GIVEN_AWAY = 0.95  # of what the commonest class leaves to be told
LOOKED_AT, FEATURES = 4000, 1000  # rows, columns
_CALLED_ID = re.compile(
    r"unnamed:? ?\d+|#|nr\.?|no\.?|key|row|index|idx|u?uid|guid|id|id[ _.-].+"
    r"|(?:row|record|item|line|serial)[ _-]?(?:no|nr|num|number|id|index|idx)?"
    r"|.+[ _.-](?:id|idx|index|key|uuid)"
)
_CAMEL = re.compile(r".*[a-z](?:Id|ID)")


def left_out_as(name: str, cells: Cells, counts: Sequence[int]) -> Problem | None:
    """Why a column is left out; None where it may be learnt from. counts: rows of each table."""
    detail = _row_numbers(name, cells, counts) or _different_in_each(name, cells)
    if detail is None:
        return None
    return Problem(
        "no feature", f"column {name!r}", f"{detail}, left out; {asked('keep', name)} keeps it"
    )


def _row_numbers(name: str, cells: Cells, counts: Sequence[int]) -> str | None:
    if cells.numbers is None and not _begins_counting(cells.texts):
        return None
    try:
        numbers = np.array(cells.texts, np.float64) if cells.numbers is None else cells.numbers
    except ValueError:
        return None
    fewest = 3 if _is_called_id(name) else FEWEST
    return "counts the rows" if counts_rows(numbers, counts, fewest) else None


def _begins_counting(texts: Sequence[str]) -> bool:
    first = [text.strip() for text in texts[:3]]
    if not all(text.isascii() and text.isdigit() for text in first) or len(first) < 3:
        return False
    a, b, c = map(int, first)
    return b - a == c - b and abs(b - a) == 1


def counts_rows(numbers: np.ndarray, counts: Sequence[int], fewest: int = FEWEST) -> bool:
    """Whether float64 (N,) go up or down by one from row to row of each table."""
    if len(numbers) < fewest or abs(numbers[1] - numbers[0]) != 1:
        return False
    ends = np.cumsum(counts)
    steps = np.diff(numbers)
    within = np.ones(len(steps), bool)
    within[ends[:-1] - 1] = False
    return bool((steps[within] == steps[0]).all())


def _different_in_each(name: str, cells: Cells) -> str | None:
    if not _is_called_id(name):
        return None
    numbers = cells.numbers if cells.numbers is not None else as_numbers(cells.texts)
    if numbers is not None and not (numbers == np.rint(numbers)).all():
        return None
    values: Sequence[object] = cells.texts if numbers is None else numbers.tolist()
    each = len(set(values)) == len(values) >= FEWEST_NAMED
    return "is different in each row" if each else None


def _is_called_id(name: str) -> bool:
    plain = name.strip()
    return bool(_CALLED_ID.fullmatch(plain.lower()) or _CAMEL.fullmatch(plain))


def row_numbers(name: str, numbers: np.ndarray) -> Problem | None:
    """As `left_out_as`, of float64 (N,) of one table."""
    return left_out_as(name, Cells([], "", (), numbers), [len(numbers)])


# -- what gives the label away --------------------------------------------------------------------


def giveaways(
    columns: Sequence[Column] | None, features: np.ndarray, answers: np.ndarray, classes: int
) -> Iterator[Problem]:
    """Warnings of columns of features (N, D) that nearly determine the answers: int (N,) of
    `classes`, or numbers (N,) where that is 0."""
    step = max(1, -(-len(features) // LOOKED_AT))
    rows, said = features[::step], answers[::step]
    if len(rows) < 2 * FEWEST or said.ndim != 1:
        return
    for name, place, width in _blocks(columns, features.shape[1])[:FEATURES]:
        block = rows[:, place : place + width]
        told = _told_by(_as_one(block), said, classes)
        if told is not None:
            remedy = f"{asked('leave-out', name)} leaves it out"
            detail = f"alone {told}: is it known before the label? {remedy}"
            yield Problem("nearly gives the label away", f"column {name!r}", detail)


def _blocks(columns: Sequence[Column] | None, wide: int) -> list[tuple[str, int, int]]:
    """Name, first feature and width of each column that makes features."""
    if columns is None:
        return [(f"feature {k}", k, 1) for k in range(wide)]
    ends = np.cumsum([column.width for column in columns])
    return [
        (
            column.name,
            int(end) - column.width + _day_in(column),
            1 if column.parts else column.width,
        )
        for column, end in zip(columns, ends)
        if column.width
    ]


def _day_in(column: Column) -> int:
    """The position among a date's features of the one that is unique to each day, else 0."""
    return next((column.parts.index(p) for p in ("day", "elapsed") if p in column.parts), 0)


def _as_one(block: np.ndarray) -> np.ndarray:
    """(N, W) of a text's values as (N,) numbers of values, one column as it is."""
    return block[:, 0] if block.shape[1] == 1 else block @ np.arange(1.0, block.shape[1] + 1)


def _told_by(values: np.ndarray, answers: np.ndarray, classes: int) -> str | None:
    """How well the other rows with the same or nearest values predict each answer, in words."""
    known = np.flatnonzero(~np.isnan(values))
    if len(known) < 0.9 * len(values):
        return None
    known = np.random.default_rng(0).permutation(known)  # equal values in no order of the rows
    order = known[np.argsort(values[known], kind="stable")]
    return (_of_classes if classes else _of_numbers)(values[order], answers[order], classes)


def _of_classes(values: np.ndarray, labels: np.ndarray, classes: int) -> str | None:
    commonest = float(np.bincount(labels).max() / len(labels))
    groups = np.unique(values, return_inverse=True)[1].reshape(-1)
    if groups[-1] + 1 <= len(labels) // 4:  # few values: by the commonest class of each
        counts = np.zeros((groups[-1] + 1, classes))
        np.add.at(counts, (groups, labels), 1)
        right = counts.max(axis=1).sum() / len(labels)
    else:
        same = labels[1:] == labels[:-1]
        right = float((np.append(same, True) & np.append(True, same)).mean())
    if (right - commonest) < GIVEN_AWAY * (1 - commonest) or commonest == 1:
        return None
    return f"it tells the class of {right:.1%} of the rows"


def _of_numbers(values: np.ndarray, targets: np.ndarray, _: int) -> str | None:
    if values.std() == 0 or targets.std() == 0:
        return None
    r = float(np.corrcoef(values.astype(np.float64), targets)[0, 1])
    return f"it explains {r * r:.2%} of the variance" if r * r >= 0.9999 else None
