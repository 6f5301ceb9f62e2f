"""How well masks agree with the truth: intersection over union, with the interval of its mean.

    IoU_k = n_kk / (sum_j n_kj + sum_j n_jk - n_kk),     n_kj pixels of class k called class j

over all images together, IGNORE left out; mean IoU over the classes that the truth shows (a class
that it does not show has no IoU; where it is called, another class loses). Everingham et al. 2010,
"The PASCAL Visual Object Classes (VOC) Challenge", section 4.2. The 95% interval is between the
2.5 and 97.5 percentiles of mean IoU over images drawn anew with replacement (Efron 1979): pixels of
one image are not independent, images are.

Shapes: N images, H W image, K classes, R times drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from depthwise.data.dataset import IGNORE
from depthwise.scores.accuracy import confusion_matrix

__all__ = ["confusions", "iou", "iou_interval", "mean_iou", "segmentation_report"]

DRAWS = 1000  # R
DRAWS_AT_ONCE = 100


def confusions(truth: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """(N, H, W), (N, H, W) -> n, int64 (N, K, K): row the true class, column the one called."""
    matrices = np.zeros((len(truth), n_classes, n_classes), np.int64)
    for matrix, own, called in zip(matrices, truth, predicted, strict=True):
        counts = own != IGNORE
        matrix += confusion_matrix(own[counts], called[counts], n_classes)
    return matrices


def iou(matrices: np.ndarray) -> np.ndarray:
    """IoU (..., K) of counts (..., K, K); NaN of classes that the truth does not show."""
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    own = matrices.sum(axis=-1)
    union = own + matrices.sum(axis=-2) - hits
    return np.where(own > 0, hits / np.maximum(union, 1), np.nan)


def mean_iou(matrices: np.ndarray) -> np.ndarray:
    """(..., K, K) -> (...); 0 where the truth shows nothing."""
    each = iou(matrices)
    there = np.isfinite(each)
    return np.where(there, each, 0).sum(axis=-1) / np.maximum(there.sum(axis=-1), 1)


def iou_interval(matrices: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95% interval of the mean IoU of N images, from their counts (N, K, K); 0 .. 1 of fewer than
    two, which say nothing of others."""
    items, k = matrices.shape[:2]
    if items < 2:
        return 0.0, 1.0
    rng, flat, values = np.random.default_rng(seed), matrices.reshape(items, -1), []
    for start in range(0, DRAWS, DRAWS_AT_ONCE):
        often = rng.multinomial(items, np.full(items, 1 / items), min(DRAWS_AT_ONCE, DRAWS - start))
        values.append(mean_iou((often @ flat).reshape(-1, k, k)))
    low, high = np.percentile(np.concatenate(values), [2.5, 97.5])
    middle = float(mean_iou(matrices.sum(axis=0)))
    return min(float(low), middle), max(float(high), middle)


def segmentation_report(matrices: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Of the counts (N, K, K) of N images: mean IoU ("value") with its interval, IoU by class (None
    of those not there), the share of pixels given their class, and the counts."""
    total = matrices.sum(axis=0)
    low, high = iou_interval(matrices)
    pixels = int(total.sum())
    each = [float(value) if np.isfinite(value) else None for value in iou(total)]
    return {
        "value": float(mean_iou(total)),
        "low": low,
        "high": high,
        "items": len(matrices),
        "metric": "mean IoU",
        "per_class": dict(zip(classes, each, strict=True)),
        "pixel_accuracy": float(np.trace(total) / max(pixels, 1)),
        "pixels": pixels,
        "confusion": total.tolist(),
    }
