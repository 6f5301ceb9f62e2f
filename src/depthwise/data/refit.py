"""Pixels that are already an array, brought to another size or number of channels."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from depthwise.data.decode import target_size
from depthwise.host import available_cores

__all__ = ["refit"]

_LUMA = np.array([299, 587, 114], np.uint32)  # ITU-R BT.601, as Pillow's convert("L")
_BLOCK = 256


def refit(
    pixels: np.ndarray, image_size: tuple[int, int] | None = None, channels: int | None = None
) -> np.ndarray:
    """uint8 (N, C, H, W) in another size (H, W) or number of channels, C = 1 or 3.

    Without image_size, pictures whose longer side is over 224 pixels are shrunk to it.
    """
    height, width = image_size or target_size(pixels.shape[2:3], pixels.shape[3:4])
    if (height, width) != pixels.shape[2:]:
        pixels = _resize(pixels, height, width)
    if channels == 1 and pixels.shape[1] == 3:
        blocks = [_grey(pixels[k : k + _BLOCK]) for k in range(0, len(pixels), _BLOCK)]
        return np.concatenate(blocks)
    if channels == 3 and pixels.shape[1] == 1:
        return np.repeat(pixels, 3, axis=1)
    return pixels


def _grey(pixels: np.ndarray) -> np.ndarray:
    levels = np.tensordot(pixels.astype(np.uint32), _LUMA, axes=(1, 0))
    return ((levels + 500) // 1000).astype(np.uint8)[:, None]


def _resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    out = np.empty((*pixels.shape[:2], height, width), np.uint8)

    def work(start: int) -> None:
        for i in range(start, min(start + _BLOCK, len(pixels))):
            for c in range(pixels.shape[1]):
                plane = Image.fromarray(np.ascontiguousarray(pixels[i, c]))
                out[i, c] = plane.resize((width, height), Image.Resampling.BILINEAR)

    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(work, range(0, len(pixels), _BLOCK)))
    return out
