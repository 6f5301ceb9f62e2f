"""Pictures with boxes, whatever file the boxes come from, made a Raw.

Every reader of boxes hands over a list of Annotated. Here the pictures are decoded to one size
(their longer side at most 320 pixels, or as `image_size` says) and the boxes with them, and boxes
are looked at in the picture's own pixels:

    no area                    left out, told as "box of no area"
    wholly outside             left out, told as "box outside the image"
    over the edge by > 1 pixel clipped, told as "box over the edge"; by less, just clipped

Edges are taken as continuous, as they stand in the file. (VOC's oldest files count pixels from 1
and include the last one; its boxes are then at most a pixel off.) A picture without a box is an
item like the others. Where an annotation promises a size and the picture has another, its boxes
cannot be trusted: the picture is left out and told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate, Decoded, close_gaps
from depthwise.data.pictures.orientation import orientations, stored_sizes
from depthwise.data.raw import Raw, sort_classes
from depthwise.data.readers.boxes.box_units import EDGE, Box, Pictures, Units, in_upright_pixels
from depthwise.data.readers.pictures import decode_all, odd_sizes, picture_reader, require_most
from depthwise.data.readers.trees.small_texts import require_one_spelling
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.data.targets.box_table import BoxTable
from depthwise.errors import DataError

__all__ = ["LARGEST", "Annotated", "Box", "assemble", "told"]

LARGEST = 320  # pixels of the longer side: boxes need more detail than classes do
_NAMED = 10


@dataclass
class Annotated:
    """A picture of the tree and its boxes (left, top, right, bottom), in pixels or in shares.

    where: the file that says so. size: the (H, W) it promises. crowd: see BoxTable.
    """

    picture: str
    where: str
    part: int | None = None
    size: tuple[int, int] | None = None
    boxes: list[Box] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)

    def add(self, box: Box, name: str, crowd: bool = False) -> None:
        self.boxes.append(box)
        self.names.append(name)
        self.crowd.append(crowd)

    def once(self) -> list[Box]:
        """Drops boxes that are there already, with the same class; returns those dropped."""
        kept: dict[tuple[Box, str, bool], None] = {}
        dropped = []
        for one in zip(self.boxes, self.names, self.crowd):
            if one in kept:
                dropped.append(one[0])
            kept[one] = None
        if dropped:
            self.boxes, self.names, self.crowd = ([*column] for column in zip(*kept))
        return dropped


def assemble(
    tree: Tree,
    items: Sequence[Annotated],
    allocate: Allocate,
    options: Options,
    form: str,
    *,
    classes: Sequence[str] | None = None,
    in_shares: bool | None = None,
    sides: bool | None = False,
    problems: Sequence[Problem] = (),
) -> Raw:
    """Decodes the pictures and places the boxes. form: the format that was read, for messages;
    classes: in order, or None for sorted ones.

    in_shares: whether boxes are in shares of the picture, not pixels, None to see.
    sides: whether boxes are (left, top, width, height) instead of edges, None to see.

    Raises DataError if there is no picture or no box, if most pictures are broken, or if two
    classes are spelt almost alike.
    """
    if not items:
        raise DataError(f"{tree.where}: none of the annotations has its picture there.")
    order = _class_order(items) if classes is None else list(classes)
    pictures = [item.picture for item in items]
    reader = picture_reader(tree, pictures)
    decoded = decode_all(len(items), reader, allocate, options, LARGEST)
    require_most(tree, pictures, decoded.broken)
    broken = [Problem("unreadable picture", pictures[i], why) for i, why in decoded.broken.items()]
    items = [items[i] for i in decoded.kept.tolist()]
    turns = orientations(tree, [item.picture for item in items])
    honest = _honest(items, decoded.each_size, turns)
    lying = _lying(tree, items, decoded, honest)
    items, sizes = [item for item, true in zip(items, honest) if true], decoded.each_size[honest]
    pixels = close_gaps(decoded.pixels, np.flatnonzero(honest))
    repeated = [f"{item.where}: {_shown(np.array(box))}" for item in items for box in item.once()]
    if in_shares is None and {"shares", "pixels"}.intersection(options.readings):
        in_shares = "shares" in options.readings
    stored = None
    if {"stored", "upright"}.intersection(options.readings):
        stored = "stored" in options.readings
    units = Units(form, in_shares, sides, stored)
    table, found = _placed(tree, items, sizes, turns[honest], order, units)
    raw = Raw("images", pixels, np.zeros(len(items), np.int64), order, _parts(items))
    raw.task, raw.sizes, raw.pixel_range = "detection", sizes, decoded.levels
    raw.targets = table.scaled(np.array(pixels.shape[2:]) / sizes)
    raw.names = [item.picture for item in items]
    raw.problems = [*tree.problems, *problems, *broken, *lying, *found, *odd_sizes(decoded)]
    raw.problems += told("repeated box", repeated, "the very same box and class, dropped")
    return raw


def told(kind: str, places: Sequence[str], detail: str) -> list[Problem]:
    """A Problem for each of the first places, and one for all the rest."""
    found = [Problem(kind, place, detail) for place in places[:_NAMED]]
    return found + left_out(kind, list(places[_NAMED:]), detail)


def _class_order(items: Sequence[Annotated]) -> list[str]:
    origin = {name: item.where for item in reversed(items) for name in item.names}
    classes = sort_classes(list(origin))
    require_one_spelling({name: origin[name] for name in classes}, "class")
    return classes


def _parts(items: Sequence[Annotated]) -> np.ndarray | None:
    if all(item.part is None for item in items):
        return None
    return np.array([item.part or 0 for item in items], np.int8)


def _honest(items: Sequence[Annotated], sizes: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """bool (N,): whether a picture is of the size that is promised, upright or as stored."""
    stored = stored_sizes(sizes, turns)
    return np.array(
        [
            item.size in (None, tuple(upright), tuple(lying))
            for item, upright, lying in zip(items, sizes.tolist(), stored.tolist())
        ]
    )


def _lying(
    tree: Tree, items: Sequence[Annotated], decoded: Decoded, honest: np.ndarray
) -> list[Problem]:
    """Pictures that are not as large as promised; raises DataError if that is the rule."""
    places = []
    for i in np.flatnonzero(~honest).tolist():
        said, (height, width) = items[i].size, decoded.each_size[i]
        assert said is not None
        places.append(
            f"{items[i].where} says {said[0]} x {said[1]} pixels, {items[i].picture} has "
            f"{height} x {width}"
        )
    if len(places) * 2 > len(items):
        raise DataError(
            f"{tree.where}: {len(places):,} of {len(items):,} pictures are not of the size that "
            f"their annotation says ({places[0]}); annotate the pictures that are there."
        )
    return told("lying size", places, "left out, its boxes cannot be trusted")


def _placed(
    tree: Tree,
    items: Sequence[Annotated],
    sizes: np.ndarray,
    turns: np.ndarray,
    classes: Sequence[str],
    units: Units,
) -> tuple[BoxTable, list[Problem]]:
    """All boxes in pixels of their own pictures, sound ones only."""
    position = {name: k for k, name in enumerate(classes)}
    owners = np.repeat(np.arange(len(items)), [len(item.boxes) for item in items])
    boxes = np.array([box for item in items for box in item.boxes], float).reshape(-1, 4)
    labels = np.array([position[name] for item in items for name in item.names], np.int64)
    crowd = np.array([flag for item in items for flag in item.crowd], bool)
    if not len(boxes):
        raise DataError(
            f"{tree.where}: all {len(items):,} annotations are without a box ({items[0].where}); "
            "the export has lost them (YOLO and VOC cannot hold rotated boxes or outlines): export "
            "again, as COCO or CVAT."
        )
    limits = sizes[owners][:, [1, 0, 1, 0]]
    pictures = Pictures([item.picture for item in items], sizes, turns, [i.size for i in items])
    boxes, told_of = in_upright_pixels(boxes, owners, pictures, units)
    clipped, good, problems = _sound(boxes, limits, [items[i].where for i in owners.tolist()])
    if not good.any():
        raise DataError(
            f"{tree.where} holds no box that is usable ({len(boxes):,} were read); check the order "
            "of their coordinates."
        )
    table = BoxTable.of(clipped[good], labels[good], owners[good], len(items), crowd[good])
    return table, [*told_of, *problems]


def _sound(
    boxes: np.ndarray, limits: np.ndarray, where: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, list[Problem]]:
    """Boxes (M, 4) clipped to the limits (M, 4) of their pictures, which are usable (M,), and what
    was wrong."""

    def places(which: np.ndarray) -> list[str]:
        return [f"{where[i]}: {_shown(boxes[i])}" for i in np.flatnonzero(which).tolist()]

    def some_area(those: np.ndarray) -> np.ndarray:
        return np.all(those[:, 2:] > those[:, :2], axis=1)

    clipped = np.clip(boxes, 0, limits)
    flat = ~some_area(boxes)
    outside = ~flat & ~some_area(clipped)
    over = ~flat & ~outside & (np.abs(clipped - boxes) > EDGE).any(axis=1)
    problems = [
        *told("box of no area", places(flat), "left out"),
        *told("box outside the image", places(outside), "left out"),
        *told("box over the edge", places(over), "clipped"),
    ]
    return clipped, ~flat & ~outside, problems


def _shown(box: np.ndarray) -> str:
    return "[" + ", ".join(f"{value:g}" for value in box) + "]"
