"""What costs nothing: always the same answer, whatever is asked. A network that is not better than
that is worth nothing, however high its accuracy.

    classes   the most common one, each as likely as it is in the training part
    numbers   the mean of the training part, of which R2 is 0

Candidates are held against it on the validation part, the winner once on the test part, by the
paired test of their score (paired.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from depthwise.choosing.evidence import BLANK
from depthwise.choosing.kept_answers import ItemScores, of_classes, of_numbers
from depthwise.choosing.selecting import better_p, test_name
from depthwise.data.dataset import Dataset
from depthwise.measuring.classes import ClassMetric, classification_of
from depthwise.measuring.metric import Metric, readable
from depthwise.measuring.number_quality import number_metric
from depthwise.scores.classification import ClassAnswers, rarer_class
from depthwise.task import task_named

__all__ = ["LEVEL", "Majority", "Mean", "baseline"]

LEVEL = 0.05  # one-sided, of one test
MUCH = 0.8  # of the items in one class


class Baseline:
    """A model that gives every item one answer, scored by `metric`; `answer`: in words."""

    name: str
    answer: str

    def __init__(self, data: Dataset, metric: ClassMetric):
        self.data, self.metric = data, metric

    def score(self, part: str) -> Metric:
        raise AssertionError("a baseline says how it is scored")

    def items(self, part: str) -> ItemScores:
        raise AssertionError("a baseline says what it is compared by")

    def record(self, winner: ItemScores | None) -> dict[str, Any]:
        """`winner`: its answers about the test part, where there is one."""
        p = None if winner is None else better_p(winner, self.items("test"))
        return {
            "name": self.name,
            "answer": self.answer,
            "share": None,
            "validation": self.score("validation").to_dict(),
            "test": self.score("test").to_dict(),
            "test_name": None if winner is None else test_name(winner),
            "level": LEVEL,
            "p": p,
            "beaten": None if p is None else p <= LEVEL,
        }

    def warning(self) -> str:
        """That the score asked for says little of such data; "" where it does."""
        return ""

    def rows(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        """Beside the candidates: itself, unless it is one of them."""
        return []


class Majority(Baseline):
    """The most common class of the training part; `share`: of its items."""

    name = "majority"

    def __init__(self, data: Dataset, metric: ClassMetric):
        super().__init__(data, metric)
        self.counts = np.bincount(data.labels[data.indices["train"]], minlength=data.n_classes)
        self.share = float(self.counts.max() / max(1, self.counts.sum()))
        self.answer = data.classes[int(self.counts.argmax())]

    def answers(self, part: str) -> ClassAnswers:
        labels = self.data.labels[self.data.indices[part]]
        p = np.tile(self.counts / max(1, self.counts.sum()), (len(labels), 1))
        names = np.asarray(self.data.classes)
        predicted = np.full(len(labels), self.counts.argmax())
        return ClassAnswers(labels, predicted, p, rarer_class(self.counts), names)

    def score(self, part: str) -> Metric:
        return classification_of(self.answers(part), self.data, self.metric)

    def items(self, part: str) -> ItemScores:
        return of_classes(self.answers(part), self.metric)

    def record(self, winner: ItemScores | None) -> dict[str, Any]:
        return {**super().record(winner), "share": self.share}

    def warning(self) -> str:
        if self.share < MUCH or self.metric not in (None, "accuracy"):
            return ""
        others = [
            f"{name} {count / max(1, self.counts.sum()):.1%}"
            for name, count in zip(self.data.classes, self.counts)
            if name != self.answer
        ]
        return (
            f"{self.share:.1%} of the training items are {self.answer!r} ({', '.join(others[:3])}"
            f"{', ...' * (len(others) > 3)}): accuracy says little here; --metric "
            "balanced_accuracy, f1 or auroc asks for all classes"
        )

    def rows(self, record: dict[str, Any]) -> list[dict[str, Any]]:
        told = f"always answers {self.answer!r}, as {self.share:.1%} of the training items are"
        row: dict[str, Any] = {"name": self.name, "family": self.name, "size": None, "settings": {}}
        row |= {"status": "baseline", "reason": f"{told}; costs nothing", "scorecard": None}
        return [{**row, **BLANK, "validation_accuracy": record["validation"]}]


class Mean(Baseline):
    """The mean of the training part's numbers, (T,) of several; among the candidates as "mean"."""

    name = "mean"

    def __init__(self, data: Dataset, metric: ClassMetric):
        super().__init__(data, metric)
        self.mean = self._numbers("train").mean(axis=0)
        self.answer = ", ".join(readable(float(mean)) for mean in np.atleast_1d(self.mean)[:3])

    def _numbers(self, part: str) -> np.ndarray:
        targets: Any = self.data.targets
        return np.asarray(targets[self.data.indices[part]], np.float64)

    def kept(self, part: str) -> dict[str, np.ndarray]:
        truth = self._numbers(part)
        return {"truth": truth, "answers": np.broadcast_to(self.mean, truth.shape)}

    def score(self, part: str) -> Metric:
        kept = self.kept(part)
        return number_metric(kept["truth"], kept["answers"], self.metric)

    def items(self, part: str) -> ItemScores:
        return of_numbers(self.kept(part), self.metric)


BASELINES: dict[str, type[Baseline]] = {"class": Majority, "numbers": Mean}  # by answer


def baseline(data: Dataset, task: str, metric: ClassMetric) -> Baseline | None:
    """None of a task that has no answer which is always possible."""
    always = BASELINES.get(task_named(task).answer)
    return always(data, metric) if always else None
