"""Which way up a picture is, by its EXIF orientation, and what that makes of places in it.

The pixels of a file are stored in some order, and orientation 1 to 8 says how to turn them upright.
With h, w the stored height and width, a place (x, y) in the stored picture comes to

    1  x, y        2  w - x, y     3  w - x, h - y    4  x, h - y
    5  y, x        6  h - y, x     7  h - y, w - x    8  y, w - x

In pixels that is counted from edge to edge, so that boxes keep their size.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from depthwise.data.pictures.images import TURNS, Unreadable, open_picture, orientation
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError

__all__ = ["orientations", "stored_sizes", "turned_boxes", "turned_values"]

_MARKS = (b"Exif", b"eXIf", b"II*\0", b"MM\0*", b"WEBP", b"ftyp")


def orientations(tree: Tree, names: Sequence[str]) -> np.ndarray:
    """int64 (N,): 1 to 8 of each picture; only those whose first bytes hint at it are opened."""
    found = np.ones(len(names), np.int64)
    for i, name in enumerate(names):
        head = tree.head(name)
        if any(mark in head for mark in _MARKS):
            try:
                found[i] = orientation(open_picture(tree.read(name)))
            except (Unreadable, DataError):
                continue
    return found


def stored_sizes(upright_hw: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """int64 (N, 2): H and W of the pixels as stored, of pictures of these sizes once upright."""
    return np.where((turns >= 5)[:, None], upright_hw[:, ::-1], upright_hw)


def turned_boxes(boxes_xyxy: np.ndarray, stored_hw: np.ndarray, turns: np.ndarray) -> np.ndarray:
    """Boxes (M, 4) in stored pixels to upright ones; the size (M, 2) and orientation (M,) of the
    picture of each."""
    h, w = stored_hw[:, 0], stored_hw[:, 1]
    corners = []
    for x, y in (boxes_xyxy[:, :2].T, boxes_xyxy[:, 2:].T):
        of = np.stack([x, y, w - x, h - y])
        xs, ys = of[_PLACES[turns, 0], np.arange(len(x))], of[_PLACES[turns, 1], np.arange(len(x))]
        corners.append((xs, ys))
    (ax, ay), (bx, by) = corners
    turned = [np.minimum(ax, bx), np.minimum(ay, by), np.maximum(ax, bx), np.maximum(ay, by)]
    return np.stack(turned, axis=1)


def turned_values(values: np.ndarray, turn: int) -> np.ndarray:
    """A mask (H, W) in stored pixels, upright."""
    if turn not in TURNS:
        return values
    return np.asarray(Image.fromarray(values).transpose(TURNS[turn]))


_X, _Y, _W_X, _H_Y = range(4)
_PLACES = np.array(
    [
        *((_X, _Y), (_X, _Y), (_W_X, _Y), (_W_X, _H_Y), (_X, _H_Y)),
        *((_Y, _X), (_H_Y, _X), (_H_Y, _W_X), (_Y, _W_X)),
    ]
)
