"""Data frames as tables of cells: pandas, polars, Arrow tables, and lists of dicts with a row each.

A frame is known by what it can do, and no package of them is imported: it has names (`columns`,
`column_names`) and gives a column by its name, or it can be read as an Arrow stream
(`__arrow_c_stream__`, which needs pyarrow). Its cells are what they would be in a CSV that it was
written to, so that both become the same Dataset: a missing value is a blank cell, a category its
text, a date 2024-02-29 or 2024-02-29 14:30:00. Columns of numbers stay numbers, without the detour.

Shapes: N rows, K columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from depthwise.data.problem import Problem
from depthwise.data.tables.dates import written
from depthwise.errors import DataError, MissingExtraError

__all__ = ["Frame", "as_frame", "is_frame", "is_series", "name_of", "series_values"]


@dataclass
class Frame:
    """names: of the columns; values: a column each, as the frame gives it; has_header: whether the
    names are the frame's own, and no mere numbers."""

    where: str
    columns: list[str]
    values: list[Any]
    n_rows: int
    has_header: bool = True
    told: tuple[Problem, ...] = ()

    @property
    def lines(self) -> range:
        """The numbers of its rows, from 0."""
        return range(self.n_rows)

    def numbers(self, place: int) -> np.ndarray | None:
        """float64 (N,) of a column of numbers, NaN for a missing one; None of another column."""
        return _numbers(self.values[place])

    def column(self, place: int) -> list[str]:
        """The texts of a column's cells, as a CSV has them; "" for a missing one."""
        return _texts(self.values[place])

    def head(self, place: int, most: int) -> list[str]:
        """The first cells of `column`."""
        values = self.values[place]
        return _texts(values[:most] if isinstance(values, list) else values[0:most])


def is_frame(given: Any) -> bool:
    """Whether this has named columns, or is a list of dicts."""
    if isinstance(given, list):
        return bool(given) and isinstance(given[0], Mapping)
    if isinstance(given, np.ndarray | Mapping | str | bytes) or _is_arrow_column(given):
        return False
    by_name = _names_of(given) is not None and _offers(given, "__getitem__")
    is_table = _offers(given, "dtypes") or _offers(given, "schema")
    return (by_name and is_table) or _offers(given, "__arrow_c_stream__")


def is_series(given: Any) -> bool:
    """Whether this is one column of a frame."""
    if isinstance(given, np.ndarray) or is_frame(given):
        return False
    listed = _offers(given, "to_list") or _offers(given, "to_pylist")
    return listed and _offers(given, "to_numpy", "__len__")


def _is_arrow_column(given: Any) -> bool:
    """Of Arrow or polars: a stream too, but of one column."""
    return _offers(given, "to_numpy") and not _offers(given, "columns")


def _offers(given: Any, *names: str) -> bool:
    """Whether an object of another library, none of which need be installed, has these
    attributes."""
    return all(hasattr(given, name) for name in names)


def _names_of(given: Any) -> Any:
    """The names of a frame's columns; None of what has no such list."""
    names = given.columns if _offers(given, "columns") else None
    return None if callable(names) else names


def name_of(series: Any) -> str | None:
    """What a series is called."""
    name = series.name if _offers(series, "name") else None
    return None if name is None or callable(name) else str(name)


def series_values(series: Any) -> np.ndarray:
    """The values of a series as an array of numbers, booleans or texts; of objects where some are
    missing."""
    values = _array(series)
    if values.dtype.kind in "iufbU":
        return values
    if values.dtype.kind == "M":
        return np.array(_texts(series))
    items = [None if _missing(value) else value for value in values.tolist()]
    made = np.array(items)
    return made if None not in items else np.array(items, dtype=object)


def as_frame(given: Any, where: str = "the data frame") -> Frame:
    """A frame of whatever library. Raises DataError for two columns of one name, and
    MissingExtraError for an Arrow stream where there is no pyarrow."""
    if isinstance(given, list):
        return _of_dicts(given, where)
    names = _names_of(given)
    if names is None or (not _offers(given, "dtypes") and _is_arrow(given)):
        return _of_arrow(given, where)
    names = list(names)
    texts = _named(names, where)
    values = [given[name] for name in names]
    return Frame(where, texts, values, len(given), not _only_numbers(names))


def _named(names: Sequence[Any], where: str) -> list[str]:
    if _only_numbers(names):
        return [f"column {k + 1}" for k in range(len(names))]
    texts = [str(name).strip() for name in names]
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        raise DataError(f"{where}: two columns are named {twice!r}; rename one.")
    return texts


def _only_numbers(names: Sequence[Any]) -> bool:
    return all(isinstance(name, int | np.integer) for name in names)


def _of_dicts(rows: list[Mapping[Any, Any]], where: str) -> Frame:
    names = list(dict.fromkeys(name for row in rows for name in row))
    values = [[row.get(name) for row in rows] for name in names]
    return Frame(where, _named(names, where), values, len(rows))


def _is_arrow(given: Any) -> bool:
    return _offers(given, "column_names")


def _of_arrow(given: Any, where: str) -> Frame:
    if not _is_arrow(given):
        try:
            import pyarrow
        except ImportError:
            raise MissingExtraError(
                f"{where} is an Arrow stream, which pyarrow reads: pip install pyarrow, or give it "
                "as a pandas or polars frame."
            ) from None
        given = pyarrow.table(given)
    names = list(given.column_names)
    values = [given.column(k) for k in range(len(names))]
    return Frame(where, _named(names, where), values, int(given.num_rows))


# -- one column -----------------------------------------------------------------------------------


def _array(values: Any) -> np.ndarray:
    """The column as numpy has it, a list of Python objects where that says more."""
    if isinstance(values, list):
        return np.array([None, *values], dtype=object)[1:]
    if type(values).__module__.partition(".")[0] == "pyarrow":
        return np.array([None, *values.to_pylist()], dtype=object)[1:]
    return np.asarray(values.to_numpy())


def _numbers(values: Any) -> np.ndarray | None:
    array = _array(values)
    if array.dtype.kind in "iuf":
        return array.astype(np.float64)
    if array.dtype.kind != "O":
        return None
    items = array.tolist()
    missing = [_missing(item) for item in items]
    numeric = all(gone or _is_number(item) for item, gone in zip(items, missing))
    if not numeric or all(missing):
        return None
    return np.array([math.nan if gone else float(x) for x, gone in zip(items, missing)], np.float64)


def _is_number(item: Any) -> bool:
    plain = isinstance(item, int | float | np.number) and not isinstance(item, bool)
    return plain or type(item).__name__ == "Decimal"


def _missing(item: Any) -> bool:
    """None, NaN, NaT and pandas' NA: what is not equal to itself, or will not say."""
    if item is None:
        return True
    if isinstance(item, str | bool):
        return False
    try:
        return bool(item != item)
    except TypeError:  # NA: neither yes nor no
        return True
    except ValueError:  # an array in a cell
        return False


def _texts(values: Any) -> list[str]:
    array = _array(values)
    if array.dtype.kind == "M":
        return _moments(array)
    if array.dtype.kind == "f":
        return ["" if math.isnan(number) else repr(number) for number in array.tolist()]
    return ["" if _missing(item) else _text(item) for item in array.tolist()]


def _moments(array: np.ndarray) -> list[str]:
    dates = array.astype("datetime64[us]")
    return written(dates)


def _text(item: Any) -> str:
    if isinstance(item, date):  # a datetime is one
        return str(item)
    if isinstance(item, bytes):
        return item.decode("utf-8", "replace")
    return repr(item) if isinstance(item, float) else str(item)
