"""Cells of a table to features: learnt from one table, repeated on another.

A column of numbers (numbers.py) is one feature, NaN for a blank cell (also NA, NaN, null, ?) until
it is filled, less an offset where float32 would merge what is near one another; so is one of true
and false; dates become their parts (dates.py); a column of text is one feature for each value, at
most 64; freer text, and text that is different in each row, is left out and reported. `learn` finds
this out, `encode` repeats it on another table, where a text that was never seen is 0 in all
features of its column, and is counted. Columns are found again by their names, or by their order
where one of the two tables has no names.

Shapes: N items, D features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from depthwise.data.problem import Problem
from depthwise.data.readers.trees.tree import listed
from depthwise.data.tables.columns import (
    BOOLEAN,
    DATE,
    LABEL,
    LEFT_OUT,
    NUMBER,
    TEXT,
    Column,
    numbered,
)
from depthwise.data.tables.dates import READ_PARTS, TwoWays, parts_of, read_dates
from depthwise.data.tables.numbers import (
    BLANK,
    COMMA,
    POINT,
    Written,
    as_number,
    as_numbers,
    is_number,
    written_numbers,
)
from depthwise.data.tables.offsets import offset_of
from depthwise.errors import DataError

__all__ = [
    "BLANK", "Cells", "as_number", "encode", "find_columns", "learn", "no_column", "read_numbers",
]  # fmt: skip

MAX_VALUES = 64
FEWEST_DIFFERENT = 20  # rows, from which on texts that are different in each say nothing
LIKELY = 200  # cells that say whether a column may be of numbers
_BOOLEANS = {"false": 0.0, "true": 1.0}


@dataclass(frozen=True)
class Cells:
    """The N cells of a column; `rows`: what a message calls each row; `numbers` float64 (N,), NaN
    for a blank, where all are known to be numbers: then there may be no texts."""

    texts: Sequence[str]
    where: str
    rows: Any
    numbers: np.ndarray | None = None

    def place(self, item: int) -> str:
        return str(self.rows[item])

    def text(self, item: int) -> str:
        return str(self.numbers[item]) if self.numbers is not None else self.texts[item].strip()


def learn(
    name: str, cells: Cells, mark: str | None = None
) -> tuple[Column, np.ndarray, list[Problem]]:
    """The encoding of a column read for the first time, and its features (N, width). mark: of
    decimals, where the cells do not say."""
    numbers, told = read_numbers(name, cells, mark if mark == COMMA else None, plain_only=True)
    if numbers is not None:
        return _learn_numbers(name, cells, numbers, told)
    truths = _truths(cells)
    if truths is not None:
        return Column(name, BOOLEAN), truths[:, None], []
    try:
        dates = read_dates(cells.texts, BLANK)
    except TwoWays as example:
        column, features, found = _learn_texts(name, cells)
        return column, features, [*found, _two_ways(name, str(example))]
    if dates is not None:
        return Column(name, DATE, parts=READ_PARTS), parts_of(dates, READ_PARTS), []
    numbers, told = read_numbers(name, cells, mark)
    return (
        _learn_texts(name, cells) if numbers is None else _learn_numbers(name, cells, numbers, told)
    )


def read_numbers(
    name: str, cells: Cells, mark: str | None, plain_only: bool = False
) -> tuple[Written | None, list[Problem]]:
    """The numbers of a column as programs or people write them, and Problems; None if a cell is
    no number. mark: of decimals, where the cells do not say; plain_only: as programs do, but
    for points that part thousands where the mark is a comma."""
    plain = cells.numbers if cells.numbers is not None else as_numbers(cells.texts)
    if plain is not None and (mark != COMMA or cells.numbers is not None):
        return Written(plain, POINT, True, ""), []
    if plain is None and plain_only:
        return None, []
    found = written_numbers(cells.texts, mark)
    if found is None:
        return (None if plain is None else Written(plain, POINT, True, "")), []
    if plain is not None and np.array_equal(found.values, plain, equal_nan=True):
        return found._replace(values=plain, sure=True), []
    return found, [_told_of_numbers(name, found)]


def _told_of_numbers(name: str, found: Written) -> Problem:
    other = "decimal-point" if found.mark == COMMA else "decimal-comma"
    how = "" if found.sure else f"; --format csv:{other} reads it the other way"
    return Problem("numbers as people write them", f"column {name!r}", found.about + how)


def _learn_numbers(
    name: str, cells: Cells, found: Written, told: list[Problem]
) -> tuple[Column, np.ndarray, list[Problem]]:
    column = Column(name, NUMBER, offset=offset_of(found.values), decimal=found.mark)
    return column, _finite(found.values, column, cells)[:, None], told


def _learn_texts(name: str, cells: Cells) -> tuple[Column, np.ndarray, list[Problem]]:
    texts = _stripped(cells.texts)
    distinct = np.unique(texts)
    each = len(distinct) == len(texts) >= FEWEST_DIFFERENT
    if len(distinct) > MAX_VALUES or each:
        least = "one a row" if each else f"at most {MAX_VALUES}"
        detail = f"{len(distinct):,} different texts ({least}), column left out{_odd_one(cells)}"
        left_out = np.empty((len(texts), 0), np.float32)
        return Column(name, LEFT_OUT), left_out, [Problem("free text", name, detail)]
    values = tuple(str(value) for value in distinct if value)
    return Column(name, TEXT, values=values), _one_hot(texts, values), []


def _odd_one(cells: Cells) -> str:
    """The odd cell of a column that is nearly all numbers."""
    for texts in (cells.texts[:LIKELY], cells.texts):
        odd = [i for i, text in enumerate(texts) if not is_number(text, POINT)]
        if 20 * len(odd) > len(texts):
            return ""
    shown = f"{cells.text(odd[0])!r:.40} in {cells.place(odd[0])}"
    return f"; all but {len(odd):,} cells are numbers, the first that is none is {shown}: blank it"


def _two_ways(name: str, example: str) -> Problem:
    detail = (
        f"{example} may begin with the day or with the month; taken as texts: write the year first "
        "(2024-02-29) for dates"
    )
    return Problem("dates read in two ways", f"column {name!r}", detail)


def encode(column: Column, cells: Cells) -> tuple[np.ndarray, list[Problem]]:
    """The features (N, width) of another table's column, NaN for a blank.

    Raises DataError for a text where the encoding has numbers, truths or dates.
    """
    if column.kind == NUMBER:
        found, told = _required_numbers(column, cells)
        return _finite(found.values, column, cells)[:, None], told
    if column.kind == BOOLEAN:
        return _required_truths(column.name, cells)[:, None], []
    if column.kind == DATE:
        dates = _required_dates(column.name, cells)
        return parts_of(dates, column.parts, column.earliest), []
    texts = _stripped(_texts(cells))
    unknown = ~np.isin(texts, ["", *column.values])
    return _one_hot(texts, column.values), _unknown(column.name, texts[unknown])


def _texts(cells: Cells) -> Sequence[str]:
    """Of a column that another table had texts in."""
    if cells.numbers is None:
        return cells.texts
    return ["" if math.isnan(n) else f"{n:.17g}" for n in cells.numbers.tolist()]


def _unknown(name: str, texts: np.ndarray) -> list[Problem]:
    if not len(texts):
        return []
    seen = listed([repr(str(text)) for text in np.unique(texts)])
    detail = f"{seen} in no row that was learnt from; taken as none of the known values"
    return [Problem("unknown value", f"column {name!r}", detail, len(texts))]


def _one_hot(texts: np.ndarray, values: Sequence[str]) -> np.ndarray:
    features = np.zeros((len(texts), len(values)), np.float32)
    for k, value in enumerate(values):
        features[:, k] = texts == value
    return features


def _stripped(texts: Sequence[str]) -> np.ndarray:
    return np.array([text.strip() for text in texts], dtype=np.str_)


def _required_numbers(column: Column, cells: Cells) -> tuple[Written, list[Problem]]:
    found, told = read_numbers(column.name, cells, column.decimal)
    if found is not None:
        differs = found.mark != column.decimal
        return found, [told[0] if told else _told_of_numbers(column.name, found)] * differs
    marked = [i for i, text in enumerate(cells.texts) if not is_number(text, column.decimal)]
    raise _other(column.name, cells, next(iter(marked), 0), "no number")


def _required_truths(name: str, cells: Cells) -> np.ndarray:
    """float32 (N,); 1 and 0 count as true and false."""
    truths = _truths(cells)
    if truths is not None:
        return truths
    numbers = cells.numbers if cells.numbers is not None else as_numbers(cells.texts)
    if numbers is not None and np.isin(numbers[~np.isnan(numbers)], (0, 1)).all():
        return numbers.astype(np.float32)
    known = (*BLANK, *_BOOLEANS, "0", "1")
    bad = next((i for i, text in enumerate(_texts(cells)) if text.strip().lower() not in known), 0)
    raise _other(name, cells, bad, "neither true nor false")


def _required_dates(name: str, cells: Cells) -> np.ndarray:
    texts = _texts(cells)
    if all(text.strip().lower() in BLANK for text in texts):
        return np.full(len(texts), np.datetime64("NaT", "us"))
    try:
        dates = read_dates(texts, BLANK)
    except TwoWays as example:
        raise DataError(
            f"{cells.where}: {example} in column {name!r} may begin with the day or with the month;"
            " write the year first (2024-02-29)."
        ) from None
    if dates is None:
        bad = next(i for i, text in enumerate(texts) if _no_date(text))
        raise _other(name, cells, bad, "no date")
    return dates


def _no_date(text: str) -> bool:
    try:
        return text.strip().lower() not in BLANK and read_dates([text], BLANK) is None
    except TwoWays:
        return False


def _other(name: str, cells: Cells, bad: int, what: str) -> DataError:
    return DataError(
        f"{cells.where}: {cells.text(bad)!r} in {cells.place(bad)}, column {name!r}, "
        f"is {what}, which this model was trained on there; mend or blank it."
    )


def _truths(cells: Cells) -> np.ndarray | None:
    """float32 (N,) of true and false, NaN for a blank; None where a cell is another, or all are
    blank."""
    if cells.numbers is not None:
        return None
    distinct = {text.strip().lower() for text in cells.texts}
    if not distinct & set(_BOOLEANS) or distinct - set(_BOOLEANS) - BLANK:
        return None
    found = [_BOOLEANS.get(text.strip().lower(), math.nan) for text in cells.texts]
    return np.array(found, np.float32)


def _finite(numbers: np.ndarray, column: Column, cells: Cells) -> np.ndarray:
    """float32 (N,) less the column's offset, NaN for a blank; raises DataError for what float32
    cannot hold."""
    with np.errstate(over="ignore"):
        single = (numbers - column.offset if column.offset else numbers).astype(np.float32)
    endless = np.flatnonzero(np.isinf(single))
    if len(endless):
        bad = int(endless[0])
        raise DataError(
            f"{cells.where}: {cells.text(bad)} in {cells.place(bad)}, column {column.name!r}, "
            "is not a finite number; mend or blank it."
        )
    return single


# -- finding the columns in another table -------------------------------------------------------


def find_columns(
    columns: Sequence[Column], names: Sequence[str], has_header: bool, where: str
) -> dict[str, int]:
    """The position of each column in a table with these names; other columns are ignored.

    Raises DataError for a column that makes features and is missing, or, where one of the tables
    has no names, for a number of columns that is not the one learnt from.
    """
    missing = [c.name for c in columns if c.width and c.name not in names]
    if not has_header or (missing and numbered(columns)):
        return _by_order(columns, names, where)
    if missing:
        more = f" (nor {len(missing) - 1:,} more that the model takes)" if missing[1:] else ""
        raise no_column(where, missing[0], names, more)
    return {c.name: names.index(c.name) for c in columns if c.name in names}


def _by_order(columns: Sequence[Column], names: Sequence[str], where: str) -> dict[str, int]:
    """All columns, or all but the label, or only those that make features."""
    unlabelled = [c for c in columns if c.kind != LABEL]
    features = [c for c in columns if c.width]
    for kept in (columns, unlabelled, features):
        if len(kept) == len(names):
            return {column.name: place for place, column in enumerate(kept)}
    wanted = listed([column.name for column in features], 8)
    found = "1 column" if len(names) == 1 else f"{len(names):,} columns"
    remedy = "" if numbered(columns) else ", or begin with a line of their names"
    raise DataError(
        f"{where} has {found}; this model takes {len(features):,} in this order: {wanted}{remedy}."
    )


def no_column(where: str, name: str, names: Sequence[str], more: str = "") -> DataError:
    lower = [known.lower() for known in names]
    close = get_close_matches(name.lower(), lower, 1, 0.5)
    hint = (
        f"did you mean {names[lower.index(close[0])]!r}?"
        if close
        else f"it has {listed([*names], 8)}."
    )
    return DataError(f"{where} has no column {name!r}{more}; {hint}")
