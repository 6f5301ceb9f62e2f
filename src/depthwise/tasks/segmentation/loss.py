"""What a segmenter minimises: the cross-entropy of its pixels, rare classes counted for more.

    L = sum_i w(y_i) (-log p_i(y_i)) / sum_i w(y_i)     + a (1 - mean_k D_k)
    D_k = 2 sum_i p_i(k) [y_i = k] / (sum_i p_i(k) + sum_i [y_i = k])

over the pixels i of the batch that are not IGNORE; p = softmax of the logits. D_k is the Dice
coefficient, made soft, over the classes that the batch shows (Milletari, Navab and Ahmadi 2016,
"V-Net"), a its weight.

Median frequency balancing (Eigen and Fergus 2015, "Predicting Depth, Surface Normals and Semantic
Labels with a Common Multi-Scale Convolutional Architecture", section 4.3.2), softened by a power b:

    f_k = pixels of k / pixels of the images that show k,     w_k = (median_k f_k / f_k)^b

b = 1 is theirs, b = 0 counts every pixel alike.

Shapes: N images, B batch, H W image, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depthwise.data.dataset import IGNORE

__all__ = ["ClassWeight", "Shown", "class_weights", "is_class_weight", "pixel_loss"]

ClassWeight = float | str | tuple[float, ...] | None
NAMED_POWERS = {"balanced": 1.0, None: 0.0}


class Shown:
    """Of each class its pixels, and the pixels that count of the images that show it; both (K,)."""

    def __init__(self, n_classes: int):
        self.own = np.zeros(n_classes, np.int64)
        self.around = np.zeros(n_classes, np.int64)

    def add(self, masks: np.ndarray) -> None:
        """Masks uint8 (N, H, W) of 0 .. K - 1 and IGNORE."""
        for mask in masks:
            counts = np.bincount(mask.reshape(-1), minlength=IGNORE + 1)[: len(self.own)]
            self.own += counts
            self.around += np.where(counts > 0, counts.sum(), 0)


def is_class_weight(given: Any, n_classes: int) -> bool:
    """Whether it is a power b, 0 .. 1, the name of one, or K weights."""
    if isinstance(given, tuple | list | np.ndarray):
        each = np.asarray(given, dtype=np.float64)
        sound = np.isfinite(each).all() and (each >= 0).all() and (each > 0).any()
        return each.shape == (n_classes,) and bool(sound)
    if given is None or isinstance(given, str):
        return given in NAMED_POWERS
    return bool(0 <= given <= 1)


def class_weights(given: Any, shown: Shown) -> np.ndarray:
    """w float32 (K,): those given, or w_k by the pixels shown; 1 for classes never shown."""
    if isinstance(given, tuple | list | np.ndarray):
        return np.asarray(given, np.float32)
    there = shown.own > 0
    weights = np.ones(len(there), np.float32)
    if there.any():
        frequencies = shown.own[there] / shown.around[there]
        power = NAMED_POWERS.get(given, given)
        weights[there] = (np.median(frequencies) / frequencies) ** float(power)
    return weights


def pixel_loss(
    logits: Tensor,
    masks: Tensor,
    *,
    weights: Tensor | None = None,
    smoothing: float = 0.0,
    dice: float = 0.0,
) -> Tensor:
    """L of logits (B, K, H, W) and masks (B, H, W) of whole numbers; 0 where no pixel counts.
    Computed in float32 whatever the logits' precision; `smoothing` as in `losses`."""
    logits, masks = logits.float(), masks.long()
    sums = functional.cross_entropy(
        logits, masks, weights, ignore_index=IGNORE, label_smoothing=smoothing, reduction="sum"
    )
    counted = masks != IGNORE
    each = counted if weights is None else weights[masks.clamp(max=len(weights) - 1)] * counted
    loss = sums / each.sum().clamp(min=1e-6)
    return loss + dice * _dice_loss(logits, masks, counted) if dice else loss


def _dice_loss(logits: Tensor, masks: Tensor, counted: Tensor) -> Tensor:
    """1 - mean_k D_k; 0 where no pixel counts."""
    p = torch.softmax(logits, dim=1) * counted[:, None]
    classes = torch.arange(logits.shape[1], device=logits.device)
    truth = (masks[:, None] == classes[:, None, None]).to(p.dtype)  # (B, K, H, W)
    own = truth.sum((0, 2, 3))
    shares = 2 * (p * truth).sum((0, 2, 3)) / (p.sum((0, 2, 3)) + own).clamp(min=1e-6)
    there = own > 0
    return ((1 - shares) * there).sum() / there.sum().clamp(min=1)
