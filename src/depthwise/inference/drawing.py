"""Pictures of what a network has learnt, as grids of tiles in one PNG.

    samples            new items, a column a class where the model can be asked for classes
    reconstructions    items, and under each what the model makes of it
    filters            weights of the first layer, the strongest first, all on one scale:
                       blue below zero, white at zero, red above; of RGB as colours about grey

What has no picture (a table, a tree) gives None. The report's pictures are small: big tiles are
shrunk, and the page enlarges tiny ones. The same model gives the same bytes.

Shapes: N tiles, C channels (1 grey, 3 RGB), H W pixels of a tile, F filters, K classes.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from depthwise.data.pictures.images import Unreadable, open_picture
from depthwise.errors import DepthwiseError, InputError
from depthwise.models.estimator import Estimator
from depthwise.models.generative import Generative

__all__ = [
    "columns_for", "encoded", "filters", "filters_png", "gap_of", "grid", "grid_size", "is_ours",
    "mark", "paired", "pictures", "png", "reconstructions_png", "samples_png", "shows", "to_pixels",
]  # fmt: skip

GAP, GREY = 2, 128  # pixels between tiles (1 between those as they are), and their level
LEGIBLE = 48  # pixels a tile is enlarged to, at least
REPORT_SIDE, REPORT_AREA = 48, 100_000  # largest tile, and pixels of all together, in the report
SAMPLES, PAIRS, FILTERS = 60, 24, 100
MARK = ("Software", "depthwise")
BLUE, WHITE, RED = (33.0, 102.0, 172.0), (255.0, 255.0, 255.0), (178.0, 24.0, 43.0)


# -- grids -------------------------------------------------------------------------------------


def shows(shape: tuple[int, ...]) -> bool:
    """Whether items of this shape are pictures."""
    return len(shape) == 3 and shape[0] in (1, 3)


def columns_for(n: int, height: int, width: int) -> int:
    """Columns that make a grid of n tiles about as wide as high, or a little wider where that
    leaves fewer places blank."""
    even = min(n, math.ceil(math.sqrt(n * height / width)))
    options = range(even, max(even, min(n, int(1.6 * even))) + 1)
    return min(options, key=lambda columns: (-n % columns, columns))


def enlargement(height: int, width: int) -> int:
    return max(1, math.ceil(LEGIBLE / max(height, width)))


def gap_of(scale: int) -> int:
    return GAP if scale > 1 else 1


def grid_size(n: int, shape: tuple[int, ...], columns: int | None = None) -> tuple[int, int]:
    """(height, width) in pixels of the grid of n tiles (C, H, W)."""
    _, height, width = shape
    columns, scale = columns or columns_for(n, height, width), enlargement(height, width)
    rows, gap = math.ceil(n / columns), gap_of(scale)
    return rows * (scale * height + gap) + gap, columns * (scale * width + gap) + gap


def grid(tiles: np.ndarray, columns: int | None = None, scale: int | None = None) -> np.ndarray:
    """uint8 tiles (N, C, H, W), row by row, to one picture (height, width, C), enlarged `scale`
    times without smoothing; grey between them and where tiles are wanting."""
    n, channels, height, width = tiles.shape
    columns = columns or columns_for(n, height, width)
    scale = scale or enlargement(height, width)
    rows, gap = math.ceil(n / columns), gap_of(scale)
    high, wide = scale * height + gap, scale * width + gap
    canvas = np.full((rows * high + gap, columns * wide + gap, channels), GREY, np.uint8)
    for k, tile in enumerate(tiles.transpose(0, 2, 3, 1)):  # (H, W, C)
        top, left = gap + k // columns * high, gap + k % columns * wide
        large = tile.repeat(scale, axis=0).repeat(scale, axis=1)
        canvas[top : top + high - gap, left : left + wide - gap] = large
    return canvas


def paired(above: np.ndarray, below: np.ndarray, scale: int | None = None) -> np.ndarray:
    """Tiles (N, C, H, W) in rows, and under each row that of `below`: one picture."""
    n, _, height, width = above.shape
    columns = columns_for(2 * n, height, width) if n > 12 else n
    bands = [
        grid(np.concatenate([_filled(part, columns) for part in both]), columns, scale)
        for start in range(0, n, columns)
        for both in [(above[start : start + columns], below[start : start + columns])]
    ]
    return np.concatenate(bands)


def _filled(tiles: np.ndarray, columns: int) -> np.ndarray:
    """A whole row of tiles, grey ones where they are wanting."""
    blank = np.full((columns - len(tiles), *tiles.shape[1:]), GREY, np.uint8)
    return np.concatenate([tiles, blank])


def png(canvas: np.ndarray) -> bytes:
    """A picture (height, width, 1 or 3) as the bytes of a PNG that says who made it."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(canvas.squeeze(axis=2) if canvas.shape[2] == 1 else canvas).save(
        buffer, "PNG", optimize=True, pnginfo=mark()
    )
    return buffer.getvalue()


def mark() -> Any:
    """What a PNG says of who made it."""
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text(*MARK)
    return about


def is_ours(path: Path) -> bool:
    """Whether the file is a picture that `png` made."""
    try:
        return open_picture(path.read_bytes()).info.get(MARK[0]) == MARK[1]
    except (OSError, Unreadable):
        return False


def to_pixels(items: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """Items (N, C, H, W) as uint8: pixels as they are, fractions times 255, anything else from the
    least to the most of `like` (of the items themselves where None)."""
    if items.dtype == np.uint8:
        return items
    like = items if like is None else like
    low, high = float(like.min()), float(like.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    shares = (items.astype(np.float64) - low) / ((high - low) or 1.0)
    return np.rint(255 * shares.clip(0, 1)).astype(np.uint8)


# -- filters -----------------------------------------------------------------------------------


def filters(model: Estimator) -> np.ndarray | None:
    """Weights of the first layer that sees the pixels, as images (F, C, h, w); None without one.

    A convolution's kernels (F, C, h, w), a linear layer's rows (F, C*H*W), a machine's columns
    (C*H*W, F): the first of these in the order of the network's layers.
    """
    shape = tuple(model.input_shape_)
    if not shows(shape):
        return None
    for module in model.network_.modules():
        for name, weight in module.named_parameters(recurse=False):
            found = _as_images(module, weight.detach(), shape)
            if found is not None and not name.startswith(("upper", "label")):  # these answer
                return found.float().cpu().numpy()
    return None


def _as_images(
    module: nn.Module, weight: torch.Tensor, shape: tuple[int, ...]
) -> torch.Tensor | None:
    if weight.dim() == 4:
        seen = weight.shape[1] == shape[0] and isinstance(module, nn.Conv2d)
        return weight if seen and weight.shape[0] > 1 else None
    pixels = math.prod(shape)
    if weight.dim() != 2 or pixels not in weight.shape:
        return None
    by_rows = weight.shape[1] == pixels and (
        isinstance(module, nn.Linear) or weight.shape[0] != pixels
    )
    return (weight if by_rows else weight.t()).reshape(-1, *shape)


def in_colours(weights: np.ndarray) -> np.ndarray:
    """(F, C, h, w) to uint8 (F, 3, h, w) on one symmetric scale, extremes cut off."""
    reach = float(np.quantile(np.abs(weights), 0.998)) or 1.0
    shares = np.clip(weights / reach, -1, 1)
    if weights.shape[1] == 3:
        return np.rint(127.5 + 127.5 * shares).astype(np.uint8)
    towards = np.where(shares[..., None] < 0, BLUE, RED)
    colours = np.asarray(WHITE) + np.abs(shares[..., None]) * (towards - np.asarray(WHITE))
    return np.rint(colours[:, 0]).astype(np.uint8).transpose(0, 3, 1, 2)


# -- the report's ------------------------------------------------------------------------------


def filters_png(model: Estimator) -> bytes | None:
    """The strongest filters of the first layer, as a small PNG; None of a model without any."""
    weights = filters(model)
    if weights is None:
        return None
    weights = _small(weights)
    strength = np.sqrt((weights**2).sum(axis=(1, 2, 3)))
    strongest = np.argsort(-strength, kind="stable")[: _room(weights.shape, FILTERS)]
    return png(grid(in_colours(weights[strongest]), scale=1))


def samples_png(model: Estimator) -> bytes | None:
    """New items, small; None of a model that makes none, or none that can be seen."""
    shape = tuple(model.input_shape_)
    if not (isinstance(model, Generative) and shows(shape)):
        return None
    n = _room((SAMPLES, shape[0], *(min(side, REPORT_SIDE) for side in shape[1:])), SAMPLES)
    items, columns = _samples(model, n)
    return png(grid(_small(to_pixels(items)), columns, scale=1))


def reconstructions_png(model: Estimator, X: np.ndarray) -> bytes | None:
    """The first items of X (N, C, H, W) above what the model makes of them, small; or None."""
    shown = shows(tuple(model.input_shape_)) and len(X)
    if not (isinstance(model, Generative) and shown):
        return None
    items = np.asarray(X[:PAIRS])
    seen = to_pixels(model.reconstruct(items), like=items)
    return png(paired(_small(to_pixels(items)), _small(seen), scale=1))


def pictures(model: Estimator, X: np.ndarray) -> dict[str, str | None]:
    """For choice.json: "filters", "samples" and "reconstructions" (of items of X) of a fitted
    model of any family, each a PNG in base64 or None."""
    makers: dict[str, Callable[[], bytes | None]] = {
        "filters": lambda: filters_png(model),
        "samples": lambda: samples_png(model),
        "reconstructions": lambda: reconstructions_png(model, X),
    }
    return {name: encoded(make) for name, make in makers.items()}


def encoded(make: Callable[[], bytes | None]) -> str | None:
    """A PNG in base64; None of nothing, and of what cannot be drawn."""
    try:
        made = make()
    except DepthwiseError:  # what cannot be drawn must not cost the choice
        return None
    return None if made is None else base64.b64encode(made).decode("ascii")


def _samples(model: Generative, n: int) -> tuple[np.ndarray, int | None]:
    """About n samples, and the columns to show them in: a class each, where that can be asked."""
    classes = model.known_classes
    if classes is not None and 2 <= len(classes) <= n // 2:
        wanted = np.resize(classes, n - n % len(classes))
        try:
            return model.sample(len(wanted), labels=wanted, random_state=0), len(classes)
        except InputError:  # a model of labels that cannot be asked for one
            pass
    return model.sample(n, random_state=0), None


def _small(tiles: np.ndarray) -> np.ndarray:
    """Tiles (N, C, H, W) with sides of at most REPORT_SIDE, by the means of areas."""
    height, width = tiles.shape[2:]
    share = REPORT_SIDE / max(height, width)
    if share >= 1:
        return tiles
    size = (max(1, round(share * height)), max(1, round(share * width)))
    small = nn.functional.interpolate(torch.from_numpy(tiles).float(), size, mode="area").numpy()
    return np.rint(small).astype(np.uint8) if tiles.dtype == np.uint8 else small


def _room(shape: tuple[int, ...], most: int) -> int:
    """How many of these tiles (N, C, H, W) the report has room for."""
    return max(1, min(most, shape[0], REPORT_AREA // (shape[2] * shape[3])))
