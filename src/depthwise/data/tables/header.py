"""Is the first line of a table one of names, or a row?

    age,city,label          above   31,Bern,yes         names: none is a number
    0,1,2,target            above   5.1,3.5,1.4,0       names: numbers that count, or years; and a
    country,2019,2020       above   Chad,3.1,4.2        word above numbers or classes
    phrase,feeling          above   so good,pos         names: "feeling" is none of the values below
    red,big,yes             above   blue,small,yes      a row: its cells come again below
    5.1,3.5,setosa          above   4.9,3.0,virginica   a row: it has numbers that count nothing

What is not plain is told, with how to have the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from depthwise.data.problem import Problem
from depthwise.data.readers.trees.tree import listed
from depthwise.data.tables.numbers import BLANK, as_number, is_number

__all__ = ["is_header", "told_of_header"]

LOOKED_AT = 1000  # rows below it
YEARS = (1800, 2100)
FEWEST_COUNTING, AMONG_WHOLE = 3, 5  # numbers that count, above fractions and above whole numbers


def is_header(
    first: Sequence[str], below: Sequence[Sequence[str]], label: int = -1, likely: bool = True
) -> bool:
    """Whether the cells of the first line are names. label: the place of the label column; likely:
    what is taken of words that nothing below speaks for or against."""
    names = [name.strip() for name in first]
    columns = [[row[k].strip() for row in below[:LOOKED_AT]] for k in range(len(names))]
    numeric = [_is_numeric(cells) for cells in columns]
    numbers = [as_number(name) for name in names]
    over_numbers = [
        bool(name) and number is None and typed and not is_number(name, ".")
        for name, number, typed in zip(names, numbers, numeric)
    ]
    if not below:
        return not any(number is not None for number in numbers)
    if not any(number is not None for number in numbers):
        return any(over_numbers) or _are_names(names, columns, likely)
    if not _counts(names):
        return over_numbers[label]
    return _is_above(names, columns, over_numbers)


def _is_above(
    names: Sequence[str],
    columns: Sequence[Sequence[str]],
    over_numbers: Sequence[bool],
) -> bool:
    """Whether a first row of ascending numbers is a header, judged by the cells beside and
    below."""
    words = [k for k, name in enumerate(names) if as_number(name) is None]
    if any(over_numbers):
        return True
    if any(names[k] in columns[k] for k in words):
        return False
    if any(_is_of_few(columns[k]) for k in words):
        return True
    unlike = not all(_are_alike(names[k], columns[k]) for k in range(len(names)) if k not in words)
    fewest = FEWEST_COUNTING if unlike else AMONG_WHOLE
    return unlike if words else len(names) >= fewest


def _are_alike(name: str, cells: Sequence[str]) -> bool:
    """Whether the values below a number are whole ones, below a year years."""
    numbers = [number for cell in cells if (number := as_number(cell)) is not None]
    if _is_year(int(name)) and not all(map(_is_year, numbers)):
        return False
    return all(number.is_integer() for number in numbers)


def _is_year(number: float) -> bool:
    return YEARS[0] <= number <= YEARS[1]


def _is_of_few(cells: Sequence[str]) -> bool:
    """Whether there are few different values among these cells."""
    return 2 * len(set(cells)) <= len(cells)


def told_of_header(
    first: Sequence[str], below: Sequence[Sequence[str]], taken: bool, format: str = "csv"
) -> list[Problem]:
    """Nothing where it is plain; else which was taken, and how to have the other."""
    names = [name.strip() for name in first]
    columns = [[row[k].strip() for row in below[:LOOKED_AT]] for k in range(len(names))]
    has_numbers = any(as_number(name) is not None for name in names)
    is_plain = any(_is_numeric(cells) or _is_of_few(cells) for cells in columns)
    if (taken and not has_numbers and is_plain) or (not taken and has_numbers):
        return []
    shown = listed(names, 6)
    if taken:
        other, what = "no-header", ("the names of columns", "a row")
    else:
        other, what = "header", ("a row", "the names of columns")
    detail = f"{shown}: taken as {what[0]}; --format {format}:{other} takes it as {what[1]}"
    return [Problem("first line", "", detail)]


def _is_numeric(cells: Sequence[str]) -> bool:
    known = [cell for cell in cells if cell.lower() not in BLANK]
    return bool(known) and all(is_number(cell, ".") for cell in known)


def _counts(names: Sequence[str]) -> bool:
    """Whether the numbers among the names are 0, 1, 2, ... or 1, 2, 3, ..., or rising years."""
    plain = [name for name in names if as_number(name) is not None]
    if not all(name.isdigit() for name in plain):
        return False
    numbers = [int(name) for name in plain]
    if numbers[0] in (0, 1) and len(numbers) > 1:
        return numbers == [*range(numbers[0], numbers[0] + len(numbers))]
    return all(map(_is_year, numbers)) and all(a < b for a, b in pairwise(numbers))


def _are_names(names: Sequence[str], columns: Sequence[Sequence[str]], likely: bool) -> bool:
    """Of words above words alone: not where most of those above few different values are such
    values themselves, and `likely` where there are no few values."""
    again = {k for k, name in enumerate(names) if name and name in columns[k]}
    few = {k for k, name in enumerate(names) if name and _is_of_few(columns[k])}
    return 2 * len(again) < len(again | few) if again or few else likely
