"""The candidates: every family that can do the task, at each rung of its ladder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from depthwise.data.dataset import Dataset
from depthwise.errors import InputError
from depthwise.estimator import Classifier
from depthwise.layers import parameter_count

__all__ = ["TOO_LARGE", "Candidate", "able", "ladder", "worthwhile"]

TOO_LARGE = 30_000_000  # weights: on a first dense layer over big images, not worth building
MIDDLE_FIRST = ("s", "xs", "m", "xxs", "l", "xl")


@dataclass(frozen=True)
class Candidate:
    """One family at one size."""

    name: str
    make: type[Classifier]
    size: str | None
    seed: int

    @property
    def settings(self) -> dict[str, Any]:
        size = {} if self.size is None else {"size": self.size}
        return {**_pretrained(self.make).get(self.size, size), "random_state": self.seed}

    def model(self) -> Classifier:
        return self.make(**self.settings)

    def rank(self, kind: str) -> int:
        """How late it is tried on data of this kind where minutes are short, 0 the first: its
        family's `priority`, and sizes from the middle of the ladder outwards."""
        size = MIDDLE_FIRST.index(self.size) if self.size in MIDDLE_FIRST else 0
        return self.make.priority.get(kind, 0) + size

    def outputs(self, data: Dataset) -> int:
        """Outputs of its network: classes, or numbers to predict; of captions the pieces of words
        they are made of, of prose its tokens."""
        model: Any = self.model()
        if data.task == "language":
            model.tokenize(data.train.X, learn=True)
            return int(model.n_outputs)
        return int(model.vocabulary) if data.task == "captions" else data.n_outputs

    def parameters(self, input_shape: tuple[int, ...], n_classes: int) -> int:
        """How many weights it would have, without making them."""
        with torch.device("meta"):
            return parameter_count(self.model()._whole_network(input_shape, n_classes))

    def network(self, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
        """With random weights, for measuring."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            return self.model()._whole_network(input_shape, n_classes).eval()


def _pretrained(make: type[Classifier]) -> dict[Any, dict[str, Any]]:
    """Settings of the rungs that stand on what has learnt before, by name; of a family that has
    such rungs besides its sizes."""
    return getattr(make, "pretrained", {})


def able(
    families: Mapping[str, type[Classifier]], task: str, asked_for: bool
) -> dict[str, type[Classifier]]:
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
    families: dict[str, type[Classifier]],
    input_shape: tuple[int, ...],
    tell: Callable[[str], None],
) -> dict[str, type[Classifier]]:
    """Without those that say that they are no use on such items, or that need a package which is
    not there: a line is told of each."""
    reasons = {name: make.why_not(input_shape) for name, make in families.items()}
    for name, reason in reasons.items():
        if reason:
            tell(f"{name}: not tried: {reason}")
    return {name: make for name, make in families.items() if not reasons[name]}


def ladder(
    families: dict[str, type[Classifier]], input_shape: tuple[int, ...], seed: int
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
