"""Pixels that are already an array, brought to another size or number of channels, and the boxes or
masks with them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from depthwise.data.options import Options
from depthwise.data.pictures.decode import target_size
from depthwise.data.raw import Raw
from depthwise.data.readers.clips.clips import evenly
from depthwise.data.targets.box_table import BoxTable
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.host import available_cores

__all__ = ["fit", "refit", "resized"]

_LUMA = np.array([299, 587, 114], np.uint32)  # ITU-R BT.601, as Pillow's convert("L")
_BLOCK = 256


def fit(raw: Raw, options: Options) -> None:
    """Brings images and clips to the size, channels and frames asked for, boxes and masks too.
    Boxes and masks without a size asked for stay as they are: their readers have fitted them."""
    if raw.kind == "video" and options.frames not in (None, raw.inputs.shape[1]):
        raw.inputs = raw.inputs[:, evenly(raw.inputs.shape[1], options.frames)]
    before = raw.inputs.shape[-2:]
    kept = raw.targets is not None and not _are_numbers(raw.targets)
    size = options.image_size or ((before[0], before[1]) if kept else None)
    raw.inputs = refit(raw.inputs, size, options.channels)
    height, width = raw.inputs.shape[-2:]
    if (height, width) == before or not kept or isinstance(raw.targets, CaptionTable):
        return
    if isinstance(raw.targets, BoxTable):
        raw.targets = raw.targets.scaled((height / before[0], width / before[1]))
    elif raw.targets is not None:
        rows, columns = _nearest(before[0], height), _nearest(before[1], width)
        raw.targets = raw.targets[:, rows[:, None], columns]


def _are_numbers(targets: object) -> bool:
    """Of each item one or several, which no other size changes."""
    return isinstance(targets, np.ndarray) and targets.ndim < 3


def _nearest(pixels: int, wanted: int) -> np.ndarray:
    """int64 (wanted,): the pixel in which the centre of each new one lies."""
    return ((2 * np.arange(wanted) + 1) * pixels) // (2 * wanted)


def refit(
    pixels: np.ndarray, image_size: tuple[int, int] | None = None, channels: int | None = None
) -> np.ndarray:
    """uint8 (N, C, H, W), or clips (N, T, C, H, W), in another size (H, W) or number of channels,
    C = 1 or 3.

    Without image_size, pictures whose longer side is over 224 pixels are shrunk to it.
    """
    if pixels.ndim == 5:
        frames = refit(pixels.reshape(-1, *pixels.shape[2:]), image_size, channels)
        return frames.reshape(*pixels.shape[:2], *frames.shape[1:])
    height, width = image_size or target_size(pixels.shape[2:3], pixels.shape[3:4])
    pixels = resized(pixels, height, width)
    if channels == 1 and pixels.shape[1] == 3:
        blocks = [_grey(pixels[k : k + _BLOCK]) for k in range(0, len(pixels), _BLOCK)]
        return np.concatenate(blocks)
    if channels == 3 and pixels.shape[1] == 1:
        return np.repeat(pixels, 3, axis=1)
    return pixels


def _grey(pixels: np.ndarray) -> np.ndarray:
    levels = np.tensordot(pixels.astype(np.uint32), _LUMA, axes=(1, 0))
    return ((levels + 500) // 1000).astype(np.uint8)[:, None]


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (N, C, H, W) to (N, C, height, width), itself if it is that already."""
    if (height, width) == pixels.shape[2:]:
        return pixels
    out = np.empty((*pixels.shape[:2], height, width), np.uint8)

    def work(start: int) -> None:
        for i in range(start, min(start + _BLOCK, len(pixels))):
            for c in range(pixels.shape[1]):
                plane = Image.fromarray(np.ascontiguousarray(pixels[i, c]))
                out[i, c] = plane.resize((width, height), Image.Resampling.BILINEAR)

    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(work, range(0, len(pixels), _BLOCK)))
    return out
