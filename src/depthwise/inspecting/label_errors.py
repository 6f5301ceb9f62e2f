"""Likely label errors, by a noise floor: how often a class is given without any evidence for it.

    e_ik    = RIDGE p_ik + (1 - RIDGE) q_ik     p: leave-one-out ridge, q: share of class k among
                                                the NEIGHBOURS nearest items, copies left out
    s_ik    = e_ik - RIVAL max_(j != k) e_ij    the evidence for k, less some of that for another
    r(s)    = P(label_i = k | s_ik = s)         isotonic regression over all N K pairs (i, k)
    r0      = r in the LOWEST of the pairs      the floor: nothing speaks for class k, and yet the
                                                label says so
    P(wrong_i) = r0 / r(s_i, label_i)           share of such labels that the floor explains
    noise rate = (K - 1) r0

Where labels are right but hard, r is low without falling to r0, so that they are not called wrong.
Noise that always takes one class for another that looks alike raises their s as well, and cannot be
seen in this way.

Shapes: N items, F features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from depthwise.backbones.leave_one_out import LeaveOneOutRidge, one_hot

__all__ = ["LabelErrors", "find_label_errors"]

RIDGE, NEIGHBOURS, AXES = 0.6, 15, 64
RIVAL, LOWEST = 0.5, 0.2
LIKELY_WRONG = 0.5  # of 5% of wrong labels: precision 0.8, recall 0.6 (benchmarks/data)
FEWEST = 20  # items, of fewer nothing is said
MINIMUM = 1e-12
_BLOCK = 1024


@dataclass(frozen=True)
class LabelErrors:
    """wrong: probability (N,) that each label is wrong; likely: (N,) the class that speaks most for
    itself, other than the label; scores: s (N, K); rate: the estimated share of wrong labels."""

    wrong: np.ndarray
    likely: np.ndarray
    scores: np.ndarray
    rate: float

    @property
    def flagged(self) -> np.ndarray:
        """Items whose label is wrong with a probability above LIKELY_WRONG, the surest first."""
        found = np.flatnonzero(self.wrong > LIKELY_WRONG)
        own_first = np.argsort(-self.wrong[found], kind="stable")
        ordered: np.ndarray = found[own_first]
        return ordered


def find_label_errors(
    rows: np.ndarray, labels: np.ndarray, n_classes: int, groups: np.ndarray | None = None
) -> LabelErrors | None:
    """Of an embedding (N, F), class indices (N,), and groups (N,) of copies, which never vouch for
    one another. None where too few items or classes allow no statement."""
    if len(labels) < FEWEST or len(np.unique(labels)) < 2:
        return None
    scores = class_scores(rows, labels, n_classes, groups)
    truth = one_hot(labels, n_classes)
    rates, floor = _label_rates(scores, truth)
    own = rates[np.arange(len(labels)), labels]
    wrong = np.clip(floor / np.maximum(own, MINIMUM), 0, 1)
    others = np.where(truth > 0, -np.inf, scores)
    rate = min(1.0, (len(np.unique(labels)) - 1) * floor)
    return LabelErrors(wrong, others.argmax(axis=1), scores, rate)


def class_scores(
    rows: np.ndarray, labels: np.ndarray, n_classes: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """s (N, K): what the other items say of each."""
    truth = one_hot(labels, n_classes)
    ridge = LeaveOneOutRidge.of(rows)
    linear = ridge.left_out(truth, ridge.choose(truth, groups), groups)
    near = _neighbour_shares(ridge.components[:, -AXES:], truth, groups)
    evidence = RIDGE * linear + (1 - RIDGE) * near
    return np.asarray(evidence - RIVAL * _best_other(evidence))


def _best_other(evidence: np.ndarray) -> np.ndarray:
    """(N, K): the largest evidence for another class than each."""
    places = np.argmax(evidence, axis=1)
    best = evidence[np.arange(len(evidence)), places]
    second = np.partition(evidence, -2, axis=1)[:, -2]
    others = np.repeat(best[:, None], evidence.shape[1], axis=1)
    others[np.arange(len(evidence)), places] = second
    return others


def _neighbour_shares(
    components: np.ndarray, truth: np.ndarray, groups: np.ndarray | None
) -> np.ndarray:
    """q (N, K), by the cosine of the leading components."""
    length = np.linalg.norm(components, axis=1, keepdims=True)
    unit = torch.from_numpy(components / np.maximum(length, 1e-12))
    group = torch.arange(len(unit)) if groups is None else torch.from_numpy(groups)
    targets = torch.from_numpy(truth)
    nearest = min(NEIGHBOURS, len(unit) - 1)
    shares = []
    for start in range(0, len(unit), _BLOCK):
        cosines = unit[start : start + _BLOCK] @ unit.T
        cosines[group[start : start + _BLOCK, None] == group] = -2
        shares.append(targets[cosines.topk(nearest, dim=1).indices].mean(dim=1))
    return torch.cat(shares).numpy()


def _label_rates(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, float]:
    """r (N, K) of every pair, and the floor r0."""
    flat, hits = scores.reshape(-1), truth.reshape(-1)
    order = np.argsort(flat, kind="stable")
    rates = np.interp(flat, *_centred_isotonic(flat[order], hits[order]))
    lowest = order[: max(1, int(LOWEST * len(order)))]
    floor = float(hits[lowest].mean())
    return np.maximum(rates, floor).reshape(scores.shape), floor


def _centred_isotonic(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Isotonic regression of y on sorted x, as points to interpolate between: the mean x and y of
    each block of equal fit (Oron and Flournoy 2017)."""
    from sklearn.isotonic import isotonic_regression

    fit = isotonic_regression(y)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(fit) > 0) + 1])
    counts = np.diff([*starts, len(fit)])
    return np.add.reduceat(x, starts) / counts, fit[starts]
