import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from sklearn.metrics import confusion_matrix as reference_confusion
from sklearn.metrics import roc_auc_score

from depthwise.scores.accuracy import (
    accuracy_report,
    auroc,
    auroc_interval,
    calibration_error,
    confusion_matrix,
    mean_interval,
    wilson_interval,
)


@given(st.integers(1, 500), st.data())
def test_wilson_agrees_with_scipy(items: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, items))
    reference = binomtest(correct, items).proportion_ci(0.95, method="wilson")
    assert wilson_interval(correct, items) == pytest.approx(tuple(reference), abs=1e-9)


def test_no_items_tell_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_confusion_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 7, (2, 131))
    assert (confusion_matrix(truth, predicted, 7) == reference_confusion(truth, predicted)).all()


def test_calibration_error_by_hand() -> None:
    # two bins: 0.9 said, 1 of 2 right (gap 0.4); 0.6 said, 3 of 3 right (gap 0.4)
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4], [0.6, 0.4]])
    assert calibration_error(np.array([0, 1, 0, 0, 0]), p) == pytest.approx(0.4)


def test_a_sure_and_right_model_is_calibrated() -> None:
    assert calibration_error(np.array([0, 1, 2]), np.eye(3)) == 0.0


def test_report_counts_by_hand() -> None:
    p = np.eye(3)[[0, 0, 1, 1, 1]]
    report = accuracy_report(np.array([0, 0, 0, 1, 1]), p, ["a", "b", "c"])
    assert report["value"] == pytest.approx(4 / 5)
    assert report["per_class"] == {"a": pytest.approx(2 / 3), "b": 1.0, "c": None}
    assert report["confusion"] == [[2, 1, 0], [0, 2, 0], [0, 0, 0]]


# -- telling strange from normal ------------------------------------------------------------------

SCORES = st.lists(st.integers(-4, 4), min_size=1, max_size=30)  # integers: many ties


@given(SCORES, SCORES)
def test_auroc_agrees_with_scikit_learn(normal: list[int], strange: list[int]) -> None:
    truth = np.repeat([0, 1], [len(normal), len(strange)])
    reference = roc_auc_score(truth, normal + strange)
    assert auroc(np.array(normal), np.array(strange)) == pytest.approx(reference, abs=1e-12)


def scores_of_pairs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal and strange scores; what an item has in common with its strange twin in both."""
    rng = np.random.default_rng(5)
    shared = rng.standard_normal(n)
    noise = rng.standard_normal((2, n)) / 2
    return shared + noise[0], shared + noise[1] + 1.2


@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_of_auroc_agrees_with_the_bootstrap(paired: bool) -> None:
    normal, strange = scores_of_pairs(200)
    rng = np.random.default_rng(6)
    areas = []
    for _ in range(1000):
        i = rng.integers(0, 200, 200)
        j = i if paired else rng.integers(0, 200, 200)
        areas.append(auroc(normal[i], strange[j]))
    interval = auroc_interval(normal, strange, np.arange(200) if paired else None)
    assert interval == pytest.approx(np.quantile(areas, [0.025, 0.975]), abs=0.01)


def test_the_same_pairs_in_another_order_have_the_same_interval() -> None:
    normal, strange = scores_of_pairs(50)
    order = np.random.default_rng(0).permutation(50)[:40]
    expected = auroc_interval(normal, strange[np.sort(order)], np.sort(order))
    assert auroc_interval(normal, strange[order], order) == pytest.approx(expected, abs=1e-12)


def test_where_no_error_was_seen_the_interval_is_still_one() -> None:
    low, high = auroc_interval(np.zeros(100), np.ones(100), np.arange(100))
    assert (low, high) == (pytest.approx(wilson_interval(100, 100)[0]), 1.0)


def test_the_interval_of_a_mean_agrees_with_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=73)
    spread = values.std(ddof=1) / np.sqrt(73)
    assert mean_interval(values) == pytest.approx(norm.interval(0.95, values.mean(), spread))
