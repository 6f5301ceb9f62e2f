"""Boxes: their forms, how much two overlap, and which of many to keep.

    xyxy     left, top, right, bottom            cxcywh   centre, width, height
    xywh     left, top, width, height            in pixels, edges continuous: area = width * height

    IoU(a, b)   = |a and b| / |a or b|, 0 to 1; 0 where neither has an area
    GIoU(a, b)  = IoU - (|hull| - |a or b|) / |hull|, -1 to 1, hull the smallest box round both;
                  unlike IoU it tells how far apart boxes are (Rezatofighi et al. 2019)
    NMS         of boxes in falling order of score each is kept that overlaps no kept box of its
                class by more than a threshold

Torch tensors on any device, with gradients, or numpy arrays: the answer is of the kind that was
asked with. "(..., 4)" is any number of boxes; `iou` and `giou` pair and broadcast them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depthwise.errors import InputError

__all__ = [
    "area", "clip", "cxcywh_to_xyxy", "flip", "giou", "giou_matrix", "iou", "iou_matrix", "nms",
    "visible_share", "xywh_to_xyxy", "xyxy_to_cxcywh", "xyxy_to_xywh",
]  # fmt: skip


def _either(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """The same function on numpy arrays: asked with one it answers with one."""

    @functools.wraps(function)
    def answer(first: Any, *others: Any, **named: Any) -> Any:
        values = [_tensor(value) for value in (first, *others)]
        result = function(*values, **{key: _tensor(value) for key, value in named.items()})
        return result.numpy() if isinstance(first, np.ndarray) else result

    return answer


def _tensor(value: Any) -> Any:
    return torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value


# -- forms ---------------------------------------------------------------------------------------


@_either
def xyxy_to_cxcywh(boxes_xyxy: Tensor) -> Tensor:
    """(..., 4) -> (..., 4)"""
    low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return torch.cat([(low + high) / 2, high - low], -1)


@_either
def cxcywh_to_xyxy(boxes_cxcywh: Tensor) -> Tensor:
    """(..., 4) -> (..., 4)"""
    centre, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


@_either
def xyxy_to_xywh(boxes_xyxy: Tensor) -> Tensor:
    """(..., 4) -> (..., 4)"""
    low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return torch.cat([low, high - low], -1)


@_either
def xywh_to_xyxy(boxes_xywh: Tensor) -> Tensor:
    """(..., 4) -> (..., 4)"""
    low, size = boxes_xywh[..., :2], boxes_xywh[..., 2:]
    return torch.cat([low, low + size], -1)


# -- one box -------------------------------------------------------------------------------------


@_either
def area(boxes_xyxy: Tensor) -> Tensor:
    """(..., 4) -> (...,) square pixels; 0 for a box turned inside out."""
    width, height = (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).clamp(min=0).unbind(-1)
    return width * height


@_either
def clip(boxes_xyxy: Tensor, height: float, width: float) -> Tensor:
    """(..., 4) -> (..., 4): what lies inside the image; nothing may be left of a box."""
    x = boxes_xyxy[..., 0::2].clamp(0, width)
    y = boxes_xyxy[..., 1::2].clamp(0, height)
    return torch.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], -1)


@_either
def visible_share(boxes_xyxy: Tensor, height: float, width: float) -> Tensor:
    """(..., 4) -> (...,): the share of each box's area inside the image, 0 where it has none."""
    return _ratio(area(clip(boxes_xyxy, height, width)), area(boxes_xyxy))


@_either
def flip(boxes_xyxy: Tensor, width: float) -> Tensor:
    """(..., 4) -> (..., 4) mirrored left to right, as an image of this width is."""
    x1, y1, x2, y2 = boxes_xyxy.unbind(-1)
    return torch.stack([width - x2, y1, width - x1, y2], -1)


# -- two boxes -----------------------------------------------------------------------------------


@_either
def iou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """(..., 4), (..., 4) -> (...,)"""
    shared, together = _shared_and_together(a_xyxy, b_xyxy)
    return _ratio(shared, together)


@_either
def giou(a_xyxy: Tensor, b_xyxy: Tensor) -> Tensor:
    """(..., 4), (..., 4) -> (...,). 1 - GIoU is a loss."""
    shared, together = _shared_and_together(a_xyxy, b_xyxy)
    low = torch.minimum(a_xyxy[..., :2], b_xyxy[..., :2])
    high = torch.maximum(a_xyxy[..., 2:], b_xyxy[..., 2:])
    hull = area(torch.cat([low, high], -1))
    return _ratio(shared, together) - _ratio(hull - together, hull)


def iou_matrix(a_xyxy: Any, b_xyxy: Any) -> Any:
    """(M, 4), (N, 4) -> (M, N)"""
    return iou(a_xyxy[:, None], b_xyxy[None])


def giou_matrix(a_xyxy: Any, b_xyxy: Any) -> Any:
    """(M, 4), (N, 4) -> (M, N)"""
    return giou(a_xyxy[:, None], b_xyxy[None])


def _shared_and_together(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Areas of what both cover, and of what either covers."""
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    shared = area(torch.cat([low, high], -1))
    return shared, area(a) + area(b) - shared


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, and 0 (with a gradient of 0, not NaN) where the whole is nothing."""
    some = whole > 0
    return torch.where(some, part, 0.0) / torch.where(some, whole, 1.0)


# -- many boxes ----------------------------------------------------------------------------------


@_either
def nms(
    boxes_xyxy: Tensor,
    scores: Tensor,
    labels: Tensor | None = None,
    threshold: float = 0.5,
    most: int | None = None,
) -> Tensor:
    """Non-maximum suppression: int64 positions of the boxes kept, best first, `most` at most.

    boxes (M, 4), scores (M,), labels (M,) or None for a single class. Of equal scores the first
    goes first. Raises InputError for a threshold outside 0 to 1.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; give an overlap between 0 and 1, such as 0.5.")
    left = scores.argsort(descending=True, stable=True)
    kept: list[Tensor] = []
    while len(left) and (most is None or len(kept) < most):
        best, left = left[0], left[1:]
        kept.append(best)
        rival = iou(boxes_xyxy[best], boxes_xyxy[left]) > threshold
        if labels is not None:
            rival &= labels[left] == labels[best]
        left = left[~rival]
    return torch.stack(kept) if kept else left[:0]
