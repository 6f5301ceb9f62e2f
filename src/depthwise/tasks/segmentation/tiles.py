"""Large images in tiles that overlap, their answers blended, so that memory does not grow.

Along an axis of L pixels the tiles begin at a_1 < ... < a_n, multiples of the network's coarsest
stride, so that each tile's grid lies on the whole image's, and end at b_i = a_i + tile, the last
at L. A pixel x weighs in tile i by its distance to the nearest edge that is not the image's,

    v_i(x) = min(x + 1/2 - a_i, b_i - x - 1/2),     w_i(x) = v_i(x) / sum_j v_j(x)

so the weights of a pixel sum to one, and where a tile knows least of what is around, at its edge,
another one is heard. Only a band of tiles is held at a time.

Shapes: C channels, H W image, K classes, n tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Cut", "blended_bands", "cuts"]

OVERLAP = 0.25  # of a tile, at least
LEAST = 4  # multiples in a tile
FAR = 1e6  # pixels to an edge that is the image's own


class Cut(NamedTuple):
    """Pixels start .. stop - 1 of an axis, and their weights (stop - start,)."""

    start: int
    stop: int
    weights: Tensor


def cuts(length: int, tile: int, multiple: int) -> list[Cut]:
    """The tiles of one axis, of 4 multiples at least; one where it is hardly longer than a tile."""
    tile = max(LEAST, tile // multiple) * multiple
    if length < tile + multiple:
        return [Cut(0, length, torch.ones(length))]
    overlap = int(tile * OVERLAP)
    n = -(-(length - overlap) // (tile - overlap))
    starts = [i * (length - tile) // (n - 1) // multiple * multiple for i in range(n)]
    stops = [start + tile for start in starts[:-1]] + [length]
    x = torch.arange(length) + 0.5
    sides = list(zip(starts, stops, strict=True))
    heard = torch.stack([_heard(x, start, stop, length) for start, stop in sides])
    heard /= heard.sum(dim=0)
    return [Cut(a, b, heard[i, a:b]) for i, (a, b) in enumerate(sides)]


def _heard(x: Tensor, start: int, stop: int, length: int) -> Tensor:
    """v_i (L,), 0 outside the tile."""
    left = x - start if start else torch.full_like(x, FAR)
    right = stop - x if stop < length else torch.full_like(x, FAR)
    inside = (x > start) & (x < stop)
    return torch.minimum(left, right).clamp(max=stop - start) * inside


def blended_bands(
    image: Tensor, answer: Callable[[Tensor], Tensor], tile: int, multiple: int
) -> Iterator[Tensor]:
    """The blended answers (K, h, W) of an image (C, H, W), from above, in bands that add up to H.

    answer: (C, h, w) -> (K, h, w).
    """
    rows = cuts(image.shape[1], tile, multiple)
    columns = cuts(image.shape[2], tile, multiple)
    waiting: Tensor | None = None  # what the tiles above said of rows that are not finished
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        band = _band(image[:, row.start : row.stop], answer, columns) * row.weights[:, None]
        if waiting is not None:
            band[:, : waiting.shape[1]] += waiting
        done = (row.stop if after is None else after.start) - row.start
        yield band[:, :done]
        waiting = band[:, done:]


def _band(image: Tensor, answer: Callable[[Tensor], Tensor], columns: list[Cut]) -> Tensor:
    """(C, h, W) -> (K, h, W): one row of tiles."""
    whole: Tensor | None = None
    for start, stop, weights in columns:
        part = answer(image[:, :, start:stop]) * weights
        if whole is None:
            whole = part.new_zeros(*part.shape[:2], image.shape[2])
        whole[:, :, start:stop] += part
    assert whole is not None
    return whole
