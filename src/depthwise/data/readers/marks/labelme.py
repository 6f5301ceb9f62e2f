"""labelme's JSON, one a picture: beside it, or with the picture inside (`imageData`).

    7.jpg  7.json   {"imagePath", "imageData", "imageHeight", "imageWidth", "flags": {"bad": false},
                     "shapes": [{"label", "points": [[x, y], ...], "shape_type"}]}

Polygons and rectangles, whose points come in any order; circles (centre and a point on the edge).
Lines and points are left out and told. Where nothing is drawn anywhere, the flag that is set is the
class of the picture.
"""

import base64
import binascii
from math import cos, hypot, pi, sin
from typing import Any

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import Raw
from depthwise.data.readers.marks.drawn import in_masks
from depthwise.data.readers.marks.marked import (
    Marked,
    Points,
    Shape,
    classified,
    corners_of,
    in_boxes,
    placed_marks,
)
from depthwise.data.readers.pictures import picture_names
from depthwise.data.readers.trees.path_finder import Asked, PathFinder
from depthwise.data.readers.trees.small_texts import json_of, number
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError

__all__ = ["has_shapes", "read", "read_outlines"]

_INSIDE, _ROUND = ".inside.png", 64  # ending of a picture in a JSON; corners of a circle


def has_shapes(tree: Tree) -> bool:
    """Whether a JSON is one of labelme's."""
    return any(_is_ours(tree, name) for name in _files(tree)[:8])


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Boxes round the shapes, or the classes that flags say. Raises DataError for broken files."""
    held = _Held(tree)
    items, problems = placed_marks(held, _marked(held))
    if not any(item.shapes for item in items) and any(item.words for item in items):
        return classified(held, items, allocate, options, problems)
    return in_boxes(held, items, allocate, options, "labelme", problems)


def read_outlines(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Masks of the shapes."""
    held = _Held(tree)
    items, problems = placed_marks(held, _marked(held))
    return in_masks(held, items, allocate, options, problems)


def _files(tree: Tree) -> list[str]:
    return [name for name in tree.sizes if name.lower().endswith(".json")]


def _is_ours(tree: Tree, name: str) -> bool:
    head = tree.head(name)
    return b'"shapes"' in head or (b'"flags"' in head and b'"version"' in head)


class _Held:
    """The tree, and as files of it the pictures that only lie inside a JSON."""

    def __init__(self, tree: Tree):
        self.where, self.problems, self._tree = tree.where, tree.problems, tree
        self.records = {name: json_of(tree, name) for name in _files(tree) if _is_ours(tree, name)}
        finder = PathFinder(picture_names(tree))
        asked = {name: _asked(record, name) for name, record in self.records.items()}
        found = finder.find(asked.values())
        self._inside = {
            name.removesuffix(".json") + _INSIDE: _decoded(self.records[name], name)
            for name, one in asked.items()
            if found[one] is None and self.records[name].get("imageData")
        }
        sizes = {name: len(data) for name, data in self._inside.items()}
        self.sizes = {**tree.sizes, **sizes}

    def read(self, name: str) -> bytes:
        return self._inside[name] if name in self._inside else self._tree.read(name)

    def head(self, name: str) -> bytes:
        return self._inside[name][:512] if name in self._inside else self._tree.head(name)

    def stamp(self) -> str:
        return self._tree.stamp()

    def asked(self, name: str) -> Asked:
        """The picture of a JSON: inside it, or as it is named."""
        inside = name.removesuffix(".json") + _INSIDE
        return (
            Asked(inside, name, like=name)
            if inside in self._inside
            else _asked(self.records[name], name)
        )


def _asked(record: Any, name: str) -> Asked:
    said = record.get("imagePath") if isinstance(record, dict) else None
    if not isinstance(said, str):
        raise DataError(f"{name} has no imagePath.")
    last = said.replace("\\", "/").rpartition("/")[2]
    return Asked(last, name, like=name)


def _decoded(record: dict[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(str(record["imageData"]), validate=False)
    except (binascii.Error, ValueError):
        raise DataError(f"{name}: imageData is no picture.") from None


def _marked(held: _Held) -> list[Marked]:
    found = []
    for name, record in held.records.items():
        height, width = record.get("imageHeight"), record.get("imageWidth")
        size = (int(height), int(width)) if height and width else None
        item = Marked(held.asked(name), name, size)
        flags = record.get("flags")
        item.words = [f for f, on in flags.items() if on] if isinstance(flags, dict) else []
        for k, shape in enumerate(record.get("shapes") or []):
            _add(item, shape, f"{name}, shape {k}")
        found.append(item)
    return found


def _add(item: Marked, shape: Any, what: str) -> None:
    """Add one shape to the item, or count it as left out."""
    label = shape.get("label") if isinstance(shape, dict) else None
    points = shape.get("points") if isinstance(shape, dict) else None
    if not isinstance(label, str) or not label.strip() or not isinstance(points, list):
        raise DataError(f"{what} has no label or no points.")
    kind = str(shape.get("shape_type") or "polygon")
    pairs = [p for p in points if isinstance(p, list) and len(p) == 2]
    if len(pairs) < len(points):
        raise DataError(f"{what}: points must be pairs of numbers.")
    placed = [(number(x, what), number(y, what)) for x, y in pairs]
    outline = _outline(kind, placed)
    if outline is None:
        item.passed.append(f"{kind} {label!r}")
    else:
        item.shapes.append(Shape(label.strip(), [outline], is_box=kind == "rectangle"))


def _outline(kind: str, points: Points) -> Points | None:
    """Corners, of a circle points on it; None of what has no area."""
    if kind == "rectangle" and len(points) >= 2:
        xs, ys = zip(*points)
        return corners_of((min(xs), min(ys), max(xs), max(ys)), 0, (0, 0))
    if kind == "circle" and len(points) == 2:
        (x, y), edge = points
        r = hypot(edge[0] - x, edge[1] - y)
        turns = [2 * pi * k / _ROUND for k in range(_ROUND)]
        return [(x + r * cos(turn), y + r * sin(turn)) for turn in turns]
    return points if kind == "polygon" and len(points) > 2 else None
