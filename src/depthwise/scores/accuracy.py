"""Accuracy, calibration and AUROC, each with its confidence interval.

Shapes: N items, K classes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = [
    "accuracy_report", "auroc", "auroc_interval", "calibration_error", "confusion_matrix",
    "mean_interval", "shares_below", "wilson_interval",
]  # fmt: skip

Z_95 = 1.959963984540054  # the normal distribution's 97.5% point


def wilson_interval(correct: float, items: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's interval of a proportion p = correct / n, reliable near 0 and 1:

        (p + z^2/2n  -+  z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    if items == 0:
        return 0.0, 1.0
    p, z2 = correct / items, z * z
    centre = p + z2 / (2 * items)
    half = z * math.sqrt(p * (1 - p) / items + z2 / (4 * items * items))
    scale = 1 + z2 / items
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def mean_interval(values: np.ndarray, z: float = Z_95) -> tuple[float, float]:
    """Confidence interval of the mean of many values (N,): mean -+ z s / sqrt(N)."""
    spread = float(values.std(ddof=1)) if len(values) > 1 else math.inf
    half = z * spread / math.sqrt(len(values))
    return float(values.mean()) - half, float(values.mean()) + half


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Row: the true class, column: the predicted one. (N,), (N,) -> (K, K) counts."""
    pairs = labels.astype(np.int64) * n_classes + predicted
    return np.bincount(pairs, minlength=n_classes * n_classes).reshape(n_classes, n_classes)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error, over bins of confidence: sum (n_b / N) |acc_b - conf_b|.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3. (N,), (N, K) -> float.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(bin_of, weights=correct - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(labels))


def accuracy_report(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: list[str],
    predicted: np.ndarray | None = None,
) -> dict[str, Any]:
    """Accuracy with its 95% Wilson interval, recall by class, confusion and calibration error.

    `labels` (N,) class indices; `probabilities` (N, K); `predicted` (N,) class indices, None for
    the most probable. Recall of a class with no item is None.
    """
    predicted = probabilities.argmax(axis=1) if predicted is None else predicted
    confusion = confusion_matrix(labels, predicted, len(classes))
    correct, items = int(confusion.trace()), len(labels)
    low, high = wilson_interval(correct, items)
    totals = confusion.sum(axis=1)
    recalls = {
        str(name): (float(confusion[k, k] / totals[k]) if totals[k] else None)
        for k, name in enumerate(classes)
    }
    return {
        "value": correct / items if items else 0.0,
        "low": low,
        "high": high,
        "items": items,
        "per_class": recalls,
        "confusion": confusion.tolist(),
        "calibration_error": calibration_error(labels, probabilities) if items else 0.0,
    }


def auroc(normal: np.ndarray, strange: np.ndarray) -> float:
    """Area under the ROC curve of anomalies against normal items: (N,), (M,) -> float.

    It is the chance that an anomaly scores above a normal item, ties half: Hanley and McNeil 1982.
    """
    return float(shares_below(normal, strange).mean())


def auroc_interval(
    normal: np.ndarray, strange: np.ndarray, made_of: np.ndarray | None = None
) -> tuple[float, float]:
    """95% interval of `auroc`. made_of (M,): the place in `normal` of the item that each strange
    one was made of, where they are no strangers to one another; None: all are independent.

    With u_j the share of normal scores below strange one j, v_i that of strange scores above
    normal one i, and U_i, V_i their sums over the N items (I with a strange one) less A for each,

        SE^2 = N/(N-1) (sum V_i^2 / N^2 + 2 sum U_i V_i / NM) + I/(I-1) sum U_i^2 / M^2

    Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data"; DeLong et al. 1988 where
    nothing is shared. The interval is A -+ 1.96 SE, and reaches at least as far from 1 and 0 as
    Wilson's of min(N, M) items that all agree: where no error was seen, SE is 0.
    """
    n, m = len(normal), len(strange)
    below, above = shares_below(normal, strange), 1 - shares_below(strange, normal)
    area = float(below.mean())
    v = above - area  # (N,)
    places = np.arange(m) if made_of is None else made_of
    u = np.bincount(places, below - area, minlength=m if made_of is None else n)
    shared = 0.0 if made_of is None else float(u @ v)
    items = len(np.unique(places))
    squared = max(n, 2) / max(n - 1, 1) * (float(v @ v) / n**2 + 2 * shared / (n * m))
    squared += max(items, 2) / max(items - 1, 1) * float(u @ u) / m**2
    half, least = Z_95 * math.sqrt(max(squared, 0.0)), 1 - wilson_interval(min(n, m), min(n, m))[0]
    low, high = area - max(half, area * least), area + max(half, (1 - area) * least)
    return max(0.0, low), min(1.0, high)


def shares_below(scores: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """(M,): the share of `scores` (N,) below each of `marks` (M,), equal ones counted half."""
    ordered = np.sort(scores)
    under = np.searchsorted(ordered, marks, side="left")
    upto = np.searchsorted(ordered, marks, side="right")
    return np.asarray((under + upto) / (2 * len(scores)))
