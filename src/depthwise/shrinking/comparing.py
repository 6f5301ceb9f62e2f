"""The score that shrunk models are compared by: accuracy of classes, R2 of numbers.

Shapes: N items, K classes or targets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from depthwise.data.dataset import Dataset
from depthwise.errors import InputError
from depthwise.measuring.limits import Miss
from depthwise.models.estimator import Estimator
from depthwise.models.supervised import Regressor
from depthwise.scores.accuracy import wilson_interval
from depthwise.scores.regression import regression_report

__all__ = ["CLASSES", "NUMBERS", "Scoring", "scoring_named", "scoring_of"]


@dataclass(frozen=True)
class Scoring:
    """`name` in the record, `heading` of its column, a `unit` after a value and how many times it
    is told; `score(answers (N, K), targets)`: the value and its 95% interval; `targets(model, data,
    y)`: a part's answers as the model learns them; `answers(model, X)`: what it says, (N, K)."""

    name: str
    heading: str
    unit: str
    times: float
    score: Callable[[np.ndarray, np.ndarray], tuple[float, float, float]]
    targets: Callable[[Estimator, Dataset, np.ndarray], np.ndarray]
    answers: Callable[[Estimator, np.ndarray], np.ndarray]

    @property
    def points(self) -> str:
        """What a loss is counted in."""
        return "points of accuracy" if self.unit else f"of {self.name}"

    def told(self, value: float) -> str:
        """ "98.21%", "0.5123"."""
        return f"{self.times * value:.2f}%" if self.unit else f"{value:.4f}"

    def miss_in_words(self, miss: Miss) -> str:
        """By how much a limit is broken, that on the loss of accuracy included."""
        if miss.limit != "accuracy_drop":
            return str(miss)
        lost, allowed = self.times * miss.value, self.times * miss.allowed
        return f"it loses {lost:.2g} {self.points}, over the limit of {allowed:.2g}"


def scoring_of(model: Estimator) -> Scoring:
    return NUMBERS if isinstance(model, Regressor) else CLASSES


def scoring_named(name: str) -> Scoring:
    """Of a record; older ones do not say and are of classes."""
    return NUMBERS if name == NUMBERS.name else CLASSES


def _right(answers: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    right = int((answers.argmax(axis=1) == labels).sum())
    return (right / max(1, len(labels)), *wilson_interval(right, len(labels)))


def _explained(answers: np.ndarray, targets: np.ndarray) -> tuple[float, float, float]:
    report = regression_report(targets, answers)
    return report["value"], report["low"], report["high"]


def _indices(model: Estimator, data: Dataset, y: np.ndarray) -> np.ndarray:
    """The model's class indices of the Dataset's: by name, or where the model was fitted on indices
    themselves, 0 to K - 1, by those."""
    classes = _classes(model).tolist()
    places = {str(name): k for k, name in enumerate(classes)}
    missing = [name for name in data.classes if str(name) not in places]
    if missing and classes == list(range(len(data.classes))):
        return y
    if missing:
        raise InputError(
            f"{data.name} has the class {missing[0]!r}, which this model was not fitted on. Give "
            "the data that it was fitted on."
        )
    return np.array([places[str(name)] for name in data.classes], dtype=np.int64)[y]


def _numbers(model: Estimator, data: Dataset, y: np.ndarray) -> np.ndarray:
    """float32 (N, T)"""
    Regressor.require_data(data)
    encoded: np.ndarray = model._encode(y, reset=False, classes=None)
    return encoded


def _decided(model: Estimator, X: np.ndarray) -> np.ndarray:
    """One in the place of the class that it predicts, 0 in the others: (N, K)."""
    return (_predicted(model, X) == _classes(model)).astype(float)


def _predicted(model: Estimator, X: np.ndarray) -> np.ndarray:
    """(N, 1) labels, or (N, T) numbers."""
    assert model.predictor is not None
    return np.asarray(model.predictor.predict(X)).reshape(len(X), -1)


def _classes(model: Estimator) -> np.ndarray:
    assert model.known_classes is not None
    return model.known_classes


CLASSES = Scoring("accuracy", "right", "%", 100.0, _right, _indices, _decided)
NUMBERS = Scoring("R2", "R2", "", 1.0, _explained, _numbers, _predicted)
