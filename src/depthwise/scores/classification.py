"""Classification metrics, and how each behaves where one class is rare.

    accuracy            share of the items given their class
    balanced accuracy   mean over the classes of recall, the share of a class's items that is found
    F1                  2 TP / (2 TP + FP + FN): of two classes that of the rarer, else the mean
    AUROC               chance that an item of a class has a higher probability of it than an item
                        of none; of more than two classes the mean, each against the rest
    log loss            -mean log p_y in nats, p_y the probability of the true class; the only one
                        of which less is better, so it is ranked by its negative

Each is one function of the answers and of weights w (R, N), one row a resample; rows of ones give
the score itself, counts drawn with replacement give its bootstrap. Classes of which no item has
weight are left out of a mean, as in scikit-learn.

Shapes: N items, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["CLASS_SCORES", "ClassAnswers", "ClassScore", "rarer_class"]

LEAST_PROBABILITY = float(np.finfo(np.float32).eps)  # of which the logarithm is taken
BLOCK = 2_000_000  # weights at once


@dataclass(frozen=True)
class ClassAnswers:
    """Truth and predictions of N items: `labels` (N,) and `predicted` (N,) class indices,
    `probabilities` (N, K). `rare`: of two classes the one that F1 is of; `names` (K,): the classes,
    as labels."""

    labels: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    rare: int = 1
    names: np.ndarray | None = None

    @property
    def n_classes(self) -> int:
        return int(self.probabilities.shape[1])

    @cached_property
    def counts(self) -> np.ndarray:
        """(K,) items of each class."""
        return np.bincount(self.labels, minlength=self.n_classes)

    @cached_property
    def right(self) -> np.ndarray:
        return (self.predicted == self.labels).astype(np.float64)


Of = Callable[[ClassAnswers, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class ClassScore:
    """One row: `unit` of its Metric, what it is of (answers, weights (R, N)) -> (R,), and by what
    its candidates are ranked: `sign` -1 where less is better. `of_decisions`: whether it sees the
    predicted classes alone, so that a threshold changes it."""

    name: str
    unit: str
    of: Of
    sign: int = 1
    of_decisions: bool = True

    def value(self, answers: ClassAnswers) -> float:
        return float(self.of(answers, np.ones((1, len(answers.labels))))[0])

    def resampled(self, answers: ClassAnswers, weights: np.ndarray) -> np.ndarray:
        """(R,), in blocks of rows."""
        rows = max(1, BLOCK // weights.shape[1])
        blocks = [weights[i : i + rows] for i in range(0, len(weights), rows)]
        return np.concatenate([self.of(answers, block.astype(np.float64)) for block in blocks])


def rarer_class(counts: np.ndarray) -> int:
    """The index of the rarer of two classes; the second where both have as many items."""
    return 0 if len(counts) == 2 and counts[0] < counts[1] else 1


# -- by the predicted classes --------------------------------------------------------------------


def _accuracy(answers: ClassAnswers, w: np.ndarray) -> np.ndarray:
    return _share(w @ answers.right, w.sum(axis=1))


def _balanced_accuracy(answers: ClassAnswers, w: np.ndarray) -> np.ndarray:
    items = _by_class(answers.labels, w, answers.n_classes)
    found = _by_class(answers.labels, w * answers.right, answers.n_classes)
    return _mean_of_present(_share(found, items), items > 0)


def _f1(answers: ClassAnswers, w: np.ndarray) -> np.ndarray:
    """F_k = 2 TP / (T + P), T the items of class k and P those that were called so."""
    k = answers.n_classes
    found = _by_class(answers.labels, w * answers.right, k)
    either = _by_class(answers.labels, w, k) + _by_class(answers.predicted, w, k)
    each = _share(2 * found, either)  # (R, K)
    return each[:, answers.rare] if k == 2 else _mean_of_present(each, either > 0)


# -- by the probabilities ------------------------------------------------------------------------


def _auroc(answers: ClassAnswers, w: np.ndarray) -> np.ndarray:
    places = [1] if answers.n_classes == 2 else range(answers.n_classes)
    each = np.stack(
        [_area(answers.probabilities[:, k], answers.labels == k, w) for k in places], axis=1
    )
    known = np.isfinite(each)
    return _mean_of_present(np.where(known, each, 0.0), known)


def _area(p: np.ndarray, inside: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(R,): sum over items inside and outside of w_i w_o ([p_i > p_o] + [p_i = p_o] / 2), over all
    such pairs; NaN where there is none."""
    order = np.argsort(p, kind="stable")
    p, inside, w = p[order], inside[order], w[:, order]
    ours, others = w * inside, w * ~inside
    upto = np.concatenate([np.zeros((len(w), 1)), others.cumsum(axis=1)], axis=1)  # (R, N + 1)
    first, last = np.searchsorted(p, p, side="left"), np.searchsorted(p, p, side="right")
    below = (upto[:, first] + upto[:, last]) / 2
    pairs = ours.sum(axis=1) * others.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, (ours * below).sum(axis=1) / pairs, np.nan)


def _log_loss(answers: ClassAnswers, w: np.ndarray) -> np.ndarray:
    return _share(w @ item_log_losses(answers), w.sum(axis=1))


def item_log_losses(answers: ClassAnswers) -> np.ndarray:
    """-log p_y of each item (N,), nats."""
    truth = answers.probabilities[np.arange(len(answers.labels)), answers.labels]
    return -np.log(np.clip(truth.astype(np.float64), LEAST_PROBABILITY, 1.0))


# -- sums ----------------------------------------------------------------------------------------


def _by_class(groups: np.ndarray, w: np.ndarray, n_classes: int) -> np.ndarray:
    """(N,), (R, N) -> (R, K): the weight of each class."""
    return np.stack([np.bincount(groups, row, minlength=n_classes) for row in w])


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is 0."""
    return part / np.where(whole > 0, whole, 1.0)


def _mean_of_present(each: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(R, K) -> (R,): the mean of those that are present, NaN where none is."""
    number = present.sum(axis=1)
    total = np.where(present, each, 0.0).sum(axis=1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


CLASS_SCORES: dict[str, ClassScore] = {
    score.name: score
    for score in (
        ClassScore("accuracy", "fraction", _accuracy),
        ClassScore("balanced_accuracy", "balanced accuracy", _balanced_accuracy),
        ClassScore("f1", "F1", _f1),
        ClassScore("auroc", "AUROC", _auroc, of_decisions=False),
        ClassScore("log_loss", "-log loss", _log_loss, sign=-1, of_decisions=False),
    )
}
