"""CSV and TSV (RFC 4180) with a label column.

The separator is whichever of tab, comma, semicolon and bar cuts the first line into most cells.
The first line is a header if none of its cells is a number. The label column is the one asked
for, else one named label, class, target or y, else the last. Numeric columns become one feature;
text columns one feature for each value, at most 64 values; columns of freer text are left out and
reported. Blank cells (also NA, NaN, null, ?) of numeric columns stay NaN for `tables.fill_blanks`.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePosixPath

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.raw import Raw, encode_labels, part_of
from depthwise.data.readers.tree import Tree, gunzip, is_gzip, listed
from depthwise.errors import DataError

__all__ = ["looks_like_table", "parse", "read"]

MAX_VALUES = 64
MAX_FRACTION_CLASSES = 50
LARGE_BYTES = 4 << 20
_SEPARATORS = "\t,;|"
_LABEL_NAMES = ("label", "class", "target", "y", "labels", "classes")
_BLANK = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
_SUFFIXES = (".csv", ".tsv", ".tab", ".data")


@dataclass
class _Table:
    """columns: their names; rows: their cells; first_row: line number of the first (from 1)."""

    where: str
    columns: list[str]
    rows: list[list[str]]
    first_row: int


def looks_like_table(name: str, head: bytes) -> bool:
    """Whether this file is text with separated cells, going by its name and beginning."""
    name = name.lower().removesuffix(".gz") if is_gzip(head) else name.lower()
    if name.endswith(_SUFFIXES):
        return True
    first = head.split(b"\n")[0]
    return (
        b"\0" not in head
        and PurePosixPath(name).suffix in ("", ".txt")
        and any(separator.encode() in first for separator in _SEPARATORS[:2])
    )


def read(tree: Tree, label: str | None = None) -> Raw:
    """The tables of a tree; train, val and test in their names say the part of each.

    Raises DataError for text that is no table, labels that are missing, and misspelt columns.
    """
    names = [n for n in tree.sizes if looks_like_table(n, tree.head(n))] or list(tree.sizes)
    if not names:
        raise DataError(f"{tree.where} holds no table.")
    where = {name: f"{tree.where}/{name}" if len(tree.sizes) > 1 else tree.where for name in names}
    if len(names) == 1:
        raw = parse(tree.read(names[0]), where[names[0]], label)
    else:
        raw = _read_parts(
            {name: _rows(tree.read(name), where[name]) for name in names}, tree, label
        )
    raw.problems = [*tree.problems, *raw.problems]
    return raw


def _read_parts(tables: dict[str, _Table], tree: Tree, label: str | None) -> Raw:
    """Several tables with the same columns, each one part of a split."""
    parts = [part_of(PurePosixPath(name).name.split(".")[0]) for name in tables]
    if None in parts:
        raise DataError(
            f"{tree.where} holds several tables ({listed([*tables])}); give one of them."
        )
    first = next(iter(tables.values()))
    if any(table.columns != first.columns for table in tables.values()):
        raise DataError(f"{tree.where}: the tables {listed([*tables])} have different columns.")
    raw = _raw([*tables.values()], label)
    raw.parts = np.repeat(np.array(parts, np.int8), [len(table.rows) for table in tables.values()])
    return raw


def parse(data: bytes, where: str, label: str | None = None) -> Raw:
    """One table's bytes to features float32 (N, D) and labels."""
    quick = _all_numbers(data, where, label) if len(data) > LARGE_BYTES else None
    return quick or _raw([_rows(data, where)], label)


def _rows(data: bytes, where: str) -> _Table:
    text = _text(gunzip(data, where) if is_gzip(data) else data, where)
    separator = max(_SEPARATORS, key=text.split("\n", 1)[0].count)
    rows, first_row = [], 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=False)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                first_row = first_row or reader.line_num
                rows.append(row)
    except csv.Error as error:
        raise DataError(f"{where}, line {reader.line_num}: {error}.") from None
    if not rows:
        raise DataError(f"{where} is empty; expected a line of column names and one for each item.")
    ragged = [i for i, row in enumerate(rows) if len(row) != len(rows[0])]
    if ragged:
        raise DataError(
            f"{where}: row {ragged[0] + first_row} has {len(rows[ragged[0]])} cells, "
            f"the first has {len(rows[0])} ({len(ragged):,} such rows); quote cells that hold "
            "the separator."
        )
    return _with_header(where, rows, first_row)


def _with_header(where: str, rows: list[list[str]], first_row: int) -> _Table:
    names = [cell.strip() for cell in rows[0]]
    if len(names) < 2:
        raise DataError(f"{where} has one column only; it needs features and a label column.")
    if any(_number(name) is not None for name in names) or len(set(names)) < len(names):
        if all(_number(name) is None for name in names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{where}: two columns are named {twice!r}; rename one.")
        names = [f"column {k + 1}" for k in range(len(names))]
        return _Table(where, names, rows, first_row)
    if len(rows) < 2:
        raise DataError(f"{where} has a header but no rows.")
    return _Table(where, names, rows[1:], first_row + 1)


def _text(data: bytes, where: str) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not UTF-8 text (byte {error.start:,}); save it as UTF-8."
        ) from None
    if "\0" in text:
        raise DataError(f"{where} holds zero bytes, so it is not a text table.")
    return text


def _raw(tables: Sequence[_Table], label: str | None) -> Raw:
    first = tables[0]
    column = _label_column(first, label)
    names = [name for k, name in enumerate(first.columns) if k != column]
    labels = [row[column].strip() for table in tables for row in table.rows]
    for table in tables:
        _require_labels(table, column)
    codes, classes = _classes(labels, f"{first.where}, column {first.columns[column]!r}")
    cells = [
        [row[k] for table in tables for row in table.rows]
        for k in range(len(first.columns))
        if k != column
    ]
    features, problems = [], []
    for name, values in zip(names, cells):
        made, problem = _feature(values, name, first)
        features += made
        problems += problem
    if not features:
        raise DataError(
            f"{first.where}: no column can serve as a feature; all but the label are free text."
        )
    raw = Raw("table", np.stack(features, 1).astype(np.float32), codes, classes, None, problems)
    if len(tables) == 1:
        raw.item_name = lambda i: f"row {i + first.first_row}"
    return raw


def _all_numbers(data: bytes, where: str, label: str | None) -> Raw | None:
    """A large table of nothing but numbers, parsed by numpy in a tenth of the memory; else None.

    None is no verdict: the careful way then reads it again, and says what is wrong.
    """
    text = _text(gunzip(data, where) if is_gzip(data) else data, where)
    begin = "\n".join(text.split("\n", 3)[:3])
    head = _rows(begin.encode(), where)
    column = _label_column(head, label)
    separator = max(_SEPARATORS, key=begin.split("\n", 1)[0].count)
    try:
        numbers = np.loadtxt(
            io.StringIO(text), np.float32, None, separator, skiprows=head.first_row - 1, ndmin=2
        )
    except ValueError:
        return None
    labels = numbers[:, column]
    if not np.isfinite(numbers).all() or (labels != np.rint(labels)).any():
        return None
    if np.abs(labels).max() >= 2**24:  # float32 would merge neighbouring numbers
        return None
    codes, classes = encode_labels(labels, where)
    rest = np.delete(numbers, column, axis=1)
    return Raw("table", rest, codes, classes, item_name=lambda i: f"row {i + head.first_row}")


def _label_column(table: _Table, label: str | None) -> int:
    lower = [name.lower() for name in table.columns]
    if label is None:
        return next((lower.index(name) for name in _LABEL_NAMES if name in lower), len(lower) - 1)
    if label in table.columns:
        return table.columns.index(label)
    close = get_close_matches(label.lower(), lower, 1, 0.5)
    hint = (
        f"did you mean {table.columns[lower.index(close[0])]!r}?"
        if close
        else f"it has {listed(table.columns, 8)}."
    )
    raise DataError(f"{table.where} has no column {label!r}; {hint}")


def _require_labels(table: _Table, column: int) -> None:
    missing = [
        table.first_row + i
        for i, row in enumerate(table.rows)
        if row[column].strip().lower() in _BLANK - {"none"}
    ]
    if missing:
        rows = listed([str(row) for row in missing], 5)
        raise DataError(
            f"{table.where}: no label in column {table.columns[column]!r} of row {rows}; fill them "
            "in or remove the rows."
        )


def _classes(labels: list[str], where: str) -> tuple[np.ndarray, list[str]]:
    """Whole numbers written 1 and 1.0 are one class; many fractions are a quantity, not classes."""
    numbers = [_number(value) for value in labels]
    known = [number for number in numbers if number is not None]
    if len(known) == len(labels) and all(n.is_integer() and abs(n) < 1e15 for n in known):
        return encode_labels(np.array(known), where)
    if len(known) == len(labels) and len(set(known)) > MAX_FRACTION_CLASSES:
        raise DataError(
            f"{where} holds {len(set(known)):,} different fractions, a quantity and not a class; "
            "depthwise sorts into classes, so bin it first or choose another column with label=."
        )
    return encode_labels(np.array(labels), where)


def _feature(values: list[str], name: str, table: _Table) -> tuple[list[np.ndarray], list[Problem]]:
    """float (N,) of a numeric column, or one for each value of a text column."""
    numbers = _numbers(values)
    if numbers is not None:
        with np.errstate(over="ignore"):
            endless = np.flatnonzero(np.isinf(numbers.astype(np.float32)))
        if len(endless):
            raise DataError(
                f"{table.where}: {values[endless[0]]} in row {table.first_row + endless[0]}, "
                f"column {name!r}, is not a finite number; mend or blank it."
            )
        return [numbers], []
    text = np.array([value.strip() for value in values])
    distinct = np.unique(text)
    if len(distinct) > MAX_VALUES:
        detail = f"{len(distinct):,} different texts (at most {MAX_VALUES}), column left out"
        return [], [Problem("free text", name, detail)]
    return [(text == value).astype(np.float32) for value in distinct if value], []


def _numbers(values: list[str]) -> np.ndarray | None:
    """float64 (N,), NaN for a blank; None if a cell is neither. All blank counts as numeric."""
    try:
        return np.array(values, dtype=np.float64)
    except ValueError:
        numbers = [np.nan if v.strip().lower() in _BLANK else _number(v) for v in values]
        return None if None in numbers else np.array(numbers, np.float64)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
