"""The candidates: every family that can do the task, at each rung of its ladder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from depthwise.compute import own_randomness
from depthwise.data.dataset import Dataset
from depthwise.errors import InputError
from depthwise.layers import parameter_count
from depthwise.measuring.classes import ClassMetric
from depthwise.models.estimator import Estimator
from depthwise.scores.custom import class_score
from depthwise.task import task_named

__all__ = ["TOO_LARGE", "Candidate", "able", "deciding", "ladder", "worthwhile"]

OF_EACH_CLASS = ("balanced_accuracy", "f1")  # scores in which a rare class counts as any other
UNEVEN = 3  # times as many items of the most common class as of the rarest
TOO_LARGE = 30_000_000  # weights: on a first dense layer over big images, not worth building
MIDDLE_FIRST = ("s", "xs", "m", "xxs", "l", "xl")


@dataclass(frozen=True)
class Candidate:
    """One family at one size; `more`: settings beside these, as pairs."""

    name: str
    make: type[Estimator]
    size: str | None
    seed: int
    more: tuple[tuple[str, Any], ...] = ()

    @property
    def learns_anew(self) -> bool:
        """Whether its settings and data alone make it again; not what a teacher taught."""
        return True

    @property
    def settings(self) -> dict[str, Any]:
        size = {} if self.size is None else {"size": self.size}
        own = size if self.size is None else self.make.pretrained.get(self.size, size)
        return {**own, "random_state": self.seed, **dict(self.more)}

    def model(self) -> Estimator:
        return self.make(**self.settings)

    def rank(self, kind: str) -> int:
        """How late it is tried on data of this kind where minutes are short, 0 the first: its
        family's `priority`, and sizes by `first_sizes`, else from the middle outwards."""
        order = self.make.first_sizes or MIDDLE_FIRST
        size = order.index(self.size) if self.size in order else 0
        return self.make.priority.get(kind, 0) + size

    def outputs(self, data: Dataset) -> int:
        """Outputs of its network: classes, numbers to predict, or tokens."""
        return self.model().outputs_for(data)

    def parameters(self, input_shape: tuple[int, ...], n_classes: int) -> int:
        """How many weights it would have, without making them."""
        with torch.device("meta"):
            return parameter_count(self.model()._whole_network(input_shape, n_classes))

    def network(self, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
        """With random weights, for measuring."""
        with own_randomness(self.seed):
            return self.model()._whole_network(input_shape, n_classes).eval()


def deciding(
    candidates: list[Candidate], data: Dataset, task: str, metric: ClassMetric
) -> list[Candidate]:
    """The candidates with the settings by which they learn for `metric`: it chooses their best pass
    if it has a name; of more than two uneven classes each counts as much as the others where that
    is asked. Two are told apart by a threshold instead (Classifier.tune_threshold)."""
    if metric is None or not task_named(task).is_labelled:
        return candidates
    more: dict[str, Any] = {} if callable(metric) else {"metric": class_score(metric).name}
    counts = np.bincount(data.labels[data.indices["train"]], minlength=data.n_classes)
    uneven = data.n_classes > 2 and counts.max() >= UNEVEN * max(1, counts.min())
    if uneven and more.get("metric") in OF_EACH_CLASS:
        more["class_weight"] = "balanced"
    pairs = tuple(more.items())
    return [replace(c, more=pairs) if c.make.has_setting("metric") else c for c in candidates]


def able(
    families: Mapping[str, type[Estimator]], task: str, asked_for: bool
) -> dict[str, type[Estimator]]:
    """Those of the families that can do `task`. Raises InputError where one that was asked for by
    name cannot."""
    fit = {name: make for name, make in families.items() if task in make.tasks}
    unfit = [name for name in families if name not in fit]
    if unfit and asked_for:
        tasks = ", ".join(families[unfit[0]].tasks)
        raise InputError(
            f"{unfit[0]} cannot do the task {task} (it can do {tasks}). Leave it out of families, "
            f"or leave families out to try all that can."
        )
    if not fit:
        raise InputError(f"no family can do the task {task}.")
    return fit


def worthwhile(
    families: dict[str, type[Estimator]],
    input_shape: tuple[int, ...],
    tell: Callable[[str], None],
) -> dict[str, type[Estimator]]:
    """The families that are of use on such items and have the packages they need; why the others
    are not tried goes to `tell`."""
    reasons = {name: make.why_not(input_shape) for name, make in families.items()}
    for name, reason in reasons.items():
        if reason:
            tell(f"{name}: not tried: {reason}")
    return {name: make for name, make in families.items() if not reasons[name]}


def ladder(
    families: dict[str, type[Estimator]], input_shape: tuple[int, ...], seed: int
) -> list[Candidate]:
    """Every family that takes such inputs, each at all its sizes, smallest first.

    Raises InputError when no family is left.
    """
    image = len(input_shape) >= 3  # or a clip of them
    candidates = [
        Candidate(f"{name}-{size}" if size else name, make, size, seed)
        for name, make in families.items()
        if not (make.table_only if image else make.image_only)
        for size in (make.rungs(input_shape) or (None,))
    ]
    if not candidates:
        what = "pictures" if image else f"a table of {input_shape[0]} columns"
        raise InputError(
            f"families={', '.join(families)!r} learn from {'tables' if image else 'images'} only, "
            f"and the data is {what}. Add dnn, logistic or boosting."
        )
    return candidates
