"""The verb inspect: one embedding of the data, and what it says of labels, copies and strangers.

    findings = inspect(load_data("digits"))        # Findings
    findings.first(10)                              # what to look at first
    print(findings)

Shapes: N items, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depthwise.backbones.embedding import embed, leading_components
from depthwise.data.dataset import Dataset
from depthwise.data.duplicates import unite
from depthwise.inspecting.drift import label_drift, part_drift
from depthwise.inspecting.findings import Finding, Findings
from depthwise.inspecting.label_errors import LabelErrors, find_label_errors
from depthwise.inspecting.outliers import outlier_scores
from depthwise.inspecting.twins import find_twins

__all__ = ["inspect"]

STRANGE = 4.0  # times the typical distance to the nearest items
MOST_OUTLIERS = 100
FEWEST = 20  # items; of fewer nothing is said
EMBEDDED = "label errors, twins, outliers, drift"

Log = Callable[[str], None]


def inspect(data: Dataset, *, quick: bool = False, log: Log | None = None) -> Findings:
    """What is likely wrong in the data, the likeliest first.

    quick: only what reading and checking found, without an embedding. log: called with a line of
    progress. Of running text only the problems of reading are returned.
    """
    why = _why_not(data, quick)
    if why:
        return Findings([], data.problems, unseen=[f"{EMBEDDED}: {why}"])
    found = embed(data.inputs, data.kind, log)
    leading = leading_components(found.rows)
    pairs, likeness = _twins(data, leading)
    copies = np.arange(len(found.rows)) if data.groups is None else data.groups
    errors = _label_errors(data, found.rows, unite(copies, pairs))
    rows = [
        *([] if errors is None else _label_findings(data, errors)),
        *_twin_findings(data, pairs, likeness),
        *_outliers(data, leading),
        *part_drift(data, found.rows),
        *label_drift(data),
    ]
    unseen = ["label errors: no classes, or too few items"] if errors is None else []
    rate = None if errors is None else errors.rate
    ordered = sorted(rows, key=lambda row: -row.probability)
    return Findings(ordered, data.problems, rate, found.by, unseen)


def _why_not(data: Dataset, quick: bool) -> str:
    """Why no network looks at the items; "" if one does."""
    if quick:
        return "--quick"
    if data.task_row.continues_text:
        return "running text"
    return f"{len(data.labels)} items" if len(data.labels) < FEWEST else ""


def _label_errors(data: Dataset, rows: np.ndarray, copies: np.ndarray) -> LabelErrors | None:
    """None where the answers are not one class an item, or too few."""
    if not (data.task_row.is_labelled and data.classes):
        return None
    return find_label_errors(rows, data.labels, data.n_classes, copies)


def _label_findings(data: Dataset, errors: LabelErrors) -> list[Finding]:
    found = []
    for i in errors.flagged.tolist():
        given, better = data.classes[data.labels[i]], data.classes[errors.likely[i]]
        evidence, action = f"given as {given}, looks like {better}", f"look, or relabel as {better}"
        wrong = float(errors.wrong[i])
        found.append(Finding("label error", (i,), (data.item_name(i),), evidence, wrong, action))
    return found


def _twins(data: Dataset, leading: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (P, 2) of pictures that are one picture, and how alike they are (P,)."""
    if data.kind == "images":
        return find_twins(data.inputs, leading)
    if data.kind == "video":
        return find_twins(data.inputs[:, data.inputs.shape[1] // 2], leading)
    return np.zeros((0, 2), np.int64), np.zeros(0)


def _twin_findings(data: Dataset, pairs: np.ndarray, likeness: np.ndarray) -> list[Finding]:
    part = _part_of(data)
    rows = []
    for (i, j), alike in zip(pairs.tolist(), likeness.tolist()):
        if part[i] != part[j]:
            kept, copy = sorted((i, j), key=lambda item: part[item])
            where = f"in {part[kept]} and in {part[copy]}"
            rows.append(_pair(data, "leak", kept, copy, alike, where, "remove it from training"))
        else:
            where = f"both in {part[i]}"
            rows.append(_pair(data, "twin", i, j, alike, where, "keep one of them"))
    return rows


def _pair(
    data: Dataset, kind: str, i: int, j: int, alike: float, where: str, action: str
) -> Finding:
    names = (data.item_name(i), data.item_name(j))
    differ = data.task_row.is_labelled and data.labels[i] != data.labels[j]
    labels = f", as {data.classes[data.labels[i]]} and {data.classes[data.labels[j]]}"
    evidence = f"correlation {alike:.2f} once aligned, {where}{labels if differ else ''}"
    return Finding(kind, (i, j), names, evidence, min(0.99, alike), action)


def _outliers(data: Dataset, leading: np.ndarray) -> list[Finding]:
    scores = outlier_scores(leading)
    strange = np.flatnonzero(scores > STRANGE)
    ordered = strange[np.argsort(-scores[strange], kind="stable")][:MOST_OUTLIERS]
    return [
        Finding(
            "outlier",
            (int(i),),
            (data.item_name(int(i)),),
            f"{scores[i]:.1f} times as far from its nearest items as is typical",
            float(1 - STRANGE / (2 * scores[i])),
            "look whether it belongs here",
        )
        for i in ordered
    ]


def _part_of(data: Dataset) -> np.ndarray:
    """The part of each item, (N,) str; "" of one that is in none."""
    part = np.full(len(data.labels), "", dtype="<U10")
    for name, items in data.indices.items():
        part[items] = name
    return part
