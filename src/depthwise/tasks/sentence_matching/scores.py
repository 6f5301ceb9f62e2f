"""Scores of sentence pairs: similarities by their order, classes by F1 or accuracy.

    rho = corr(rank(s), rank(y))                 Spearman 1904; equal values share their mean rank
    its 95% interval: tanh(atanh rho -+ 1.96 sqrt((1 + rho^2 / 2) / (N - 3)))    Bonett, Wright 2000
    F1  = 2 tp / (2 tp + fp + fn)                    of one class against the other

The interval of F1 is that of `DRAWS` samples of the items with replacement (Efron 1979).

Shapes: N pairs, K classes.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import rankdata

from depthwise.scores.accuracy import Z_95

__all__ = ["f1", "f1_interval", "pearson", "spearman", "spearman_interval"]

DRAWS = 1000


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of (N,) and (N,); 0 where one of them does not vary."""
    a, b = a - a.mean(dtype=np.float64), b - b.mean(dtype=np.float64)
    spread = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / spread if spread > 0 else 0.0


def spearman(answers: np.ndarray, targets: np.ndarray) -> float:
    """Rank correlation of (N,) and (N,); 0 where one of them does not vary."""
    return pearson(rankdata(answers), rankdata(targets))


def spearman_interval(rho: float, items: int) -> tuple[float, float]:
    """95% interval of a rank correlation of so many pairs."""
    if items <= 3 or abs(rho) >= 1:
        return (-1.0, 1.0) if items <= 3 else (rho, rho)
    half = Z_95 * math.sqrt((1 + rho**2 / 2) / (items - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def f1(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Of (N,) bool and (N,) bool; 0 where neither has the class."""
    both = int((predicted & truth).sum())
    total = int(predicted.sum()) + int(truth.sum())
    return 2 * both / total if total else 0.0


def f1_interval(predicted: np.ndarray, truth: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95% interval by drawing the items anew. The counts of a sample are multinomial."""
    cells = np.bincount(2 * predicted + truth, minlength=4)  # neither, missed, false, both
    drawn = np.random.default_rng(seed).multinomial(len(truth), cells / len(truth), size=DRAWS)
    total = 2 * drawn[:, 3] + drawn[:, 1] + drawn[:, 2]
    scores = 2 * drawn[:, 3] / np.maximum(total, 1)
    low, high = np.quantile(scores, [0.025, 0.975])
    return float(low), float(high)
