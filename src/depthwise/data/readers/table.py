"""CSV, TSV and other text tables (RFC 4180 and what people make of it), with a label column or
without; data frames.

How text becomes cells: tables/delimited.py. Whether the first line is one of names:
tables/header.py. Which column is the label: label_column.py. What the cells of the others become is
the affair of tables/encoding.py: learnt from this table, or as a model learnt it from another.
Columns that count rows or name them are left out (tables/leaks.py). Blank cells of numeric columns
stay NaN for `tables.blanks.fill_blanks`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from depthwise.data.item_names import Rows
from depthwise.data.problem import Problem
from depthwise.data.quantities import asks_for_classes, asks_for_numbers
from depthwise.data.raw import Raw, part_of
from depthwise.data.readers.label_column import (
    coded_labels,
    label_cells,
    label_place,
    require_every_label,
    targets_read,
    told_of,
)
from depthwise.data.readers.large_table import all_numbers
from depthwise.data.readers.trees.tree import Tree, gunzip, gunzip_head, is_gzip, listed
from depthwise.data.tables.columns import LABEL, LEFT_OUT, Column
from depthwise.data.tables.delimited import SEPARATORS, decoded, is_white_table
from depthwise.data.tables.encoding import Cells, encode, find_columns, learn, no_column
from depthwise.data.tables.frames import Frame
from depthwise.data.tables.leaks import left_out_as
from depthwise.data.tables.numbers import mark_in
from depthwise.data.tables.readings import Readings
from depthwise.data.tables.rows import Known, Table, Tables, names_of_rows, table_of
from depthwise.errors import DataError

__all__ = [
    "encode_features", "learn_features", "looks_like_table", "of_frame", "parse",
    "parse_unlabelled", "read",
]  # fmt: skip

LARGE_BYTES = 4 << 20
_SUFFIXES = (".csv", ".tsv", ".tab", ".data")
_SHARD = re.compile(r"[-_]\d+(-of-\d+)?$")
AS_IT_IS = Readings()


def looks_like_table(name: str, head: bytes) -> bool:
    """Whether this file is text with separated cells, going by its name and beginning."""
    name = name.lower().removesuffix(".gz") if is_gzip(head) else name.lower()
    if name.endswith(_SUFFIXES):
        return True
    if is_gzip(head):
        head = gunzip_head(head, 512)
    first = head.split(b"\n")[0]
    if b"\0" in head or PurePosixPath(name).suffix not in ("", ".txt", ".dat", ".asc"):
        return False
    return any(mark.encode() in first for mark in SEPARATORS[:2]) or is_white_table(head)


def read(
    tree: Tree,
    label: str | None = None,
    known: Known = None,
    *,
    guess: bool = True,
    task: str | None = None,
    readings: Readings = AS_IT_IS,
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
    how: dict[str, Any] = {"guess": guess, "task": task, "readings": readings}
    if len(names) == 1:
        raw = parse(tree.read(names[0]), where[names[0]], label, known, **how)
    else:
        tables = {n: _table(tree.read(n), where[n], known, guess, readings) for n in names}
        raw = _read_parts(tables, tree, label, known, **how)
    raw.problems = [*tree.problems, *raw.problems]
    return raw


def _read_parts(
    tables: dict[str, Table], tree: Tree, label: str | None, known: Known, **how: Any
) -> Raw:
    """Several tables with the same columns, each one part of a split."""
    parts = [part_of(_SHARD.sub("", PurePosixPath(n).name.split(".")[0])) for n in tables]
    if None in parts:
        raise DataError(
            f"{tree.where} holds several tables ({listed([*tables])}); give one of them."
        )
    first = next(iter(tables.values()))
    if any(table.columns != first.columns for table in tables.values()):
        raise DataError(f"{tree.where}: the tables {listed([*tables])} have different columns.")
    raw = _raw([*tables.values()], label, known, **how)
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
    readings: Readings = AS_IT_IS,
) -> Raw:
    """One table's bytes to features float32 (N, D) and labels, or numbers to predict."""
    text, told = _text(data, where)
    if len(data) > LARGE_BYTES:
        quick = all_numbers(text, where, label, known, guess, task, readings)
        if quick is not None:
            quick.problems = [*told, *quick.problems]
            return quick
    table = _table_of(text, where, known, guess, readings, told)
    return _raw([table], label, known, guess=guess, task=task, readings=readings)


def parse_unlabelled(
    data: bytes, where: str, known: Sequence[Column]
) -> tuple[np.ndarray, list[Problem]]:
    """One table's bytes to features float32 (N, D), NaN for a blank, as a model learnt them; a
    label column and others that it does not know do not matter."""
    text, told = _text(data, where)
    table = table_of(text, where, known, keep_blank=True)
    features, problems = _encoded([table], known)
    return features, [*told, *table.told, *problems]


def of_frame(
    frame: Frame,
    label: str | None = None,
    known: Known = None,
    *,
    guess: bool = True,
    task: str | None = None,
    readings: Readings = AS_IT_IS,
) -> Raw:
    """A data frame as the CSV that it would be written to; arguments as of `read`."""
    _require_cells(frame)
    return _raw([frame], label, known, guess=guess, task=task, readings=readings)


def learn_features(frame: Frame) -> tuple[list[Column], np.ndarray, list[Problem]]:
    """What all columns of a data frame become, medians still 0, features float32 (N, D), NaN for a
    blank, and what was left out."""
    _require_cells(frame)
    return _learnt([frame], None, AS_IT_IS)


def encode_features(frame: Frame, known: Sequence[Column]) -> tuple[np.ndarray, list[Problem]]:
    """A data frame's features float32 (N, D), NaN for a blank, as a model learnt them."""
    return _encoded([frame], known)


def _require_cells(frame: Frame) -> None:
    if not frame.n_rows or not frame.columns:
        raise DataError(f"{frame.where} has no {'columns' if frame.n_rows else 'rows'}.")


def _text(data: bytes, where: str) -> tuple[str, list[Problem]]:
    return decoded(gunzip(data, where) if is_gzip(data) else data, where)


def _table(data: bytes, where: str, known: Known, labelled: bool, readings: Readings) -> Table:
    text, told = _text(data, where)
    return _table_of(text, where, known, labelled, readings, told)


def _table_of(
    text: str, where: str, known: Known, labelled: bool, readings: Readings, told: list[Problem]
) -> Table:
    table = table_of(text, where, known, header=readings.header)
    if labelled and len(table.columns) < 2:
        raise DataError(
            f"{where} has one column only; it needs features and a label column; "
            "without labels, look for what is strange: --task anomaly (labelled=False)."
        )
    table.told = [*told, *table.told]
    return table


def _raw(
    tables: Tables,
    label: str | None,
    known: Known,
    *,
    guess: bool,
    task: str | None,
    readings: Readings,
) -> Raw:
    first = tables[0]
    column = label_place(first, label, known, guess)
    given, how_read = None, list[Problem]()
    if guess and column is not None and not asks_for_classes(task):
        if asks_for_numbers(task):
            require_every_label(tables, column, readings.na_class)
        cells, mark = label_cells(tables, column), readings.decimal or _mark_of(tables)
        given, how_read = targets_read(cells, first.columns[column], task, mark)
    codes, classes = coded_labels(
        tables, None if given is not None else column, guess, readings.na_class
    )
    if known is None:
        columns, features, problems = _learnt(tables, column, readings)
    else:
        columns, (features, problems) = [*known], _encoded(tables, known)
    raw = Raw("table", features, codes, classes, None, problems, columns=columns)
    if given is not None:
        raw.task, raw.targets = "regression", given
        problems = [*how_read, *problems]
        raw.problems = problems
    if column is not None and task is None:
        raw.problems = [*told_of(f"column {first.columns[column]!r}", raw), *problems]
    raw.problems = [*(problem for table in tables for problem in table.told), *raw.problems]
    raw.names = names_of_rows(tables)
    return raw


def _learnt(
    tables: Tables, label: int | None, readings: Readings
) -> tuple[list[Column], np.ndarray, list[Problem]]:
    """The columns of these tables, features (N, D), and what was left out."""
    rows, counts = names_of_rows(tables), [table.n_rows for table in tables]
    _require_columns([*readings.keep, *readings.leave_out], tables[0])
    mark = readings.decimal or _mark_of(tables)
    learnt: list[tuple[Column, np.ndarray, list[Problem]]] = []
    spared: list[int] = []
    for place, name in enumerate(tables[0].columns):
        nothing = np.empty((sum(counts), 0), np.float32)
        if place == label or name in readings.leave_out:
            learnt.append((Column(name, LABEL if place == label else LEFT_OUT), nothing, []))
            continue
        cells = _cells(tables, place, rows)
        why = None if name in readings.keep else left_out_as(name, cells, counts)
        if why is not None:
            spared.append(place)
            learnt.append((Column(name, LEFT_OUT), nothing, [why]))
        else:
            learnt.append(learn(name, cells, mark))
    if not any(column.width for column, _, _ in learnt):
        for place in spared:  # nothing else is there to learn from
            learnt[place] = learn(tables[0].columns[place], _cells(tables, place, rows), mark)
    columns = [column for column, _, _ in learnt]
    if not any(column.width for column in columns):
        raise DataError(
            f"{tables[0].where}: no column can serve as a feature; all but the label are free text."
        )
    features = np.concatenate([block for _, block, _ in learnt], axis=1)
    return columns, features, [problem for _, _, found in learnt for problem in found]


def _require_columns(names: Sequence[str], table: Table | Frame) -> None:
    for name in names:
        if name not in table.columns:
            raise no_column(table.where, name, table.columns)


def _mark_of(tables: Tables) -> str | None:
    """The decimal mark of a file, if one of its columns says so."""
    first = tables[0]
    if isinstance(first, Frame):
        return None
    return mark_in(first.column(place) for place in range(len(first.columns)))


def _encoded(tables: Tables, known: Sequence[Column]) -> tuple[np.ndarray, list[Problem]]:
    """Features (N, D) as `known` has them, and which texts it does not know."""
    first, rows = tables[0], names_of_rows(tables)
    places = find_columns(known, first.columns, first.has_header, first.where)
    blocks, problems = [], []
    for column in known:
        if column.width:
            features, found = encode(column, _cells(tables, places[column.name], rows))
            blocks.append(features)
            problems += found
    return np.concatenate(blocks, axis=1), problems


def _cells(tables: Tables, place: int, rows: Rows) -> Cells:
    first = tables[0]
    numbers = first.numbers(place) if len(tables) == 1 else None
    texts = [] if numbers is not None else [t for table in tables for t in table.column(place)]
    return Cells(texts, first.where, rows, numbers)
