"""R2, RMSE and MAE against scikit-learn's, and their intervals against theory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import (
    make_scorer,
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)

from depthwise.errors import InputError
from depthwise.scores.regression import mae, r2, regression_report, rmse

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(2, 1), (7, 1), (113, 3)])
def test_the_three_figures_agree_with_scikit_learn(shape: tuple[int, int]) -> None:
    truth = 1e4 + RANDOM.standard_normal(shape) * np.arange(1, shape[1] + 1)
    predicted = truth + RANDOM.standard_normal(shape)
    report = regression_report(truth, predicted)
    assert report["value"] == pytest.approx(r2_score(truth, predicted))
    assert report["scores"]["rmse"]["value"] == pytest.approx(
        root_mean_squared_error(truth, predicted)
    )
    assert report["scores"]["mae"]["value"] == pytest.approx(mean_absolute_error(truth, predicted))
    alone = r2(truth, predicted), rmse(truth, predicted), mae(truth, predicted)
    values = report["value"], report["scores"]["rmse"]["value"], report["scores"]["mae"]["value"]
    assert alone == pytest.approx(values)
    assert len(report.get("per_target", [])) == (shape[1] if shape[1] > 1 else 0)


def test_the_interval_of_the_mean_absolute_error_is_that_of_a_mean() -> None:
    truth = RANDOM.standard_normal(4000)
    wrong = RANDOM.exponential(size=4000)
    found = regression_report(truth, truth + wrong)["scores"]["mae"]
    half = norm.ppf(0.975) * wrong.std(ddof=1) / np.sqrt(len(wrong))
    assert found["high"] - found["low"] == pytest.approx(2 * half, rel=0.1)
    assert found["low"] < wrong.mean() < found["high"]


def test_the_mean_of_the_items_themselves_explains_nothing() -> None:
    truth = np.array([3.0, 5.0, 10.0])
    assert r2(truth, np.full(3, 6.0)) == pytest.approx(0)


@pytest.mark.parametrize(("offset", "share"), [(0.0, 1.0), (0.5, 0.0)])
def test_a_target_that_does_not_vary_is_right_or_unexplained(offset: float, share: float) -> None:
    truth = np.full(9, 1234567.1)
    report = regression_report(truth, truth + offset)
    assert (report["value"], report["low"], report["high"]) == (share, share, share)
    assert r2_score(truth, truth + offset) == share


def test_a_great_many_items_are_drawn_in_blocks() -> None:
    truth = RANDOM.standard_normal(60_001)
    report = regression_report(truth, truth + 0.5 * RANDOM.standard_normal(60_001))
    assert report["low"] < report["value"] < report["high"]
    assert 0.002 < report["high"] - report["low"] < 0.02


def test_a_score_of_ones_own_is_a_function_or_a_scorer() -> None:
    truth = RANDOM.standard_normal(50)
    predicted = truth + RANDOM.standard_normal(50)

    def within_one(y_true: np.ndarray, y_pred: np.ndarray) -> float:
        return float((abs(y_true - y_pred) < 1).mean())

    found = regression_report(truth, predicted, within_one)
    assert found["metric"] == "within_one" and found["value"] == within_one(truth, predicted)
    assert found["low"] < found["value"] < found["high"]
    scorer = make_scorer(root_mean_squared_error, greater_is_better=False)
    by_scorer, by_name = (regression_report(truth, predicted, m) for m in (scorer, "rmse"))
    assert by_scorer["value"] == pytest.approx(-by_name["value"])


@pytest.mark.parametrize("metric", ["accuracy", lambda y: 1.0, lambda y, p: "much"])
def test_what_is_no_score_of_numbers_is_told(metric: Any) -> None:
    with pytest.raises(InputError, match="metric"):
        regression_report(np.arange(5.0), np.arange(5.0), metric)
