"""CSV and TSV (RFC 4180), with a label column or without.

The separator is whichever of tab, comma, semicolon and bar cuts the first line into most cells.
The first line is a header if none of its cells is a number. The label column is the one asked
for, else one named label, class, target or y, else the last; where labels are not wanted the last
is a feature like the others. Numbers in it are classes or a quantity to predict: quantities.py.
What the cells of the others become is the affair of `encoding`: learnt from this table, or as a
model learnt it from another. Blank cells of numeric columns stay NaN for `tables.fill_blanks`.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.item_names import Rows
from depthwise.data.quantities import asks_for_classes, asks_for_numbers, is_quantity
from depthwise.data.raw import Raw, encode_labels, part_of
from depthwise.data.readers.label_column import targets_in, told_of
from depthwise.data.readers.trees.tree import Tree, gunzip, is_gzip, listed
from depthwise.data.tables.columns import LABEL, NUMBER, Column, label_of
from depthwise.data.tables.encoding import (
    BLANK,
    Cells,
    as_number,
    encode,
    find_columns,
    learn,
    no_column,
)  # fmt: skip
from depthwise.data.tables.frames import Frame
from depthwise.errors import DataError

__all__ = [
    "encode_features", "learn_features", "looks_like_table", "of_frame", "parse",
    "parse_unlabelled", "read",
]  # fmt: skip

Known = Sequence[Column] | None  # the columns that a model learnt, if it is one that asks
MAX_FRACTION_CLASSES = 50
LARGE_BYTES = 4 << 20
_SEPARATORS = "\t,;|"
_LABEL_NAMES = ("label", "class", "target", "y", "labels", "classes")
_SUFFIXES = (".csv", ".tsv", ".tab", ".data")


@dataclass
class _Table:
    """columns: their names; rows: their cells; first_row: line number of the first (from 1);
    has_header: whether the names are the file's own."""

    where: str
    columns: list[str]
    rows: list[list[str]]
    first_row: int
    has_header: bool

    @property
    def n_rows(self) -> int:
        return len(self.rows)

    def column(self, place: int) -> list[str]:
        return [row[place] for row in self.rows]

    def numbers(self, place: int) -> np.ndarray | None:
        """float64 (N,) of a column that is known to hold numbers."""
        return None


_Tables = Sequence[_Table | Frame]


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


def read(
    tree: Tree,
    label: str | None = None,
    known: Known = None,
    *,
    guess: bool = True,
    task: str | None = None,
) -> Raw:
    """The tables of a tree; train, val and test in their names say the part of each.

    label: the label column's name. known: columns as a model learnt them; None: learn them here.
    guess: whether the last column is the label where nothing says which; else there is none, and
    labels that are no classes are done without. task: "regression" or "classification" says how
    numbers in the label column are taken, None: by looking.

    Raises DataError for text that is no table, labels that are missing, and misspelt columns.
    """
    names = [n for n in tree.sizes if looks_like_table(n, tree.head(n))] or list(tree.sizes)
    if not names:
        raise DataError(f"{tree.where} holds no table.")
    where = {name: f"{tree.where}/{name}" if len(tree.sizes) > 1 else tree.where for name in names}
    if len(names) == 1:
        raw = parse(tree.read(names[0]), where[names[0]], label, known, guess=guess, task=task)
    else:
        tables = {name: _rows(tree.read(name), where[name], known, guess) for name in names}
        raw = _read_parts(tables, tree, label, known, guess, task)
    raw.problems = [*tree.problems, *raw.problems]
    return raw


def _read_parts(
    tables: dict[str, _Table],
    tree: Tree,
    label: str | None,
    known: Known,
    guess: bool,
    task: str | None,
) -> Raw:
    """Several tables with the same columns, each one part of a split."""
    parts = [part_of(PurePosixPath(name).name.split(".")[0]) for name in tables]
    if None in parts:
        raise DataError(
            f"{tree.where} holds several tables ({listed([*tables])}); give one of them."
        )
    first = next(iter(tables.values()))
    if any(table.columns != first.columns for table in tables.values()):
        raise DataError(f"{tree.where}: the tables {listed([*tables])} have different columns.")
    raw = _raw([*tables.values()], label, known, guess, task)
    raw.parts = np.repeat(np.array(parts, np.int8), [len(table.rows) for table in tables.values()])
    return raw


def parse(
    data: bytes,
    where: str,
    label: str | None = None,
    known: Known = None,
    *,
    guess: bool = True,
    task: str | None = None,
) -> Raw:
    """One table's bytes to features float32 (N, D) and labels, or numbers to predict."""
    large = len(data) > LARGE_BYTES
    quick = _all_numbers(data, where, label, known, guess, task) if large else None
    return quick or _raw([_rows(data, where, known, guess)], label, known, guess, task)


def parse_unlabelled(
    data: bytes, where: str, known: Sequence[Column]
) -> tuple[np.ndarray, list[Problem]]:
    """One table's bytes to features float32 (N, D), NaN for a blank, as a model learnt them; a
    label column and others that it does not know do not matter."""
    return _encoded([_rows(data, where, known, labelled=False, blank_rows=True)], known)


def of_frame(
    frame: Frame,
    label: str | None = None,
    known: Known = None,
    *,
    guess: bool = True,
    task: str | None = None,
) -> Raw:
    """A data frame as the CSV that it would be written to; arguments as of `read`."""
    if not frame.n_rows or not frame.columns:
        raise DataError(f"{frame.where} has no {'columns' if frame.n_rows else 'rows'}.")
    return _raw([frame], label, known, guess, task)


def learn_features(frame: Frame) -> tuple[list[Column], np.ndarray, list[Problem]]:
    """What all columns of a data frame become, medians still 0, features float32 (N, D), NaN for a
    blank, and what was left out."""
    if not frame.n_rows or not frame.columns:
        raise DataError(f"{frame.where} has no {'columns' if frame.n_rows else 'rows'}.")
    return _learnt([frame], None)


def encode_features(frame: Frame, known: Sequence[Column]) -> tuple[np.ndarray, list[Problem]]:
    """A data frame's features float32 (N, D), NaN for a blank, as a model learnt them."""
    return _encoded([frame], known)


def _rows(
    data: bytes,
    where: str,
    known: Known = None,
    labelled: bool = True,
    blank_rows: bool = False,
) -> _Table:
    """Its cells. Blank rows are no items, but where questions are read they may be: they stay, or
    the answers would move up beside other rows."""
    text = _text(gunzip(data, where) if is_gzip(data) else data, where)
    separator = max(_SEPARATORS, key=text.split("\n", 1)[0].count)
    rows: list[list[str]] = []
    first_row = 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=False)
    try:
        for row in reader:
            if any(cell.strip() for cell in row) or (rows and len(row) > 1 and blank_rows):
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
    if labelled and len(rows[0]) < 2:
        raise DataError(
            f"{where} has one column only; it needs features and a label column; "
            "without labels, look for what is strange: --task anomaly (labelled=False)."
        )
    return _with_header(where, rows, first_row, known)


def _with_header(where: str, rows: list[list[str]], first_row: int, known: Known) -> _Table:
    names = [cell.strip() for cell in rows[0]]
    if not _is_header(names, known):
        names = [f"column {k + 1}" for k in range(len(names))]
        return _Table(where, names, rows, first_row, False)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{where}: two columns are named {twice!r}; rename one.")
    if len(rows) < 2:
        raise DataError(f"{where} has a header but no rows.")
    return _Table(where, names, rows[1:], first_row + 1, True)


def _is_header(names: list[str], known: Known) -> bool:
    """No cell is a number, or the names of all columns that a model takes are there."""
    if known and {column.name for column in known if column.width} <= set(names):
        return True
    return all(as_number(name) is None for name in names)


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


def _raw(tables: _Tables, label: str | None, known: Known, guess: bool, task: str | None) -> Raw:
    first = tables[0]
    column = _label_column(first, label, known, guess)
    given = None
    if guess and column is not None and not asks_for_classes(task):
        if asks_for_numbers(task):
            _require_every_label(tables, column)
        given = targets_in(_label_cells(tables, column), first.columns[column], task)
    codes, classes = _labels(tables, None if given is not None else column, guess)
    if known is None:
        columns, features, problems = _learnt(tables, column)
    else:
        columns, (features, problems) = [*known], _encoded(tables, known)
    raw = Raw("table", features, codes, classes, None, problems, columns=columns)
    if given is not None:
        raw.task, raw.targets = "regression", given
    if column is not None and task is None:
        raw.problems = [*told_of(f"column {first.columns[column]!r}", raw), *problems]
    raw.names = _row_names(tables)
    return raw


def _row_names(tables: _Tables) -> Rows:
    """By their lines in the file, and the file where there are several."""
    files = [PurePosixPath(table.where).name if len(tables) > 1 else "" for table in tables]
    firsts, counts = [t.first_row for t in tables], [t.n_rows for t in tables]
    return Rows(tuple(files), tuple(firsts), tuple(counts))


def _labels(tables: _Tables, column: int | None, needed: bool) -> tuple[np.ndarray, list[str]]:
    """Codes (N,) and classes; zeros and none without a column, or where they are not needed and
    are no classes."""
    nothing = np.zeros(sum(table.n_rows for table in tables), np.int64)
    if column is None:
        return nothing, []
    try:
        _require_every_label(tables, column)
        labels = [cell.strip() for cell in _label_cells(tables, column).texts]
        return _classes(labels, f"{tables[0].where}, column {tables[0].columns[column]!r}")
    except DataError:
        if needed:
            raise
        return nothing, []


def _learnt(tables: _Tables, label: int | None) -> tuple[list[Column], np.ndarray, list[Problem]]:
    """The columns of these tables, features (N, D), and what was left out."""
    columns, blocks, problems = [], [], []
    for place, name in enumerate(tables[0].columns):
        if place == label:
            columns.append(Column(name, LABEL))
            continue
        column, features, found = learn(name, _cells(tables, place))
        columns.append(column)
        blocks.append(features)
        problems += found
    if not any(column.width for column in columns):
        raise DataError(
            f"{tables[0].where}: no column can serve as a feature; all but the label are free text."
        )
    return columns, np.concatenate(blocks, axis=1), problems


def _encoded(tables: _Tables, known: Sequence[Column]) -> tuple[np.ndarray, list[Problem]]:
    """Features (N, D) as `known` has them, and which texts it does not know."""
    first = tables[0]
    places = find_columns(known, first.columns, first.has_header, first.where)
    blocks, problems = [], []
    for column in known:
        if column.width:
            features, found = encode(column, _cells(tables, places[column.name]))
            blocks.append(features)
            problems += found
    return np.concatenate(blocks, axis=1), problems


def _cells(tables: _Tables, place: int) -> Cells:
    first = tables[0]
    numbers = first.numbers(place) if len(tables) == 1 else None
    texts = [] if numbers is not None else [t for table in tables for t in table.column(place)]
    return Cells(texts, first.where, first.first_row, numbers)


def _label_cells(tables: _Tables, place: int) -> Cells:
    """Always with their texts, which classes are called by."""
    texts = [text for table in tables for text in table.column(place)]
    return Cells(texts, tables[0].where, tables[0].first_row)


def _all_numbers(
    data: bytes, where: str, label: str | None, known: Known, guess: bool, task: str | None
) -> Raw | None:
    """A large table of nothing but numbers, parsed by numpy in a tenth of the memory; else None.

    None is no verdict: the careful way then reads it again, and says what is wrong.
    """
    text = _text(gunzip(data, where) if is_gzip(data) else data, where)
    begin = "\n".join(text.split("\n", 3)[:3])
    head = _rows(begin.encode(), where, known, guess)
    column = _label_column(head, label, known, guess)
    columns = _all_number_columns(head, column, known)
    if columns is None:
        return None
    separator = max(_SEPARATORS, key=begin.split("\n", 1)[0].count)
    try:
        numbers = np.loadtxt(
            io.StringIO(text), np.float32, None, separator, skiprows=head.first_row - 1, ndmin=2
        )
    except ValueError:
        return None
    labels = np.zeros(len(numbers), np.float32) if column is None else numbers[:, column]
    if not np.isfinite(numbers).all() or (labels != np.rint(labels)).any():
        return None
    if np.abs(labels).max() >= 2**24:  # float32 would merge neighbouring numbers
        return None
    asked = asks_for_numbers(task) or (task is None and is_quantity(labels.astype(np.float64)))
    if column is not None and asked:
        return None
    codes, classes = encode_labels(labels, where)
    classes = [] if column is None else classes
    places = find_columns(columns, head.columns, head.has_header, where)
    rest = numbers[:, [places[c.name] for c in columns if c.width]]
    raw = Raw("table", rest, codes, classes, columns=columns)
    raw.names = Rows(("",), (head.first_row,), (len(rest),))
    return raw


def _all_number_columns(head: _Table, label: int | None, known: Known) -> list[Column] | None:
    """The columns of a table of nothing but numbers; None if a model knows them as texts."""
    if known is not None:
        return [*known] if all(c.kind in (NUMBER, LABEL) for c in known) else None
    kinds = [LABEL if place == label else NUMBER for place in range(len(head.columns))]
    return [Column(name, kind) for name, kind in zip(head.columns, kinds)]


def _label_column(
    table: _Table | Frame, label: str | None, known: Known, guess: bool
) -> int | None:
    """Where the labels are: in the column asked for, in the one the model learnt from, where
    names suggest it, or at the end by a guess; None if there are none."""
    if label is None and known is not None:
        if (label := label_of(known)) is None:
            return None  # a model that knows all columns, and none of them as a label
        places = find_columns(known, table.columns, table.has_header, table.where)
        if label in places:
            return places[label]
        if not guess:
            return None
    lower = [name.lower() for name in table.columns]
    if label is None:
        last = len(lower) - 1 if guess else None
        return next((lower.index(name) for name in _LABEL_NAMES if name in lower), last)
    if label in table.columns:
        return table.columns.index(label)
    raise no_column(table.where, label, table.columns)


def _require_every_label(tables: _Tables, column: int) -> None:
    for table in tables:
        _require_labels(table, column)


def _require_labels(table: _Table | Frame, column: int) -> None:
    missing = [
        table.first_row + i
        for i, text in enumerate(table.column(column))
        if text.strip().lower() in BLANK - {"none"}
    ]
    if missing:
        rows = listed([str(row) for row in missing], 5)
        raise DataError(
            f"{table.where}: no label in column {table.columns[column]!r} of row {rows}; fill them "
            "in or remove the rows, or go without labels: --task anomaly (labelled=False)."
        )


def _classes(labels: list[str], where: str) -> tuple[np.ndarray, list[str]]:
    """Whole numbers written 1 and 1.0 are one class; many fractions are a quantity, not classes."""
    numbers = [as_number(value) for value in labels]
    known = [number for number in numbers if number is not None]
    if len(known) == len(labels) and all(n.is_integer() and abs(n) < 1e15 for n in known):
        return encode_labels(np.array(known), where)
    if len(known) == len(labels) and len(set(known)) > MAX_FRACTION_CLASSES:
        raise DataError(
            f"{where} holds {len(set(known)):,} different fractions, a quantity and not a class; "
            "predict it (--task regression), bin it, choose another column with label=, or go "
            "without labels: --task anomaly (labelled=False)."
        )
    return encode_labels(np.array(labels), where)
