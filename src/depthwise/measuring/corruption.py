"""Strange items to be found, made from ordinary ones: the same ones each time, from a fixed seed.

Every held-out item is spoilt once, in one of the ways below, which take turns in a random order.
Values stay those that the data has: what gives a spoilt item away is how they go together.

    images, in a block of half the height and width      tables, in columns (a text's features
                                                         are one column)
    patch      the same block of another item            row      a third of the columns are those
    turned     the block turned upside down                       of one other row
    shuffled   its pixels in another order               values   a third of the columns, each
    inverted   light and dark changed places                      from another row of its own
    mixed      every pixel that of another item

The block is the liveliest (largest variance) of 8 that are drawn, for a block of background may
stay as it was. Items that stayed as they were all the same are told by `changed`.

Shapes: N items, C channels, H W image, h w block, D features, G columns.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from depthwise.data.tables.columns import Column, width

__all__ = ["IMAGE_KINDS", "SEED", "TABLE_KINDS", "Corrupted", "corrupted"]

SEED = 20060728
IMAGE_KINDS = ("patch", "turned", "shuffled", "inverted", "mixed")
TABLE_KINDS = ("row", "values")
PLACES = 8
Rng = np.random.Generator


class Corrupted(NamedTuple):
    """items: of the shape and type of the originals, item i made of item i; kinds: (N,) names;
    changed: (N,) bool, whether anything did."""

    items: np.ndarray
    kinds: np.ndarray
    changed: np.ndarray


def corrupted(
    X: np.ndarray, columns: Sequence[Column] | None = None, seed: int = SEED
) -> Corrupted:
    """A spoilt copy of each item of X, (N, C, H, W) or (N, D). columns: of a table whose texts
    are several features."""
    rng = np.random.default_rng(seed)
    names = IMAGE_KINDS if X.ndim == 4 else TABLE_KINDS
    turns = rng.permutation(np.arange(len(X)) % len(names))  # (N,) whose turn it is
    items = _spoilt_images(X, turns, rng) if X.ndim == 4 else _spoilt_rows(X, columns, turns, rng)
    changed = (items != X).reshape(len(X), -1).any(axis=1)
    return Corrupted(items, np.array(names)[turns], changed)


# -- images -------------------------------------------------------------------------------------


def _spoilt_images(X: np.ndarray, turns: np.ndarray, rng: Rng) -> np.ndarray:
    side = tuple(max(1, round(length / 2)) for length in X.shape[2:])
    blocks = sliding_window_view(X, side, axis=(2, 3))  # (N, C, places down, places across, h, w)
    tops, lefts = _liveliest(blocks, rng)
    others = _others(len(X), (len(X),), rng)
    ways: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
        "patch": lambda i, block: blocks[others[i], :, tops[i], lefts[i]],
        "turned": lambda i, block: block[:, :, ::-1, ::-1],
        "shuffled": lambda i, block: _shuffled(block, rng),
        "inverted": lambda i, block: _inverted(block, X),
        "mixed": lambda i, block: _mixed(blocks, i, tops[i], lefts[i], rng),
    }
    items = X.copy()
    down, across = np.arange(side[0])[:, None], np.arange(side[1])
    for k, name in enumerate(IMAGE_KINDS):
        i = np.flatnonzero(turns == k)
        rows = tops[i, None, None] + down  # (n, h, 1)
        places = lefts[i, None, None] + across  # (n, 1, w)
        spoilt = ways[name](i, blocks[i, :, tops[i], lefts[i]])  # (n, C, h, w)
        items[i[:, None, None], :, rows, places] = spoilt.transpose(0, 2, 3, 1)
    return items


def _liveliest(blocks: np.ndarray, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Tops and lefts (N,) of the block of largest variance among the PLACES drawn."""
    n, _, down, across = blocks.shape[:4]
    tops = rng.integers(0, down, (n, PLACES))
    lefts = rng.integers(0, across, (n, PLACES))
    each = np.arange(n)
    variances = [blocks[each, :, *p].var(axis=(1, 2, 3)) for p in zip(tops.T, lefts.T)]
    best = np.argmax(variances, axis=0)
    return tops[each, best], lefts[each, best]


def _shuffled(block: np.ndarray, rng: Rng) -> np.ndarray:
    """Pixels (n, C, h, w) in another order, the channels of a pixel together."""
    n, channels, h, w = block.shape
    order = rng.random((n, 1, h * w)).argsort(axis=2)
    flat = block.reshape(n, channels, h * w)
    return np.take_along_axis(flat, order, axis=2).reshape(block.shape)


def _inverted(block: np.ndarray, X: np.ndarray) -> np.ndarray:
    whole: tuple[float, float] = (0, 255) if X.dtype == np.uint8 else (X.min(), X.max())
    return np.asarray(whole[0] + whole[1] - block, dtype=X.dtype)


def _mixed(
    blocks: np.ndarray, i: np.ndarray, tops: np.ndarray, lefts: np.ndarray, rng: Rng
) -> np.ndarray:
    h, w = blocks.shape[4:]
    others = _others(len(blocks), (len(i), h, w), rng, i[:, None, None])
    y, x = np.arange(h)[:, None], np.arange(w)
    pixels = blocks[others, :, tops[:, None, None], lefts[:, None, None], y, x]  # (n, h, w, C)
    return pixels.transpose(0, 3, 1, 2)


# -- tables -------------------------------------------------------------------------------------


def _spoilt_rows(
    X: np.ndarray, columns: Sequence[Column] | None, turns: np.ndarray, rng: Rng
) -> np.ndarray:
    column_of = _column_of(X.shape[1], columns)  # (D,) which of G columns a feature is of
    n, g = len(X), int(column_of[-1]) + 1
    few = max(1, g // 3)
    chosen = rng.random((n, g)).argsort(axis=1).argsort(axis=1) < few
    single, several = _others(n, (n, 1), rng), _others(n, (n, g), rng)
    others = np.where(turns[:, None] == 0, single, several)  # (N, G) the row to take it from
    values = X[others[:, column_of], np.arange(X.shape[1])]
    return np.where(chosen[:, column_of], values, X)


def _column_of(features: int, columns: Sequence[Column] | None) -> np.ndarray:
    if columns is None or width(columns) != features:
        return np.arange(features)
    widths = [column.width for column in columns if column.width]
    return np.repeat(np.arange(len(widths)), widths)


def _others(n: int, shape: tuple[int, ...], rng: Rng, own: np.ndarray | None = None) -> np.ndarray:
    """Positions of random items, of the given shape, that are not the item's `own` (its place on
    the first axis)."""
    if own is None:
        own = np.arange(n).reshape(-1, *[1] * (len(shape) - 1))
    return np.asarray((own + rng.integers(1, max(2, n), shape)) % n)
