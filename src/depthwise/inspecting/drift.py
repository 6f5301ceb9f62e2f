"""Whether the parts of a split are alike: in their items, and in how frequent each class is.

Items: a ridge classifier is asked which of two parts an item is from, each item left out in its
turn; its AUROC is compared with those of NULLS random divisions of the same items. Labels: a
chi-square test of the class counts, which the AUROC cannot see where all classes look alike.

Shapes: N items, F features, K classes.
"""

from __future__ import annotations

import numpy as np

from depthwise.backbones.leave_one_out import LeaveOneOutRidge
from depthwise.data.dataset import Dataset
from depthwise.inspecting.findings import Finding
from depthwise.scores.accuracy import auroc

__all__ = ["label_drift", "part_drift"]

MOST, FEWEST = 2000, 30  # items of a part: drawn at most, needed at least
NULLS = 39
VISIBLE = 0.55  # AUROC: below it a drift that is no chance is too small to matter
CHANCE = 0.01


def part_drift(data: Dataset, rows: np.ndarray, seed: int = 0) -> list[Finding]:
    """Of each part that differs from training in its items, an embedding (N, F) being given."""
    found = []
    for part in ("validation", "test"):
        auc, null = domain_auroc(rows, data.indices["train"], data.indices[part], seed)
        if auc > max(VISIBLE, null):
            evidence = (
                f"items of training and {part} can be told apart with AUROC {auc:.2f} "
                f"({null:.2f} by chance)"
            )
            found.append(_finding(part, evidence, auc))
    return found


def domain_auroc(
    rows: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int = 0
) -> tuple[float, float]:
    """AUROC of a classifier between two sets of items, and the largest of NULLS random divisions;
    (0, 1) of sets that are too small."""
    rng = np.random.default_rng(seed)
    sets = [
        items if len(items) <= MOST else rng.choice(items, MOST, False) for items in (first, second)
    ]
    if min(map(len, sets)) < FEWEST:
        return 0.0, 1.0
    ridge = LeaveOneOutRidge.of(rows[np.concatenate(sets)])
    is_second = np.repeat([0.0, 1.0], [len(sets[0]), len(sets[1])])
    targets = np.stack([is_second, *(rng.permutation(is_second) for _ in range(NULLS))], axis=1)
    penalty = ridge.choose(targets[:, :1])
    scores = ridge.left_out(targets, penalty)
    aucs = [auroc(s[t == 0], s[t == 1]) for s, t in zip(scores.T, targets.T)]
    return float(aucs[0]), float(max(aucs[1:]))


def label_drift(data: Dataset) -> list[Finding]:
    """Of each part whose classes are not as frequent as in training."""
    from scipy.stats import chi2_contingency

    if not (data.task_row.is_labelled and data.n_classes > 1):
        return []
    found, counts = [], data.counts()
    for part in ("validation", "test"):
        table = np.stack([counts["train"], counts[part]])
        table = table[:, table.sum(axis=0) > 0]
        if min(table.sum(axis=1)) < FEWEST or table.shape[1] < 2:
            continue
        p = float(chi2_contingency(table).pvalue)
        if p < CHANCE:
            shares = table / table.sum(axis=1, keepdims=True)
            k = int(np.abs(shares[0] - shares[1]).argmax())
            names = [n for n, total in zip(data.classes, counts["train"] + counts[part]) if total]
            evidence = (
                f"classes are not as frequent in {part} as in training (p = {p:.1g}): "
                f"{names[k]} {shares[1][k]:.1%} against {shares[0][k]:.1%}"
            )
            found.append(_finding(part, evidence, 1 - p))
    return found


def _finding(part: str, evidence: str, probability: float) -> Finding:
    action = "check how the split was made"
    return Finding("drift", (), (part,), evidence, probability, action)
