"""Tables that name pictures: which column does, which is the label, which the split.

A table is CSV, TSV, text apart by white space, or a JSON object a line. What is called a
submission is a sample of answers and is passed over.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from depthwise.data.raw import part_of
from depthwise.data.readers.class_lists import lists_in
from depthwise.data.readers.numbered_split import LISTS
from depthwise.data.readers.trees.small_texts import MAX_TEXT_BYTES, stem
from depthwise.data.readers.trees.tree import Tree
from depthwise.data.tables.delimited import cut, decoded
from depthwise.data.tables.encoding import no_column
from depthwise.errors import DataError

__all__ = ["Sheet", "sheets_in"]

_SUFFIXES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
_LABELS = (
    *("label", "class", "target", "labels", "classes", "category", "classname", "labelname"),
    *("breed", "species"),
)
_SPLIT = ("split", "set", "subset", "partition", "dataset")
_BESIDE = re.compile(r"(width|height|size|url|source|license|fold|index|unnamed:?\d*|)$")
_LOOKED_AT, _ENOUGH = 200, 0.5


@dataclass
class Sheet:
    """A table: its columns, rows and their line numbers; the places of the picture, of the label
    (several of numbers, or of a column a class, whose names are then in one_hot) and of the split;
    called: the label, for messages; others: columns that are not used; is_named: whether the label
    is called one."""

    name: str
    columns: list[str]
    rows: list[list[str]]
    lines: Sequence[int]
    picture: int = 0
    label: list[int] = field(default_factory=list)
    split: int | None = None
    one_hot: list[str] = field(default_factory=list)
    called: str = ""
    others: list[str] = field(default_factory=list)
    is_named: bool = False


def sheets_in(tree: Tree, pictures: Sequence[str], label: str | None = None) -> list[Sheet]:
    """The tables of a tree that name its pictures and say more of them, all with one label.

    Raises DataError for a table with several columns that may be the label, and for tables that
    have different ones.
    """
    known = {name.rpartition("/")[2] for name in pictures} | {stem(name) for name in pictures}
    if not known:
        return []
    skipped = {*lists_in(tree)}
    found: list[Sheet] = []
    without: list[Sheet] = []
    for name in tree.sizes:
        last = name.rpartition("/")[2].lower()
        if not last.endswith(_SUFFIXES) or name in skipped or last in LISTS:
            continue
        if "submission" in last or tree.sizes[name] > MAX_TEXT_BYTES:
            continue
        sheet = _sheet(tree, name)
        if sheet and _find_picture(sheet, known):
            (found if _find_label(sheet, label) else without).append(sheet)
    if label is not None and without and not found:
        raise no_column(without[0].name, label, without[0].columns)
    if len({(sheet.called, *sheet.one_hot) for sheet in found}) > 1:
        first, other = found[0], next(s for s in found if s.called != found[0].called)
        raise DataError(
            f"{first.name} labels pictures by {first.called}, {other.name} by {other.called}; say "
            "which: --label NAME (label=)."
        )
    return found


def _sheet(tree: Tree, name: str) -> Sheet | None:
    """The cells of a table file; None if the file is no table."""
    try:
        text, _ = decoded(tree.read(name), name)
        if name.lower().endswith((".jsonl", ".ndjson")):
            return _of_records(text, name)
        found = cut(text, name)
    except DataError:
        return None
    if len(found.rows) < 2 or len(found.rows[0]) < 2:
        return None
    rows = [[cell.strip() for cell in row] for row in found.rows]
    return Sheet(name, rows[0], rows[1:], found.numbers[1:])


def _of_records(text: str, name: str) -> Sheet | None:
    """A JSON object a line, its keys as columns."""
    records, lines = [], []
    for k, line in enumerate(re.split(r"\r\n|\r|\n", text), 1):
        if line.strip():
            try:
                record = json.loads(line)
            except ValueError:
                raise DataError(f"{name}, line {k} is no sound JSON.") from None
            if not isinstance(record, dict):
                return None
            records.append(record)
            lines.append(k)
    columns = list(dict.fromkeys(key for record in records for key in record))
    rows = [[_cell(record.get(key)) for key in columns] for record in records]
    return Sheet(name, columns, rows, lines) if len(columns) > 1 else None


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value)


def _find_picture(sheet: Sheet, known: set[str]) -> bool:
    """Sets the column whose cells name pictures; a first line that names one is no header."""

    def names(cell: str) -> bool:
        return cell.replace("\\", "/").rpartition("/")[2] in known

    sample = sheet.rows[:: max(1, len(sheet.rows) // _LOOKED_AT)]
    shares = [sum(names(row[k]) for row in sample) / len(sample) for k in range(len(sheet.columns))]
    best = max(range(len(shares)), key=lambda k: (shares[k], "." in sample[0][k], -k))
    if shares[best] < _ENOUGH:
        return False
    sheet.picture = best
    if names(sheet.columns[best]) and _has_suffix(sheet.columns[best]) == _has_suffix(
        sheet.rows[0][best]
    ):
        sheet.rows, sheet.lines = [sheet.columns, *sheet.rows], [sheet.lines[0] - 1, *sheet.lines]
        sheet.columns = [f"column {k + 1}" for k in range(len(sheet.columns))]
    alike = [k for k in range(len(shares)) if all(_is_same(r[k], r[best]) for r in sample)]
    sheet.others = [sheet.columns[k] for k in alike if k != best]
    return True


def _is_same(cell: str, picture: str) -> bool:
    """Whether a cell names the picture again, with or without folders and suffix."""
    last = picture.replace("\\", "/").rpartition("/")[2]
    return cell.replace("\\", "/").rpartition("/")[2] in (last, stem(last))


def _has_suffix(cell: str) -> bool:
    return "." in cell.rpartition("/")[2]


def _find_label(sheet: Sheet, asked: str | None) -> bool:
    """Sets the columns of the label and of the split; False where no column could be a label."""
    plain = [re.sub(r"[\s_-]", "", name.lower()) for name in sheet.columns]
    sheet.split = next((k for k, n in enumerate(plain) if n in _SPLIT and _parts(sheet, k)), None)
    if asked is not None:
        return _take_asked(sheet, asked)
    used = {sheet.picture, sheet.split, *(sheet.columns.index(name) for name in sheet.others)}
    rest = [k for k in range(len(plain)) if k not in used and _says_something(sheet, k, plain[k])]
    named = next((plain.index(name) for name in _LABELS if name in plain), None)
    if named is not None and named in rest:
        _take(sheet, [named], rest)
        sheet.is_named = True
    elif len(rest) == 1:
        _take(sheet, rest, rest)
    elif hot := _one_hot(sheet, rest):
        _take(sheet, hot, hot)
        sheet.one_hot = [sheet.columns[k] for k in hot]
        sheet.called = f"the one of {len(hot)} columns that is 1"
        sheet.is_named = True
    elif rest:
        _take_of_several(sheet, rest)
    return bool(rest)


def _take(sheet: Sheet, label: Sequence[int], rest: Sequence[int]) -> None:
    sheet.label = [*label]
    sheet.called = ", ".join(repr(sheet.columns[k]) for k in label)
    sheet.others = [sheet.columns[k] for k in rest if k not in label]


def _take_asked(sheet: Sheet, asked: str) -> bool:
    """The column of this name, or those of several with commas between."""
    names = [asked] if asked in sheet.columns else [name.strip() for name in asked.split(",")]
    if not all(name in sheet.columns for name in names):
        return False
    _take(sheet, [sheet.columns.index(name) for name in names], [])
    return True


def _take_of_several(sheet: Sheet, rest: Sequence[int]) -> None:
    """Of a number and a name of each class the name; else raises DataError."""
    columns = [[row[k] for row in sheet.rows] for k in rest]
    pairs = {*zip(*columns)}
    one_to_one = all(len({*column}) == len(pairs) for column in columns)
    words = [k for k, column in zip(rest, columns) if not all(map(_is_number, column))]
    if one_to_one and len(pairs) * 2 <= len(sheet.rows) and words:
        _take(sheet, words[:1], rest)
        return
    names = ", ".join(sheet.columns[k] for k in rest[:8]) + (" ..." if len(rest) > 8 else "")
    raise DataError(
        f"{sheet.name} has several columns that may be the label ({names}); say which: --label "
        "NAME (label=), or several numbers to predict: --label A,B."
    )


def _parts(sheet: Sheet, k: int) -> bool:
    return all(part_of(row[k]) is not None for row in sheet.rows)


def _says_something(sheet: Sheet, k: int, name: str) -> bool:
    """Whether a column is neither the same in all rows, nor row numbers, nor what is known of a
    picture anyway."""
    cells = [row[k] for row in sheet.rows]
    counts = all(cell.isdigit() for cell in cells) and len(cells) > 2
    steps = {int(b) - int(a) for a, b in pairwise(cells)} if counts else set()
    return len({*cells}) > 1 and steps != {1} and not _BESIDE.match(name)


def _one_hot(sheet: Sheet, rest: Sequence[int]) -> list[int]:
    """The columns, two or more, of which each row has a 1 in one and a 0 in all others."""
    if len(rest) < 2:
        return []
    for row in sheet.rows:
        if sorted(row[k] in ("1", "1.0") for k in rest)[-2:] != [False, True]:
            return []
        if not all(row[k] in ("0", "1", "0.0", "1.0") for k in rest):
            return []
    return [*rest]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
