"""The noun Column: what the cells of one column of a table become, which a model must remember.

number     one feature; a blank cell is filled with the median of the training part
boolean    one feature, 1 for true and 0 for false; a blank cell is as most of the training part are
date       the `parts` that differ in the training part: year, month, weekday (0: Monday), hour, and
           elapsed days since the earliest; those of a blank cell are filled with their medians
text       one feature for each of its values in the training part, 1 where the cell holds it
left out   free text: no feature
label      the class, or the number to predict: no feature
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

__all__ = [
    "BOOLEAN", "DATE", "DATE_PARTS", "LABEL", "LEFT_OUT", "NUMBER", "TEXT", "Column",
    "category_slices", "from_plain", "label_of", "numbered", "to_plain", "width",
]  # fmt: skip

NUMBER, TEXT, LEFT_OUT, LABEL = "number", "text", "left out", "label"
BOOLEAN, DATE = "boolean", "date"
DATE_PARTS = ("year", "month", "weekday", "hour", "elapsed")
_READ_PARTS = ("day", "time")  # whole days since 1970, and the rest: before the training part
_KINDS = (NUMBER, TEXT, LEFT_OUT, LABEL, BOOLEAN, DATE)
_LARGEST = float(np.finfo(np.float32).max)
_LARGEST_OFFSET = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Column:
    """One column: its name, its kind, and what its features need: of a number or a boolean the
    `median` of the feature, which fills its blanks; of a text its `values`, in the order of their
    features; of a date its `parts`, their `medians`, and the `earliest` day as "2024-02-29".

    offset: what is subtracted from a number, in float64, to make the feature, which is float32:
        Unix times that are seconds apart would be one else. decimal: its decimal mark, "." or ",".
    """

    name: str
    kind: str
    median: float = 0.0
    values: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    medians: tuple[float, ...] = ()
    earliest: str = ""
    offset: float = 0.0
    decimal: str = "."

    @property
    def width(self) -> int:
        """How many features it makes."""
        if self.kind in (NUMBER, BOOLEAN):
            return 1
        return len(self.parts if self.kind == DATE else self.values)

    @property
    def fills(self) -> tuple[float, ...]:
        """What the features of a blank cell are; () where it is no value of any."""
        return (self.median,) if self.kind in (NUMBER, BOOLEAN) else self.medians

    @property
    def features(self) -> list[str]:
        """The names of its features: age; colour=red; sold: weekday."""
        if self.kind in (NUMBER, BOOLEAN):
            return [self.name]
        if self.kind == DATE:
            return [f"{self.name}: {part}" for part in self.parts]
        return [f"{self.name}={value}" for value in self.values]


def width(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns)


def label_of(columns: Sequence[Column]) -> str | None:
    """The name of the label column."""
    return next((column.name for column in columns if column.kind == LABEL), None)


def numbered(columns: Sequence[Column]) -> bool:
    """Whether the names were made up, because the table learnt from had none."""
    return all(column.name == f"column {k + 1}" for k, column in enumerate(columns))


def category_slices(columns: Sequence[Column] | None) -> list[slice]:
    """The slices of one-hot features: those of each category with three values or more."""
    ends = np.cumsum([column.width for column in columns or ()])
    return [
        slice(int(end) - column.width, int(end))
        for column, end in zip(columns or (), ends)
        if column.width == len(column.values) >= 3
    ]


# -- as JSON ------------------------------------------------------------------------------------


def to_plain(columns: Sequence[Column] | None) -> list[dict[str, Any]] | None:
    return None if columns is None else [_plain(column) for column in columns]


def _plain(column: Column) -> dict[str, Any]:
    about: dict[str, Any] = {"name": column.name, "kind": column.kind}
    if column.kind in (NUMBER, BOOLEAN):
        about["median"] = column.median
    if column.offset:
        about["offset"] = column.offset
    if column.decimal != ".":
        about["decimal"] = column.decimal
    if column.kind == DATE:
        about |= {"parts": list(column.parts), "medians": list(column.medians)}
        about["earliest"] = column.earliest
    return about | ({"values": list(column.values)} if column.kind == TEXT else {})


def from_plain(plain: Any) -> list[Column] | None:
    """The inverse of `to_plain`. Raises ValueError for anything `to_plain` does not write."""
    if plain is None:
        return None
    if not isinstance(plain, list) or not all(isinstance(about, dict) for about in plain):
        raise ValueError("columns is no list of columns")
    columns = [_column(about) for about in plain]
    names = [column.name for column in columns]
    if len(set(names)) < len(names) or [c.kind for c in columns].count(LABEL) > 1:
        raise ValueError("columns has a name or a label twice")
    return columns


def _column(about: dict[str, Any]) -> Column:
    name, kind = about.get("name"), about.get("kind")
    if not isinstance(name, str) or kind not in _KINDS:
        raise ValueError(f"a column with the name {name!r} and the kind {kind!r}")
    if kind == NUMBER:
        return _number(about, name)
    if kind == BOOLEAN:
        return Column(name, kind, median=_median(about.get("median"), name))
    if kind == DATE:
        return _date(about, name)
    return Column(name, kind, values=_values(about.get("values"), name) if kind == TEXT else ())


def _number(about: dict[str, Any], name: str) -> Column:
    offset, decimal = about.get("offset", 0.0), about.get("decimal", ".")
    sound = isinstance(offset, int | float) and not isinstance(offset, bool)
    if not sound or not abs(offset) <= _LARGEST_OFFSET:  # NaN is not
        raise ValueError(f"column {name!r} has the offset {offset!r:.60}")
    if decimal not in (".", ","):
        raise ValueError(f"column {name!r} has the decimal mark {decimal!r:.60}")
    median = _median(about.get("median"), name)
    return Column(name, NUMBER, median=median, offset=float(offset), decimal=decimal)


def _date(about: dict[str, Any], name: str) -> Column:
    parts, medians, earliest = (about.get(key) for key in ("parts", "medians", "earliest"))
    if not isinstance(parts, list) or not isinstance(medians, list):
        raise ValueError(f"column {name!r} has the parts {str(parts)[:60]}")
    known = (*DATE_PARTS, *_READ_PARTS)
    sound = parts and len({*map(str, parts)}) == len(parts) and {*map(str, parts)} <= {*known}
    if not sound or len(medians) not in (0, len(parts)) or not isinstance(earliest, str):
        raise ValueError(f"column {name!r} has the parts {str(parts)[:60]}")
    if earliest:
        date.fromisoformat(earliest)
    fills = tuple(_median(value, name) for value in medians)
    return Column(name, DATE, parts=tuple(parts), medians=fills, earliest=earliest)


def _median(value: Any, name: str) -> float:
    sound = isinstance(value, int | float) and not isinstance(value, bool)
    if not sound or not abs(value) <= _LARGEST:  # NaN is not
        raise ValueError(f"column {name!r} has the median {value!r}")
    return float(value)


def _values(values: Any, name: str) -> tuple[str, ...]:
    sound = isinstance(values, list) and all(isinstance(v, str) and v for v in values)
    if not sound or not values or len(set(values)) < len(values):
        raise ValueError(f"column {name!r} has the values {str(values)[:60]}")
    return tuple(values)
