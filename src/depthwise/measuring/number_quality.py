"""How well a model predicts numbers: R2, and beside it RMSE and MAE in the numbers' own units.

    details   items, metric, the name of the score that `value` is; scores, every score of
              scores/regression.py; of several targets per_target, these of each

RMSE and MAE are ranked by their negatives: more is better in every Metric.

Shapes: N items, T targets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from depthwise.data.dataset import Dataset
from depthwise.errors import InputError
from depthwise.measuring.metric import Metric
from depthwise.models.estimator import Estimator
from depthwise.models.supervised import Regressor
from depthwise.scores.regression import number_score, regression_report

__all__ = ["NumberMetric", "number_metric", "quality_of_items", "quality_of_part", "regressor"]

NumberMetric = str | Callable[..., Any] | None


def quality_of_part(
    model: Estimator, data: Dataset, part: str, metric: NumberMetric = None
) -> Metric:
    """The score `metric` (None: R2) on a part of `data`."""
    X, y = data.part(part)
    return number_metric(np.asarray(y, np.float64), regressor(model, data).predict(X), metric)


def regressor(model: Estimator, data: Dataset) -> Regressor:
    """The model, if it and the data are of numbers. Raises InputError for others."""
    Regressor.require_data(data)
    if not isinstance(model, Regressor):
        raise InputError(f"{model.family} predicts no numbers, which {data.name} is data for.")
    return model


def quality_of_items(model: Regressor, X: Any, y: Any, metric: NumberMetric = None) -> Metric:
    """The same on items X (N, ...) and their numbers y (N,) or (N, T)."""
    return number_metric(np.asarray(y, np.float64), model.predict(X), metric)


def number_metric(truth: np.ndarray, answers: np.ndarray, metric: NumberMetric = None) -> Metric:
    """The score `metric` of these answers, and in its details all the others."""
    asked, report = number_score(metric), regression_report(truth, answers, metric)
    value, low, high = (report.pop(key) for key in ("value", "low", "high"))
    if asked.sign < 0:
        value, low, high = -value, -high, -low
    source = f"{report['items']:,} held-out items, 95% bootstrap interval"
    return Metric(value, asked.unit, "measured", low, high, source, report)
