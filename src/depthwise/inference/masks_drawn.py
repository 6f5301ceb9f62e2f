"""Masks as pictures: laid over the photograph, and as a PNG of class numbers.

    overlay      pixel = (1 - opacity) * photograph + opacity * colour of its class, with a line of
                 the full colour where two classes meet, and the names of the classes beside it
    index_png    pixel = number of its class (255: to be ignored), the colours as the palette: what
                 `depthwise.load` reads back as a mask

Shapes: C channels, H W image, K classes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from depthwise.data.dataset import IGNORE
from depthwise.data.readers.masks.mask_classes import colour_wheel
from depthwise.errors import InputError
from depthwise.inference import drawing

__all__ = ["colours_for", "index_png", "overlay", "with_names"]

IGNORED_COLOUR = (224, 224, 192)  # Pascal VOC's, of the border round its objects
ROW, MARGIN = 16, 4  # pixels of a line of the legend
PAPER, INK = (255, 255, 255), (0, 0, 0)


def colours_for(k: int) -> np.ndarray:
    """uint8 (K, 3): colours where the data brought none; Pascal VOC's but for its black."""
    return colour_wheel(k + 1)[1:]


def overlay(
    image: np.ndarray, mask: np.ndarray, palette: np.ndarray | None = None, opacity: float = 0.5
) -> np.ndarray:
    """uint8 (H, W, 3) of an image (C, H, W), uint8 or 0..1, and its mask (H, W); palette (K, 3).

    Pixels to be ignored are left as they are. Raises InputError for a mask of another size, or
    with a class that has no colour.
    """
    colours, mask = _colours(palette, mask), np.asarray(mask)
    if image.ndim != 3 or image.shape[0] not in (1, 3) or image.shape[1:] != mask.shape:
        raise InputError(
            f"an overlay needs an image (1 or 3, H, W) and its mask (H, W); got {image.shape} and "
            f"{mask.shape}. Give the mask that the model answered for this image."
        )
    if not 0 <= opacity <= 1:
        raise InputError(f"opacity must be 0 .. 1; got {opacity!r}.")
    levels = image if image.dtype == np.uint8 else np.rint(255 * image.clip(0, 1))
    photograph = np.broadcast_to(levels, (3, *mask.shape)).transpose(1, 2, 0).astype(np.float64)
    share = np.where(_edges(mask), 1.0, opacity)[:, :, None]
    tinted = (1 - share) * photograph + share * colours[mask]
    shown = np.where((mask == IGNORE)[:, :, None], photograph, tinted)
    return np.rint(shown).astype(np.uint8)


def with_names(
    picture: np.ndarray, mask: np.ndarray, names: Sequence[str], palette: np.ndarray | None = None
) -> np.ndarray:
    """The picture (H, W, 3), and right of it the classes in its mask (H, W), by their share."""
    colours = _colours(palette, mask)
    counts = np.bincount(np.asarray(mask).reshape(-1), minlength=IGNORE + 1)[:IGNORE]
    order = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k]]
    lines = [f"{names[k]} {100 * counts[k] / counts.sum():.0f}%" for k in order]
    font = ImageFont.load_default()
    wide = max((int(font.getlength(line)) for line in lines), default=0) + ROW + 3 * MARGIN
    high = max(picture.shape[0], len(lines) * ROW + 2 * MARGIN)
    canvas = Image.new("RGB", (picture.shape[1] + wide, high), PAPER)
    canvas.paste(Image.fromarray(picture), (0, 0))
    pen = ImageDraw.Draw(canvas)
    for i, (k, line) in enumerate(zip(order, lines, strict=True)):
        left, top = picture.shape[1] + MARGIN, MARGIN + i * ROW
        colour = tuple(colours[k].tolist())
        pen.rectangle((left, top, left + ROW - MARGIN, top + ROW - MARGIN), colour, INK)
        pen.text((left + ROW + MARGIN, top), line, INK, font)
    return np.asarray(canvas)


def index_png(mask: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """A mask uint8 (H, W) as the bytes of a PNG whose pixels are its numbers."""
    colours, buffer = _colours(palette, mask), io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(mask, np.uint8), "L")
    picture.putpalette(colours.tobytes())
    picture.save(buffer, "PNG", optimize=True, pnginfo=drawing.mark())
    return buffer.getvalue()


def _colours(palette: np.ndarray | None, mask: np.ndarray) -> np.ndarray:
    """uint8 (256, 3): of each class; black of those beyond the palette, which the mask must not
    hold."""
    given = colours_for(IGNORE) if palette is None else np.asarray(palette, np.uint8)
    mask = np.asarray(mask)
    highest = max((int(k) for k in np.unique(mask) if k != IGNORE), default=-1)
    if highest >= len(given):
        raise InputError(
            f"the mask holds the class {highest}, but the palette has {len(given)} colours. Give a "
            "colour for each class."
        )
    colours = np.zeros((IGNORE + 1, 3), np.uint8)
    colours[: len(given)] = given[: IGNORE + 1]
    colours[IGNORE] = IGNORED_COLOUR
    return colours


def _edges(mask: np.ndarray) -> np.ndarray:
    """bool (H, W): pixels whose right or lower neighbour is of another class."""
    edges = np.zeros(mask.shape, bool)
    edges[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edges[:-1] |= mask[:-1] != mask[1:]
    return edges
