"""Pictures as annotation tools mark them: shapes with classes, and words for the whole picture.

Each tool's reader hands over a list of Marked. Shapes become boxes (the upright box round an
outline or a turned box, told), or masks: `drawn`. Where no picture has a shape, the words for the
whole picture are its class.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import cos, radians, sin

import numpy as np

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.problem import Problem
from depthwise.data.raw import Raw, encode_labels
from depthwise.data.readers.boxes.boxed import Annotated, Box, assemble
from depthwise.data.readers.pictures import (
    decode_all,
    odd_sizes,
    picture_names,
    picture_reader,
    require_most,
)
from depthwise.data.readers.trees.path_finder import Asked, PathFinder
from depthwise.data.readers.trees.small_texts import part_in
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.errors import DataError

__all__ = ["Marked", "Points", "Shape", "classified", "corners_of", "in_boxes", "placed_marks"]

Points = list[tuple[float, float]]


@dataclass
class Shape:
    """A class and its outlines, each 3 points or more in pixels, or run lengths of a mask (H, W) by
    columns; is_box: whether it was drawn as an upright box; crowd: see BoxTable."""

    name: str
    outlines: list[Points] = field(default_factory=list)
    is_box: bool = False
    mask: np.ndarray | None = None
    crowd: bool = False

    def box(self) -> Box:
        """The upright box round it."""
        if self.mask is not None:
            rows, columns = np.nonzero(self.mask.any(1))[0], np.nonzero(self.mask.any(0))[0]
            if not len(rows):
                return 0, 0, 0, 0
            return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        xs, ys = zip(*(point for outline in self.outlines for point in outline))
        return min(xs), min(ys), max(xs), max(ys)


@dataclass
class Marked:
    """A picture: how it is asked for, the file that marks it, the size (H, W) it is said to have,
    its shapes, the words for it as a whole; passed: what was drawn that is no area."""

    asked: Asked
    where: str
    size: tuple[int, int] | None = None
    shapes: list[Shape] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    picture: str = ""


def corners_of(box: Box, degrees: float, about: tuple[float, float]) -> Points:
    """The four corners of a box turned clockwise (as seen, y downwards) about a point."""
    left, top, right, bottom = box
    c, s = cos(radians(degrees)), sin(radians(degrees))
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    x0, y0 = about
    return [
        (x0 + c * (x - x0) - s * (y - y0), y0 + s * (x - x0) + c * (y - y0)) for x, y in corners
    ]


def placed_marks(
    tree: Tree,
    items: Sequence[Marked],
    again: Callable[[str], str | None] = lambda said: None,
) -> tuple[list[Marked], list[Problem]]:
    """The items whose pictures are there, one for each picture, and what is wrong. again: another
    name to look for where the first is not there.

    Raises DataError if there are none.
    """
    finder = PathFinder(picture_names(tree))
    found = finder.find(item.asked for item in items)
    others = {
        item.asked: Asked(other, *item.asked[1:])
        for item in items
        if found[item.asked] is None and (other := again(item.asked.said))
    }
    more = finder.find(others.values())
    kept: dict[str, Marked] = {}
    absent, twice = [], []
    for item in items:
        picture = found[item.asked] or more.get(others.get(item.asked, item.asked))
        if picture is None:
            absent.append(item.asked.said)
        elif picture in kept:
            twice.append(item.where)
            kept[picture].shapes += item.shapes
            kept[picture].words += item.words
        else:
            item.picture = picture
            kept[picture] = item
    if not kept:
        raise DataError(f"{tree.where}: none of the annotations has its picture there.")
    bare = sorted(set(picture_names(tree)) - set(kept))
    passed = [f"{item.where}: {what}" for item in kept.values() for what in item.passed]
    return list(kept.values()), [
        *left_out("annotation without picture", absent, "there is no such picture; left out"),
        *left_out("picture without annotation", bare, "has no annotation, left out"),
        *left_out("picture listed twice", twice, "one item, with the marks of both"),
        *left_out("mark without an area", passed, "a line, a point or the like, left out"),
    ]


def in_boxes(
    tree: Tree,
    items: Sequence[Marked],
    allocate: Allocate,
    options: Options,
    form: str,
    problems: Sequence[Problem],
) -> Raw:
    """The upright box round each shape."""
    annotated = []
    for item in items:
        part = part_in(item.picture) if item.asked.part is None else item.asked.part
        one = Annotated(item.picture, item.where, part, item.size)
        for shape in item.shapes:
            one.add(shape.box(), shape.name, shape.crowd)
        annotated.append(one)
    other = sum(not shape.is_box for item in items for shape in item.shapes)
    told = [*problems]
    if other:
        detail = "the upright box round each was taken; --task segmentation learns the outlines"
        told.append(Problem("outlines and turned boxes", "", detail, other))
    return assemble(tree, annotated, allocate, options, form, in_shares=False, problems=told)


def classified(
    tree: Tree,
    items: Sequence[Marked],
    allocate: Allocate,
    options: Options,
    problems: Sequence[Problem],
) -> Raw:
    """Pictures with one word each, their class. Raises DataError for several words."""
    said = {item.picture: item for item in items if item.words}
    several = next((item for item in said.values() if len({*item.words}) > 1), None)
    if several is not None:
        raise DataError(
            f"{several.where}: {several.picture} has several labels ({', '.join(several.words)}); "
            "a picture has one class."
        )
    names = list(said)
    decoded = decode_all(len(names), picture_reader(tree, names), allocate, options)
    require_most(tree, names, decoded.broken)
    broken = [Problem("unreadable picture", names[i], why) for i, why in decoded.broken.items()]
    kept = [names[i] for i in decoded.kept.tolist()]
    labels, classes = encode_labels(np.array([said[name].words[0] for name in kept]), tree.where)
    raw = Raw("images", decoded.pixels, labels, classes, names=kept)
    raw.parts, raw.pixel_range = parts_of(said, kept), decoded.levels
    raw.problems = [*tree.problems, *problems, *broken, *odd_sizes(decoded)]
    silent = [item.picture for item in items if not item.words]
    raw.problems += left_out("picture without label", silent, "nothing is said of it, left out")
    return raw


def parts_of(said: Mapping[str, Marked], names: Sequence[str]) -> np.ndarray | None:
    """int8 (N,): the part of each, by its annotation or its folder; None where none is said."""
    parts = [part_in(n) if said[n].asked.part is None else said[n].asked.part for n in names]
    if all(part is None for part in parts):
        return None
    return np.array([part or 0 for part in parts], np.int8)
