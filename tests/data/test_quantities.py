"""Numbers as labels: which are classes, which a quantity to predict, and how to have the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from depthwise.data.checks import check
from depthwise.data.load import load
from depthwise.data.quantities import bins, is_quantity
from depthwise.errors import DataError

RANDOM = np.random.default_rng(0)
HALVES = np.arange(60) + 0.5


@pytest.mark.parametrize(
    ("values", "quantity"),
    [
        (np.arange(51).repeat(5), False),  # numbered from 0, five items each
        (np.arange(51).repeat(4), True),  # too few of each to be told apart
        (np.arange(1, 101).repeat(30), False),  # numbered from 1
        (np.arange(17, 91).repeat(100), True),  # ages
        (np.arange(0, 200, 2).repeat(9), True),  # with gaps
        ((np.arange(50) * 7).repeat(2), False),  # few values: classes, but told
        (np.arange(50) * 7, True),  # one item of each
        (np.arange(10) * 7, False),
        (np.arange(51).repeat(20) + 0.5, True),
        (np.array([0.5, 1.5, 2.5]).repeat(9), False),
        (np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), True),  # six items of six values
    ],
)
def test_which_numbers_are_a_quantity(values: np.ndarray, quantity: bool) -> None:
    assert is_quantity(values.astype(np.float64)) == quantity


@pytest.fixture
def diabetes(tmp_path: Path) -> Path:
    X, y = load_diabetes(return_X_y=True, scaled=False)
    lines = ["age,sex,bmi,bp,s1,s2,s3,s4,s5,s6,progression"]
    lines += [",".join(map(str, [*row, target])) for row, target in zip(X, y)]
    path = tmp_path / "diabetes.csv"
    path.write_text("\n".join(lines))
    return path


def test_a_table_with_a_quantity_is_data_for_regression(diabetes: Path) -> None:
    data = load(diabetes)
    truth = load_diabetes().target
    assert data.task == "regression" and data.n_outputs == 1 and not data.classes
    assert data.targets.dtype == np.float64 and data.targets.tolist() == truth.tolist()
    told = [str(problem) for problem in data.problems if problem.kind == "numbers to predict"]
    assert len(told) == 1
    assert "column 'progression'" in told[0] and "--task classification" in told[0]
    assert "a number to predict of each (progression), 25 to 346" in data.summary()
    assert load(diabetes).fingerprint == data.fingerprint


def test_arrays_npz_and_a_table_say_the_same(diabetes: Path, tmp_path: Path) -> None:
    X, y = load_diabetes(return_X_y=True, scaled=False)
    np.savez(tmp_path / "d.npz", x=X, y=y)
    for data in (load(X, labels=y), load((X, y)), load(tmp_path / "d.npz"), load(diabetes)):
        assert data.task == "regression"
        assert data.train.y.tolist() == load(diabetes).train.y.tolist()


def test_every_part_has_small_and_large_targets(diabetes: Path) -> None:
    data = load(diabetes)
    lots = bins(data.targets)
    for part in ("train", "validation", "test"):
        assert len(np.unique(lots[data.indices[part]])) == 10


def test_the_other_way_may_be_asked_for(diabetes: Path) -> None:
    assert load(diabetes, task="classification").task == "classification"
    digits = load("digits", task="regression")
    assert digits.kind == "images" and digits.task == "regression"
    by_class = load("digits")
    assert digits.targets.tolist() == by_class.labels.tolist()


def test_several_numbers_an_item(tmp_path: Path) -> None:
    data = load(RANDOM.random((40, 3)), labels=RANDOM.random((40, 2)))
    assert data.n_outputs == 2 and data.train.y.shape == (len(data.indices["train"]), 2)
    assert "2 numbers to predict" in data.summary() and "train 2" in data.summary()


def test_pictures_may_have_numbers() -> None:
    images = RANDOM.integers(0, 256, (40, 9, 7), dtype=np.uint8)
    data = load({"images": images, "y": RANDOM.random(40)}, image_size=(5, 8))
    assert data.task == "regression" and data.input_shape == (1, 5, 8)
    whole = load({"images": images, "y": np.arange(40) % 8})
    assert whole.task == "classification"


def test_few_different_numbers_that_are_classes_are_told(tmp_path: Path) -> None:
    rows = "".join(f"{k},{k % 5 + 0.5}\n" for k in range(60))
    (tmp_path / "t.csv").write_text("width,grade\n" + rows)
    data = load(tmp_path / "t.csv")
    assert data.task == "classification"
    told = [problem for problem in data.problems if problem.kind == "numbers as classes"]
    assert len(told) == 1 and "--task regression" in told[0].detail
    asked = load(tmp_path / "t.csv", task="regression")
    assert sorted(set(asked.targets.tolist())) == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert not [p for p in asked.problems if p.kind in ("numbers as classes", "numbers to predict")]


def test_a_large_table_of_whole_numbers_is_read_likewise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{k % 7},{3 * k}\n" for k in range(80)))
    careful = load(tmp_path / "t.csv", cache=False)
    monkeypatch.setattr("depthwise.data.readers.table.LARGE_BYTES", 10)
    assert load(tmp_path / "t.csv", cache=False).fingerprint == careful.fingerprint


@pytest.mark.parametrize(
    ("cells", "what"),
    [
        (["1.5", "far", "2"], "'far' in row 3 is no number"),
        (["1.5", "inf", "2"], "inf"),
        (["1.5", "", "2"], "no label in column 'y' of row 3"),
        (["4", "4", "4"], "all numbers to predict are 4"),
    ],
)
def test_a_target_that_is_no_number_is_named(tmp_path: Path, cells: list[str], what: str) -> None:
    text = "".join(f"{k},{cells[k % 3]}\n" for k in range(30))
    (tmp_path / "t.csv").write_text("a,y\n" + text)
    with pytest.raises(DataError, match=what):
        load(tmp_path / "t.csv", task="regression")


def test_names_of_classes_are_no_numbers() -> None:
    with pytest.raises(DataError, match="'cat' is no number; leave out task='regression'"):
        load(np.zeros((4, 2)), labels=["cat", "1", "2", "3"], task="regression")


def test_a_target_far_from_all_others_is_told() -> None:
    targets = np.append(HALVES, 1e6)
    data = load(RANDOM.random((61, 2)), labels=targets)
    far = [problem for problem in data.problems if problem.kind == "target far from the others"]
    assert [problem.where for problem in far] == ["item 60"]
    assert [p.kind for p in check(data)].count("target far from the others") == 1
    assert not [p for p in data.without_labels().problems if "target" in p.kind]


def test_lots_are_of_equal_size_and_in_order() -> None:
    targets = np.array([*RANDOM.permutation(57), 1e9])
    lots = bins(targets)
    assert (np.diff(lots[np.argsort(targets)]) >= 0).all()
    assert sorted(np.bincount(lots).tolist()) == [11, 11, 12, 12, 12]
    assert bins(np.arange(3.0)).tolist() == [0, 0, 0]
