"""Dates in the cells of a table: read, and made into features.

    2024-02-29   2024/2/29   2024-02-29 14:30   2024-02-29T14:30:05.25Z   29.02.2024   29/2/2024

A column is one of dates where each of its cells is, or is blank. In 3/4/2024 the day may come first
or the month: other cells of the column say which (13/4/2024, 4/13/2024); where none does, it is
left as text, and told. The time is the one that is written: an offset from UTC is not looked at.

    year, month 1 .. 12, weekday 0 (Monday) .. 6, hour 0 .. 23, elapsed days since a day

Shapes: N items, P parts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from depthwise.data.tables.columns import DATE_PARTS, Column

__all__ = ["READ_PARTS", "TwoWays", "nearest_date", "parts_of", "read_dates", "written"]

READ_PARTS = (*DATE_PARTS[:-1], "day", "time")  # before the earliest day is known
_TIME = r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?"
_ZONE = r"(?: ?(?:Z|UTC|[+-]\d{2}:?\d{2}))?"
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})" + _TIME + _ZONE)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})" + _TIME + _ZONE)
_DAY = np.timedelta64(1, "D").astype("timedelta64[us]").astype(np.int64)


class TwoWays(ValueError):
    """Dates in which the day or the month may come first; says one of them."""


def read_dates(texts: Sequence[str], blank: frozenset[str]) -> np.ndarray | None:
    """datetime64[us] (N,), NaT for a cell of `blank`; None where a cell is neither that nor a date,
    and where all are blank. Raises TwoWays."""
    cells, places = np.unique(
        np.array([text.strip() for text in texts], np.str_), return_inverse=True
    )
    dates = np.full(len(cells), np.datetime64("NaT", "us"))
    found = [_cell(str(cell)) for cell in cells if cell.lower() not in blank]
    if not found or None in found:
        return None
    first = _order([parts for parts in found if parts is not None])
    there = [k for k, cell in enumerate(cells) if cell.lower() not in blank]
    for k, parts in zip(there, found):
        assert parts is not None
        moment = _moment(parts, first)
        if moment is None:
            return None
        dates[k] = moment
    return dates[places.reshape(-1)]


_Parts = tuple[str, str, tuple[int, int, int], tuple[str, ...]]


def _cell(text: str) -> _Parts | None:
    """The parts of a date cell: its text, its separator if the year is last (else ""), its three
    numbers in their order, and those of the time."""
    if match := _YEAR_FIRST.fullmatch(text):
        year, _, month, day, *time = match.groups()
        return text, "", (int(year), int(month), int(day)), tuple(t or "" for t in time)
    if match := _YEAR_LAST.fullmatch(text):
        first, separator, second, year, *time = match.groups()
        numbers = (int(first), int(second), int(year))
        return text, separator, numbers, tuple(t or "" for t in time)
    return None


def _order(cells: list[_Parts]) -> str:
    """Which comes first where the year is last: "day" or "month"."""
    last = [cell for cell in cells if cell[1]]
    if not last or all(separator == "." for _, separator, *_ in last):
        return "day"
    days = [numbers[0] > 12 for *_, numbers, _ in last]
    if any(days):
        return "day"
    if any(numbers[1] > 12 for *_, numbers, _ in last):
        return "month"
    raise TwoWays(last[0][0])


def _moment(parts: _Parts, first: str) -> np.datetime64 | None:
    """None for a day or a time that there is not."""
    _, separator, (a, b, c), (hour, minute, second, fraction) = parts
    year, month, day = (a, b, c) if not separator else (c, b, a) if first == "day" else (c, a, b)
    clock = f"{int(hour or 0):02}:{minute or '00'}:{second or '00'}.{(fraction + '000000')[:6]}"
    try:
        return np.datetime64(f"{year:04}-{month:02}-{day:02}T{clock}", "us")
    except ValueError:
        return None


def written(dates: np.ndarray) -> list[str]:
    """datetime64[us] (N,) as a CSV has them, "" for NaT: without a time, or fractions of seconds,
    where none of them has any."""
    known = dates[~np.isnat(dates)]
    units = ("D", "s", "us")
    unit = next(u for u in units if (known.astype(f"datetime64[{u}]") == known).all())
    texts = dates.astype(f"datetime64[{unit}]").astype(str).tolist()
    return ["" if text == "NaT" else text.replace("T", " ") for text in texts]


def parts_of(dates: np.ndarray, parts: Sequence[str], earliest: str = "") -> np.ndarray:
    """float32 (N, P) of datetime64[us] (N,), NaN for NaT. `earliest`: the day from which `elapsed`
    counts."""
    features = np.full((len(dates), len(parts)), np.nan, np.float32)
    known = ~np.isnat(dates)
    made = _parts_of(dates[known], earliest)
    for k, part in enumerate(parts):
        features[known, k] = made[part]
    return features


def nearest_date(column: Column, features: np.ndarray) -> str:
    """A date that features (P,) of this column are about: by its elapsed days, where it has them,
    else of its year and month."""
    made = dict(zip(column.parts, features.tolist()))
    if "elapsed" in made:
        begin = np.datetime64(column.earliest or "1970-01-01", "us")
        moment = begin + np.timedelta64(round(made["elapsed"] * _DAY), "us")
        return str(moment.astype("datetime64[s]")).replace("T", " ")
    first = column.earliest or "1970-01-01"
    year, month = round(made.get("year", int(first[:4]))), round(made.get("month", int(first[5:7])))
    return f"{year:04}-{min(max(month, 1), 12):02}-01"


def _parts_of(dates: np.ndarray, earliest: str) -> dict[str, np.ndarray]:
    months = dates.astype("datetime64[M]").astype(np.int64)
    days = dates.astype("datetime64[D]").astype(np.int64)
    rest = dates.astype(np.int64) - days * _DAY
    time = rest / _DAY
    begin = np.datetime64(earliest or "1970-01-01", "D").astype(np.int64)
    return {
        "year": 1970 + months // 12,
        "month": 1 + months % 12,
        "weekday": (days + 3) % 7,
        "hour": 24 * rest // _DAY,
        "elapsed": (days - begin) + time.astype(np.float32).astype(np.float64),
        "day": days,
        "time": time,
    }
