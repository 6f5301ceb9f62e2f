"""Which columns of a table hold the picture, the box and its class, by their names.

    filename, xmin, ymin, xmax, ymax, class      also image, path, image_id; label, name, category
    filename, x1, y1, x2, y2, label              also x_min and so on
    filename, x, y, w, h, label                  also bbox_x, ..., left, top, width, height
    image_id, width, height, bbox                four numbers in one cell, "[834.0, 222.0, 56, 36]"
    ImageID, LabelName, XMin, XMax, YMin, YMax   Open Images, in shares; IsGroupOf is a crowd
    7.jpg,12,30,80,95,cat                        without a header, in the order of the first

Case, spaces and underscores do not matter.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from depthwise.data.readers.pictures import PICTURE_SUFFIXES

__all__ = ["BoxColumns", "box_columns", "first_row", "is_row", "separator_of"]

_SEPARATORS = ",\t;|"
_PICTURE = ("filename", "file", "image", "imagepath", "imagename", "path", "img", "imageid")
_LABEL = ("class", "label", "labelname", "classname", "category", "name", "labels", "classid")
_SPLIT = ("split", "set", "subset")
_CROWD = ("isgroupof", "iscrowd")
_CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("x1", "y1", "x2", "y2"),
    ("left", "top", "right", "bottom"),
)
_SIDES = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("bboxx", "bboxy", "bboxwidth", "bboxheight"),
    ("left", "top", "width", "height"),
)
_LISTS = ("bbox", "boundingbox", "box")


@dataclass(frozen=True)
class BoxColumns:
    """Positions of the columns. box: of four, or of the one that holds all four; sides: whether
    they are an edge and sides, None where that is open; size: of height and width."""

    picture: int
    box: tuple[int, ...]
    sides: bool | None
    label: int | None = None
    split: int | None = None
    size: tuple[int, int] | None = None
    crowd: int | None = None


def first_row(head: bytes) -> list[str]:
    """The cells of the first line of a table."""
    line = head.decode("utf-8-sig", "replace").split("\n")[0].strip("\r")
    return [cell.strip().strip("\"'") for cell in line.split(separator_of(line))]


def separator_of(line: str) -> str:
    return max(_SEPARATORS, key=line.count)


def box_columns(first: Sequence[str]) -> BoxColumns | None:
    """What the columns are, by their names, or by their content where there is no header."""
    names = [re.sub(r"[\s_-]", "", cell.lower()) for cell in first]

    def one(of: Sequence[str]) -> int | None:
        return next((names.index(name) for name in of if name in names), None)

    picture, found = one(_PICTURE), _box(names)
    if picture is not None and found is not None:
        box, sides = found
        other = {names.index(name) for name in ("height", "width") if name in names} - set(box)
        size = (names.index("height"), names.index("width")) if len(other) == 2 else None
        return BoxColumns(picture, box, sides, one(_LABEL), one(_SPLIT), size, one(_CROWD))
    return BoxColumns(0, (1, 2, 3, 4), False, 5) if is_row(first) else None


def _box(names: Sequence[str]) -> tuple[tuple[int, ...], bool | None] | None:
    for sides, variants in ((False, _CORNERS), (True, _SIDES)):
        for four in variants:
            if set(four) <= set(names):
                return tuple(names.index(name) for name in four), sides
    one = next((name for name in _LISTS if name in names), None)
    return None if one is None else ((names.index(one),), None)


def is_row(cells: Sequence[str]) -> bool:
    """Whether this is "7.jpg,12,30,80,95,cat" or "7.jpg,,,,,"."""
    if len(cells) != 6 or f".{cells[0].lower().rpartition('.')[2]}" not in PICTURE_SUFFIXES:
        return False
    return not any(cells[1:]) or all(re.fullmatch(r"-?\d+(\.\d+)?", cell) for cell in cells[1:5])
