"""Text with separated cells, cut into rows: CSV as spreadsheets, pandas, numpy and R write it.

    a,b,label            cells separated by commas, tabs, semicolons, bars, or else by white space
    sep=;                the separator, as Excel writes it: no row
    # made by ...        a comment: a line that begins with # and has other cells than the rows
    # a,b,label          above the rows, with as many cells: the line of names (numpy)
    1,2,x,               a separator after the last cell of each row: no cell
    "1",5.1,x            one cell more than the line of names has: the row's name in front (R)

Lines end at CR, LF and CRLF, nowhere else. Blank lines and comments are no rows, but they are
counted, so that "row 17" is the 17th of the file. Text is UTF-8, or UTF-16 by its mark, else
Windows-1252, which Latin-1 is part of. What was taken for what is in `told`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from depthwise.data.problem import Problem
from depthwise.data.tables.numbers import as_number
from depthwise.errors import DataError

__all__ = ["SEPARATORS", "Cut", "cut", "decoded", "is_white_table", "lines_in", "separator_of"]

SEPARATORS = "\t,;|"
WHITE = " "  # the separator where there is no other
FEW_BYTES = 256  # from which on a beginning may end within a line
LOOKED_AT, LINES = 1 << 16, 20  # characters and lines that the separator is found by
_QUOTED = re.compile(r'"[^"]*"')
_LINE_END = re.compile(r"\r\n|\r|\n")
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_SEP_LINE = re.compile(r"(?i)\s*\"?sep=(.)\"?\s*(?:\r\n|\r|\n)")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


@dataclass
class Cut:
    """A table cut into cells. rows: of one width; numbers: of each row in the file, from 1;
    separator: between cells; told: Problems for whatever was not a plain row."""

    where: str
    rows: list[list[str]]
    numbers: Sequence[int]
    separator: str
    told: list[Problem] = field(default_factory=list)

    def tell(self, kind: str, detail: str, count: int = 1) -> None:
        self.told.append(Problem(kind, "", detail, count))


# -- text -----------------------------------------------------------------------------------------


def decoded(data: bytes, where: str) -> tuple[str, list[Problem]]:
    """The text of a file, and Problems about its encoding. Raises DataError for binary files and
    damaged UTF-8."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    told: list[Problem] = []
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        text = _western(data, where, error)
        detail = "no UTF-8: read as Windows-1252 (Latin-1); save it as UTF-8 if letters look wrong"
        told = [Problem("encoding", "", detail)]
    if "\0" in text:
        raise DataError(f"{where} holds zero bytes, so it is not a text table.")
    return text, told


def _western(data: bytes, where: str, error: UnicodeDecodeError) -> str:
    """As Windows-1252, unless the file is UTF-8 but for single bytes, or is no text at all."""
    wrong = DataError(f"{where} is not UTF-8 text (byte {error.start:,}); save it as UTF-8.")
    letters = sum(not ch.isascii() for ch in data.decode("utf-8", "ignore"))
    high = sum(byte >= 0x80 for byte in data)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or 4 * letters > high:
        raise wrong from None
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        raise wrong from None
    if _NO_TEXT.search(text):
        raise wrong from None
    return text


def lines_in(text: str) -> list[str]:
    """Without their ends, which are CR, LF and CRLF; what follows the last end is a line if it is
    not empty."""
    lines = _LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def separator_of(text: str) -> str:
    """What separates the cells of a table that begins with this text: of tab, comma, semicolon and
    bar the one that cuts its lines alike, and into most cells; white space where there is none."""
    lines = [line for line in lines_in(_QUOTED.sub("", text[:LOOKED_AT])) if line.strip()][:LINES]
    lines = [line for line in lines if not line.startswith("#")] or lines or [""]
    first = {mark: lines[0].count(mark) for mark in SEPARATORS}
    most = max(SEPARATORS, key=first.__getitem__)
    alike = [m for m in SEPARATORS if first[m] and {line.count(m) for line in lines} == {first[m]}]
    if "\t" in alike:  # which no prose has in it
        return "\t"
    if not first[most]:
        return WHITE if _is_white(lines) else ","
    if "," in alike and ";" in alike and _decimal_commas(lines):
        return ";"
    return most if most in alike or not alike else max(alike, key=first.__getitem__)


def _decimal_commas(lines: Sequence[str]) -> bool:
    """Whether all commas are decimal commas, in lines separated by semicolons."""
    cells = [cell.strip() for line in lines for cell in line.split(";") if "," in cell]
    return all(_DECIMAL_COMMA.fullmatch(cell) for cell in cells)


def _is_white(lines: Sequence[str]) -> bool:
    """Whether white space cuts the lines alike, into cells of which most are numbers."""
    rows = [line.split() for line in lines[1:] or lines]
    cells = [cell for row in rows for cell in row]
    numbers = sum(as_number(cell) is not None for cell in cells)
    return len(rows[0]) > 1 and len({*map(len, rows)}) == 1 and 2 * numbers >= len(cells)


def is_white_table(head: bytes) -> bool:
    """Whether a file that begins with these bytes is numbers with white space between them."""
    text = head.decode("ascii", "replace")
    whole = lines_in(text)[:-1] if len(head) >= FEW_BYTES else lines_in(text)
    return len(whole) > 1 and separator_of("\n".join(whole)) == WHITE


# -- rows -----------------------------------------------------------------------------------------


def cut(text: str, where: str, *, keep_blank: bool = False, quoted_tabs: bool = True) -> Cut:
    """The rows of a table. keep_blank: rows of nothing but separators are rows, behind the first;
    quoted_tabs: whether cells may be quoted where tabs separate.

    Raises DataError for text without rows, and for rows of different widths.
    """
    told = []
    start, skipped = 0, 0
    if stated := _SEP_LINE.match(text):
        start, skipped = stated.end(), 1
        told.append(Problem("separator", "", f"{stated[1]!r} by the line sep={stated[1]}"))
    separator = stated[1] if stated else separator_of(text)
    rows = _split(
        text[start:] if start else text, separator, where, quoted_tabs or separator != "\t"
    )
    found = _without_blanks(
        Cut(where, rows, range(1 + skipped, len(rows) + 1 + skipped), separator), keep_blank
    )
    found.told = told
    if "#" in text:
        _take_out_comments(found)
    if not found.rows:
        raise DataError(f"{where} is empty; expected a line of column names and one for each item.")
    if len({*map(len, found.rows)}) > 1:
        _make_even(found)
    return found


def _split(text: str, separator: str, where: str, quoted: bool) -> list[list[str]]:
    """The cells of each line, [] of an empty one."""
    if separator == WHITE:
        return [line.split() for line in lines_in(text)]
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    with _long_cells():
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quoting=quoting)
        try:
            return list(reader)
        except csv.Error as error:
            raise DataError(f"{where}, line {reader.line_num}: {error}.") from None


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """A document may be one cell: the limit of the csv module is its own, and for all."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _without_blanks(found: Cut, keep: bool) -> Cut:
    """Without lines that say nothing; where `keep`, those that have separators stay, but above the
    first that says something."""
    blank = [i for i, row in enumerate(found.rows) if not row or _says_nothing(row)]
    if not blank:
        return found
    first = next((i for i, row in enumerate(found.rows) if not _says_nothing(row)), 0)
    gone = {i for i in blank if i < first or not keep or len(found.rows[i]) < 2}
    return _taken(found, [i for i in range(len(found.rows)) if i not in gone])


def _says_nothing(row: Sequence[str]) -> bool:
    return not (row and row[0].strip()) and not any(cell.strip() for cell in row)


def _taken(found: Cut, places: Sequence[int]) -> Cut:
    rows, numbers = [found.rows[i] for i in places], [found.numbers[i] for i in places]
    return Cut(found.where, rows, numbers, found.separator, found.told)


def _take_out_comments(found: Cut) -> None:
    """Lines that begin with # and have not as many cells as the rows; the last of those above the
    first row is the line of names if it has as many and that row is none."""
    marked = [i for i, row in enumerate(found.rows) if row and row[0].lstrip().startswith("#")]
    rest = Counter(len(row) for row in found.rows if row and not row[0].lstrip().startswith("#"))
    if not marked or not rest or len(marked) > len(found.rows) // 2 + 1:
        return
    width = rest.most_common(1)[0][0]
    head = _names_in_comment(found, marked, width)
    comments = {i for i in marked if i != head and (len(found.rows[i]) != width or i < (head or 0))}
    if head is not None:
        found.rows[head][0] = found.rows[head][0].lstrip().lstrip("#").strip()
        found.tell(
            "line of names", f"taken from the comment {'# ' + ', '.join(found.rows[head])!r:.60}"
        )
    if comments:
        shown = found.rows[min(comments)]
        found.tell(
            "comment", f"left out, the first is {found.separator.join(shown)!r:.60}", len(comments)
        )
        kept = _taken(found, [i for i in range(len(found.rows)) if i not in comments])
        found.rows, found.numbers = kept.rows, kept.numbers


def _names_in_comment(found: Cut, marked: Sequence[int], width: int) -> int | None:
    """Where the line of names is, if it is a comment: the last of those at the top, with a number
    in the row below it and none in it."""
    top = [i for k, i in enumerate(marked) if i == k]
    if not top or len(found.rows[top[-1]]) != width or top[-1] + 1 >= len(found.rows):
        return None
    names, below = found.rows[top[-1]], found.rows[top[-1] + 1]
    named = [name.lstrip("# ").strip() for name in names]
    if any(as_number(name) is not None for name in named) or len({*named}) < len(named):
        return None
    return top[-1] if any(as_number(cell) is not None for cell in below) else None


def _make_even(found: Cut) -> None:
    """Rows that differ by separators at their ends, or by R's names of rows, are given one width.
    Raises DataError where they differ otherwise."""
    head, below = found.rows[0], found.rows[1:]
    widths = Counter(map(len, below))
    wide = len(head)
    if (
        set(widths) == {wide + 1}
        and len({row[0] for row in below}) == len(below) > 1
        and any(row[-1].strip() for row in below)
    ):
        found.rows[0] = ["", *head]
        found.tell(
            "names of rows", "one cell more than the line of names: the first is the row's name"
        )
        return
    blanks = [_blank_end(row) for row in found.rows]
    least = max(len(row) - blank for row, blank in zip(found.rows, blanks))
    if any(len(row) < least for row in found.rows):
        _refuse_ragged(found)
    longer = sum(len(row) > least for row in found.rows)
    found.rows = [row[:least] for row in found.rows]
    found.tell("separator at the end", "no cell behind it", longer)


def _blank_end(row: Sequence[str]) -> int:
    """How many cells at the end are blank."""
    blank = 0
    while blank < len(row) and not row[-1 - blank].strip():
        blank += 1
    return blank


def _refuse_ragged(found: Cut) -> None:
    wide = len(found.rows[0])
    ragged = [i for i, row in enumerate(found.rows) if len(row) != wide]
    raise DataError(
        f"{found.where}: row {found.numbers[ragged[0]]} has {len(found.rows[ragged[0]])} cells, "
        f"the first has {wide} ({len(ragged):,} such rows); quote cells that hold the separator."
    )
