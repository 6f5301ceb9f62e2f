"""Augmentation that takes boxes and masks along: a whole batch in one gather, like `augment`.

Each image of a batch is shown through a window of its own. With the window's left edge l and top t
in pixels of the image, its scale s (2 shows all twice as large) and x, y the window's pixels,

    image x = l + x / s,   image y = t + y / s,         or, mirrored,   x -> W - x   first

Images are read there bilinearly, their border repeated; masks by nearest neighbour, IGNORE beyond
the border; boxes move by the same map, are clipped, and are dropped where less than `min_visible`
of their area is left. Windows of whole pixels at scale 1 move images without a loss: a mirrored
image is exactly the mirror image, and mirrored twice it is itself.

Boxes of a batch are flat: boxes_xyxy (M, 4) in pixels and the image `item` (M,) each is in.
Images are (B, C, H, W), clips (B, T, C, H, W); uint8 or floats, on any device. Randomness is
torch's global generator, which the training loop seeds at every step.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from depthwise.boxes import clip, flip, visible_share
from depthwise.data.dataset import IGNORE

__all__ = [
    "MIN_VISIBLE", "Windows", "mirrored", "move_boxes", "move_images", "move_masks",
    "random_colours", "random_windows", "unmoved",
]  # fmt: skip

MIN_VISIBLE = 0.3  # a cell of which a third can be seen is still to be found
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


class Windows(NamedTuple):
    """Each (B,): left and top edge in pixels, scale, and whether the image is mirrored."""

    left: Tensor
    top: Tensor
    scale: Tensor
    mirror: Tensor


# -- which windows --------------------------------------------------------------------------------


def unmoved(batch: int, device: torch.device | str = "cpu") -> Windows:
    """Windows that show every image as it is."""
    nothing = torch.zeros(batch, device=device)
    return Windows(nothing, nothing, torch.ones_like(nothing), nothing.bool())


def mirrored(windows: Windows) -> Windows:
    """The windows of images mirrored left to right before anything else."""
    return windows._replace(mirror=~windows.mirror)


def random_windows(
    batch: int,
    height: int,
    width: int,
    *,
    mirror: bool = True,
    smallest: float = 0.7,
    largest: float = 1.5,
    shift: float = 0.1,
    device: torch.device | str = "cpu",
) -> Windows:
    """Scales spread evenly by their logarithm from `smallest` to `largest`; the window anywhere
    inside the image (round it, where it is larger), and up to `shift` of its side farther. With
    smallest = largest = 1 by whole pixels only."""
    if smallest == largest == 1:
        reach_x, reach_y = round(shift * width), round(shift * height)
        left = torch.randint(-reach_x, reach_x + 1, (batch,), device=device).float()
        top = torch.randint(-reach_y, reach_y + 1, (batch,), device=device).float()
        scale = torch.ones(batch, device=device)
    else:
        draw = torch.rand(5, batch, device=device)
        scale = smallest * (largest / smallest) ** draw[0]
        left = _edge(draw[1], draw[2], width, scale, shift)
        top = _edge(draw[3], draw[4], height, scale, shift)
    flip = torch.rand(batch, device=device) < 0.5
    return Windows(left, top, scale, flip & mirror)


def _edge(where: Tensor, farther: Tensor, side: int, scale: Tensor, shift: float) -> Tensor:
    """The window's first pixel on an axis: anywhere in the room there is, and a little beyond."""
    room = side - side / scale
    return room * where + (2 * farther - 1) * shift * side


# -- moving by them -------------------------------------------------------------------------------


def move_images(images: Tensor, windows: Windows) -> Tensor:
    """(B, C, H, W), or clips (B, T, C, H, W) by one window each, to the same shape and dtype."""
    if images.ndim == 5:
        flat = move_images(images.flatten(1, 2), windows)
        return flat.unflatten(1, images.shape[1:3])
    x, y = _places(windows, images.shape[-2], images.shape[-1])
    if _whole(windows):
        return _gathered(images, x.round().long(), y.round().long())
    height, width = images.shape[-2:]
    across = ((x + 0.5) * 2 / width - 1)[:, None, :].expand(-1, height, -1)
    down = ((y + 0.5) * 2 / height - 1)[:, :, None].expand(-1, -1, width)
    grid = torch.stack([across, down], -1)  # (B, H, W, 2), -1 to 1 from edge to edge
    moved = functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return moved if images.is_floating_point() else moved.round_().to(images.dtype)


def move_masks(masks: Tensor, windows: Windows, outside: int = IGNORE) -> Tensor:
    """(B, H, W) to the same; `outside` is what lies beyond the border."""
    height, width = masks.shape[-2:]
    x, y = _places(windows, height, width)
    columns, rows = (x + 0.5).floor().long(), (y + 0.5).floor().long()
    moved = _gathered(masks[:, None], columns, rows)[:, 0]
    beyond_x = ((columns < 0) | (columns >= width))[:, None, :]
    beyond_y = ((rows < 0) | (rows >= height))[:, :, None]
    return moved.masked_fill(beyond_x | beyond_y, outside)


def move_boxes(
    boxes_xyxy: Tensor,
    item: Tensor,
    windows: Windows,
    size: tuple[int, int],
    min_visible: float = MIN_VISIBLE,
) -> tuple[Tensor, Tensor]:
    """boxes (M, 4) and their images (M,) -> boxes (M', 4) that can still be seen, and which they
    are, int64 (M',). size: (H, W)."""
    height, width = size
    left, top, scale, mirror = (each[item] for each in windows)
    turned = torch.where(mirror[:, None], flip(boxes_xyxy, width), boxes_xyxy)
    moved = (turned - torch.stack([left, top, left, top], 1)) * scale[:, None]
    kept = (visible_share(moved, height, width) >= max(min_visible, 1e-6)).nonzero()[:, 0]
    return clip(moved[kept], height, width), kept


def _places(windows: Windows, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where in the image the window's pixels are, as positions between pixels' centres: x (B, W)
    and y (B, H)."""
    device = windows.scale.device
    x = torch.arange(width, device=device) + 0.5
    y = torch.arange(height, device=device) + 0.5
    x = windows.left[:, None] + x / windows.scale[:, None]
    y = windows.top[:, None] + y / windows.scale[:, None]
    return torch.where(windows.mirror[:, None], width - x, x) - 0.5, y - 0.5


def _whole(windows: Windows) -> bool:
    """Whether all windows lie on whole pixels."""
    edges = torch.cat([windows.left, windows.top])
    return bool((windows.scale == 1).all() and (edges == edges.round()).all())


def _gathered(images: Tensor, columns: Tensor, rows: Tensor) -> Tensor:
    """(B, C, H, W) at columns (B, W') and rows (B, H'), the border repeated beyond it."""
    batch, _, height, width = images.shape
    item = torch.arange(batch, device=images.device)[:, None, None]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    nhwc = images.permute(0, 2, 3, 1)[item, rows[:, :, None], columns[:, None, :]]
    return nhwc.permute(0, 3, 1, 2)


# -- colours --------------------------------------------------------------------------------------


def random_colours(
    images: Tensor, brightness: float = 0.2, contrast: float = 0.2, saturation: float = 0.3
) -> Tensor:
    """Each image made darker or brighter (times 1 - b to 1 + b), of more or less contrast (round
    its mean) and, if it has colours, more or less colourful (round its grey): nothing moves.

    uint8 (..., C, H, W), or floats of the same levels 0 to 255, to the same; all frames of a clip
    alike.
    """
    levels = images.float()
    shape = (len(images), *[1] * (images.ndim - 1))

    def factor(reach: float) -> Tensor:
        return 1 + (torch.rand(shape, device=images.device) * 2 - 1) * reach

    axes = tuple(range(1, images.ndim))
    bright = levels * factor(brightness)
    mean = bright.mean(dim=axes, keepdim=True)
    changed = mean + (bright - mean) * factor(contrast)
    if images.shape[-3] == 3:
        weights = torch.tensor(_GREY, device=images.device).view(3, 1, 1)
        grey = (changed * weights).sum(dim=-3, keepdim=True)
        changed = grey + (changed - grey) * factor(saturation)
    changed = changed.clamp(0, 255)
    return changed if images.is_floating_point() else changed.round_().to(images.dtype)
