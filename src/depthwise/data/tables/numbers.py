"""Numbers as programs write them in tables, and as people do.

    12   -4e1   .5   inf                    as programs write them
    3,5   1.234,50   1 234,5                a decimal comma
    1,234.5   1 234   1'234   12,34,567     thousands
    $1,200   1.200,50 €   -3 EUR   (5.00)   currency, one a column; brackets are minus
    45%   4.5 %                             per cent, of all cells of a column: 45 and 4.5

The comma of 1,234 is a decimal mark or it parts thousands: other cells of the column say which, or
other columns of the table, or the user; else it parts thousands, and that is told.

Shapes: N items.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

__all__ = [
    "BLANK", "COMMA", "CURRENCY", "POINT", "Written", "as_number", "as_numbers", "is_number",
    "mark_in", "written_numbers",
]  # fmt: skip

POINT, COMMA = ".", ","
BLANK = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
LOOKED_AT, FIRST = 200, 5  # cells; of those that are not blank
CURRENCY = (  # also of the scripts that are written beside exported files
    r"US\$|R\$|[$€£¥₹₽₩₺₴₫฿]|kr\.?|zł|"
    r"USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|BRL|KRW|RUB|TRY|MXN|ZAR"
)
_CURRENCY = re.compile(CURRENCY)
_SPACE = "[ '’\u00a0\u202f\u2009]"
_DIGITS = {
    POINT: re.compile(
        rf"(?:[1-9]\d{{0,2}}({_SPACE}|,)\d{{3}}(?:\1\d{{3}})*|[1-9]\d?(?:,\d\d)+,\d{{3}}|\d*)"
        r"(?:\.\d*)?(?:[eE][+-]?\d+)?"
    ),
    COMMA: re.compile(
        rf"(?:[1-9]\d{{0,2}}({_SPACE}|\.)\d{{3}}(?:\1\d{{3}})*|\d*)(?:,\d*)?(?:[eE][+-]?\d+)?"
    ),
}


class Written(NamedTuple):
    """Numbers as people write them: values float64 (N,), NaN for a blank; mark: "." or ","; sure:
    whether the cells themselves say which; about: an example of what was made of them."""

    values: np.ndarray
    mark: str
    sure: bool
    about: str


class _Cell(NamedTuple):
    """A cell taken apart: its digits and their marks, its sign, its currency."""

    digits: str
    minus: bool
    currency: str
    per_cent: bool

    def value(self, mark: str) -> float:
        """The number, where `mark` is that of decimals."""
        other = POINT if mark == COMMA else COMMA
        number = float(re.sub(rf"{_SPACE}|[{other}]", "", self.digits).replace(COMMA, POINT))
        return -number if self.minus else number


def as_number(text: str) -> float | None:
    """What Python reads as a number, but for 1_0 and other digits than 0 to 9."""
    try:
        return float(text) if text.isascii() and "_" not in text else None
    except ValueError:
        return None


def as_numbers(texts: Sequence[str]) -> np.ndarray | None:
    """float64 (N,) of cells as programs write numbers, NaN for a blank; None if a cell is neither.
    All blank counts as numbers."""
    try:
        numbers = np.array(texts, dtype=np.float64)
    except ValueError:
        pass
    else:
        whole = "".join(texts)
        if whole.isascii() and "_" not in whole:
            return numbers
    found = []
    for text in texts:
        number = as_number(text)
        if number is None and text.strip().lower() not in BLANK:
            return None
        found.append(math.nan if number is None else number)
    return np.array(found, np.float64)


def written_numbers(texts: Sequence[str], mark: str | None = None) -> Written | None:
    """The numbers of a column as people write them; None if a cell is no number, or all are
    blank. mark: of decimals, where the cells do not say."""
    if not _may_be(texts):
        return None
    cells = {text: _taken_apart(text) for text in set(texts) if text.strip().lower() not in BLANK}
    known = [cell for cell in cells.values() if cell is not None]
    possible = [m for m in (POINT, COMMA) if all(_DIGITS[m].fullmatch(c.digits) for c in known)]
    if len(known) < len(cells) or not known or not possible or not _are_alike(known):
        return None
    chosen = mark if mark in possible else possible[0]
    values = {text: cell.value(chosen) for text, cell in cells.items() if cell is not None}
    numbers = np.array([values.get(text, math.nan) for text in texts], np.float64)
    sure = all(c.value(possible[0]) == c.value(possible[-1]) for c in known)
    return Written(numbers, chosen, sure, _example(values))


def is_number(text: str, mark: str) -> bool:
    """Whether a cell is a number, or blank, where decimals have this mark."""
    if as_number(text) is not None or text.strip().lower() in BLANK:
        return True
    return written_numbers([text], mark) is not None


def mark_in(columns: Iterable[Sequence[str]]) -> str | None:
    """The decimal mark that the first of these columns with a comma says for sure, or None."""
    for texts in columns:
        if any("," in text for text in texts[:LOOKED_AT]):
            found = written_numbers(texts)
            if found is not None and found.sure:
                return found.mark
    return None


def _may_be(texts: Sequence[str]) -> bool:
    """Whether the first cells that say something may be numbers."""
    known = [text for text in texts[:LOOKED_AT] if text.strip().lower() not in BLANK][:FIRST]
    return all(_taken_apart(text) is not None for text in known)


def _taken_apart(text: str) -> _Cell | None:
    rest = text.strip()
    negative = rest.startswith("(") and rest.endswith(")")
    rest = rest[1:-1].strip() if negative else rest
    per_cent = rest.endswith("%")
    rest, minus = _without_sign(rest.removesuffix("%").strip())
    currency = ""
    if (found := _CURRENCY.search(rest)) and (not found.start() or found.end() == len(rest)):
        currency, rest = found[0], (rest[: found.start()] + rest[found.end() :]).strip()
        rest, after = _without_sign(rest)
        minus = minus or after
    plain = rest[:1] in (POINT, COMMA) or rest[:1].isdigit()
    if not (plain and rest.translate(_NO_SPACE).isascii() and any(map(str.isdigit, rest))):
        return None
    return _Cell(rest, minus or negative, currency, per_cent)


_NO_SPACE = {ord(space): None for space in "’\u00a0\u202f\u2009"}


def _without_sign(text: str) -> tuple[str, bool]:
    """The text behind its sign, and whether that is minus."""
    if text[:1] in ("-", "−", "+"):
        return text[1:].strip(), text[0] != "+"
    return text, False


def _are_alike(cells: Sequence[_Cell]) -> bool:
    """No two currencies, and per cent of all or of none."""
    return len({c.currency for c in cells} - {""}) < 2 and len({c.per_cent for c in cells}) == 1


def _example(values: dict[str, float]) -> str:
    """The cell with most marks, and what it is read as."""
    shown = max(values, key=lambda text: sum(not ch.isdigit() for ch in text.strip()))
    return f"{shown.strip()} is {values[shown]:.15g}"
