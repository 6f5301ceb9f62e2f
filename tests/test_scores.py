import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix as reference_confusion

from depthwise.scores import accuracy_report, calibration_error, confusion_matrix, wilson_interval


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
