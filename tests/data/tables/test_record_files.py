"""JSON, Parquet, Excel, ARFF: the same rows as the CSV; and what is wrong in them, named."""

import json
import sys

import pytest
from made_tables import NAMES, ROWS, arff, excel, json_lines, put, records, table

from depthwise.data.load import load
from depthwise.data.tables.record_files import columns_in
from depthwise.errors import DataError, MissingExtraError
from depthwise.inference.input_files import read_inputs

DICTS = [dict(zip(NAMES, row)) for row in ROWS]
BY_COLUMN = {name: {str(k): row[j] for k, row in enumerate(ROWS)} for j, name in enumerate(NAMES)}


def same_as_csv(folder, name):
    put(folder / "csv", "paint.csv", table())
    wanted, found = (load(path, cache=False) for path in (folder / "csv/paint.csv", folder / name))
    assert found.fingerprint == wanted.fingerprint
    assert found.columns[0].name == "size" and found.classes == ["n", "y"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("d.json", json.dumps(DICTS)),
        ("d.json", json.dumps({"about": "paint", "data": DICTS})),
        ("d.json", json.dumps({"paints": DICTS, "n": 40})),
        ("d.json", json.dumps(BY_COLUMN)),
        ("d.json", json.dumps({n: [*column.values()] for n, column in BY_COLUMN.items()})),
        ("d.json", json.dumps({"columns": NAMES, "index": [1], "data": ROWS})),
        ("d.json", json_lines(DICTS)),
        ("d.jsonl", json_lines(DICTS)),
        ("d.ndjson", "\n" + json_lines(DICTS).replace("\n", "\r\n\r\n")),
        ("d.arff", arff()),
        ("d.arff", arff().replace("red", "'red'").replace("\n", "\r\n")),
    ],
)
def test_each_is_what_its_csv_is(tmp_path, name, text):
    put(tmp_path, name, text)
    same_as_csv(tmp_path, name)


def test_excel_is_what_its_csv_is(tmp_path):
    excel(tmp_path)
    same_as_csv(tmp_path, "paint.xlsx")
    columns = load(tmp_path / "paint.xlsx", cache=False).columns
    inputs = read_inputs(tmp_path / "paint.xlsx", (3,), "float32", columns)
    assert inputs.shape == (40, 3)


def test_parquet_is_what_its_csv_is(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    made = pa.Table.from_pylist([{**d, "size": float(d["size"])} for d in DICTS])
    parquet.write_table(made, tmp_path / "d.parquet")
    feather.write_feather(made, tmp_path / "d.feather")
    same_as_csv(tmp_path, "d.parquet")
    same_as_csv(tmp_path, "d.feather")
    (tmp_path / "d.parquet").write_bytes((tmp_path / "d.parquet").read_bytes()[:200])
    with pytest.raises(DataError, match="no sound Parquet"):
        load(tmp_path / "d.parquet", cache=False)


def test_a_json_path_is_that_file_and_errors_name_it(tmp_path):
    put(tmp_path, "one.json", json.dumps(DICTS))
    put(tmp_path, "two.json", "[{]")
    assert load(tmp_path / "one.json", cache=False).classes == ["n", "y"]
    with pytest.raises(DataError, match=r"two.json is no sound JSON"):
        load(tmp_path / "two.json", cache=False)


def test_missing_and_other_keys_and_marks_are_kept_apart(tmp_path):
    rows = [{**d, "note": 'he said "a, b"\nand went'} if k % 2 else d for k, d in enumerate(DICTS)]
    put(tmp_path, "d.json", json.dumps([{**d, "size": None} if k == 4 else d for k, d in
                                        enumerate(rows)]))  # fmt: skip
    data = load(tmp_path / "d.json", cache=False)
    assert len(data.inputs) == 40 and data.columns[3].kind == "text"
    assert data.columns[3].values == ('he said "a, b"\nand went',)
    assert [p.count for p in data.problems if p.kind == "blank cell"] == [1]


def test_names_that_are_numbers_stay_names(tmp_path):
    rows = [{"0": float(row[0]), "1": k % 5 + 0.5, "2": row[2]} for k, row in enumerate(ROWS)]
    put(tmp_path, "d.jsonl", json_lines(rows))
    assert [c.name for c in load(tmp_path / "d.jsonl", cache=False).columns] == ["0", "1", "2"]


def test_arff_of_sparse_rows_quotes_and_question_marks():
    text = "@relation r\n@attribute a real\n@attribute 'b c' string\n@attribute class {x, 'y z'}\n"
    columns, rows = columns_in(
        "d.arff",
        (text + "@data\n% none\n1.5, 'it\\'s, so', x\n?, \"p, q\", 'y z'\n{0 3, 2 x}\n").encode(),
        "d.arff",
    )
    assert columns == ["a", "b c", "class"]
    assert rows == [["1.5", "it's, so", "x"], ["?", "p, q", "y z"], ["3", "0", "x"]]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("d.jsonl", '{"a": 1}\n{"a": \n', "line 2 is no sound JSON"),
        ("d.jsonl", '{"a": 1}\n[1, 2]\n', "line 2: .* is no object"),
        ("d.jsonl", "\n", "is empty"),
        ("d.json", "[1, 2, 3]", "holds no list of records"),
        ("d.json", '{"a": {"0": 1}, "b": {"1": 2}}', "not of one length"),
        ("d.json", '{"columns": ["a", "b"], "data": [[1]]}', "not as many cells"),
        ("d.arff", "@relation r\n@attribute a real\n@data\n1,2\n", "line 4 has 2 cells, for 1"),
        ("d.arff", "@relation r\n@attribute a real\n@data\n", "no rows behind @data"),
        ("d.arff", "@relation r\nattribute a real\n", "line 2: .* is no part of an ARFF header"),
        ("d.arff", "@relation r\n@attribute a real\n@data\n{5 1}\n", "no attribute's number"),
        ("d.xls", "\xd0\xcf", "before 2007; save it as .xlsx"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, name, text, what):
    put(tmp_path, name, text)
    with pytest.raises(DataError, match=what):
        load(tmp_path / name, cache=False)


@pytest.mark.parametrize(
    ("name", "package"),
    [("d.parquet", "pyarrow"), ("d.feather", "pyarrow"), ("d.xlsx", "openpyxl")],
)
def test_a_package_that_is_missing_is_named(monkeypatch, tmp_path, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    put(tmp_path, name, b"PAR1")
    with pytest.raises(MissingExtraError, match=rf"{package} reads: pip install .depthwise.tables"):
        load(tmp_path / name, cache=False)


def test_several_tables_without_parts_are_named(tmp_path):
    put(tmp_path, "a.jsonl", json_lines(records()))
    put(tmp_path, "b.jsonl", json_lines(records()))
    with pytest.raises(DataError, match=r"several tables \(a.jsonl, b.jsonl\)"):
        load(tmp_path, cache=False)
