"""The noun Column: what the cells of one column of a table become, which a model must remember.

number     one feature; a blank cell is filled with the median of the training part
text       one feature for each of its values, 1 where the cell holds it
left out   free text: no feature
label      the class: no feature
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "LABEL", "LEFT_OUT", "NUMBER", "TEXT", "Column", "category_slices", "from_plain", "label_of",
    "numbered", "to_plain", "width",
]  # fmt: skip

NUMBER, TEXT, LEFT_OUT, LABEL = "number", "text", "left out", "label"
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Column:
    """One column: its name, its kind, and of a number the `median` of the training part, which
    fills its blanks; of a text its `values`, in the order of their features."""

    name: str
    kind: str
    median: float = 0.0
    values: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many features it makes."""
        return 1 if self.kind == NUMBER else len(self.values)


def width(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns)


def label_of(columns: Sequence[Column]) -> str | None:
    """The name of the label column."""
    return next((column.name for column in columns if column.kind == LABEL), None)


def numbered(columns: Sequence[Column]) -> bool:
    """Whether the names were made up, because the table learnt from had none."""
    return all(column.name == f"column {k + 1}" for k, column in enumerate(columns))


def category_slices(columns: Sequence[Column] | None) -> list[slice]:
    """Where the features of each category of three values or more are; of two, one tells all."""
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
    if column.kind == NUMBER:
        about["median"] = column.median
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
    if not isinstance(name, str) or kind not in (NUMBER, TEXT, LEFT_OUT, LABEL):
        raise ValueError(f"a column with the name {name!r} and the kind {kind!r}")
    if kind == NUMBER:
        return Column(name, kind, median=_median(about.get("median"), name))
    return Column(name, kind, values=_values(about.get("values"), name) if kind == TEXT else ())


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
