"""Boxes as the loop takes them, and augmentation that moves pictures and boxes together.

The loop wants one array with a row a picture: (N, M, 5) float32, left, top, right, bottom in pixels
and the class; M is the most boxes that one of them has. The class is -1 where there is no box, and
-2 - k for a crowd of class k, which is neither learnt nor scored.

    window    each picture is seen through a window of its own, moved and scaled
    mirror    half of them mirrored left to right
    upside    half of them turned upside down (microscopes, satellites; not streets)
    colours   brighter or darker, of more or less contrast and colour

Shapes: N pictures, B batch, M boxes, C channels, H W picture, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from depthwise.data.pictures.augment_targets import (
    Windows,
    move_boxes,
    move_images,
    random_colours,
    random_windows,
)
from depthwise.data.targets.box_table import BoxTable
from depthwise.errors import InputError

__all__ = ["AUGMENTATIONS", "as_table", "augmented", "encoded", "moved", "table_of", "upside_down"]

NOTHING, CROWD = -1, -2
AUGMENTATIONS = ("window", "mirror", "upside", "colours")
SMALLEST, LARGEST, SHIFT = 0.8, 1.25, 0.1  # scales of the window, and how far it moves
BYTE = 255.0
ROUNDING = 0.51  # pixels that a box may reach over the edge, because somebody rounded it


def as_table(y: Any) -> BoxTable:
    """A BoxTable, or (boxes (m, 4), labels (m,)) of each picture; raises InputError."""
    if isinstance(y, BoxTable):
        return y
    try:
        return BoxTable.from_lists([(boxes, labels) for boxes, labels in y])
    except (TypeError, ValueError, IndexError) as error:
        raise InputError(
            "y must be a BoxTable, or a list with (boxes (m, 4), labels (m,)) for each picture "
            f"({error})."
        ) from None


def encoded(table: BoxTable, images: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(N, M, 5) float32; class k becomes places[k]. Raises InputError for wrong boxes."""
    if len(table) != len(images):
        raise InputError(
            f"y has the boxes of {len(table)} pictures, and there are {len(images)}: give each "
            "its own, none for a picture without an object."
        )
    _require_boxes(table, images.shape[2], images.shape[3])
    targets = np.zeros((len(images), max(1, int(table.counts.max())), 5), np.float32)
    targets[..., 4] = NOTHING
    items = table.items
    within = np.arange(len(items)) - table.starts[items]
    limits = np.array([images.shape[3], images.shape[2]] * 2, np.float32)
    classes = places[table.labels] if len(items) else table.labels
    targets[items, within, :4] = table.boxes_xyxy.clip(0, limits)
    targets[items, within, 4] = np.where(table.crowd, CROWD - classes, classes)
    return targets


def table_of(targets: np.ndarray) -> BoxTable:
    """The boxes again: (N, M, 5) -> a BoxTable."""
    labels = targets[..., 4].astype(np.int64)
    items, _ = there = np.nonzero(labels != NOTHING)
    crowd = labels[there] <= CROWD
    classes = np.where(crowd, CROWD - labels[there], labels[there])
    return BoxTable.of(targets[there][:, :4], classes, items, len(targets), crowd)


def _require_boxes(table: BoxTable, height: int, width: int) -> None:
    boxes = table.boxes_xyxy
    low, high = boxes[:, :2], boxes[:, 2:]
    limit = np.array([width, height]) + ROUNDING
    _refuse(table, ~np.isfinite(boxes).all(axis=1), "is not a box of numbers", "Correct it")
    _refuse(table, (high <= low).any(axis=1), "has no area", "Leave it out")
    beyond = (low < -ROUNDING).any(axis=1) | (high > limit).any(axis=1)
    problem = f"reaches outside its picture of {width} x {height} pixels"
    _refuse(table, beyond, problem, "Clip it (depthwise.boxes.clip)")
    _refuse(table, table.labels < 0, "has a class below 0", "Number classes from 0")


def _refuse(table: BoxTable, wrong: Any, problem: str, remedy: str) -> None:
    found = np.flatnonzero(wrong)
    if len(found):
        m = int(found[0])
        box = [round(float(side), 2) for side in table.boxes_xyxy[m]]
        more = f" ({len(found)} such boxes)" if len(found) > 1 else ""
        raise InputError(
            f"box {m - table.starts[table.items[m]]} of picture {table.items[m]}, {box} of class "
            f"{table.labels[m]}, {problem}{more}. {remedy}; boxes are (left, top, right, bottom)."
        )


# -- augmentation ---------------------------------------------------------------------------------


def augmented(images: Tensor, targets: Tensor, kinds: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """A batch (B, C, H, W), (B, M, 5) by the named AUGMENTATIONS, to the same shapes."""
    if "window" in kinds or "mirror" in kinds:
        reach = (SMALLEST, LARGEST, SHIFT) if "window" in kinds else (1.0, 1.0, 0.0)
        size, mirror = tuple(images.shape[2:]), "mirror" in kinds
        smallest, largest, shift = reach
        windows = random_windows(
            len(images),
            *size,
            mirror=mirror,
            smallest=smallest,
            largest=largest,
            shift=shift,
            device=images.device,
        )
        images, targets = moved(images, targets, windows)
    if "upside" in kinds:
        turned = torch.rand(len(images), device=images.device) < 0.5
        images, targets = upside_down(images, targets, turned)
    if "colours" in kinds:
        levels = images * BYTE if images.is_floating_point() else images
        images = random_colours(levels)
        images = images / BYTE if images.is_floating_point() else images
    return images, targets


def moved(images: Tensor, targets: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """Pictures and their boxes seen through windows; boxes that are out of sight become nothing."""
    batch, most, _ = targets.shape
    flat = targets.reshape(-1, 5)
    item = torch.arange(batch, device=targets.device).repeat_interleave(most)
    size = (images.shape[2], images.shape[3])
    boxes, kept = move_boxes(flat[:, :4], item, windows, size)
    seen = torch.zeros_like(flat)
    seen[:, 4] = NOTHING
    seen[kept, :4], seen[kept, 4] = boxes, flat[kept, 4]
    return move_images(images, windows), seen.reshape(batch, most, 5)


def upside_down(images: Tensor, targets: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
    """The pictures of `which` (B,) turned upside down, with their boxes."""
    turned = torch.where(which[:, None, None, None], images.flip(2), images)
    left, top, right, bottom, label = targets.unbind(-1)
    height = images.shape[2]
    over = torch.stack([left, height - bottom, right, height - top, label], dim=-1)
    swap = which[:, None] & (label != NOTHING)
    return turned, torch.where(swap[..., None], over, targets)
