"""Custom classification metrics: any function where greater is better.

    metric(y_true, y_pred)                labels (N,), and the labels that were predicted
    metric(y_true, probabilities)         labels, and (N, K) probabilities in the order of the
                                          sorted labels; the second argument's name says so
    metric(y_true, y_score)               as scikit-learn has it (also y_proba, y_prob): (N, K), but
                                          of two classes (N,), the second one's probability
    metric(estimator, X, y_true)          a scorer, as scikit-learn's make_scorer makes them

It is called with the items of the validation part, and with resamples of them for its interval and
for comparing candidates, so that it should take milliseconds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from depthwise.errors import InputError
from depthwise.scores.classification import CLASS_SCORES, ClassAnswers, ClassScore

__all__ = ["ALIASES", "CUSTOM_RESAMPLES", "as_name", "class_score", "name_of", "require_works"]

ALIASES = {"roc_auc": "auroc", "neg_log_loss": "log_loss", "logloss": "log_loss"}
SCORES_OF_TWO = ("y_score", "y_proba", "y_prob")
CUSTOM_RESAMPLES = 200


def class_score(metric: str | Callable[..., Any] | None) -> ClassScore:
    """The row of a score by its name, or one made of a function. None: accuracy.

    Raises InputError for an unknown name, listing the known ones, and for what cannot be called
    with two arguments or three.
    """
    if metric is None:
        return CLASS_SCORES["accuracy"]
    if callable(metric):
        return _made_of(metric)
    name = as_name(metric)
    if name not in CLASS_SCORES:
        raise InputError(f"metric must be one of {', '.join(CLASS_SCORES)}; got {metric!r}.")
    return CLASS_SCORES[name]


def require_works(metric: str | Callable[..., Any] | None, names: list[str]) -> None:
    """Call a custom metric on a few correctly predicted items before anything is trained. Raises
    InputError if it fails."""
    if not callable(metric):
        return
    labels = np.arange(4 * len(names)) % len(names)
    p = np.eye(len(names))[labels]
    score = class_score(metric)
    try:
        score.value(ClassAnswers(labels, labels, p, names=np.asarray(names)))
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"metric {score.name} fails on answers that are all right ({type(error).__name__}: "
            f"{error}). It is called as metric(y_true, y_pred), with the labels of the data."
        ) from None


def as_name(metric: str) -> str:
    """The metric's own name for a spelling such as "balanced-accuracy" or scikit-learn's
    "roc_auc"."""
    name = str(metric).lower().replace("-", "_").replace(" ", "_")
    return ALIASES.get(name, name)


def _made_of(metric: Callable[..., Any]) -> ClassScore:
    name = name_of(metric)
    ask, of_decisions = _manner(metric, name)

    def of(answers: ClassAnswers, w: np.ndarray) -> np.ndarray:
        return np.array([_number(ask(_repeated(answers, row)), name) for row in w])

    return ClassScore(name, name, of, of_decisions=of_decisions)


def name_of(metric: Callable[..., Any]) -> str:
    """What a function or a scorer of scikit-learn is called."""
    inner = getattr(metric, "_score_func", metric)
    return str(getattr(inner, "__name__", type(metric).__name__))


def _manner(metric: Callable[..., Any], name: str) -> tuple[Callable[[ClassAnswers], Any], bool]:
    """The function's calling convention, and whether it takes predicted labels only."""
    try:
        known = list(inspect.signature(metric).parameters.values())
    except (TypeError, ValueError):
        known = []
    taken = [
        p
        for p in known
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(taken) >= 3 or (known and known[0].name == "estimator"):
        sees_all = getattr(metric, "_response_method", "predict") != "predict"
        return lambda a: metric(Told(a), np.arange(len(a.labels)), _labels(a)), not sees_all
    second = known[1].name if len(known) > 1 else ""
    if len(known) < 2:
        raise InputError(
            f"metric {name} must take (y_true, y_pred), (y_true, probabilities) or, as a scorer of "
            "scikit-learn, (estimator, X, y_true)."
        )
    if second.startswith("prob"):
        return lambda a: metric(_labels(a), a.probabilities), False
    if second in SCORES_OF_TWO:
        return lambda a: metric(_labels(a), _of_two(a)), False
    return lambda a: metric(_labels(a), _names(a)[a.predicted]), True


class Told(ClassifierMixin, BaseEstimator):
    """A scikit-learn classifier that returns stored predictions: X holds the items' indices."""

    def __init__(self, answers: ClassAnswers):
        self.answers = answers
        self.classes_ = _names(answers)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(self.classes_[self.answers.predicted[X]])

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.asarray(self.answers.probabilities[X])


def _repeated(answers: ClassAnswers, weights: np.ndarray) -> ClassAnswers:
    """Repeat each item as often as its integer weight."""
    if (weights == 1).all():
        return answers
    places = np.repeat(np.arange(len(weights)), weights.astype(np.int64))
    parts = ("labels", "predicted", "probabilities")
    return replace(answers, **{part: getattr(answers, part)[places] for part in parts})


def _names(answers: ClassAnswers) -> np.ndarray:
    return np.arange(answers.n_classes) if answers.names is None else np.asarray(answers.names)


def _labels(answers: ClassAnswers) -> np.ndarray:
    return np.asarray(_names(answers)[answers.labels])


def _of_two(answers: ClassAnswers) -> np.ndarray:
    return answers.probabilities[:, 1] if answers.n_classes == 2 else answers.probabilities


def _number(value: Any, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(
            f"metric {name} must give one number; got {type(value).__name__}."
        ) from None
