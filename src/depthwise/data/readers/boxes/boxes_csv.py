"""Boxes in a table, a row a box, beside the pictures: see `box_columns` for the forms.

`filename, width, height, class, xmin, ...` (TensorFlow's) gives the picture's size too. A row with
blank coordinates is a picture with nothing in it; a picture in no row is left out. A column split,
set or subset, the table's name (train.csv, test_labels.csv) or the picture's folder says the part.

Of Open Images, whose classes are codes, class-descriptions-boxable.csv ("/m/011k07,Tortoise") says
the names.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from depthwise.data.dataset import Problem
from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import Raw, part_of
from depthwise.data.readers.boxes.box_columns import (
    BoxColumns,
    box_columns,
    first_row,
    is_row,
    separator_of,
)
from depthwise.data.readers.boxes.boxed import Annotated, Box, assemble
from depthwise.data.readers.pictures import picture_names
from depthwise.data.readers.trees.path_finder import Asked, PathFinder
from depthwise.data.readers.trees.small_texts import number, part_in, stem, text_of
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.errors import DataError

__all__ = ["has_boxes", "read"]

_BLANK = {"", "nan", "null", "none", "[]"}
_DESCRIPTIONS = re.compile(r"class-descriptions.*\.csv$")


@dataclass
class _Row:
    """A row: the picture it names, what part it says, its box and class if it has one."""

    what: str
    asked: Asked
    part: int | None
    size: tuple[int, int] | None
    box: Box | None
    label: str
    crowd: bool


def has_boxes(tree: Tree) -> bool:
    """Whether there are pictures and a table with their names and columns of a box."""
    return bool(_tables(tree)) and bool(picture_names(tree))


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for ragged rows and for coordinates that are no numbers."""
    pictures, tables = picture_names(tree), _tables(tree)
    rows = [row for name in tables for row in _rows(tree, name)]
    found = PathFinder(pictures).find(row.asked for row in rows)
    called, problems = _called(tree, {row.label for row in rows})
    items: dict[str, Annotated] = {}
    for row in rows:
        if picture := found[row.asked]:
            item = _item(items, picture, row)
            if row.box is not None:
                item.add(row.box, called.get(row.label, row.label), row.crowd)
    absent = [asked.said for asked, picture in found.items() if picture is None]
    bare = sorted(set(pictures) - set(items))
    no_picture = "is in a row, but there is no such picture; left out"
    no_row = "in no row, left out; a row with blank coordinates says that nothing is in it"
    problems += left_out("annotation without picture", absent, no_picture)
    problems += left_out("picture without annotation", bare, no_row)
    return assemble(
        tree,
        list(items.values()),
        allocate,
        options,
        "boxes",
        sides=_sides(tree, tables, options),
        problems=problems,
    )


def _sides(tree: Tree, tables: Sequence[str], options: Options) -> bool | None:
    """Whether lists of four are an edge and sides; None where it is to be looked for."""
    columns = [box_columns(first_row(tree.head(name))) for name in tables]
    if not any(found is not None and found.sides is None for found in columns):
        return False
    return "sides" in options.readings if {"sides", "edges"} & {*options.readings} else None


def _tables(tree: Tree) -> list[str]:
    """The tables of boxes; all whose boxes are lists, if one is of that kind."""
    files = [n for n in tree.sizes if n.lower().endswith((".csv", ".tsv", ".txt"))]
    found = {name: box_columns(first_row(tree.head(name))) for name in files}
    known = {name: columns for name, columns in found.items() if columns is not None}
    lists = [name for name, columns in known.items() if columns.sides is None]
    return lists or list(known)


def _rows(tree: Tree, name: str) -> Iterator[_Row]:
    """The rows of one table."""
    text = text_of(tree, name)
    line = re.split(r"[\r\n]", text, maxsplit=1)[0]
    first = next(csv.reader([line], delimiter=separator_of(line)), [])
    first = [cell.strip() for cell in first]
    columns = box_columns(first)
    assert columns is not None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator_of(line))
    try:
        for k, row in enumerate(reader):
            if not any(cell.strip() for cell in row) or (k == 0 and not is_row(first)):
                continue
            what = f"{name}, line {reader.line_num}"
            if len(row) != len(first):
                raise DataError(f"{what} has {len(row)} cells, the first has {len(first)}.")
            yield _row([cell.strip() for cell in row], columns, what, name)
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: {error}.") from None


def _row(cells: Sequence[str], columns: BoxColumns, what: str, name: str) -> _Row:
    said = cells[columns.picture]
    part, size = _part(cells, columns, said, name), None
    if columns.size is not None:
        height, width = (number(cells[k], f"{name}: size of {said}") for k in columns.size)
        size = (int(height), int(width)) if height > 0 and width > 0 else None
    box = _box(cells, columns, what)
    label = "object" if columns.label is None else cells[columns.label]
    if box is not None and not label:
        raise DataError(f"{what}: a box without a class; fill it in or remove the row.")
    crowd = columns.crowd is not None and cells[columns.crowd] in ("1", "true", "True")
    return _Row(what, Asked(said, name, part), part, size, box, label, crowd)


def _box(cells: Sequence[str], columns: BoxColumns, what: str) -> Box | None:
    """Edges, or as in the list; None where the cells are blank."""
    four = [cells[k] for k in columns.box]
    if len(four) == 1 and four[0].lower() not in _BLANK:
        four = re.split(r"[\s,;]+", four[0].strip("[](){} \"'"))
        if len(four) != 4:
            raise DataError(f"{what}: {cells[columns.box[0]][:60]!r} is no list of four numbers.")
    if all(cell.lower() in _BLANK for cell in four):
        return None
    a, b, c, d = (number(cell, what) for cell in four)
    return (a, b, a + c, b + d) if columns.sides else (a, b, c, d)


def _part(cells: Sequence[str], columns: BoxColumns, said: str, name: str) -> int | None:
    """The part that the row says, or the table's name."""
    if columns.split is not None:
        part = part_of(cells[columns.split])
        if part is None:
            raise DataError(
                f"{name}: {said} is in split {cells[columns.split]!r}; write train, val or test."
            )
        return part
    words = [part_of(word) for word in re.split(r"[^a-z]+", stem(name).lower())]
    return next((part for part in words if part is not None), None)


def _item(items: dict[str, Annotated], picture: str, row: _Row) -> Annotated:
    """The picture's record, made when it is first named."""
    part = part_in(picture) if row.part is None else row.part
    name = row.asked.source
    item = items.setdefault(picture, Annotated(picture, f"{name}: {picture}", part))
    if item.part != part:
        raise DataError(f"{name}: {picture} is in two parts of the split; it can have one only.")
    item.size = row.size or item.size
    return item


def _called(tree: Tree, labels: set[str]) -> tuple[dict[str, str], list[Problem]]:
    """Code -> name of classes that Open Images' list describes."""
    for name in tree.sizes:
        if not _DESCRIPTIONS.search(name.lower()):
            continue
        said = dict(row[:2] for row in csv.reader(io.StringIO(text_of(tree, name))) if len(row) > 1)
        if known := {code: said[code].strip() for code in labels if code in said}:
            code = min(known)
            return known, [Problem("class names", name, f"class {code} is {known[code]}")]
    return {}, []
