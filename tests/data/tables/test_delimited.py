"""Text tables as people bring them; what each must become was written down by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthwise.data.load import load
from depthwise.data.readers import table
from depthwise.data.readers.table import parse, parse_unlabelled
from depthwise.data.readers.text_tables import parse_texts
from depthwise.data.tables.columns import Column
from depthwise.data.tables.delimited import cut, decoded, lines_in
from depthwise.data.tables.header import is_header
from depthwise.data.tables.readings import Readings
from depthwise.errors import DataError

BODY = [(f"{k * 0.5}", f"{k * 7 % 11}", "yn"[k % 2]) for k in range(30)]


def text_of(*head, body=BODY, separator=",", end=""):
    return "\n".join([*head, *(separator.join(row) + end for row in body)]) + "\n"


def read(text, **how):
    return parse(text if isinstance(text, bytes) else text.encode(), "d.csv", **how)


def kinds(raw):
    return [problem.kind for problem in raw.problems]


def same_as_plain(raw):
    plain = read(text_of("a,b,label"))
    assert raw.inputs.tolist() == plain.inputs.tolist()
    assert raw.labels.tolist() == plain.labels.tolist() and raw.classes == plain.classes
    assert [c.name for c in raw.columns] == ["a", "b", "label"]


# -- lines, separators, comments ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (text_of("sep=;", "a;b;label", separator=";"), "separator"),
        (text_of("# made by hand, 2024", "# again", "a,b,label"), "comment"),
        (text_of("# a,b,label"), "line of names"),
        (text_of("#made by hand", "#a,b,label"), "line of names"),
        (text_of("a,b,label", end=","), "separator at the end"),
        (text_of("a,b,label,", end=","), "blank last column"),
        (text_of("a,b,label,"), "separator at the end"),
        (text_of("a,b,label,,", end=",,"), "blank last column"),
        (text_of("a b label", separator="  "), None),
        (text_of("a|b|label", separator="|"), None),
        (text_of("a,b,label").replace("\n", "\r"), None),
        (text_of("a,b,label").replace("\n", "\r\n"), None),
        (text_of("a,b,label").encode("utf-16"), None),
    ],
)
def test_however_it_is_written_it_is_the_same_table(text, told):
    raw = read(text)
    same_as_plain(raw)
    assert kinds(raw)[:1] == ([told] if told else [])


def test_names_of_rows_as_r_writes_them_are_left_out_and_told():
    rows = [(f'"{k + 1}"', *row) for k, row in enumerate(BODY)]
    raw = read(text_of('"a","b","label"', body=rows))
    assert kinds(raw) == ["names of rows", "no feature"]
    assert raw.inputs.tolist() == read(text_of("a,b,label")).inputs.tolist()


def test_latin_1_is_read_and_told():
    body = [(a, b, "éü"[k % 2]) for k, (a, b, _) in enumerate(BODY)]
    raw = read(text_of("a,b,naïve", body=body).encode("latin-1"))
    assert raw.classes == ["é", "ü"] and raw.columns[2].name == "naïve"
    assert kinds(raw) == ["encoding"] and "Windows-1252" in raw.problems[0].detail


def test_blank_lines_and_comments_are_counted_so_that_rows_keep_their_numbers():
    raw = read("a,label\n\n1,x\n# no row\n\n2,y\n3,x\n\n\n4,y\n")
    assert [raw.item_name(i) for i in range(4)] == ["row 3", "row 6", "row 7", "row 10"]
    with pytest.raises(DataError, match="row 6 has 3 cells"):
        read("a,label\n\n1,x\n\n\n2,y,9\n")
    with pytest.raises(DataError, match="no label in column 'label' of row 6"):
        read("a,label\n\n1,x\n2,y\n\n3,\n")
    with pytest.raises(DataError, match="inf in row 4"):
        read("a,label\n\n1,x\ninf,y\n")


def test_rows_of_a_large_table_keep_their_numbers_too(monkeypatch):
    text = "a,b,label\n" + "".join(f"{k / 3:.3f},{k * 5 % 7},{k % 2}\n" for k in range(50))
    for gap in ("", "\n"):
        whole = text.replace("\n1.000", f"\n{gap}1.000", 1)
        careful = read(whole)
        monkeypatch.setattr(table, "LARGE_BYTES", 0)
        quick = read(whole)
        monkeypatch.undo()
        assert [*quick.names] == [*careful.names]
        assert np.array_equal(quick.inputs, careful.inputs)


@given(st.text(alphabet="ab ,\u2028\u0085\x0c\x1c\x1d\n\r", max_size=30))
def test_lines_end_at_cr_and_lf_and_nowhere_else(text):
    lines = lines_in(text)
    ends = text.replace("\r\n", "\n").replace("\r", "\n")
    assert "\n".join(lines) == ends.removesuffix("\n")


def test_a_separator_of_lines_within_a_cell_is_a_letter():
    rows = [f"{k}\u2028{k}\u0085\x0c,{k * 0.7:.1f},{'xy'[k % 2]}" for k in range(10)]
    found = cut("\n".join(["a,b,label", *rows]), "d.csv")
    assert len(found.rows) == 11 and found.rows[3][0] == "2\u20282\u0085\x0c"


def test_a_cell_may_be_longer_than_a_csv_module_wants():
    import csv

    long = "word " * 40_000
    before = csv.field_size_limit()
    assert cut(f'a,label\n"{long}",x\n', "d.csv").rows[1][0] == long
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("1,5;2,5;x\n3,5;4,5;y\n", ";"),
        ('"a, b, c, d";x\n"e";y\n', ";"),
        ("what, in short, is it;label\nso, it is;a\nno;b\n", ";"),
        ("one, two, three\tpos\nfour, five, six\tneg\n", "\t"),
    ],
)
def test_the_separator_is_what_cuts_all_lines_alike(text, separator):
    found = cut(text, "d.csv")
    assert found.separator == separator and {len(row) for row in found.rows} != {1}


def test_utf8_that_is_damaged_is_no_latin_1():
    with pytest.raises(DataError, match=r"not UTF-8 text \(byte 6\)"):
        decoded("äöü".encode() + b"\xff" + "äöü".encode(), "d.csv")


# -- the first line -------------------------------------------------------------------------------

IRIS = [("5.1", "3.5", "setosa"), ("4.9", "3.0", "setosa"), ("6.3", "3.3", "virginica")] * 4
COUNTRY = [(f"land {k}", f"{k % 7 + 0.5}", f"{k % 3}") for k in range(20)]
SAID = [(f"a word and {k}", ("pos", "neg")[k % 2]) for k in range(20)]
WORDS = [("blue", "small", "no"), ("red", "big", "yes")] * 8
WHOLE = [(str(k * 3 % 7), str(k * 5 % 11), str(k % 2)) for k in range(20)]


@pytest.mark.parametrize(
    ("first", "below", "names"),
    [
        ("0,1,target", IRIS, True),
        ("0,1,2", [(*row[:2], str(k % 2)) for k, row in enumerate(IRIS)], True),
        ("country,2019,2020", COUNTRY, True),
        ("phrase,feeling", SAID, True),
        ("v1,v2", [row[::-1] for row in SAID], True),
        ("a,b,label", WHOLE, True),
        ("shape,size,sold", WORDS, True),
        ("0,1,target", WHOLE, True),
        ("5.1,3.5,setosa", IRIS, False),
        ("7.5,1.5,versicolor", IRIS, False),
        ("0,1,1", WHOLE, False),
        ("0,1,2", WHOLE, False),
        ("red,big,yes", WORDS, False),
        ("what a day 1,pos", SAID, False),
        ("Bern,2020,3", [("Oslo", "2021", "4"), ("Rome", "2019", "5")], False),
    ],
)
def test_a_first_line_is_names_or_a_row(first, below, names):
    assert is_header(first.split(","), below) is names


def test_what_is_not_plain_is_told_and_can_be_had_otherwise(tmp_path):
    file = tmp_path / "d.csv"
    file.write_text(text_of("0,1,target"))
    looked = load(file, cache=False)
    assert [c.name for c in looked.columns] == ["0", "1", "target"] and len(looked.inputs) == 30
    (told,) = [p for p in looked.problems if p.kind == "first line"]
    assert "--format csv:no-header" in told.detail
    other = load(file, format="csv:no-header", task="unlabelled", cache=False)
    assert len(other.inputs) == 31 and other.columns[0].name == "column 1"
    words = text_of("red,big,yes", body=WORDS)
    assert len(read(words).inputs) == 17
    assert len(read(words, readings=Readings(header=True)).inputs) == 16


# -- questions ------------------------------------------------------------------------------------


def test_answers_stay_beside_their_questions():
    assert parse_texts(b"one\n\n  \nfour\n\n", "q.txt") == ["one", "", "", "four"]
    assert parse_texts("one\u2028two\x0c three\nfour\n".encode(), "q.txt") == [
        "one\u2028two\x0c three", "four"
    ]  # fmt: skip
    features, _ = parse_unlabelled(b"size,name\n1,\n,\n3,c\n", "q.csv", [Column("size", "number")])
    np.testing.assert_array_equal(features, [[1], [np.nan], [3]])


def test_titles_above_the_line_of_names_are_left_out_and_told():
    raw = read("Sales 2024,,\n,by region,\n" + text_of("a,b,label"))
    same_as_plain(raw)
    (told,) = [p for p in raw.problems if p.kind == "title"]
    assert told.count == 2 and "Sales 2024" in told.detail and raw.item_name(0) == "row 4"
