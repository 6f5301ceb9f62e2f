"""Boxes in a table, a row a box, beside the pictures.

    filename, xmin, ymin, xmax, ymax, class      also image, path, image_id; label, name, category
    filename, x1, y1, x2, y2, label              also x_min and so on
    filename, x, y, w, h, label                  also bbox_x, ..., left, top, width, height
    7.jpg,12,30,80,95,cat                        without a header, in this order

`filename, width, height, class, xmin, ...` (TensorFlow's) gives the picture's size too. A row with
blank coordinates is a picture with nothing in it; a picture in no row is left out. A column split,
set or subset, the table's name (train.csv, test_labels.csv) or the picture's folder says the part.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import Raw, part_of
from depthwise.data.readers.boxes.boxed import Annotated, Box, assemble
from depthwise.data.readers.pictures import PICTURE_SUFFIXES, picture_names
from depthwise.data.readers.trees.texts import number, part_in, stem, text_of
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.errors import DataError

__all__ = ["has_boxes", "read"]

_SEPARATORS = ",\t;|"
_PICTURE = ("filename", "file_name", "file", "image", "image_path", "path", "img", "image_id")
_LABEL = ("class", "label", "class_name", "category", "name", "labels", "class_id")
_SPLIT = ("split", "set", "subset")
_CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
_SIDES = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
    ("left", "top", "width", "height"),
)
_BLANK = {"", "nan", "null", "none"}


@dataclass
class _Columns:
    """Positions of the columns; corners: whether the four are edges or an edge and sides."""

    picture: int
    box: tuple[int, ...]
    corners: bool
    label: int | None
    split: int | None
    size: tuple[int, int] | None  # of height and width


def has_boxes(tree: Tree) -> bool:
    """Whether there are pictures and a table with their names and four columns of a box."""
    return bool(_tables(tree)) and bool(picture_names(tree))


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for ragged rows and for coordinates that are no numbers."""
    pictures = picture_names(tree)
    items: dict[str, Annotated] = {}
    absent: list[str] = []
    for name in _tables(tree):
        absent += _read_table(tree, name, pictures, items)
    bare = sorted(set(pictures) - set(items))
    no_picture = "is in a row, but there is no such picture; left out"
    no_row = "in no row, left out; a row with blank coordinates says that nothing is in it"
    problems = [
        *left_out("annotation without picture", absent, no_picture),
        *left_out("picture without annotation", bare, no_row),
    ]
    size, channels = options.image_size, options.channels
    every = list(items.values())
    return assemble(tree, every, allocate, image_size=size, channels=channels, problems=problems)


def _tables(tree: Tree) -> list[str]:
    files = [n for n in tree.sizes if n.lower().endswith((".csv", ".tsv", ".txt"))]
    return [name for name in files if _columns(_first_row(tree.head(name))) is not None]


def _first_row(head: bytes) -> list[str]:
    line = head.decode("utf-8-sig", "replace").split("\n")[0].strip("\r")
    return [cell.strip().strip("\"'") for cell in line.split(_separator(line))]


def _separator(line: str) -> str:
    return max(_SEPARATORS, key=line.count)


def _columns(first: Sequence[str]) -> _Columns | None:
    """What the columns are, by their names, or by their content where there is no header."""
    names = [cell.lower().replace(" ", "_") for cell in first]

    def one(of: Sequence[str]) -> int | None:
        return next((names.index(name) for name in of if name in names), None)

    picture = one(_PICTURE)
    for corners, variants in ((True, _CORNERS), (False, _SIDES)):
        for four in variants:
            if picture is not None and set(four) <= set(names):
                box = tuple(names.index(name) for name in four)
                known = corners and {"width", "height"} <= set(names)
                size = (names.index("height"), names.index("width")) if known else None
                return _Columns(picture, box, corners, one(_LABEL), one(_SPLIT), size)
    if _is_row(first):
        return _Columns(0, (1, 2, 3, 4), True, 5, None, None)
    return None


def _is_row(cells: Sequence[str]) -> bool:
    """Whether this is "7.jpg,12,30,80,95,cat" or "7.jpg,,,,,"."""
    if len(cells) != 6 or f".{cells[0].lower().rpartition('.')[2]}" not in PICTURE_SUFFIXES:
        return False
    return not any(cells[1:]) or all(re.fullmatch(r"-?\d+(\.\d+)?", cell) for cell in cells[1:5])


def _read_table(
    tree: Tree, name: str, pictures: Sequence[str], items: dict[str, Annotated]
) -> list[str]:
    """Adds the rows of one table to the items; returns the pictures that are not there."""
    text = text_of(tree, name)
    first = _first_row(text.split("\n", 1)[0].encode())
    columns = _columns(first)
    assert columns is not None
    find, absent = _finder(pictures), {}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text.split("\n")[0]))
    try:
        for k, row in enumerate(reader):
            if not any(cell.strip() for cell in row) or (k == 0 and not _is_row(first)):
                continue
            what = f"{name}, line {reader.line_num}"
            if len(row) != len(first):
                raise DataError(f"{what} has {len(row)} cells, the first has {len(first)}.")
            cell = row[columns.picture].strip()
            picture = find(cell)
            if picture is None:
                absent[cell] = True
            else:
                _add_row(row, columns, what, _item(items, picture, row, columns, name))
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: {error}.") from None
    return list(absent)


def _finder(pictures: Sequence[str]) -> Callable[[str], str | None]:
    """Which picture a cell names: its path, the end of its path, or its name without suffix."""
    by_end: dict[str, str] = {}
    for picture in pictures:
        parts = picture.split("/")
        for k in range(len(parts)):
            end = "/".join(parts[k:])
            by_end.setdefault(end, picture)
            by_end.setdefault(end.rpartition(".")[0], picture)

    def find(cell: str) -> str | None:
        cell = cell.replace("\\", "/").removeprefix("./")
        return by_end.get(cell) or by_end.get(cell.rpartition("/")[2])

    return find


def _item(
    items: dict[str, Annotated],
    picture: str,
    row: Sequence[str],
    columns: _Columns,
    name: str,
) -> Annotated:
    """The picture's record, made when it is first named."""
    part = _part(picture, row, columns, name)
    item = items.setdefault(picture, Annotated(picture, f"{name}: {picture}", part))
    if item.part != part:
        raise DataError(f"{name}: {picture} is in two parts of the split; it can have one only.")
    if columns.size is not None:
        height, width = (number(row[k], f"{name}: size of {picture}") for k in columns.size)
        item.size = (int(height), int(width)) if height > 0 and width > 0 else None
    return item


def _part(picture: str, row: Sequence[str], columns: _Columns, name: str) -> int | None:
    if columns.split is not None:
        part = part_of(row[columns.split].strip())
        if part is None:
            raise DataError(
                f"{name}: {picture} is in split {row[columns.split]!r}; write train, val or test."
            )
        return part
    words = [part_of(word) for word in re.split(r"[^a-z]+", stem(name).lower())]
    return next((part for part in words if part is not None), part_in(picture))


def _add_row(row: Sequence[str], columns: _Columns, what: str, item: Annotated) -> None:
    cells = [row[k].strip() for k in columns.box]
    if all(cell.lower() in _BLANK for cell in cells):
        return
    a, b, c, d = (number(cell, what) for cell in cells)
    box: Box = (a, b, c, d) if columns.corners else (a, b, a + c, b + d)
    label = "object" if columns.label is None else row[columns.label].strip()
    if not label:
        raise DataError(f"{what}: a box without a class; fill it in or remove the row.")
    item.add(box, label)
