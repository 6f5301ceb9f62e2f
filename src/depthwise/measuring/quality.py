"""How well a model does its task on items it has not seen: the first of the six metrics.

    task              unit       value
    classification    fraction   share of items given their class
    generate          nats       mean log-likelihood of an item, or a lower bound of it
    anomaly           AUROC      chance that a spoilt item looks stranger than a sound one
    video, text       fraction   share of clips or texts given their class
    detection         AP50       average precision of boxes at an overlap of a half, mean of classes
    counting          -MAE       minus the mean absolute error of counts by image, mean of classes
    captions          BLEU-4     runs of words shared with what people said, over all items
    retrieval         R@10       share of pictures with a caption of their own among the 10 nearest
    pairs             Spearman   rank correlation of similarities; of two classes their F1, of more
                                 a fraction, the share that is right
    language          -bits/byte minus the bits that a byte of text takes, told what is before it
    regression        R2         share of the variance explained; details: RMSE and MAE, in the
                                 units of what is predicted
    segmentation      mIoU       overlap of what is said with what is, by pixels, mean of classes
    faces             fraction   as the recogniser's `assess` has it, on pairs of faces

Classes are scored by another of scores/classification.py or by a function where `metric` asks for
it; what metrics a task has is told by SCORED_BY.
More is better in each, and each has its 95% interval over the items. Likelihoods of different
models compare where their visible units are of the same kind (details: visible).

Shapes: N items, K classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from depthwise.data.dataset import Dataset
from depthwise.data.targets.classed import ClassedTargets
from depthwise.errors import DivergedError, InputError
from depthwise.measuring.classes import ClassMetric, accuracy, classification
from depthwise.measuring.corruption import SEED, corrupted
from depthwise.measuring.metric import Metric
from depthwise.measuring.number_quality import quality_of_items, quality_of_part
from depthwise.models.datasets import columns_of
from depthwise.models.estimator import Estimator
from depthwise.models.generative import Generative
from depthwise.scores.accuracy import auroc, auroc_interval, mean_interval
from depthwise.scores.classification import CLASS_SCORES
from depthwise.scores.custom import as_name, class_score
from depthwise.scores.regression import ALIASES, NUMBER_SCORES, number_score
from depthwise.task import SCORES, UNITS, Task, task_named
from depthwise.task import TASKS as TASK_ROWS

__all__ = [
    "LABELLED", "METRIC_NAMES", "OWN", "SCORED_BY", "TASKS", "UNITS", "accuracy", "assessment",
    "likely_task", "metric_name", "quality", "reading", "reading_for",
    "require_known_metric", "require_metric",
]  # fmt: skip

TASKS = tuple(TASK_ROWS)
OWN = {
    row.name: row.data for row in TASK_ROWS.values() if row.data
}  # whose data are of their own kind
METRICS = {"spearman": "Spearman", "f1": "F1", "accuracy": "fraction"}  # of `assess`
LABELLED = tuple(row.name for row in TASK_ROWS.values() if row.is_labelled)


class _Scoring(NamedTuple):
    """How answers of a kind are scored where `metric` leaves a choice: its names, the score of a
    name or function, and how a model is scored on a part of a Dataset; on items X alone too,
    unless the model's own `assess` does that."""

    names: tuple[str, ...]
    score: Callable[[Any], Any]
    of_part: Callable[[Any, Dataset, str, Any], Metric]
    of_items: Callable[[Any, Any, Any, Any], Metric] | None = None


_SCORING: dict[str, _Scoring] = {  # by the kind of answer
    "class": _Scoring(tuple(CLASS_SCORES), class_score, classification),
    "numbers": _Scoring(tuple(NUMBER_SCORES), number_score, quality_of_part, quality_of_items),
}
_CHOICES = {  # the tasks that `metric` is for
    row.name: _SCORING[row.answer] for row in TASK_ROWS.values() if row.answer in _SCORING
}
SCORED_BY = {name: scoring.score for name, scoring in _CHOICES.items()}
METRIC_NAMES = {name: scoring.names for name, scoring in _CHOICES.items()}


def likely_task(data: Dataset) -> str:
    """What is asked of data where nobody says: what they say themselves; else their labels, or
    what is strange where they have none."""
    return data.task_row.data or _by_labels(data)


def _by_labels(data: Dataset) -> str:
    return "classification" if data.classes else "anomaly"


def reading(task: str | None) -> dict[str, Any]:
    """Options of the loader for data that `task` is asked of."""
    if task is None:
        return {"task": None}
    row = task_named(task)
    if row.data:
        return {"task": row.data}
    numbers = {"task": task} if row.is_labelled else {}  # are its classes
    return {"labelled": row.is_labelled, **numbers}


def reading_for(model: Estimator, task: str | None = None) -> dict[str, Any]:
    """Options of the loader for data that `task` is asked of, where none is given, what the model
    is for: people's faces, say, that are pictures in folders like others."""
    return reading(task or model.own_task())


def quality(
    model: Estimator, data: Dataset, part: str, task: str | None = None, metric: ClassMetric = None
) -> Metric:
    """How well `model` does `task` on a part of `data`, "validation" or "test".

    task None: classification where data and model have labels, else anomaly. metric: what it is
    scored by, where the task leaves a choice; None for the task's own.
    Raises InputError for a task that the model or the data is not for, or a metric that the task
    does not have, DivergedError where the model's scores are not numbers.
    """
    if task is None:
        known = model.known_classes is not None
        task = model.own_task(data) or (_by_labels(data) if known else "anomaly")
    row = task_named(task)
    require_metric(task, metric)
    if scoring := _CHOICES.get(task):
        return scoring.of_part(model, data, part, metric)
    if row.data:
        return _assessed(model, data, part, row)
    density = _generative(model, row)
    X = data.part(part).X
    return _likelihood(density, X) if row.is_likelihood else _detection(density, X, data, part)


def require_metric(task: str, metric: ClassMetric) -> None:
    """Raises InputError for a metric that is unknown, or that `task` is not scored by."""
    if scoring := _CHOICES.get(task):
        scoring.score(metric)
    elif metric is not None:
        raise InputError(
            f"metric is for the tasks {', '.join(_CHOICES)}; {task} is scored by "
            f"{SCORES[UNITS[task]].name} alone. Leave metric out."
        )


def metric_name(task: str, metric: ClassMetric) -> str:
    """What `task` is scored by: "accuracy", "balanced_accuracy", "log_likelihood", ..."""
    if scoring := _CHOICES.get(task):
        return str(scoring.score(metric).name)
    return SCORES[UNITS[task]].key


def require_known_metric(metric: str | None) -> None:
    """Before anything is read: that some task is scored by a metric of this name."""
    known = [name for names in dict.fromkeys(METRIC_NAMES.values()) for name in names]
    if metric is not None and as_name(metric) not in [*known, *ALIASES]:
        raise InputError(f"--metric must be one of {', '.join(known)}; got {metric!r}.")


def assessment(model: Estimator, X: Any, y: Any, task: str, metric: ClassMetric = None) -> Metric:
    """The score by the task's own measure, on items X and their targets y; `metric` as in
    `quality`."""
    require_metric(task, metric)
    if (scoring := _CHOICES.get(task)) and scoring.of_items:
        return scoring.of_items(model, X, y, metric)
    report = model.assess(X, y)
    value, low, high = (float(report.pop(key)) for key in ("value", "low", "high"))
    source = f"{report['items']:,} held-out {report.get('each', 'items')}, 95% interval"
    unit = METRICS.get(str(report.get("metric", "")).split(" ")[0], UNITS[task])
    return Metric(value, unit, "measured", low, high, source, report)


def _assessed(model: Estimator, data: Dataset, part: str, task: Task) -> Metric:
    data.require_task(task.data)
    if task.name not in model.tasks:
        raise InputError(
            f"{model.family} is no model for the task {task.name}, which {data.name} is data for."
        )
    X, y = data.part(part)
    if data.classes:
        y = (
            ClassedTargets(y, data.classes)
            if data.targets is not None
            else np.asarray(data.classes)[y]
        )
    return assessment(model, X, y, task.name)


# -- models of the data itself ------------------------------------------------------------------


def _likelihood(model: Generative, X: NDArray[Any]) -> Metric:
    """Mean log-likelihood; details: items, visible, and log_z where the model knows its log Z."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        nats = np.asarray(model.score_samples(X), dtype=np.float64)
    _require_numbers(nats, "log-likelihood")
    low, high = mean_interval(nats)
    known = model.known_log_partition
    log_z = None if known is None else [float(value) for value in known]
    details = {
        "items": len(nats),
        "visible": model.visible_,
        "log_z": log_z if log_z and np.isfinite(log_z).all() else None,
        "warnings": sorted({str(warning.message) for warning in told}),
    }
    return Metric(
        float(nats.mean()),
        UNITS["generate"],
        "measured",
        low=low if len(nats) > 1 else None,
        high=high if len(nats) > 1 else None,
        source=f"mean of {len(nats):,} held-out items, 95% normal interval; {_of_what(details)}",
        details=details,
    )


def _of_what(details: dict[str, Any]) -> str:
    if details["visible"] == "bernoulli":
        return "bits drawn from values within [0, 1]"
    return "densities in the data's own units"


def _detection(model: Generative, X: NDArray[Any], data: Dataset, part: str) -> Metric:
    """AUROC; details: items, spoilt, threshold, false_alarms (share of sound items above it),
    found (share of spoilt ones), kinds (AUROC of each way to spoil), seed (of the spoiling)."""
    items, kinds, changed = corrupted(X, columns_of(data))
    if not changed.any():
        raise InputError(
            f"the {part} part of {data.name} has nothing to spoil: its items are all alike."
        )
    sound = np.asarray(model.anomaly_score(X), dtype=np.float64)
    strange = np.asarray(model.anomaly_score(items[changed]), dtype=np.float64)
    _require_numbers(np.concatenate([sound, strange]), "anomaly score")
    made_of, kinds = np.flatnonzero(changed), kinds[changed]
    low, high = auroc_interval(sound, strange, made_of)
    mark = float(model.threshold_)
    details = {
        "items": len(sound),
        "spoilt": len(strange),
        "threshold": mark,
        "false_alarms": float((sound > mark).mean()),
        "found": float((strange > mark).mean()),
        "kinds": {str(k): auroc(sound, strange[kinds == k]) for k in np.unique(kinds)},
        "seed": SEED,
    }
    source = f"{len(sound):,} held-out items and {len(strange):,} of them spoilt, 95% interval"
    value = auroc(sound, strange)
    return Metric(value, UNITS["anomaly"], "measured", low, high, source, details)


def _generative(model: Estimator, task: Task) -> Generative:
    """The model, if it models the data itself. Raises InputError for another."""
    if isinstance(model, Generative):
        return model
    raise InputError(
        f"{model.family} cannot be scored for the task {task.name}: it has no {task.scored_with}."
    )


def _require_numbers(scores: NDArray[np.float64], what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise DivergedError(
            f"the {what} of item {bad[0]} is {scores[bad[0]]} ({len(bad):,} such): "
            "training went astray."
        )
