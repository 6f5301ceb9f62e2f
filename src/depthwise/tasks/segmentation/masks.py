"""Masks that a person gives, checked: a class for each pixel of each image, or IGNORE.

Shapes: N images, H W image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from depthwise.data.dataset import IGNORE
from depthwise.errors import InputError

__all__ = ["as_masks", "checked_against"]


def as_masks(y: Any) -> np.ndarray:
    """Masks as uint8 (N, H, W). Raises InputError for other shapes or values."""
    masks = y.numpy() if isinstance(y, Tensor) else _array(y)
    if masks.ndim != 3:
        remedy = " Leave out the channel axis: masks[:, 0]." if masks.ndim == 4 else ""
        raise InputError(f"masks must be (N, H, W); got {masks.shape}.{remedy}")
    if masks.dtype.kind not in "iub":
        raise InputError(
            f"masks must hold whole numbers, the class of each pixel; got {masks.dtype}. Use "
            ".astype('uint8'), or argmax over the classes where they are probabilities."
        )
    wrong = (masks < 0) | (masks > IGNORE)
    if masks.dtype != np.uint8 and wrong.any():
        item = int(np.flatnonzero(wrong.any(axis=(1, 2)))[0])
        raise InputError(
            f"masks[{item}] holds {masks[item][wrong[item]][0]}: classes are numbered 0 to "
            f"{IGNORE - 1}, and {IGNORE} marks pixels to be ignored. Number them anew."
        )
    return masks.astype(np.uint8, copy=False)


def _array(y: Any) -> np.ndarray:
    try:
        return np.asarray(y)
    except ValueError:
        raise InputError("masks must all be of one size, (N, H, W). Load them as one.") from None


def checked_against(masks: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The same masks, if they are those of images (N, C, H, W)."""
    if len(masks) != len(images):
        raise InputError(
            f"y has {len(masks)} masks for {len(images)} images. Give each image its mask."
        )
    if masks.shape[1:] != images.shape[2:]:
        raise InputError(
            f"masks are {masks.shape[1]} x {masks.shape[2]} pixels, their images "
            f"{images.shape[2]} x {images.shape[3]} (H x W). Resize the masks by nearest neighbour "
            "(depthwise.load does)."
        )
    return masks
