"""CSV and TSV with a label column; expected features worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthwise.data.load import load
from depthwise.data.readers import table
from depthwise.data.readers.table import parse
from depthwise.errors import DataError


def read(text, label=None):
    return parse(text.encode(), "d.csv", label)


def test_numbers_and_labels_are_told_apart():
    raw = read("a,b,label\n1,2.5,x\n3,-4e1,y\n")
    assert raw.inputs.dtype == np.float32 and raw.inputs.tolist() == [[1, 2.5], [3, -40]]
    assert raw.labels.tolist() == [0, 1] and raw.classes == ["x", "y"]


@pytest.mark.parametrize("name", ["label", "Class", "TARGET", "y"])
def test_the_label_column_is_guessed_by_its_name(name):
    raw = read(f"{name},a\nq,1\nr,2\n")
    assert raw.classes == ["q", "r"] and raw.inputs.tolist() == [[1], [2]]


def test_the_last_column_is_the_label_when_no_name_says_so():
    assert read("a,b\n1,7\n2,8\n").classes == ["7", "8"]


def test_a_table_without_a_header_uses_its_last_column():
    raw = read("5.1,3.5,setosa\n4.9,3.0,virginica\n")
    assert raw.classes == ["setosa", "virginica"] and raw.inputs.shape == (2, 2)


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_the_separator_is_found(separator):
    raw = read("a,b,label\n1,2,x\n3,4,y\n".replace(",", separator))
    assert raw.inputs.tolist() == [[1, 2], [3, 4]]


def test_quotes_byte_order_mark_and_windows_line_ends_are_understood():
    raw = parse('\ufeff"a","label"\r\n"1","x, y"\r\n2,"z"\r\n'.encode(), "d.csv")
    assert raw.classes == ["x, y", "z"] and raw.inputs.tolist() == [[1], [2]]


def test_text_columns_become_one_feature_a_value():
    raw = read("colour,n,label\nred,1,a\nblue,2,b\nred,3,a\n")
    assert raw.inputs.tolist() == [[0, 1, 1], [1, 0, 2], [0, 1, 3]]  # blue, red, n


def test_free_text_is_left_out_and_reported():
    rows = "".join(f"sentence {k},{k},{k % 2}\n" for k in range(70))
    raw = read("words,n,label\n" + rows)
    assert raw.inputs.shape == (70, 1)
    assert [(p.kind, p.where) for p in raw.problems] == [("free text", "words")]


def test_blank_cells_take_the_median_of_the_training_part(tmp_path):
    values = [str(v) for v in range(40)]
    values[7], values[20], values[33] = "", "NA", " "
    (tmp_path / "d.csv").write_text(
        "v,label\n" + "".join(f"{v},{k % 2}\n" for k, v in enumerate(values))
    )
    data = load(tmp_path / "d.csv")
    known = [int(values[i]) for i in data.indices["train"] if values[i].strip().isdigit()]
    assert (data.inputs[[7, 20, 33], 0] == np.float32(np.median(known))).all()
    blank = next(p for p in data.problems if p.kind == "blank cell")
    assert blank.count == 3 and "median" in blank.detail


def test_numbers_written_differently_are_one_class():
    assert read("a,label\n1,1\n2,1.0\n3,2\n").classes == ["1", "2"]


def test_parts_in_file_names_keep_the_split(tmp_path):
    for name, start in (("train", 0), ("test", 100)):
        rows = "".join(f"{start + k},{k % 2}\n" for k in range(20))
        (tmp_path / f"{name}.csv").write_text("a,label\n" + rows)
    data = load(tmp_path)
    assert sorted(data.inputs[data.indices["test"], 0]) == list(range(100, 120))


@pytest.mark.parametrize(
    ("text", "label", "what"),
    [
        ("a,b,species\n1,2,x\n", "specis", "did you mean 'species'"),
        ("a,b,label\n1,2,x\n", "zzz", "it has a, b, label"),
        ("a,label\n1,x\n2,\n3,NA\n4,y\n", None, "no label in column 'label' of row 3, 4"),
        ("a,label\n1,x\n2,y,9\n", None, "row 3 has 3 cells"),
        ("", None, "empty"),
        ("a,label\n", None, "header but no rows"),
        ("label\nx\ny\n", None, "one column only"),
        ("a,a,label\n1,2,x\n", None, "two columns are named 'a'"),
        ("a,label\n1,x\ninf,y\n", None, "inf in row 3, column 'a'"),
        ("a,label\n1,x\n1e60,y\n", None, "1e60 in row 3"),
        ("a\0b,label\n1,2\n", None, "zero bytes"),
    ],
)
def test_a_wrong_table_says_what_where_and_how(text, label, what):
    with pytest.raises(DataError, match=what):
        read(text, label)


def test_what_is_neither_utf8_nor_text_says_at_which_byte():
    for wrong in (b"a,label\n1,\xe9\x01\n", "a,label\n1,éé".encode() + b"\xff", b"a\x81,b\n1,2\n"):
        with pytest.raises(DataError, match=r"not UTF-8 text \(byte"):
            parse(wrong, "d.csv")


@pytest.mark.parametrize("header", ["a,label,b\n", ""])
def test_the_quick_way_for_large_tables_reads_the_same(monkeypatch, header):
    rng = np.random.default_rng(0)
    rows = [f"{a:.4g},{k % 3},{b}" for k, (a, b) in enumerate(rng.normal(0, 99, (200, 2)))]
    text = (header + "\n".join(rows)).encode()
    label = "label" if header else "column 2"
    careful = parse(text, "d.csv", label)
    monkeypatch.setattr(table, "LARGE_BYTES", 0)
    monkeypatch.setattr(table, "_raw", None)  # the careful way is barred
    quick = parse(text, "d.csv", label)
    assert np.array_equal(quick.inputs, careful.inputs) and quick.classes == careful.classes
    assert np.array_equal(quick.labels, careful.labels)
    assert quick.item_name(0) == careful.item_name(0)


@pytest.mark.parametrize("row", ["1,,0", "inf,1,0", "1,2", "x,1,0", "1,0.5,0"])
def test_what_the_quick_way_cannot_read_is_left_to_the_careful_one(monkeypatch, row):
    text = ("a,b,label\n" + "1,2,0\n3,4,1\n" * 5 + row + "\n").encode()
    outcomes = []
    for large in (10**9, 0):
        monkeypatch.setattr(table, "LARGE_BYTES", large)
        try:
            outcomes.append(parse(text, "d.csv", "b" if row == "1,0.5,0" else None).classes)
        except DataError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100))
def test_any_bytes_give_a_table_or_one_data_error(data):
    try:
        raw = parse(data, "x.csv")
        assert len(raw.inputs) == len(raw.labels)
    except DataError as error:
        assert "\n" not in str(error)


cells = st.sampled_from(["1", "-2.5", "", "NA", "x", '"', "inf", "1e99", "é", "nan", "3"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(cells, min_size=1, max_size=4), max_size=6))
def test_any_table_gives_finite_or_blank_features_or_one_data_error(rows):
    text = "a,b,label\n" + "\n".join(",".join(row) for row in rows)
    try:
        raw = read(text)
        assert not np.isinf(raw.inputs).any() and raw.labels.max() < len(raw.classes)
    except DataError as error:
        assert "\n" not in str(error)
