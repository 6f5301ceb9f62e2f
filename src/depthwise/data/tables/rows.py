"""A table of cells with the names of its columns, from text; or a data frame, which says the same.

Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from depthwise.data.item_names import Rows
from depthwise.data.problem import Problem
from depthwise.data.tables.columns import Column
from depthwise.data.tables.delimited import Cut, cut
from depthwise.data.tables.frames import Frame
from depthwise.data.tables.header import is_header, told_of_header
from depthwise.errors import DataError

__all__ = ["Known", "Table", "Tables", "headed", "names_of_rows", "table_of", "without_blank_end"]

MOST_TITLES = 5  # lines above the line of names
Known = Sequence[Column] | None  # the columns that a model learnt, if it is one that asks


@dataclass
class Table:
    """columns: their names; rows: their cells; lines: the number of each row in the file, from 1;
    has_header: whether the names are the file's own; told: how it was read."""

    where: str
    columns: list[str]
    rows: list[list[str]]
    lines: Sequence[int]
    has_header: bool
    separator: str = ","
    told: list[Problem] = field(default_factory=list)

    @property
    def n_rows(self) -> int:
        return len(self.rows)

    def column(self, place: int) -> list[str]:
        return [row[place] for row in self.rows]

    def numbers(self, place: int) -> np.ndarray | None:
        """float64 (N,) of a column that is known to hold numbers."""
        return None


Tables = Sequence[Table | Frame]


def names_of_rows(tables: Tables) -> Rows:
    """By their lines in the file, and the file where there are several."""
    files = [PurePosixPath(table.where).name if len(tables) > 1 else "" for table in tables]
    return Rows.of_lines(zip(files, [table.lines for table in tables]))


def table_of(
    text: str,
    where: str,
    known: Known = None,
    *,
    header: bool | None = None,
    keep_blank: bool = False,
) -> Table:
    """A table of this text. header: whether its first line is one of names, None to look.
    keep_blank: blank rows are no items, but where questions are read they may be: they stay, or the
    answers would move up beside other rows. Raises DataError."""
    found = cut(text, where, keep_blank=keep_blank)
    return headed(found, known, header)


def headed(found: Cut, known: Known = None, header: bool | None = None) -> Table:
    """With the names of its columns, from its first line or made up."""
    found = _without_titles(found) if header is None else found
    where, rows, told = found.where, found.rows, found.told
    names = [cell.strip() for cell in rows[0]]
    named = {column.name for column in known or () if column.width}
    if header is None and not (named and named <= set(names)):
        header = is_header(names, rows[1:])
        told = [*told, *told_of_header(names, rows[1:], header)]
    if header is False:
        names, rows, dropped = without_blank_end([""] * len(names), rows)
        names = [f"column {k + 1}" for k in range(len(names))]
        return Table(where, names, rows, found.numbers, False, found.separator, [*told, *dropped])
    if len(rows) < 2:
        raise DataError(f"{where} has a header but no rows.")
    names, below, dropped = without_blank_end(names, rows[1:])
    names = _with_names(names, where)
    told = [*told, *dropped]
    return Table(where, names, below, found.numbers[1:], True, found.separator, told)


def _without_titles(found: Cut) -> Cut:
    """Without lines above the line of names that leave half of their cells or more blank."""
    rows, k = found.rows, 0
    while k < min(MOST_TITLES + 1, len(rows) - 2) and 2 * _filled(rows[k]) <= len(rows[k]):
        k += 1
    if (
        not 0 < k <= MOST_TITLES
        or _filled(rows[k]) < len(rows[k])
        or not is_header(rows[k], rows[k + 1 :])
    ):
        return found
    shown = " ".join(cell.strip() for cell in rows[0] if cell.strip())
    titles = Problem("title", "", f"above the line of names, left out: {shown!r:.60}", k)
    told = [*found.told, titles]
    return Cut(found.where, rows[k:], found.numbers[k:], found.separator, told)


def _filled(row: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in row)


def _with_names(names: Sequence[str], where: str) -> list[str]:
    """A column without a name is called by its number."""
    called = [name or f"unnamed {k + 1}" for k, name in enumerate(names)]
    if len(set(called)) < len(called):
        twice = next(name for name in called if called.count(name) > 1)
        raise DataError(f"{where}: two columns are named {twice!r}; rename one.")
    return called


def without_blank_end(
    names: list[str], rows: list[list[str]]
) -> tuple[list[str], list[list[str]], list[Problem]]:
    """Without the last columns that have no name and no cell, or next to none."""
    wide = len(names)
    while wide > 1 and not names[wide - 1] and _is_blank([row[wide - 1] for row in rows]):
        wide -= 1
    if wide == len(names):
        return names, rows, []
    held = sum(any(cell.strip() for cell in row[wide:]) for row in rows)
    what = f"; {held:,} rows have something there" if held else ""
    detail = f"without a name and next to empty, left out{what}"
    told = [Problem("blank last column", "", detail, len(names) - wide)]
    return names[:wide], [row[:wide] for row in rows], told


def _is_blank(cells: Sequence[str], most: float = 0.02) -> bool:
    """Whether at most 2% of the cells say something."""
    return sum(bool(cell.strip()) for cell in cells) <= most * len(cells)
