"""Numbers as labels: the names of classes, or a quantity to predict?

    a quantity   fractions, of more than 50 different values, or of fewer than 5 items a value
                 whole numbers, of more than 50 different values, where they are fewer than 5 items
                 a value, or are not numbered without gaps from 0 or 1 as classes are
                 whole numbers, of more than 10 different values, fewer than 2 items a value
    classes      all others; of an array fractions never are

What was taken is told in one line, with how to have the other: `task=` "regression" or
"classification".

Shapes: N items, T targets.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from depthwise.data.problem import Problem
from depthwise.errors import DataError
from depthwise.task import data_task_named

__all__ = [
    "as_targets", "asks_for_classes", "asks_for_numbers", "bins", "is_quantity",
    "numbered_classes", "target_problems", "told_as_classes", "told_as_quantity",
]  # fmt: skip

MANY, FEW_EACH = 50, 5  # different values; items of a value
FEWEST_EACH = 2  # items of a class, below which there is nothing to learn of most of them
DOUBTFUL = 11  # different values, from which on classes that are numbers are told
FAR = 20  # times as far from the median as the middle half of the targets
BINS, IN_A_BIN = 10, 10


def asks_for_numbers(task: str | None) -> bool:
    """Whether the `task=` that was given, if any, wants labels as numbers to predict."""
    return task is not None and data_task_named(task).predicts_numbers


def asks_for_classes(task: str | None) -> bool:
    """Whether the `task=` that was given, if any, wants labels as classes."""
    return task is not None and data_task_named(task).is_labelled


def is_quantity(values: np.ndarray) -> bool:
    """Whether these labels (N,), finite numbers, are a quantity by the rules above."""
    distinct = np.unique(values)
    rare = len(values) < FEW_EACH * len(distinct)
    if (distinct != np.round(distinct)).any():
        return len(distinct) > MANY or (rare and len(distinct) > FEW_EACH)
    if len(distinct) >= DOUBTFUL and len(values) < FEWEST_EACH * len(distinct):
        return True
    return len(distinct) > MANY and (rare or not _is_numbered(distinct))


def _is_numbered(distinct: np.ndarray) -> bool:
    """Sorted whole numbers: 0 to K - 1, or 1 to K."""
    return bool(distinct[0] in (0, 1) and distinct[-1] - distinct[0] == len(distinct) - 1)


def as_targets(values: np.ndarray, where: str, name: Callable[[int], str]) -> np.ndarray:
    """float64 (N,) or (N, T), of (N, 1) the column; `name(i)` names an item in the error.

    Raises DataError for other shapes, for what is no number, and for NaN and infinity.
    """
    if values.dtype.kind not in "iubf" or values.ndim not in (1, 2):
        raise DataError(
            f"{where}: numbers to predict must be (N,) or (N, T); got {values.shape} of "
            f"{values.dtype}."
        )
    targets = values.astype(np.float64)
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    bad = np.flatnonzero(~np.isfinite(targets.reshape(len(targets), -1)).all(axis=1))
    if len(bad):
        shown = targets[bad[0]]
        raise DataError(
            f"{where}: the number to predict of {name(int(bad[0]))} is {shown} ({len(bad):,} "
            "such); fill it in or leave the item out."
        )
    return targets


def numbered_classes(classes: list[str]) -> np.ndarray | None:
    """The numbers that classes are called by, float64 (K,); None where one is called otherwise."""
    try:
        numbers = np.array([float(name) for name in classes], np.float64)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


# -- what is told ---------------------------------------------------------------------------------


def told_as_quantity(where: str, values: np.ndarray) -> Problem:
    several = f" in {values.shape[1]} columns" if values.ndim == 2 else ""
    detail = (
        f"{len(np.unique(values)):,} different numbers{several}, taken as a quantity to predict; "
        "--task classification takes them as classes"
    )
    return Problem("numbers to predict", where, detail)


def told_as_classes(where: str, values: np.ndarray) -> list[Problem]:
    """Of labels (N,) that are finite numbers, where they might be a quantity."""
    distinct = np.unique(values)
    whole = (distinct == np.round(distinct)).all()
    if whole and (len(distinct) < DOUBTFUL or _is_numbered(distinct)):
        return []
    detail = (
        f"{len(distinct):,} different numbers, taken as classes; --task regression predicts them "
        "as a quantity"
    )
    return [Problem("numbers as classes", where, detail)]


def target_problems(targets: np.ndarray, name: Callable[[int], str]) -> list[Problem]:
    """Targets (N,) or (N, T) of one value, and those far from all others."""
    found = []
    columns = targets.reshape(len(targets), -1)
    for t, column in enumerate(columns.T):
        which = f"target {t + 1}: " if columns.shape[1] > 1 else ""
        if column.min() == column.max():
            found.append(Problem("constant target", which.rstrip(": "), f"{column[0]:g} always"))
            continue
        low, middle, high = np.quantile(column, [0.25, 0.5, 0.75])
        far = np.flatnonzero(abs(column - middle) > FAR * (high - low))
        if len(far) and high > low:
            first = int(far[0])
            detail = f"{which}{column[first]:g}, where half are {low:g} to {high:g}"
            found.append(Problem("target far from the others", name(first), detail, len(far)))
    return found


def bins(targets: np.ndarray) -> np.ndarray:
    """int64 (N,): ten lots of equal size, from the smallest targets (N,) or (N, T) to the largest,
    for the split to share out; fewer where there are few items. Of several targets by the mean of
    each over its spread."""
    columns = targets.reshape(len(targets), -1)
    spread = columns.std(axis=0)
    size = (columns / np.where(spread > 0, spread, 1)).mean(axis=1)
    lots = int(np.clip(len(size) // IN_A_BIN, 1, BINS))
    rank = np.argsort(np.argsort(size, kind="stable"), kind="stable")
    return rank * lots // len(size)
