"""Columns that no model should learn from; features and words worked out by hand."""

import numpy as np
import pytest

from depthwise.data.load import load
from depthwise.data.readers import table
from depthwise.data.readers.table import parse
from depthwise.data.tables.readings import Readings
from depthwise.errors import DataError

NOISE = np.random.default_rng(0).normal(size=200)
SORTED = ["a"] * 100 + ["b"] * 100


def csv(names, *columns):
    return "\n".join([names, *(",".join(map(str, row)) for row in zip(*columns))]).encode()


def kinds(raw):
    return {c.name: c.kind for c in raw.columns}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("", range(200)),
        ("Unnamed: 0", range(200)),
        ("id", range(1, 201)),
        ("whatever", range(1, 201)),
        ("down", range(200, 0, -1)),
        ("PassengerId", np.random.default_rng(1).permutation(900)[:200]),
        ("customer_id", [f"c{k:04}" for k in range(200)]),
        ("uuid", [f"{k * 7919:08x}" for k in range(200)]),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_what_says_where_a_row_stood_is_left_out_and_told(monkeypatch, name, values, large):
    if large:
        monkeypatch.setattr(table, "LARGE_BYTES", 0)
    labels = [k // 100 for k in range(200)]  # sorted by class: its number would tell all
    raw = parse(csv(f"{name},noise,label", values, NOISE, labels), "d.csv")
    called = name or "unnamed 1"
    assert kinds(raw) == {called: "left out", "noise": "number", "label": "label"}
    assert raw.inputs.shape == (200, 1)
    (told,) = [p for p in raw.problems if p.where == f"column {called!r}"]
    assert told.kind == "no feature" and "left out" in told.detail and "keep=" in told.detail


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("size", [k * 3 for k in range(200)]),
        ("id_of_shop", [k % 9 for k in range(200)]),
        ("store_id", [k % 9 for k in range(200)]),
        ("grid", np.round(NOISE, 3)),
        ("width", np.round(NOISE, 3)),
        ("year", [1900 + k // 2 for k in range(200)]),
    ],
)
def test_what_says_something_of_the_item_stays(name, values):
    raw = parse(csv(f"{name},noise,label", values, NOISE, SORTED), "d.csv")
    assert kinds(raw)[name] == "number" and raw.inputs.shape == (200, 2)


def test_the_user_has_the_last_word_on_columns():
    data = csv("id,noise,code,label", range(200), NOISE, [k % 7 for k in range(200)], SORTED)
    kept = parse(data, "d.csv", readings=Readings.of(("keep=id", "leave-out=code")))
    assert kinds(kept) == {"id": "number", "noise": "number", "code": "left out", "label": "label"}
    assert kept.inputs[:3, 0].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="no column 'ide'"):
        parse(data, "d.csv", readings=Readings(keep=("ide",)))


def test_from_the_command_line_it_is_a_word_after_the_format(tmp_path):
    (tmp_path / "d.csv").write_bytes(csv("id,noise,label", range(200), NOISE, SORTED))
    assert load(tmp_path / "d.csv", cache=False).input_shape == (1,)
    assert load(tmp_path / "d.csv", format="csv:keep=id", cache=False).input_shape == (2,)


def test_row_numbers_that_are_all_there_is_are_kept():
    raw = parse(csv("step,label", range(40), [k % 2 for k in range(40)]), "d.csv")
    assert kinds(raw) == {"step": "number", "label": "label"}


def test_rows_of_train_and_test_are_counted_for_themselves(tmp_path):
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_bytes(csv("n,noise,label", range(200), NOISE, SORTED))
    assert load(tmp_path, cache=False).input_shape == (1,)


def test_texts_that_are_different_in_each_row_are_no_features():
    names = [f"person {k}" for k in range(30)]
    raw = parse(csv("name,n,label", names, NOISE[:30], [k % 2 for k in range(30)]), "d.csv")
    assert kinds(raw)["name"] == "left out" and "one a row" in raw.problems[0].detail


def test_one_odd_cell_in_a_column_of_numbers_is_named():
    values = [*map(str, NOISE[:199]), "unknown"]
    raw = parse(csv("size,n,label", values, NOISE, SORTED), "d.csv")
    assert "the first that is none is 'unknown' in row 201: blank it" in raw.problems[0].detail


# -- single columns that give the label away -------------------------------------------------------


def given_away(data):
    return [p.where for p in data.problems if p.kind == "nearly gives the label away"]


def test_a_column_that_alone_tells_the_class_is_warned_of(tmp_path):
    codes = [f"{'AB'[k // 100]}{k % 4}" for k in range(200)]
    sizes = [k // 100 * 50 + value for k, value in enumerate(NOISE)]
    (tmp_path / "d.csv").write_bytes(csv("noise,code,size,label", NOISE, codes, sizes, SORTED))
    data = load(tmp_path / "d.csv", cache=False)
    assert given_away(data) == ["column 'code'", "column 'size'"]
    told = next(str(p) for p in data.problems if p.where == "column 'code'")
    assert "100.0% of the rows" in told and "--format csv:leave-out=code" in told
    assert not given_away(data.without_labels())


def test_a_column_that_is_the_target_in_other_units_is_warned_of(tmp_path):
    euros = [f"{value:.4f}" for value in NOISE]
    cents = [f"{100 * value + 3:.2f}" for value in NOISE]
    (tmp_path / "d.csv").write_bytes(csv("noise,cents,euros", NOISE[::-1], cents, euros))
    data = load(tmp_path / "d.csv", cache=False)
    assert data.task == "regression" and given_away(data) == ["column 'cents'"]


def test_iris_and_breast_cancer_give_nothing_away():
    from sklearn.datasets import load_breast_cancer, load_iris, load_wine

    for known in (load_iris, load_wine, load_breast_cancer):
        assert not given_away(load(*known(return_X_y=True)))


def test_a_rare_class_is_no_giveaway():
    labels = [1] * 4 + [0] * 196
    assert not given_away(load(NOISE[:, None], labels=labels))
