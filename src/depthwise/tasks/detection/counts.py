"""How many there are: boxes counted whose score is above the threshold of their class.

    n_k = |{boxes found of class k : score > tau_k}|
    tau_k = argmin over tau of the mean over pictures of |n_k(tau) - true number|

on pictures that were not learnt from; of a range of thresholds that are equally good the middle.
The first tells how far off a count is (MAE); the numbers of a picture are independent of where the
boxes lie, so a miss and a false alarm in one picture cancel.

Shapes: N pictures, K classes, R resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from depthwise.data.targets.box_table import BoxTable
from depthwise.tasks.detection.scores import INTERVAL, Detections, resamples

__all__ = ["GRID", "best_thresholds", "counted", "counting_report", "true_counts"]

GRID = np.linspace(0.02, 0.98, 97)  # thresholds tried


def counted(found: list[Detections], classes: np.ndarray, thresholds: Any) -> np.ndarray:
    """int64 (N, K): boxes of each class above its threshold (K,)."""
    rows = [
        [(one.scores[one.labels == name] > low).sum() for name, low in zip(classes, thresholds)]
        for one in found
    ]
    return np.array(rows, np.int64).reshape(len(found), len(classes))


def true_counts(truth: BoxTable, n_classes: int) -> np.ndarray:
    """int64 (N, K): boxes of each class, crowds left out."""
    kept = ~truth.crowd
    cells = truth.items[kept] * n_classes + truth.labels[kept]
    return np.bincount(cells, minlength=len(truth) * n_classes).reshape(-1, n_classes)


def best_thresholds(found: list[Detections], truth: BoxTable, classes: np.ndarray) -> np.ndarray:
    """(K,): the threshold of each class at which its counts err least."""
    true = true_counts(truth, len(classes))
    errors = np.stack(
        [abs(counted(found, classes, [low] * len(classes)) - true).mean(axis=0) for low in GRID]
    )  # (thresholds, K)
    return np.array([_middle(column) for column in errors.T])


def counting_report(
    counts: np.ndarray, true: np.ndarray, classes: np.ndarray, seed: int = 0
) -> dict[str, Any]:
    """{"value": minus the mean error over classes, "low", "high": its 95% interval over pictures,
    "items", "per_class": the mean absolute error of each class, in boxes a picture}."""
    errors = abs(counts - true).astype(np.float64)  # (N, K)
    weights = resamples(len(errors), seed)
    drawn = -(weights @ errors).mean(axis=1) / len(errors)
    low, high = np.percentile(drawn, INTERVAL)
    return {
        "value": -float(errors.mean()),
        "low": float(low),
        "high": float(high),
        "items": len(errors),
        "per_class": {
            str(name): float(mean) for name, mean in zip(classes, errors.mean(axis=0), strict=True)
        },
    }


def _middle(errors: np.ndarray) -> float:
    """The middle of the longest run of thresholds that err least."""
    least = np.concatenate([[False], errors <= errors.min() + 1e-12, [False]])
    starts = np.flatnonzero(~least[:-1] & least[1:])
    ends = np.flatnonzero(least[:-1] & ~least[1:])
    longest = int((ends - starts).argmax())
    return float(GRID[(starts[longest] + ends[longest] - 1) // 2])
