"""Outlines drawn as masks: a class for each pixel, 0 where nothing was marked.

Larger shapes are drawn first, so that what lies on them stays. A crowd is IGNORE.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from depthwise.data.dataset import IGNORE
from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.problem import Problem
from depthwise.data.raw import Raw, sort_classes
from depthwise.data.readers.boxes.boxed import LARGEST
from depthwise.data.readers.marks.marked import Marked, Shape, parts_of
from depthwise.data.readers.masks.mask_classes import colour_wheel
from depthwise.data.readers.pictures import decode_all, odd_sizes, picture_reader, require_most
from depthwise.data.readers.trees.small_texts import require_one_spelling
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError

__all__ = ["drawn", "filled", "in_masks"]

BACKGROUND = "background"


def in_masks(
    tree: Tree,
    items: Sequence[Marked],
    allocate: Allocate,
    options: Options,
    problems: Sequence[Problem],
) -> Raw:
    """The pictures, and masks of their shapes in the same pixels. Raises DataError where nothing is
    marked, and for a picture that is not as large as its annotation says."""
    names = sort_classes([s.name for item in items for s in item.shapes if s.name != BACKGROUND])
    require_one_spelling(names, "class")
    if not names or len(names) >= IGNORE:
        raise DataError(f"{tree.where}: {len(names)} classes are marked; a mask holds 1 to 254.")
    places = [item.picture for item in items]
    reader = picture_reader(tree, places)
    decoded = decode_all(len(items), reader, allocate, options, LARGEST)
    require_most(tree, places, decoded.broken)
    broken = [Problem("unreadable picture", places[i], why) for i, why in decoded.broken.items()]
    kept = [items[i] for i in decoded.kept.tolist()]
    masks = np.zeros((len(kept), *decoded.pixels.shape[2:]), np.uint8)
    codes = {BACKGROUND: 0} | {name: k for k, name in enumerate(names, 1)}
    for mask, item, size in zip(masks, kept, decoded.each_size):
        _require_size(item, size)
        mask[...] = drawn(item.shapes, (int(size[0]), int(size[1])), codes, mask.shape)
    classes = [BACKGROUND, *names]
    raw = Raw("images", decoded.pixels, np.zeros(len(kept), np.int64), classes)
    raw.task, raw.targets, raw.sizes = "segmentation", masks, decoded.each_size
    raw.palette, raw.pixel_range = colour_wheel(len(classes)), decoded.levels
    raw.names = [item.picture for item in kept]
    raw.parts = parts_of({item.picture: item for item in kept}, raw.names)
    raw.problems = [*tree.problems, *problems, *broken, *odd_sizes(decoded)]
    return raw


def drawn(
    shapes: Sequence[Shape], size: tuple[int, int], codes: dict[str, int], shape: Sequence[int]
) -> np.ndarray:
    """uint8 (H, W) of this shape: shapes in pixels of a picture of that size (H, W)."""
    height, width = shape
    found = np.zeros((height, width), np.uint8)
    scale = np.array([width / size[1], height / size[0]])
    for one in sorted(shapes, key=_area, reverse=True):
        code = IGNORE if one.crowd else codes[one.name]
        if one.mask is not None:
            small = Image.fromarray(one.mask.astype(np.uint8))
            found[np.asarray(small.resize((width, height), Image.Resampling.NEAREST)) > 0] = code
        for outline in one.outlines:
            found[filled(np.array(outline, float) * scale, height, width)] = code
    return found


def filled(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """bool (height, width): pixels whose centres lie within points (M, 2), by the even-odd rule."""
    crossed = np.zeros((height, width + 1), np.int32)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, axis=0)):
        first, last = (int(np.ceil(y - 0.5)) for y in sorted((y0, y1)))
        rows = np.arange(max(first, 0), min(last, height))
        if len(rows):
            xs = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            columns = np.clip(np.ceil(xs - 0.5), 0, width).astype(np.int64)
            np.add.at(crossed, (rows, columns), 1)
    return np.cumsum(crossed[:, :width], axis=1) % 2 == 1


def _area(shape: Shape) -> float:
    if shape.mask is not None:
        return float(shape.mask.sum())
    return sum(abs(_shoelace(np.array(outline, float))) for outline in shape.outlines)


def _shoelace(points: np.ndarray) -> float:
    """The area within points (M, 2)."""
    (x, y), (u, v) = points.T, np.roll(points, -1, axis=0).T
    return float((x * v - u * y).sum() / 2)


def _require_size(item: Marked, size: np.ndarray) -> None:
    if item.size not in (None, tuple(size.tolist())):
        assert item.size is not None
        raise DataError(
            f"{item.where} says {item.size[0]} x {item.size[1]} pixels, {item.picture} has "
            f"{size[0]} x {size[1]}; annotate the pictures that are there."
        )
