"""The losses of gradient boosting: where it starts, first and second derivatives, a round's score.

The formulas are at the top of rounds.py. Shapes: N items, K trees a round.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

__all__ = ["ClassLoss", "Loss", "NumberLoss"]


class Loss(Protocol):
    """What is minimised; `raw` is F (N, K) float64."""

    def baseline(self, targets: np.ndarray, weights: np.ndarray | None) -> np.ndarray: ...
    def gradients(self, targets: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...
    def score(self, targets: np.ndarray, raw: np.ndarray) -> float: ...


class ClassLoss:
    """The cross-entropy of labels (N,) in `classes` of them."""

    def __init__(self, classes: int):
        self.classes = classes

    def baseline(self, targets: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        counts = np.bincount(targets, weights, self.classes)
        shares = np.clip(counts / counts.sum(), 1e-7, 1)
        if self.classes == 2:
            return np.log(shares[1:] / shares[:1])
        logs: np.ndarray = np.log(shares) - np.log(shares).mean()
        return logs

    def gradients(self, targets: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p = self._probabilities(raw)[:, -raw.shape[1] :]
        first = 1 if self.classes == 2 else 0
        truth = targets[:, None] == np.arange(first, self.classes)
        return p - truth, p * (1 - p)

    def score(self, targets: np.ndarray, raw: np.ndarray) -> float:
        """Minus the cross-entropy: higher is better."""
        p = self._probabilities(raw)[np.arange(len(targets)), targets]
        return float(np.log(np.maximum(p, 1e-15)).mean())

    def _probabilities(self, raw: np.ndarray) -> np.ndarray:
        """(N, classes)"""
        if self.classes == 2:
            raw = np.concatenate([np.zeros_like(raw), raw], axis=1)
        p = np.exp(raw - raw.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        return p


class NumberLoss:
    """Half the squared error of numbers (N, K)."""

    def baseline(self, targets: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
        mean: np.ndarray = np.average(targets.astype(np.float64), axis=0, weights=weights)
        return mean

    def gradients(self, targets: np.ndarray, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return raw - targets, np.ones_like(raw)

    def score(self, targets: np.ndarray, raw: np.ndarray) -> float:
        return -float(np.square(raw - targets).mean())
