"""COCO's outlines as masks: `segmentation` as polygons, [[x, y, x, y, ...], ...], or run lengths.

Run lengths count pixels column by column, background first: {"size": [H, W], "counts": [...]};
where counts are text they are COCO's packed form: of each count its difference to that before the
last, five bits a character from the lowest, the sixth saying that more follow.
"""

from typing import Any

import numpy as np

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import Raw
from depthwise.data.readers.boxes.coco import documents_in, part_of_document
from depthwise.data.readers.marks.drawn import in_masks
from depthwise.data.readers.marks.marked import Marked, Shape, placed_marks
from depthwise.data.readers.trees.path_finder import Asked
from depthwise.data.readers.trees.small_texts import number
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError

__all__ = ["has_outlines", "read", "unpacked_counts"]

MAX_PIXELS = 100_000_000


def has_outlines(tree: Tree) -> bool:
    """Whether a COCO file says outlines."""
    files = [name for name in tree.sizes if name.lower().endswith(".json")]
    return any(b'"segmentation"' in tree.read(name) for name in files)


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Read COCO polygons and run lengths as masks. Raises DataError for malformed outlines and
    unknown ids."""
    documents, classes = documents_in(tree)
    items: list[Marked] = []
    for name, said in documents.items():
        items += _marked(said, name, classes)
    kept, problems = placed_marks(tree, items)
    return in_masks(tree, kept, allocate, options, problems)


def _marked(said: dict[str, Any], name: str, classes: dict[int, str]) -> list[Marked]:
    part, found = part_of_document(name), {}
    for record in said["images"]:
        key, file = record.get("id"), record.get("file_name")
        if not isinstance(key, int | str) or not isinstance(file, str) or key in found:
            raise DataError(f"{name}: an image needs an id of its own and a file_name: {record}.")
        sides = [int(number(record.get(side) or 0, name)) for side in ("height", "width")]
        size = (sides[0], sides[1]) if all(sides) else None
        found[key] = Marked(Asked(file, name, part), f"{name}: {file}", size)
    for record in said["annotations"]:
        what = f"{name}, annotation {record.get('id')}"
        key, category = record.get("image_id"), record.get("category_id")
        if key not in found or category not in classes:
            raise DataError(f"{what}: there is no image {key!r}, or no category {category!r}.")
        shape = _shape(record.get("segmentation"), classes[category], what)
        if shape is None:
            found[key].passed.append("annotation without an outline")
        else:
            shape.crowd = bool(record.get("iscrowd"))
            found[key].shapes.append(shape)
    return list(found.values())


def _shape(value: Any, name: str, what: str) -> Shape | None:
    if isinstance(value, dict):
        return Shape(name, mask=_mask(value, what))
    if not value:
        return None
    if not isinstance(value, list) or not all(isinstance(one, list) for one in value):
        raise DataError(f"{what}: segmentation is neither polygons nor run lengths.")
    outlines = []
    for flat in value:
        if len(flat) < 6 or len(flat) % 2:
            raise DataError(f"{what}: a polygon of {len(flat)} numbers; it has three x, y or more.")
        numbers = [number(one, what) for one in flat]
        outlines.append([*zip(numbers[::2], numbers[1::2])])
    return Shape(name, outlines)


def _mask(value: dict[str, Any], what: str) -> np.ndarray:
    """bool (H, W) of run lengths."""
    size, counts = value.get("size"), value.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(type(s) is int for s in size):
        raise DataError(f"{what}: run lengths need their size, [height, width].")
    height, width = size
    if isinstance(counts, str):
        counts = unpacked_counts(counts)
    if not isinstance(counts, list) or not all(type(c) is int and c >= 0 for c in counts):
        raise DataError(f"{what}: counts of run lengths must be whole numbers.")
    if not 0 < height * width <= MAX_PIXELS or sum(counts) != height * width:
        raise DataError(
            f"{what}: run lengths of {sum(counts):,} pixels for a mask of {height} x {width}."
        )
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(width, height).T


def unpacked_counts(text: str) -> list[int]:
    """The counts of COCO's packed form; of broken text -1."""
    counts: list[int] = []
    value = shift = 0
    for character in text.encode("latin-1", "replace"):
        six = character - 48
        if not 0 <= six < 64:
            return [-1]
        value |= (six & 31) << shift
        shift += 5
        if six & 32:
            continue
        if six & 16:  # negative
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts
