"""What a table's columns become, learnt once and repeated; expected features worked out by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthwise.data.load import load
from depthwise.data.readers import table
from depthwise.data.readers.table import parse, parse_unlabelled
from depthwise.data.tables.blanks import fill_blanks, learnt_from
from depthwise.data.tables.columns import Column, from_plain, to_plain, width
from depthwise.errors import DataError

NAN = float("nan")
PAINT = [  # features: blue, red, size
    Column("colour", "text", values=("blue", "red")),
    Column("note", "left out"),
    Column("kind", "label"),
    Column("size", "number", median=2.5),
]


def encoded(text, known=PAINT):
    features, problems = parse_unlabelled(text.encode(), "new.csv", known)
    return features, [(p.kind, p.where, p.count) for p in problems]


def rows(text, known=PAINT):
    features, problems = encoded(text, known)
    assert not problems
    return features.tolist()


def test_reading_a_table_says_what_each_column_became():
    words = "".join(f"{'red' if k % 2 else 'blue'},{k / 2},word {k},{k % 2}\n" for k in range(70))
    raw = parse(("colour,size,note,label\n" + words).encode(), "d.csv")
    assert raw.columns == [
        Column("colour", "text", values=("blue", "red")), Column("size", "number"),
        Column("note", "left out"), Column("label", "label"),
    ]  # fmt: skip
    assert width(raw.columns) == raw.inputs.shape[1] == 3


def test_columns_are_found_by_name_in_any_order_and_others_do_not_matter():
    text = "size,extra,colour\n7,x,red\n8,y,blue\n"
    assert rows(text) == [[0, 1, 7], [1, 0, 8]]
    assert rows("kind;colour;size\nq;red;7\n") == [[0, 1, 7]]  # with a label, without a note
    assert rows("colour,2024,size\nred,1,7\n") == [[0, 1, 7]]  # a year as a name


@pytest.mark.parametrize("line", ["red,some note,q,7", "red,some note,7", "red,7"])
def test_without_names_the_order_is_that_of_the_training_with_or_without_what_is_not_used(line):
    assert rows(line + "\n") == [[0, 1, 7]]


def test_a_model_learnt_without_names_takes_tables_with_and_without():
    known = [Column("column 1", "number"), Column("column 2", "label"), Column("column 3", "text",
             values=("a", "b"))]  # fmt: skip
    assert rows("1,b\n", known) == rows("1,q,b\n", known) == rows("p,r\n1,b\n", known)
    assert rows("1,b\n", known) == [[1, 0, 1]]


def test_one_column_is_enough_where_no_label_is_asked_for():
    assert rows("size\n3\n4\n", [Column("size", "number")]) == [[3], [4]]


def test_an_unknown_text_is_none_of_the_known_ones_and_is_counted_and_a_blank_is_not():
    features, problems = encoded("colour,size\nmauve,1\n red ,2\n,3\nteal,4\nmauve,5\n")
    assert features.tolist() == [[0, 0, 1], [0, 1, 2], [0, 0, 3], [0, 0, 4], [0, 0, 5]]
    assert problems == [("unknown value", "column 'colour'", 3)]


def test_blank_numbers_are_filled_with_the_remembered_median():
    features, _ = encoded("colour,size\nred,NA\nblue,\nred,9\n")
    assert np.isnan(features[:2, 2]).all()
    filled, problems = fill_blanks(features, PAINT)
    assert filled.tolist() == [[0, 1, 2.5], [1, 0, 2.5], [0, 1, 9]] and problems[0].count == 2


def test_a_blank_row_keeps_its_place_and_an_empty_line_is_no_row():
    features, _ = encoded("colour,size\nred,1\n,\n\nred,3\n")
    np.testing.assert_array_equal(features, [[0, 1, 1], [0, 0, NAN], [0, 1, 3]])


def test_medians_are_of_the_training_rows_and_of_even_counts_the_middle():
    features = np.array([[1, 0, 4], [0, 1, NAN], [0, 1, 7], [1, 0, 99]], np.float32)
    learnt = learnt_from(PAINT, features, np.array([0, 1, 2]))[0]
    assert [c.median for c in learnt] == [0, 0, 0, 5.5]  # (4 + 7) / 2
    assert learnt_from(PAINT, features, np.array([1]))[0][3].median == 0.0


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("colour,sise\nred,1\n", "no column 'size'; did you mean 'sise'"),
        ("p,q\nx,y\n", r"no column 'colour' \(nor 1 more.*\); it has p, q"),
        ("colour,size\nred,1\nred,big\n", "'big' in row 3, column 'size', is no number"),
        ("colour,size\nred,1e99\n", "1e99 in row 2, column 'size'"),
        ("1,2,3,4,5\n", "has 5 columns; this model takes 2 in this order: colour, size, or begin"),
        ("1\n", "has 1 column;"),
        ("colour,size\n", "header but no rows"),
        ("colour,size\nred\n", "row 2 has 1 cells"),
        ("", "empty"),
    ],
)
def test_a_table_that_does_not_fit_says_what_where_and_how(text, what):
    with pytest.raises(DataError, match=what) as caught:
        encoded(text)
    assert "new.csv" in str(caught.value) and "\n" not in str(caught.value)


# -- laws ---------------------------------------------------------------------------------------

cell = st.sampled_from(["1", "-2.5", "", "NA", "x", "é", " y", "3e3", "0"])
column = st.one_of(
    st.lists(st.sampled_from(["1", "-2.5", "", "NA", "7"]), min_size=9, max_size=9),
    st.lists(cell, min_size=9, max_size=9),
)


def as_text(names, columns):
    return "\n".join(",".join(row) for row in [names, *zip(*columns)]).encode()


@settings(max_examples=150, deadline=None)
@given(st.lists(column, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_encoding_a_table_again_gives_what_reading_it_gave_in_any_order(columns, random):
    names = [f"c{k}" for k in range(len(columns))]
    labels = [str(k % 2) for k in range(9)]
    raw = parse(as_text([*names, "label"], [*columns, labels]), "d.csv")
    train = np.arange(0, 9, 2)
    learnt, inputs, _ = learnt_from(raw.columns, raw.inputs, train)
    known = from_plain(json.loads(json.dumps(to_plain(learnt))))
    again = parse(as_text([*names, "label"], [*columns, labels]), "d.csv", known=known)
    order = random.sample(range(len(names)), len(names))
    mixed = as_text(
        ["key"] + [names[k] for k in order], [list("abcdefghi")] + [columns[k] for k in order]
    )
    alone, problems = parse_unlabelled(mixed, "new.csv", known)
    for features in (again.inputs, alone):
        np.testing.assert_array_equal(features, inputs)
    strange = {problem.kind for problem in [*problems, *again.problems]}
    assert strange <= {"unknown value"} and again.columns == known
    assert width(known) == inputs.shape[1]
    assert not np.isnan(fill_blanks(alone, known)[0]).any()


# -- load ---------------------------------------------------------------------------------------


def some_rows(colours, blanks=(), n=60):
    lines = [
        f"{colours[k % len(colours)]},{'' if k in blanks else 3 * k},{k % 2}" for k in range(n)
    ]
    return "colour,size,label\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("cache", [True, False])
def test_a_dataset_knows_its_columns_and_their_medians_also_from_the_cache(tmp_path, cache):
    (tmp_path / "d.csv").write_text(some_rows(["blue", "red", "green"], blanks=(4, 9)))
    for _ in range(2):
        data = load(tmp_path / "d.csv", cache=cache)
        train = [3 * i for i in data.indices["train"] if i not in (4, 9)]
        assert data.columns == [
            Column("colour", "text", values=("blue", "green", "red")),
            Column("size", "number", median=float(np.median(train))), Column("label", "label"),
        ]  # fmt: skip


def test_loading_with_a_models_columns_is_the_same_data_and_the_same_split(tmp_path):
    (tmp_path / "d.csv").write_text(some_rows(["blue", "red", "green"], blanks=(4, 9, 30)))
    first = load(tmp_path / "d.csv", seed=3)
    again = load(tmp_path / "d.csv", seed=3, columns=first.columns)
    assert again.fingerprint == first.fingerprint and again.columns == first.columns


def test_a_value_absent_from_new_data_does_not_shift_the_columns(tmp_path):
    (tmp_path / "d.csv").write_text(some_rows(["blue", "red", "green"]))
    (tmp_path / "new.csv").write_text(some_rows(["red", "pink"], blanks=(7,)))
    columns = load(tmp_path / "d.csv").columns
    new = load(tmp_path / "new.csv", columns=columns)
    median = columns[1].median
    assert new.inputs[:3].tolist() == [[0, 0, 1, 0], [0, 0, 0, 3], [0, 0, 1, 6]]
    assert new.inputs[7].tolist() == [0, 0, 0, np.float32(median)]
    assert [p.count for p in new.problems if p.kind == "unknown value"] == [30]


def test_labels_are_taken_from_the_column_that_the_model_learnt_them_from(tmp_path):
    rows = "".join(f"{'no' if k % 3 else 'yes'},{k},{k % 2}\n" for k in range(40))
    (tmp_path / "d.csv").write_text("rain,b,label\n" + rows)
    columns = [Column("b", "number"), Column("rain", "label")]
    assert load(tmp_path / "d.csv").classes == ["0", "1"]
    assert load(tmp_path / "d.csv", columns=columns).classes == ["no", "yes"]
    assert load(tmp_path / "d.csv", columns=columns, label="label").classes == ["0", "1"]
    with pytest.raises(DataError, match="no column 'reign'"):
        load(tmp_path / "d.csv", columns=[columns[0], Column("reign", "label")])


def test_arrays_and_pictures_have_no_columns():
    X = np.arange(80, dtype=np.float32).reshape(40, 2)
    assert load(X, labels=np.arange(40) % 2).columns is None
    assert load("digits").columns is None


@pytest.mark.parametrize("header", ["a,label,b\n", ""])
def test_the_quick_way_for_large_tables_repeats_an_encoding_too(monkeypatch, header):
    numbers = np.random.default_rng(0).normal(0, 99, (50, 2))
    text = (header + "\n".join(f"{a:.4g},{k % 3},{b}" for k, (a, b) in enumerate(numbers))).encode()
    label = "label" if header else "column 2"
    careful = parse(text, "d.csv", label)
    swapped = b"b,a,label\n" + b"\n".join(b"%d,%d,%d" % (k, -k, k % 3) for k in range(50))
    monkeypatch.setattr(table, "LARGE_BYTES", 0)
    monkeypatch.setattr(table, "_raw", None)  # the careful way is barred
    quick = parse(text, "d.csv", label, careful.columns)
    assert np.array_equal(quick.inputs, careful.inputs) and quick.columns == careful.columns
    assert parse(text, "d.csv", label).columns == careful.columns
    if header:
        assert parse(swapped, "d.csv", None, careful.columns).inputs[3].tolist() == [-3, 3]


# -- as JSON ------------------------------------------------------------------------------------


def test_columns_survive_json():
    assert from_plain(json.loads(json.dumps(to_plain(PAINT)))) == PAINT
    assert from_plain(to_plain(None)) is None


NUMBER = {"name": "a", "kind": "number", "median": 0.5}
TEXT = {"name": "b", "kind": "text", "values": ["x"]}


@pytest.mark.parametrize(
    "plain",
    [
        {}, "abc", 5, [5], [None], [{}], [NUMBER, NUMBER], [{**NUMBER, "name": 5}],
        [{**NUMBER, "kind": "code"}], [{**NUMBER, "kind": []}], [{**NUMBER, "median": None}],
        [{**NUMBER, "median": "1"}], [{**NUMBER, "median": NAN}], [{**NUMBER, "median": 1e39}],
        [{**NUMBER, "median": 10**400}], [{**NUMBER, "median": True}], [{**TEXT, "values": []}],
        [{**TEXT, "values": "x"}], [{**TEXT, "values": [1]}], [{**TEXT, "values": ["x", "x"]}],
        [{**TEXT, "values": [""]}], [{"name": "b", "kind": "text"}],
        [{"name": "p", "kind": "label"}, {"name": "q", "kind": "label"}],
    ],
)  # fmt: skip
def test_what_is_no_description_of_columns_is_a_value_error(plain):
    with pytest.raises(ValueError):
        from_plain(plain)
