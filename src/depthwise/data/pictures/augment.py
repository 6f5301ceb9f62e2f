"""Augmentation of whole batches: one gather for a batch, not a loop over its images.

    shift   each image moved by up to `reach` pixels, its border repeated
    flip    half of the images mirrored left to right (not for digits or letters)
    cutout  a square of side `side` blanked to the image's mean (DeVries & Taylor 2017)
    affine  rotation, scale, shear and shift together, bilinear (Simard et al. 2003)

Batches are (B, C, H, W) of uint8 or floats, on any device; the result has the same shape and dtype,
in channels-last memory order where that came for free. Randomness is torch's global generator,
which the training loop seeds at every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from depthwise.errors import InputError

__all__ = ["AUGMENTATIONS", "augmenter", "random_affine", "random_cutout", "random_shift"]


def random_shift(images: Tensor, reach: int, flip: bool = False) -> Tensor:
    """Move each image by up to `reach` pixels either way; `flip` mirrors half of them too."""
    batch, _, height, width = images.shape
    down, right = torch.randint(-reach, reach + 1, (2, batch, 1), device=images.device)
    rows = torch.arange(height, device=images.device) + down
    columns = torch.arange(width, device=images.device) + right
    if flip:
        mirrored = torch.rand(batch, 1, device=images.device) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    item = torch.arange(batch, device=images.device)[:, None, None]
    nhwc = images.permute(0, 2, 3, 1)[item, rows[:, :, None], columns[:, None, :]]  # (B, H, W, C)
    return nhwc.permute(0, 3, 1, 2)


def random_cutout(images: Tensor, side: int) -> Tensor:
    """Blank one square of `side` pixels an image, centred anywhere, to that image's mean."""
    batch, _, height, width = images.shape
    device = images.device
    top = torch.randint(-(side // 2), height - side // 2, (batch, 1), device=device)
    left = torch.randint(-(side // 2), width - side // 2, (batch, 1), device=device)
    y, x = torch.arange(height, device=device), torch.arange(width, device=device)
    in_rows = (y >= top) & (y < top + side)
    in_columns = (x >= left) & (x < left + side)
    hole = (in_rows[:, :, None] & in_columns[:, None, :])[:, None]  # (B, 1, H, W)
    mean = images.float().mean(dim=(2, 3), keepdim=True).to(images.dtype)
    return torch.where(hole, mean, images)


def random_affine(
    images: Tensor,
    degrees: float = 12.0,
    scale: float = 0.12,
    shear: float = 0.12,
    shift: float = 0.07,
) -> Tensor:
    """Rotate by up to `degrees`, stretch each axis by up to `scale`, shear, and move by up to
    `shift` of the image's side. Outside the image lies its border."""
    batch, device = len(images), images.device

    def uniform(reach: float) -> Tensor:
        return (torch.rand(batch, device=device) * 2 - 1) * reach

    angle = uniform(math.radians(degrees))
    cos, sin = angle.cos(), angle.sin()
    stretch_x, stretch_y, slant = 1 + uniform(scale), 1 + uniform(scale), uniform(shear)
    top = torch.stack([cos * stretch_x, (slant * cos - sin) * stretch_y, uniform(2 * shift)], 1)
    bottom = torch.stack([sin * stretch_x, (slant * sin + cos) * stretch_y, uniform(2 * shift)], 1)
    size = list(images.shape)
    grid = functional.affine_grid(torch.stack([top, bottom], 1), size, align_corners=False)
    moved = functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return moved.round_().to(images.dtype) if not images.is_floating_point() else moved


Augment = Callable[[Tensor], Tensor]
AUGMENTATIONS = ("shift", "flip", "cutout", "affine")


def augmenter(names: str | tuple[str, ...] | list[str] | None, shape: tuple[int, ...]) -> Augment:
    """A batch function for `names`: a tuple of the four above, None, or "auto".

    "auto" shifts, and flips colour images (grey ones are often digits or letters, whose mirror
    image means something else). `shape` is (C, H, W); flat inputs are returned untouched.
    Raises InputError for an unknown name.
    """
    if names is None or len(shape) != 3:
        return lambda batch: batch
    channels, height, width = shape
    if names == "auto":
        names = ("shift", "flip") if channels == 3 else ("shift",)
    chosen = (names,) if isinstance(names, str) else tuple(names)
    unknown = [name for name in chosen if name not in AUGMENTATIONS]
    if unknown:
        known = ", ".join(AUGMENTATIONS)
        raise InputError(f'augment has no {unknown[0]!r}; use "auto", None, or any of {known}.')
    reach = max(1, min(height, width) // 10) if "shift" in chosen else 0
    side = max(2, min(height, width) // 4)

    def augment(batch: Tensor) -> Tensor:
        if "affine" in chosen:
            batch = random_affine(batch)
        if reach or "flip" in chosen:
            batch = random_shift(batch, reach, flip="flip" in chosen)
        return random_cutout(batch, side) if "cutout" in chosen else batch

    return augment
