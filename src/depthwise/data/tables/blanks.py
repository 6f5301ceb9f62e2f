"""What the features of a table need to know of the training part, once it is drawn: medians, which
fill blank cells; the values of texts that occur in it; the day from which dates count.

Shapes: N items, D features, W features of a column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from depthwise.data.problem import Problem
from depthwise.data.readers.trees.tree import listed
from depthwise.data.tables.columns import BOOLEAN, DATE, DATE_PARTS, NUMBER, TEXT, Column

__all__ = ["fill_blanks", "learnt_from", "missing_shares"]


def learnt_from(
    columns: Sequence[Column], table: np.ndarray, train: np.ndarray
) -> tuple[list[Column], np.ndarray, list[Problem]]:
    """The columns of table (N, D), NaN for a blank, as the rows `train` have them, the table of
    their features, and what is only in the other rows.

    A column that is blank throughout the training part has the median 0.
    """
    learnt, blocks, problems, changed = [], [], [], False
    for column, place in _places(columns):
        block = table[:, place : place + column.width]
        new, features, found = _learnt(column, block, train)
        changed = changed or features is not block
        learnt.append(new)
        blocks.append(features)
        problems += found
    whole = np.concatenate(blocks, axis=1) if changed else table
    return learnt, whole, problems


def _learnt(
    column: Column, block: np.ndarray, train: np.ndarray
) -> tuple[Column, np.ndarray, list[Problem]]:
    if column.kind == NUMBER:
        return replace(column, median=_median(block[train, 0])), block, []
    if column.kind == BOOLEAN:
        return replace(column, median=float(_median(block[train, 0]) >= 0.5)), block, []
    if column.kind == TEXT:
        return _values(column, block, train)
    return (*_dates(column, block, train), []) if column.kind == DATE else (column, block, [])


def _values(
    column: Column, block: np.ndarray, train: np.ndarray
) -> tuple[Column, np.ndarray, list[Problem]]:
    """Without the values that the training part has not."""
    there = block[train].any(axis=0)
    if there.all() or not there.any():
        return column, block, []
    strange = [repr(value) for value, known in zip(column.values, there) if not known]
    detail = f"{listed(strange)} in no row of the training part; taken as none of the known values"
    items = int(block[:, ~there].sum())
    values = tuple(value for value, known in zip(column.values, there) if known)
    found = [Problem("unknown value", f"column {column.name!r}", detail, items)]
    return replace(column, values=values), np.ascontiguousarray(block[:, there]), found


def _dates(column: Column, block: np.ndarray, train: np.ndarray) -> tuple[Column, np.ndarray]:
    """Elapsed days from the earliest of the training part, and the parts that differ there."""
    day, time = (block[:, column.parts.index(part)] for part in ("day", "time"))
    known = day[train][~np.isnan(day[train])]
    first = int(known.min()) if len(known) else 0
    elapsed = (day.astype(np.float64) - first + time.astype(np.float64)).astype(np.float32)
    whole = np.column_stack([block[:, : len(DATE_PARTS) - 1], elapsed])
    kept = [k for k, values in enumerate(whole[train].T) if _differ(values)]
    kept = kept or [len(DATE_PARTS) - 1]
    features = np.ascontiguousarray(whole[:, kept])
    made = replace(
        column,
        parts=tuple(DATE_PARTS[k] for k in kept),
        medians=tuple(_median(values) for values in features[train].T),
        earliest=str(np.datetime64(first, "D")),
    )
    return made, features


def _differ(values: np.ndarray) -> bool:
    known = values[~np.isnan(values)]
    return len(known) > 0 and bool(known.min() < known.max())


def fill_blanks(table: np.ndarray, columns: Sequence[Column]) -> tuple[np.ndarray, list[Problem]]:
    """table float32 (N, D) with NaN for a blank -> no NaN, and what was filled."""
    blank = np.isnan(table)
    if not blank.any():
        return table, []
    filled, cells, touched = np.array(table), 0, 0
    for column, place in _places(columns):
        here = blank[:, place : place + column.width]
        for k, value in enumerate(column.fills):
            filled[here[:, k], place + k] = value
        cells += int(here.any(axis=1).sum())
        touched += bool(here.any())
    wide = sum(column.width > 0 for column in columns)
    detail = f"in {touched:,} of {wide:,} columns, filled with the training median"
    return filled, [Problem("blank cell", "", detail, cells)]


def missing_shares(table: np.ndarray, columns: Sequence[Column]) -> list[float]:
    """Of each column the share of its cells that are blank (of a text: or unknown), in table (N, D)
    before blanks are filled; 0 where it makes no feature."""
    shares = []
    for column, place in _places(columns):
        block = table[:, place : place + column.width]
        gone = ~block.any(axis=1) if column.kind == TEXT else np.isnan(block).any(axis=1)
        shares.append(float(gone.mean()) if column.width else 0.0)
    return shares


def _places(columns: Sequence[Column]) -> Iterator[tuple[Column, int]]:
    """Each column, and where its features begin."""
    place = 0
    for column in columns:
        yield column, place
        place += column.width


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)].astype(np.float64)
    return float(np.median(known)) if len(known) else 0.0
