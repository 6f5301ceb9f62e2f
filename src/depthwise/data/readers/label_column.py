"""The label column of a table: where it is; whether numbers in it are classes or a quantity."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from depthwise.data.problem import Problem
from depthwise.data.quantities import (
    as_targets,
    asks_for_numbers,
    is_quantity,
    numbered_classes,
    told_as_classes,
    told_as_quantity,
)
from depthwise.data.raw import Raw, encode_labels
from depthwise.data.readers.trees.tree import listed
from depthwise.data.tables.columns import label_of
from depthwise.data.tables.encoding import Cells, find_columns, no_column, read_numbers
from depthwise.data.tables.frames import Frame
from depthwise.data.tables.numbers import BLANK, as_number, is_number
from depthwise.data.tables.rows import Known, Table, Tables, names_of_rows
from depthwise.errors import DataError

__all__ = [
    "LABEL_NAMES", "are_plain", "coded_labels", "label_cells", "label_place", "named_label",
    "require_every_label", "targets_in", "targets_read", "told_of",
]  # fmt: skip

LABEL_NAMES = ("label", "class", "target", "y", "labels", "classes")
MAX_FRACTION_CLASSES = 50
_PLAIN = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.0*)?")  # 3 and 3.0 are one class; 007 is a name
_LEADING_ZERO = re.compile(r"[+-]?0\d")


def label_place(table: Table | Frame, label: str | None, known: Known, guess: bool) -> int | None:
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
    if label is None:
        named = named_label(table.columns)
        return len(table.columns) - 1 if named is None and guess else named
    if label in table.columns:
        return table.columns.index(label)
    raise no_column(table.where, label, table.columns)


def named_label(columns: Sequence[str]) -> int | None:
    """The column that is called label, class, target or y, unless y is a coordinate beside x."""
    lower = [name.strip().lower() for name in columns]
    known = [name for name in LABEL_NAMES if name in lower]
    if "x" in lower and lower[-1] != "y" and "y" in known:
        known.remove("y")
    return lower.index(known[0]) if known else None


def label_cells(tables: Tables, place: int) -> Cells:
    """Always with their texts, which classes are called by."""
    texts = [text for table in tables for text in table.column(place)]
    return Cells(texts, tables[0].where, names_of_rows(tables))


def targets_in(
    cells: Cells, name: str, task: str | None, mark: str | None = None
) -> np.ndarray | None:
    """The targets of `targets_read`, without its problems."""
    return targets_read(cells, name, task, mark)[0]


def targets_read(
    cells: Cells, name: str, task: str | None, mark: str | None = None
) -> tuple[np.ndarray | None, list[Problem]]:
    """The numbers to predict, float64 (N,), and how they were read; None where the column `name`
    holds classes. task: "regression" where numbers are asked for, None to look; mark: of decimals,
    where the cells do not say.

    Raises DataError for a cell that is no number, and for infinity, where numbers are asked for.
    """
    found, told = read_numbers(name, cells, mark)
    where, asked = f"{cells.where}, column {name!r}", asks_for_numbers(task)
    if found is None and asked:
        marked = [i for i, text in enumerate(cells.texts) if not is_number(text, mark or ".")]
        bad = next(iter(marked), 0)
        raise DataError(
            f"{where}: {cells.texts[bad].strip()!r} in {cells.place(bad)} is no number to predict; "
            "mend it, or leave out --task regression (task=)."
        )
    if found is None or (not asked and any(map(_LEADING_ZERO.match, cells.texts))):
        return None, []
    values = found.values
    if asked or (np.isfinite(values).all() and is_quantity(values)):
        return as_targets(values, where, cells.place), told
    return None, []


def told_of(where: str, raw: Raw) -> list[Problem]:
    """In which of two ways its numbers were taken."""
    if isinstance(raw.targets, np.ndarray):
        return [told_as_quantity(where, raw.targets)]
    numbers = numbered_classes(raw.classes) if raw.classes else None
    return [] if numbers is None else told_as_classes(where, numbers)


def coded_labels(
    tables: Tables, column: int | None, needed: bool, na_class: bool = False
) -> tuple[np.ndarray, list[str]]:
    """Codes (N,) and classes; zeros and none without a column, or where they are not needed and
    are no classes. na_class: whether NA, null and the like are classes."""
    nothing = np.zeros(sum(table.n_rows for table in tables), np.int64)
    if column is None:
        return nothing, []
    try:
        require_every_label(tables, column, na_class)
        labels = [cell.strip() for cell in label_cells(tables, column).texts]
        return _classes(labels, f"{tables[0].where}, column {tables[0].columns[column]!r}")
    except DataError:
        if needed:
            raise
        return nothing, []


def require_every_label(tables: Tables, column: int, na_class: bool = False) -> None:
    """Raises DataError that names the rows without a label."""
    blank = {""} if na_class else BLANK - {"none"}
    for table in tables:
        cells = table.column(column)
        missing = [i for i, text in enumerate(cells) if text.strip().lower() in blank]
        if missing:
            _refuse_missing(table, column, missing, cells)


def _refuse_missing(
    table: Table | Frame, column: int, missing: Sequence[int], cells: Sequence[str]
) -> None:
    rows = listed([str(table.lines[i]) for i in missing], 5)
    written = next((cells[i].strip() for i in missing if cells[i].strip()), "")
    a_class = f"; if {written} is a class: --format csv:na-class" if written else ""
    raise DataError(
        f"{table.where}: no label in column {table.columns[column]!r} of row {rows}; fill them "
        f"in or remove the rows{a_class}; or go without labels: --task anomaly (labelled=False)."
    )


def are_plain(labels: Iterable[str]) -> bool:
    """Whether all are whole numbers as classes are counted, 3 or 3.0: 007, 1E3 and 1_0 are names,
    which stay as they are written."""
    return all(_PLAIN.fullmatch(label) for label in labels)


def _classes(labels: list[str], where: str) -> tuple[np.ndarray, list[str]]:
    """Whole numbers written 1 and 1.0 are one class; many fractions are a quantity, not classes."""
    distinct = set(labels)
    if are_plain(distinct):
        return encode_labels(np.array([int(label.partition(".")[0]) for label in labels]), where)
    numbers = [as_number(value) for value in distinct]
    fractions = [n for n in numbers if n is not None and not n.is_integer()]
    if None not in numbers and fractions and len(set(numbers)) > MAX_FRACTION_CLASSES:
        raise DataError(
            f"{where} holds {len(set(numbers)):,} different fractions, a quantity and not a class; "
            "predict it (--task regression), bin it, choose another column with label=, or go "
            "without labels: --task anomaly (labelled=False)."
        )
    return encode_labels(np.array(labels), where)
