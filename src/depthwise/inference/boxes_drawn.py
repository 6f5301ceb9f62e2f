"""Boxes drawn on a picture, each with the name of its class and its score.

A class has one colour, by its place among `classes`. The frame lies on the outermost pixels of the
box, one pixel wide for every 400 of the picture's longer side. The name stands on the frame's
colour above the box, or inside it where there is no room above; its letters are ten frames high.
The likeliest boxes are drawn last, so that they lie on top.

Shapes: C channels, H W picture, m boxes, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from depthwise.errors import InputError

__all__ = ["COLOURS", "draw_boxes"]

COLOURS = (  # told apart by the colour-blind too: Okabe and Ito 2008, dark ones first
    (213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233),
    (240, 228, 66),
)  # fmt: skip
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
PIXELS_A_LINE, LETTERS = 400, 10  # letters of a frame one pixel wide
BRIGHT = 150  # luma above which text is black
MARGIN = 1  # pixels round a name


def draw_boxes(
    image: np.ndarray,
    detections: Any,
    classes: Sequence[Any] | None = None,
    *,
    with_scores: bool = True,
    enlarge: int = 1,
) -> np.ndarray:
    """uint8 (H, W, 3) of an image (C, H, W), uint8 or 0..1, and what `Detector.predict` found in
    it, or any (boxes_xyxy (m, 4), labels (m,), scores (m,) or None).

    `classes`: all names there are, in the order of their colours; by default those that were found,
    sorted. `enlarge`: whole times that the picture is made larger first. Raises InputError.
    """
    boxes, labels, scores = _checked(image, detections)
    if not isinstance(enlarge, int) or not 1 <= enlarge <= 16:
        raise InputError(f"enlarge must be 1 .. 16 whole times; got {enlarge!r}.")
    names = [str(name) for name in (np.unique(labels) if classes is None else classes)]
    photograph = _photograph(image, enlarge)
    pen = ImageDraw.Draw(photograph)
    thick = max(1, round(max(photograph.size) / PIXELS_A_LINE))
    order = np.argsort(scores, kind="stable") if scores is not None else range(len(boxes))
    for m in order:
        name = str(labels[m])
        if name not in names:
            raise InputError(f"a box is of the class {name!r}, which is none of {names}.")
        told = f"{name} {scores[m]:.2f}" if with_scores and scores is not None else name
        colour = COLOURS[names.index(name) % len(COLOURS)]
        _draw(pen, photograph.size, boxes[m] * enlarge, told, colour, thick)
    return np.asarray(photograph)


def _draw(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    box: np.ndarray,
    told: str,
    colour: tuple[int, int, int],
    thick: int,
) -> None:
    """One box, its edges between pixels, so that the frame is on the pixels inside them."""
    left, top, right, bottom = (round(float(side)) for side in box)
    right, bottom = max(left, right - 1), max(top, bottom - 1)
    pen.rectangle((left, top, right, bottom), outline=colour, width=thick)
    font = ImageFont.load_default(LETTERS * thick)
    x1, y1, x2, y2 = (int(side) for side in font.getbbox(told))
    wide, high = x2 - x1 + 2 * MARGIN, y2 - y1 + 2 * MARGIN
    x = max(0, min(left, size[0] - wide))
    y = top - high if top >= high else top
    pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=colour)
    pen.text((x + MARGIN - x1, y + MARGIN - y1), told, fill=_ink(colour), font=font)


def _checked(image: np.ndarray, detections: Any) -> tuple[np.ndarray, np.ndarray, Any]:
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise InputError(f"boxes are drawn on an image (1 or 3, H, W); got {image.shape}.")
    boxes, labels, scores = detections
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    labels = np.asarray(labels).reshape(-1)
    scores = None if scores is None else np.asarray(scores).reshape(-1)
    if len(labels) != len(boxes) or (scores is not None and len(scores) != len(boxes)):
        raise InputError(
            f"there are {len(boxes)} boxes and {len(labels)} labels: give each its own."
        )
    if not np.isfinite(boxes).all():
        raise InputError("a box is not a box of numbers. Leave it out.")
    limit = 16 * max(image.shape)
    return boxes.clip(-limit, limit), labels, scores


def _photograph(image: np.ndarray, enlarge: int) -> Image.Image:
    levels = image if image.dtype == np.uint8 else np.rint(255 * image.clip(0, 1)).astype(np.uint8)
    pixels = np.broadcast_to(levels, (3, *image.shape[1:])).transpose(1, 2, 0)
    made = Image.fromarray(np.ascontiguousarray(pixels))
    size = (made.width * enlarge, made.height * enlarge)
    return made.resize(size, Image.Resampling.BICUBIC) if enlarge > 1 else made


def _ink(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return BLACK if luma > BRIGHT else WHITE
