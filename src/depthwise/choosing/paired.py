"""Paired tests: whether one candidate is better than another on the very same items, or only
luckier.

    McNemar's exact test   of accuracy. Only items that one gets right and the other wrong count: if
                           neither is better, each of these b + c goes to either with probability a
                           half, so that p = P(Binomial(b + c, 1/2) >= b). McNemar 1947.
    paired bootstrap       of any other score. Both are scored on the same resamples of the items;
                           p is the share of them in which the first is not better, itself counted
                           as one. Efron and Tibshirani 1993, chapter 15.

Both are one-sided: a small p says that the first is better.

Shapes: N items, R resamples.
"""

from __future__ import annotations

import numpy as np
from scipy.special import bdtrc

__all__ = ["bootstrap_p", "mcnemar_p", "resamples"]

MOST, FEWEST, AT_ONCE = 1000, 100, 10_000_000


def mcnemar_p(first: np.ndarray, second: np.ndarray) -> float:
    """Of which items (N,) bool each gets right."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if not only_first:
        return 1.0
    return float(bdtrc(only_first - 1, only_first + only_second, 0.5))  # P(Binomial > b - 1)


def resamples(items: int, numbers: int = 1, most: int = MOST) -> np.ndarray:
    """(R, N): how often each item is in each resample, fewer of them the more `numbers` an item's
    score is made of; always the same ones."""
    rows = int(np.clip(AT_ONCE // max(1, items * numbers), FEWEST, most))
    random = np.random.default_rng(0)
    return np.stack(
        [np.bincount(random.integers(0, items, items), minlength=items) for _ in range(rows)]
    ).astype(np.uint16)


def bootstrap_p(first: np.ndarray, second: np.ndarray) -> float:
    """Of their scores (R,) on the same resamples; more is better."""
    known = np.isfinite(first) & np.isfinite(second)
    not_better = int((first[known] <= second[known]).sum())
    return (1 + not_better) / (1 + int(known.sum()))
