"""The decision threshold of two classes: the probability from which the second is predicted.

Half is best for accuracy, where probabilities are true. What is asked of a rare class is not
accuracy: for balanced accuracy the best cut lies near the class's share, for F1 near half of the
best F1 (Lipton, Elkan and Naryanaswamy 2014, "Optimal Thresholding of Classifiers to Maximize F1
Measure"). Here it is the cut that scores best on held-out items; of equal ones the nearest to half.

With the items ordered by p, called second are the m last of them, TP(m) of which are:

    balanced accuracy   (TP / P + (N - FP) / N) / 2,  FP = m - TP,  P and N items of each class
    F1 of the second    2 TP / (m + P);   of the first  2 TN / (P + N - m + N),  TN = N - FP

Shapes: N items, M cuts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from depthwise.scores.classification import CLASS_SCORES, ClassAnswers, ClassScore

__all__ = ["best_cut", "cut", "is_cut_for"]

MOST_TRIED = 50  # cuts, of a score that is a function of the user's


def is_cut_for(score: ClassScore, n_classes: int) -> bool:
    """Whether a threshold is tuned: for two classes and a metric of predicted labels."""
    return n_classes == 2 and score.of_decisions and score is not CLASS_SCORES["accuracy"]


def cut(answers: ClassAnswers, threshold: float) -> ClassAnswers:
    """The same probabilities, cut at `threshold` of the second class."""
    called = (answers.probabilities[:, 1] >= threshold).astype(np.int64)
    return replace(answers, predicted=called)


def best_cut(answers: ClassAnswers, score: ClassScore) -> tuple[float, float]:
    """(threshold, its score), more is better."""
    p = answers.probabilities[:, 1].astype(np.float64)
    order = np.argsort(-p, kind="stable")
    falling = p[order]
    places = np.flatnonzero(np.diff(falling)) + 1  # between different p only: (M,) items above
    cuts = (falling[places - 1] + falling[places]) / 2
    cuts, places = np.append(cuts, 0.5), np.append(places, (p >= 0.5).sum())
    values = _values(answers, score, cuts, places, order)
    best = np.flatnonzero(values >= np.nanmax(values) - 1e-12)
    chosen = best[np.abs(cuts[best] - 0.5).argmin()]
    return float(cuts[chosen]), float(values[chosen])


def _values(
    answers: ClassAnswers,
    score: ClassScore,
    cuts: np.ndarray,
    places: np.ndarray,
    order: np.ndarray,
) -> np.ndarray:
    """(M,): the score of each cut, NaN of those that are not tried."""
    second = (answers.labels == 1)[order]
    ours = np.append(0, second.cumsum())[places].astype(np.float64)  # called second, and are
    p, n = float(second.sum()), float((~second).sum())
    others = places - ours
    if score is CLASS_SCORES["balanced_accuracy"] and p and n:
        return np.asarray((ours / p + (n - others) / n) / 2)
    if score is CLASS_SCORES["f1"]:
        if answers.rare == 1:
            return 2 * ours / np.maximum(places + p, 1)
        return 2 * (n - others) / np.maximum(len(second) - places + n, 1)
    values = np.full(len(cuts), np.nan)
    for m in np.unique(np.linspace(0, len(cuts) - 1, MOST_TRIED).astype(np.int64)):
        values[m] = score.sign * score.value(cut(answers, cuts[m]))
    return values
