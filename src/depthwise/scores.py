"""How good predictions are, with the uncertainty of saying so.

Shapes: N items, K classes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["accuracy_report", "calibration_error", "confusion_matrix", "wilson_interval"]

Z_95 = 1.959963984540054  # the normal distribution's 97.5% point


def wilson_interval(correct: float, items: int, z: float = Z_95) -> tuple[float, float]:
    """The interval of a proportion p = correct / n that stays honest near 0 and 1:

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
    labels: np.ndarray, probabilities: np.ndarray, classes: list[str]
) -> dict[str, Any]:
    """Accuracy with its 95% Wilson interval, recall by class, confusion and calibration error.

    `labels` (N,) class indices; `probabilities` (N, K). Recall of a class with no item is None.
    """
    predicted = probabilities.argmax(axis=1)
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
