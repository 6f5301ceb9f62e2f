"""95% confidence intervals of classification metrics, in closed form.

    accuracy            Wilson's, of the items
    balanced accuracy   the recalls' own Wilson intervals [l_k, u_k] joined (MOVER):
                        low = B - sqrt(sum_k (r_k - l_k)^2) / K, high with u_k; Zou and Donner 2008,
                        "Construction of confidence limits about effect measures"
    F1 of one class     F = 2J / (1 + J) rises with J = TP / (TP + FP + FN), a share of items:
                        Wilson's interval of J, carried over
    mean F1             delta method over the cells of the confusion; Takahashi et al. 2022,
                        "Confidence interval for micro-averaged F1 and macro-averaged F1 scores"
    AUROC               DeLong's; of the mean over classes by the same influence of each item
    log loss            the normal interval of a mean

Where no mistake was seen the delta method knows no doubt; then an interval reaches at least as far
as that of balanced accuracy would with every item right.

Shapes: N items, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from depthwise.scores.accuracy import (
    Z_95,
    auroc_interval,
    confusion_matrix,
    mean_interval,
    shares_below,
    wilson_interval,
)
from depthwise.scores.classification import CLASS_SCORES, ClassAnswers, item_log_losses

__all__ = ["class_interval", "interval_name"]

Interval = tuple[float, float]


def class_interval(name: str, answers: ClassAnswers) -> Interval | None:
    """(low, high) of the score `name`; None of one that these answers do not have."""
    value = CLASS_SCORES[name].value(answers)
    if not len(answers.labels) or not math.isfinite(value):
        return None
    return _INTERVALS[name][0](answers, value)


def interval_name(name: str, n_classes: int) -> str:
    """The name of the interval's method, for a metric's source: "Wilson"."""
    _, of_two, of_more = _INTERVALS[name]
    return of_two if n_classes == 2 else of_more


def _accuracy(answers: ClassAnswers, value: float) -> Interval:
    return wilson_interval(float(answers.right.sum()), len(answers.labels))


def _balanced_accuracy(answers: ClassAnswers, value: float) -> Interval:
    found = np.bincount(answers.labels, answers.right, minlength=answers.n_classes)
    below, above = _joined(found, answers.counts)
    return max(0.0, value - below), min(1.0, value + above)


def _joined(found: np.ndarray, counts: np.ndarray) -> Interval:
    """Half-widths, below and above, of the mean of the proportions found / counts (MOVER)."""
    reach = []
    for right, items in zip(found, counts):
        if items:
            low, high = wilson_interval(float(right), int(items))
            reach.append((right / items - low, high - right / items))
    below, above = np.sqrt((np.array(reach) ** 2).sum(axis=0)) / len(reach)
    return float(below), float(above)


def _f1(answers: ClassAnswers, value: float) -> Interval:
    if answers.n_classes > 2:
        return _mean_f1(answers, value)
    ours, called = answers.labels == answers.rare, answers.predicted == answers.rare
    low, high = wilson_interval(int((ours & called).sum()), int((ours | called).sum()))
    return 2 * low / (1 + low), 2 * high / (1 + high)


def _mean_f1(answers: ClassAnswers, value: float) -> Interval:
    """With F_k = 2 TP / (T + P), shares of all items, an item of class i called j moves the mean by

        psi = (1/K) (2 [i = j] / (T_i + P_i) - F_i / (T_i + P_i) - F_j / (T_j + P_j))

    and SE^2 = mean psi^2 / N."""
    n, k = len(answers.labels), answers.n_classes
    share = confusion_matrix(answers.labels, answers.predicted, k) / n
    either = share.sum(axis=1) + share.sum(axis=0)
    present = either > 0
    scale = np.where(present, 1 / np.where(present, either, 1.0), 0.0)
    pull = 2 * share.diagonal() * scale * scale  # F_k / (T_k + P_k)
    psi = np.diag(2 * scale) - pull[:, None] - pull[None, :]
    squared = float((share * (psi / present.sum()) ** 2).sum())
    return _reaching(answers, value, Z_95 * math.sqrt(squared / n))


def _auroc(answers: ClassAnswers, value: float) -> Interval:
    if answers.n_classes == 2:
        p, second = answers.probabilities[:, 1], answers.labels == 1
        return auroc_interval(p[~second], p[second])
    n = len(answers.labels)
    known = [k for k in range(answers.n_classes) if 0 < answers.counts[k] < n]
    psi = sum(_influence(answers.probabilities[:, k], answers.labels == k) for k in known)
    squared = float((np.asarray(psi) ** 2).sum()) / (n * max(n - 1, 1) * len(known) ** 2)
    return _reaching(answers, value, Z_95 * math.sqrt(squared))


def _influence(p: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(N,): of each item on the area A: N/n (its share of the others below - A), inside the class
    and likewise outside; of mean 0. DeLong et al. 1988."""
    below = shares_below(p[~inside], p[inside])
    above = 1 - shares_below(p[inside], p[~inside])
    found = np.zeros(len(p))
    found[inside] = (below - below.mean()) * len(p) / len(below)
    found[~inside] = (above - above.mean()) * len(p) / len(above)
    return found


def _log_loss(answers: ClassAnswers, value: float) -> Interval:
    losses = item_log_losses(answers)
    return mean_interval(losses) if len(losses) > 1 else (value, value)


def _reaching(answers: ClassAnswers, value: float, half: float) -> Interval:
    least, _ = _joined(answers.counts, answers.counts)
    low, high = value - max(half, value * least), value + max(half, (1 - value) * least)
    return max(0.0, low), min(1.0, high)


# by score: the interval, what it is called of two classes and of more
_INTERVALS: dict[str, tuple[Callable[[ClassAnswers, float], Interval], str, str]] = {
    "accuracy": (_accuracy, "Wilson", "Wilson"),
    "balanced_accuracy": (_balanced_accuracy, "joined Wilson", "joined Wilson"),
    "f1": (_f1, "Wilson", "delta-method"),
    "auroc": (_auroc, "DeLong", "DeLong"),
    "log_loss": (_log_loss, "normal", "normal"),
}
