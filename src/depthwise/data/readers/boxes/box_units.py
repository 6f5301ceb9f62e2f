"""Boxes as annotations give them to edges in pixels of the upright picture.

They may be shares of the picture or pixels, an edge and sides or edges, and on the picture as it is
stored or as EXIF turns it upright. What nobody says is looked for in the boxes and told.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from depthwise.data.options import other_reading
from depthwise.data.pictures.orientation import stored_sizes, turned_boxes
from depthwise.data.problem import Problem
from depthwise.data.readers.trees.tree import left_out

__all__ = ["EDGE", "Box", "Pictures", "Units", "in_upright_pixels"]

EDGE = 1.0  # pixels by which a box may lie outside without a word
_LARGE = 8  # pixels of a side, of pictures in which no box is smaller than one pixel
Box = tuple[float, float, float, float]


class Units(NamedTuple):
    """form: the format, for messages; in_shares: whether boxes are in shares of the picture; sides:
    whether they are an edge and sides; stored: whether they are on the pixels as stored. None to
    see."""

    form: str
    in_shares: bool | None
    sides: bool | None
    stored: bool | None


class Pictures(NamedTuple):
    """names; sizes int64 (N, 2), upright; turns int64 (N,), EXIF's; what sizes annotations say."""

    names: Sequence[str]
    sizes: np.ndarray
    turns: np.ndarray
    said: Sequence[tuple[int, int] | None]


def in_upright_pixels(
    boxes: np.ndarray, owners: np.ndarray, pictures: Pictures, units: Units
) -> tuple[np.ndarray, list[Problem]]:
    """Boxes (M, 4) as they were read, of pictures `owners` (M,), as edges in pixels of the upright
    picture; and what was made of them."""
    upright, problems = _as_edges(boxes, _limits(pictures.sizes, owners), units)
    if (pictures.turns <= 1).all():
        return upright, problems
    stored_hw = stored_sizes(pictures.sizes, pictures.turns)
    stored, _ = _as_edges(boxes, _limits(stored_hw, owners), units)
    fits = [
        _all_within(edges, _limits(hw, owners), owners, len(pictures.turns))
        for edges, hw in ((upright, pictures.sizes), (stored, stored_hw))
    ]
    of_stored, more = _on_stored_pixels(pictures, stored_hw, fits, units)
    turned = turned_boxes(stored, stored_hw[owners], pictures.turns[owners])
    return np.where(of_stored[owners][:, None], turned, upright), [*problems, *more]


def _on_stored_pixels(
    pictures: Pictures, stored_hw: np.ndarray, fits: Sequence[np.ndarray], units: Units
) -> tuple[np.ndarray, list[Problem]]:
    """bool (N,): whether the boxes are on the pixels as stored, by the size that is promised, else
    by where they fit; told where both are possible."""
    stored, open_ones = np.zeros(len(pictures.turns), bool), []
    for i in np.flatnonzero(pictures.turns > 1).tolist():
        lying, upright = tuple(stored_hw[i].tolist()), tuple(pictures.sizes[i].tolist())
        if lying != upright and pictures.said[i] in (lying, upright):
            stored[i] = pictures.said[i] == lying
        elif units.stored is not None:
            stored[i] = units.stored
        elif fits[0][i] != fits[1][i]:
            stored[i] = fits[1][i]
        else:
            open_ones.append(pictures.names[i])
    turned = [pictures.names[i] for i in np.flatnonzero(stored).tolist()]
    detail = "boxes on the pixels as stored, turned upright with their picture"
    taken = "boxes taken as on the upright picture, which EXIF turns"
    other = (units.form, "stored", "takes them as on the pixels as stored")
    return stored, [
        *left_out("turned boxes", turned, detail),
        *left_out("turned pictures", open_ones, other_reading(taken, *other)),
    ]


def _limits(sizes_hw: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """(M, 4): width, height, width, height of the picture of each box."""
    return sizes_hw[owners][:, [1, 0, 1, 0]]


def _all_within(edges: np.ndarray, limits: np.ndarray, owners: np.ndarray, n: int) -> np.ndarray:
    """bool (N,): whether all boxes of a picture lie within it, to a pixel."""
    beyond = ((edges < -EDGE) | (edges > limits + EDGE)).any(axis=1)
    return np.bincount(owners[beyond], minlength=n) == 0


def _as_edges(
    boxes: np.ndarray, limits: np.ndarray, units: Units
) -> tuple[np.ndarray, list[Problem]]:
    """Edges in pixels (M, 4) of boxes as they were read, and what was made of them."""
    problems: list[Problem] = []
    in_shares, sides = units.in_shares, units.sides
    if in_shares is None and np.abs(boxes).max() <= 1 + 1e-6 and limits.min() >= _LARGE:
        in_shares = bool((boxes % 1 > 0).any())
        detail = "all within 0 and 1, so they were taken as shares of the picture"
        if not in_shares:
            detail = other_reading(
                "all are 0 or 1 and were taken as pixels", units.form, "shares", "takes shares"
            )
        problems.append(Problem("boxes as shares", "", detail, len(boxes)))
    boxes = boxes * limits if in_shares else boxes
    if sides is None:
        sides, more = _are_sides(boxes, limits)
        problems.append(more)
    if sides:
        boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    return boxes, problems


def _are_sides(boxes: np.ndarray, limits: np.ndarray) -> tuple[bool, Problem]:
    """Whether lists of four are left, top, width, height, going by what fits the pictures."""
    no_edges = bool((boxes[:, 2:] <= boxes[:, :2]).any())
    no_sides = bool((boxes[:, :2] + boxes[:, 2:] > limits[:, :2] + EDGE).any())
    sides = no_edges or not no_sides
    taken = "left, top, width, height" if sides else "left, top, right, bottom"
    detail = f"lists of four were taken as {taken}"
    if no_edges == no_sides:
        other = ("edges", "right, bottom") if sides else ("sides", "width, height")
        detail = other_reading(detail, "boxes", other[0], f"takes the last two as {other[1]}")
    return sides, Problem("boxes as lists", "", detail, len(boxes))
