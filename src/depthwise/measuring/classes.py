"""Scores of a classifier: accuracy, and beside it what accuracy hides.

    details   items, per_class (recalls), confusion, calibration_error, as accuracy has them;
              metric   the name of the score that `value` is
              scores   every score of class_scores.py: value, low, high, how its 95% interval is
                       come by, and for F1 of two classes the class that it is of

Shapes: N items, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthwise.data.dataset import Dataset
from depthwise.errors import InputError
from depthwise.measuring.metric import Metric, readable
from depthwise.models.estimator import Estimator
from depthwise.models.supervised import Classifier
from depthwise.scores.accuracy import accuracy_report
from depthwise.scores.classification import CLASS_SCORES, ClassAnswers, ClassScore, rarer_class
from depthwise.scores.custom import CUSTOM_RESAMPLES, class_score
from depthwise.scores.intervals import class_interval, interval_name
from depthwise.task import SCORES, per_cent

__all__ = [
    "ClassMetric",
    "accuracy",
    "class_answers",
    "class_metric",
    "classification",
    "classification_of",
    "told_of",
    "told_score",
    "told_scores",
]

ClassMetric = str | Callable[..., Any] | None


def classification(
    model: Estimator, data: Dataset, part: str, metric: ClassMetric = None
) -> Metric:
    """The score `metric` (None: accuracy) on a part of `data`. Classes are in the order of the
    data's: a model sorts its own, by text, so that "10" comes before "2"."""
    return classification_of(class_answers(model, data, part), data, metric)


def classification_of(answers: ClassAnswers, data: Dataset, metric: ClassMetric) -> Metric:
    """The same of answers that are known already. Classes that only the model knows come last."""
    found = class_metric(answers, metric)
    recalls, matrix = found.details["per_class"], found.details["confusion"]
    names = [*data.classes, *(name for name in recalls if name not in data.classes)]
    places = [names.index(name) for name in recalls]
    confusion = np.zeros((len(names), len(names)), np.int64)
    confusion[np.ix_(places, places)] = matrix
    ordered = {"per_class": {name: recalls.get(name) for name in names}}
    return replace(found, details={**found.details, **ordered, "confusion": confusion.tolist()})


def class_answers(model: Estimator, data: Dataset, part: str) -> ClassAnswers:
    """The model's answers to a part; `rare` is the rarer of two classes in the training part."""
    if not data.classes:
        raise InputError(
            f"{data.name} has no labels to tell apart. Ask for what is strange: --task anomaly."
        )
    if not isinstance(model, Classifier):
        raise InputError(f"{model.family} predicts no classes, which {data.name} is data for.")
    X, y = data.part(part)
    names = np.asarray(data.classes)
    learnt = np.bincount(data.labels[data.indices["train"]], minlength=data.n_classes)
    number = dict(zip(data.classes, learnt.tolist()))
    counts = np.array([number.get(str(name), 0) for name in model.classes_])
    return _answers(model, X, _indices(names[y], model.classes_), counts)


def accuracy(model: Classifier, X: Any, y: Any, metric: ClassMetric = None) -> Metric:
    """Share of held-out items given their class, 95% Wilson interval, or the score `metric`.
    X: (N, ...); y: (N,) class labels, or int indices into model.classes_."""
    labels = _indices(y, model.classes_)
    counts = np.bincount(labels, minlength=len(model.classes_))
    return class_metric(_answers(model, X, labels, counts), metric)


def _answers(
    model: Classifier, X: Any, labels: NDArray[np.int64], counts: NDArray[np.int64]
) -> ClassAnswers:
    p = np.asarray(model.predict_proba(X))
    return ClassAnswers(labels, model.decide(p), p, rarer_class(counts), model.classes_)


def class_metric(answers: ClassAnswers, metric: ClassMetric = None) -> Metric:
    """The score `metric` of these answers, and in its details all the others."""
    asked = class_score(metric)
    names = [str(name) for name in np.asarray(answers.names).tolist()]
    report = accuracy_report(answers.labels, answers.probabilities, names, answers.predicted)
    for key in ("value", "low", "high"):
        del report[key]
    scores = {name: _score(name, answers, names) for name in CLASS_SCORES}
    entry = scores.get(asked.name) or _custom(asked, answers)
    value, low, high = (entry[key] for key in ("value", "low", "high"))
    if asked.sign < 0:
        value, low, high = (None if x is None else -x for x in (value, high, low))
    return Metric(
        math.nan if value is None else value,
        asked.unit,
        "measured",
        low=low,
        high=high,
        source=f"{report['items']:,} held-out items, 95% {entry['interval']} interval",
        details={**report, "metric": asked.name, "scores": scores},
    )


def _score(name: str, answers: ClassAnswers, names: list[str]) -> dict[str, Any]:
    value = CLASS_SCORES[name].value(answers)
    low, high = class_interval(name, answers) or (None, None)
    told: dict[str, Any] = {"value": value if math.isfinite(value) else None}
    told |= {"low": low, "high": high, "interval": interval_name(name, len(names))}
    return told | ({"of": names[answers.rare]} if name == "f1" and len(names) == 2 else {})


def told_scores(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value and interval as text) of every score but the one that was asked for."""
    scores = details.get("scores") or {}
    return [
        (f"{entry.get('name') or name.replace('_', ' ')}{told_of(entry)}", told_score(name, entry))
        for name, entry in scores.items()
        if name != details.get("metric") and entry["value"] is not None
    ]


def told_of(entry: Mapping[str, Any]) -> str:
    """ " of yes": the class that an F1 is of."""
    return f" of {entry['of']}" if "of" in entry else ""


def told_score(name: str, entry: Mapping[str, Any]) -> str:
    """ "71.6% (68.2-74.9)", "0.812 (0.790-0.834)"; of numbers "43.2 (36.9-49.6)"."""
    value, low, high = (entry[key] for key in ("value", "low", "high"))
    if name not in CLASS_SCORES:
        return f"{readable(value)} ({readable(low)}-{readable(high)})"
    share = SCORES[CLASS_SCORES[name].unit].is_share
    text = per_cent(value) if share else f"{value:.3f}"
    if low is None or high is None:
        return text
    ends = f"{100 * low:.1f}-{100 * high:.1f}" if share else f"{low:.3f}-{high:.3f}"
    return f"{text} ({ends})"


def _custom(score: ClassScore, answers: ClassAnswers) -> dict[str, Any]:
    """A function of the user's: the middle 95% of its values on resamples of the items."""
    value, n = score.value(answers), len(answers.labels)
    random = np.random.default_rng(0)
    drawn = random.integers(0, n, (CUSTOM_RESAMPLES, n))
    weights = np.stack([np.bincount(row, minlength=n) for row in drawn])
    found = score.resampled(answers, weights)
    low, high = np.nanpercentile(found, [2.5, 97.5]) if np.isfinite(found).any() else (None, None)
    ends = (None if low is None else float(low), None if high is None else float(high))
    known = value if math.isfinite(value) else None
    return {"value": known, "low": ends[0], "high": ends[1], "interval": "bootstrap"}


def _indices(y: Any, classes: Any) -> NDArray[np.int64]:
    """Labels (N,) as indices into classes. A label is the class of the same text, 3 or "3";
    integers that are no labels are taken as indices."""
    y, names = np.asarray(y), [str(name) for name in classes]
    order = {name: i for i, name in enumerate(names)}
    texts = [str(label) for label in y.tolist()]
    unknown = next((text for text in texts if text not in order), None)
    if unknown is None:
        return np.array([order[text] for text in texts], dtype=np.int64)
    if y.dtype.kind in "iu" and np.asarray(classes).dtype.kind not in "iu":
        if y.min() >= 0 and y.max() < len(names):
            return y.astype(np.int64)
        raise InputError(f"labels must be 0 to {len(names) - 1}; got {y.min()} to {y.max()}.")
    raise InputError(f"label {unknown!r} is none of the model's classes: {', '.join(names[:20])}.")
