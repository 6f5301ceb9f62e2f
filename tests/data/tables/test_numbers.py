"""Numbers as people write them, labels as they are written, and what float32 must not merge."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import depthwise
from depthwise.data.load import load
from depthwise.data.readers.table import parse, parse_unlabelled
from depthwise.data.tables.blanks import learnt_from
from depthwise.data.tables.columns import Column, from_plain, to_plain
from depthwise.data.tables.numbers import as_number, as_numbers, written_numbers
from depthwise.data.tables.offsets import less_offsets, offset_columns, offset_of
from depthwise.data.tables.readings import Readings
from depthwise.errors import DataError


def column_of(cells, **how):
    rows = "\n".join(f'"{cell}";{k % 2};{"xy"[k % 2]}' for k, cell in enumerate(cells))
    return parse(f"a;b;label\n{rows}\n".encode(), "d.csv", **how)


@pytest.mark.parametrize(
    ("cells", "values", "sure"),
    [
        (["3,5", "4", ""], [3.5, 4, math.nan], True),
        (["1.234,50", "7"], [1234.5, 7], True),
        (["1,234.5", "12"], [1234.5, 12], True),
        (["1,234", "2,500"], [1234, 2500], False),
        (["1,234", "2,5"], [1.234, 2.5], True),
        (["1,234", "1,234,567"], [1234, 1234567], True),
        (["1 234,5", "3\u00a0000"], [1234.5, 3000], True),
        (["1'234", "5"], [1234, 5], True),
        (["12,34,567", "5"], [1234567, 5], True),
        (["$1,200.00", "$3"], [1200, 3], True),
        (["1.200,50 €", "-3,00 €"], [1200.5, -3], True),
        (["EUR 5", "(7)"], [5, -7], True),
        (["45%", "4.5 %", "NA"], [45, 4.5, math.nan], True),
        (["\u22125", "5.5"], [-5, 5.5], True),
    ],
)
def test_what_people_write_is_the_number_that_they_mean(cells, values, sure):
    found = written_numbers(cells)
    np.testing.assert_array_equal(found.values, values)
    assert found.sure is sure


@pytest.mark.parametrize(
    "cells",
    [["45%", "4"], ["$3", "€4"], ["1_0", "2"], ["1.2.3"], ["12:30"], ["044 123 456"], ["five", "6"],
     ["29.02.2024"], ["B12"], ["1,23,4"], ["--5"], ["1,2,3"], ["+"], ["."]],
)  # fmt: skip
def test_what_may_be_no_number_is_none(cells):
    assert written_numbers(cells) is None


def test_a_column_of_them_is_a_feature_and_told():
    raw = column_of(["1.234,5", "7,25", "NA"] * 10)
    assert raw.columns[0] == Column("a", "number", decimal=",")
    assert raw.inputs[:2, 0].tolist() == [1234.5, 7.25]
    (told,) = [p for p in raw.problems if p.where == "column 'a'"]
    assert "1.234,5 is 1234.5" in told.detail and "--format" not in told.detail


def test_where_the_column_does_not_say_other_columns_do_or_the_user():
    unsure = column_of(["1,234", "2,500"] * 10)
    assert unsure.inputs[0, 0] == 1234
    assert "--format csv:decimal-comma reads it the other way" in str(unsure.problems[0])
    asked = column_of(["1,234", "2,500"] * 10, readings=Readings(decimal=","))
    assert asked.inputs[0, 0] == np.float32(1.234)
    rows = "\n".join(f"{k},5;1.234;2,500;{'xy'[k % 2]}" for k in range(0, 60, 3))
    beside = parse(f"a;b;c;label\n{rows}\n".encode(), "d.csv")
    assert beside.inputs[1].tolist() == [3.5, 1234, 2.5]


def test_a_model_reads_new_tables_by_its_mark_and_says_where_they_differ():
    known = [Column("a", "number", decimal=",")]
    features, told = parse_unlabelled(b'a\n"1,234"\n"2,500"\n', "new.csv", known)
    assert features[:, 0].tolist() == [np.float32(1.234), 2.5] and not told
    features, told = parse_unlabelled(b"a\n1234.5\n7\n", "new.csv", known)
    assert features[:, 0].tolist() == [1234.5, 7] and "1234.5 is 1234.5" in str(told[0])
    with pytest.raises(DataError, match="'far' in row 3, column 'a', is no number"):
        parse_unlabelled(b'a\n"3,5"\nfar\n', "new.csv", known)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_as_programs_write_them_stay_as_they_are(number):
    for text in (repr(number), f"{number:.6e}", f" {number!r} "):
        assert as_number(text) == as_numbers([text])[0] == float(text)


@pytest.mark.parametrize("text", ["1_0", "\uff11\uff12", "\u0661", "0x10", "1e", ""])
def test_what_python_alone_takes_for_a_number_is_none(text):
    assert as_number(text) is None
    assert as_numbers([text, "1"]) is None or not text


# -- labels ----------------------------------------------------------------------------------------


def classes_of(labels, **how):
    rows = "\n".join(f"{k * 0.7:.1f},{labels[k % len(labels)]}" for k in range(60))
    return parse(f"a,label\n{rows}\n".encode(), "d.csv", **how).classes


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["007", "7"], ["007", "7"]),
        (["01", "1"], ["01", "1"]),
        (["1E3", "1000"], ["1000", "1E3"]),
        (["1_0", "10"], ["10", "1_0"]),
        (["1", "1.0", "2"], ["1", "2"]),
        (["10", "9", "-1"], ["-1", "10", "9"]),
        (["none", "some"], ["none", "some"]),
        (["Cat", "cat"], ["Cat", "cat"]),
    ],
)
@pytest.mark.parametrize("large", [False, True])
def test_labels_stay_as_they_are_written(monkeypatch, labels, classes, large):
    if large:
        monkeypatch.setattr("depthwise.data.readers.table.LARGE_BYTES", 0)
    assert classes_of(labels) == classes


def test_a_class_named_na_has_a_way_in(tmp_path):
    with pytest.raises(DataError, match="if NA is a class: --format csv:na-class"):
        classes_of(["NA", "EU"])
    assert classes_of(["NA", "EU"], readings=Readings(na_class=True)) == ["EU", "NA"]
    with pytest.raises(DataError, match="no label in column 'label' of row 3"):
        classes_of(["NA", ""], readings=Readings(na_class=True))
    (tmp_path / "d.csv").write_text(
        "a,label\n" + "".join(f"{k / 3:.2f},{'NA' if k % 2 else 'EU'}\n" for k in range(40))
    )
    assert load(tmp_path / "d.csv", format="csv:na-class", cache=False).classes == ["EU", "NA"]


@pytest.mark.parametrize(
    "names", [("Cat", "cat"), ("caf\u00e9", "cafe\u0301"), ("new york", "New  York")]
)
def test_names_that_differ_little_are_told_in_every_reader(tmp_path, names):
    rows = "".join(f"{k / 3:.2f},{names[k % 2]}\n" for k in range(40))
    (tmp_path / "d.csv").write_text("a,label\n" + rows, encoding="utf-8")
    texts = "".join(f"a word {k} of many more\t{names[k % 2]}\n" for k in range(40))
    (tmp_path / "t.tsv").write_text(texts, encoding="utf-8")
    beside = [names[k % 2] for k in range(40)]
    for data in (load(tmp_path / "d.csv", cache=False), load(tmp_path / "t.tsv", cache=False),
                 load(np.random.default_rng(0).random((40, 2)), labels=beside)):  # fmt: skip
        (told,) = [p for p in data.problems if p.kind == "names that differ little"]
        assert repr(names[0]) in told.where and repr(names[1]) in told.where


@pytest.mark.parametrize(
    ("header", "label"),
    [("x,y,z", "z"), ("x,y,value", "value"), ("x1,x2,y", "y"), ("y,a,b", "y"), ("x,y", "y"),
     ("x,y,class", "class"), ("a,Target,b", "Target"), ("x,z,y", "y")],
)  # fmt: skip
def test_y_beside_x_is_no_label(header, label):
    wide = header.count(",") + 1
    rows = "\n".join(",".join(str((k * (j + 3)) % 5) for j in range(wide)) for k in range(30))
    raw = parse(f"{header}\n{rows}\n".encode(), "d.csv")
    assert [c.name for c in raw.columns if c.kind == "label"] == [label]


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        ([18 + k * 37 % 65 for k in range(300)], "regression"),
        ([18 + k * 37 % 65 for k in range(40)], "regression"),
        ([f"${1000 + 7 * k:,}" for k in range(90)], "regression"),
        ([f"{k % 90},5" for k in range(180)], "regression"),
        ([k % 10 for k in range(40)], "classification"),
        ([f"0{1000 + k}" for k in range(90)] * 3, "classification"),
    ],
)
def test_a_target_that_is_a_quantity_is_regression(tmp_path, labels, task):
    rows = "\n".join(f'{k * 7 % 11};"{value}"' for k, value in enumerate(labels))
    (tmp_path / "d.csv").write_text(f"a;price\n{rows}\n")
    data = load(tmp_path / "d.csv", cache=False)
    assert data.task == task
    line = next(line for line in data.summary().splitlines() if line.startswith("  label"))
    assert ("numbers to predict (--task classification" in line) == (task == "regression")


def test_how_the_numbers_to_predict_were_read_is_told(tmp_path):
    rows = "\n".join(f'{k * 7 % 11},"$ {100 + k},{k * 37 % 1000:03}"' for k in range(90))
    (tmp_path / "d.csv").write_text(f"a,price\n{rows}\n")
    data = load(tmp_path / "d.csv", cache=False)
    assert data.targets[1] == 101037
    (told,) = [p for p in data.problems if p.kind == "numbers as people write them"]
    assert told.where == "column 'price'" and "--format csv:decimal-comma" in told.detail
    other = load(tmp_path / "d.csv", format="csv:decimal-comma", cache=False)
    assert other.targets[1] == 101.037


# -- what float32 would merge ----------------------------------------------------------------------

TIMES = 1_700_000_000.0 + 24 * np.arange(300)


def test_unix_times_keep_their_distances_in_files_arrays_and_models(tmp_path):
    labels = np.arange(300) // 7 % 2
    rows = "\n".join(f"{t:.0f},{k % 11},{c}" for k, (t, c) in enumerate(zip(TIMES, labels)))
    (tmp_path / "d.csv").write_text(f"time,n,label\n{rows}\n")
    X = np.column_stack([TIMES, np.arange(300) % 11])
    for data in (load(tmp_path / "d.csv", cache=False), load(X, labels=labels),
                 load(X.astype(np.int64), labels=labels)):  # fmt: skip
        assert data.inputs.dtype == np.float32
        np.testing.assert_array_equal(np.diff(data.inputs[:, 0]), np.full(299, 24, np.float32))
        assert data.columns[0].offset == pytest.approx(1_700_000_000, abs=7200)
        assert data.columns[1].offset == 0


def test_a_model_of_arrays_keeps_the_offset_when_it_is_saved(tmp_path):
    X = np.column_stack([TIMES, np.arange(300) % 11.0])
    y = (TIMES[150] < TIMES).astype(int)
    model = depthwise.LogisticRegression().fit(X, y)
    model.save(tmp_path / "m")
    kept = depthwise.load(tmp_path / "m")
    assert kept.columns_[0].offset == model.columns_[0].offset != 0
    for asked in (X, X[:5], X.tolist()):
        np.testing.assert_array_equal(kept.predict_proba(asked), model.predict_proba(asked))
    assert model.score(X, y) > 0.97
    data = load(X, labels=y)
    learnt = depthwise.LogisticRegression().fit(data)
    np.testing.assert_allclose(
        learnt.predict_proba(data.inputs[:9]), learnt.predict_proba(X[:9]), atol=1e-5
    )


def test_columns_near_0_have_no_offset():
    for column in (np.arange(300.0), np.full(300, 1e9), 2000 + np.arange(300) % 20,
                   np.random.default_rng(0).lognormal(0, 3, 300)):  # fmt: skip
        assert offset_of(column) == 0
    assert offset_columns(np.random.default_rng(0).normal(size=(50, 3))) is None


def test_features_of_a_dataset_are_told_from_rows():
    columns = offset_columns(TIMES[:, None])
    offset = columns[0].offset
    features = (TIMES - offset).astype(np.float32)[:, None]
    np.testing.assert_array_equal(less_offsets(TIMES[:, None], columns), TIMES[:, None] - offset)
    assert less_offsets(features, columns) is not None
    np.testing.assert_array_equal(less_offsets(features, columns), features)
    single = less_offsets(TIMES[:, None].astype(np.float32), columns)
    assert np.abs(single - features).max() <= 128  # what float32 had lost before


def test_offsets_and_marks_survive_json_and_their_medians_are_of_the_features():
    column = Column("t", "number", offset=1.7e9, decimal=",")
    learnt = learnt_from([column], np.array([[4.0], [8.0], [9.0]], np.float32), np.arange(2))[0]
    assert learnt[0].median == 6 and learnt[0].offset == 1.7e9
    assert from_plain(json.loads(json.dumps(to_plain(learnt)))) == learnt
    plain = {"name": "t", "kind": "number", "median": 0.0}
    assert to_plain(from_plain([plain])) == [plain]
    for wrong in ({"offset": "1"}, {"offset": math.nan}, {"offset": 10**400}, {"decimal": ";"}):
        with pytest.raises(ValueError, match="column 't' has the"):
            from_plain([{**plain, **wrong}])
