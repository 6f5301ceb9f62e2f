"""The script beside an exported file takes photos, tables and rows as depthwise itself does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from depthwise import DNN
from depthwise.cli import main
from depthwise.data.load import load
from depthwise.data.pictures.images import picture_pixels
from depthwise.errors import InputError
from depthwise.exporting import FORMATS, export
from depthwise.exporting.places import Place, place_of
from depthwise.exporting.script_inputs import NUMBERS, PICTURES, ROWS, reading_of
from depthwise.exporting.scripts import script_of
from depthwise.inference.input_files import read_inputs

HEADER = "import sys\nfrom pathlib import Path\nimport numpy as np\n"


def reader(code: str, about: dict[str, Any]) -> Any:
    """The function `read` of a script."""
    space: dict[str, Any] = {"about": about}
    exec(HEADER + code, space)
    return space["read"]


def photos(folder: Path) -> list[Path]:
    """Every kind that `to_pixels` treats in its own way."""
    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (37, 51, 4), dtype=np.uint8)
    levels = random.integers(0, 65536, (23, 31), dtype=np.uint16)
    made = {
        "photo.jpg": Image.fromarray(colours[..., :3]),
        "large.jpg": Image.fromarray(np.tile(colours[..., :3], (9, 9, 1))),
        "alpha.png": Image.fromarray(colours),
        "grey.png": Image.fromarray(colours[..., 0]),
        "palette.gif": Image.fromarray(colours[..., :3]).quantize(16),
        "deep.png": Image.fromarray(levels),
        "ink.tif": Image.fromarray(colours, mode="CMYK"),
        "share.tif": Image.fromarray(random.random((19, 17), dtype=np.float32)),
    }
    for name, image in made.items():
        image.save(folder / name)
    for turn in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        made["photo.jpg"].save(folder / f"turned{turn}.jpg", exif=exif)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("shape", [(3, 16, 12), (1, 7, 9), (3, 37, 51)])
def test_photos_become_the_very_pixels_that_a_dataset_has(tmp_path: Path, shape) -> None:
    read = reader(PICTURES, {"input_shape": list(shape)})
    for path in photos(tmp_path):
        wanted = picture_pixels(path.read_bytes(), shape)
        assert (read(str(path)) == wanted[None]).all(), path.name


def table(path: Path) -> Any:
    rows = ["age,colour,note,height,label"]
    for i in range(80):
        colour = ("red", "green", "")[i % 3]
        rows.append(f"{i if i % 7 else ''},{colour},n{i},{i / 4},{'ab'[i % 2]}")
    path.write_text("\n".join(rows))
    return load(path, cache=False)


NEW = "height,colour,age\n1.5,green,3\n,blue,\n NA , red ,-4e2\n"


def test_rows_are_encoded_as_the_dataset_was(tmp_path: Path) -> None:
    from depthwise.data.tables.columns import to_plain

    data = table(tmp_path / "t.csv")
    (tmp_path / "new.csv").write_text(NEW)
    about = {"input_shape": list(data.input_shape), "columns": to_plain(data.columns)}
    read = reader(ROWS, about)
    known = read_inputs(tmp_path / "new.csv", data.input_shape, "float32", data.columns)
    assert (read(str(tmp_path / "new.csv")) == known).all()
    wide = len(data.columns)
    whole = "7,red,free text,2.5,a"
    assert whole.count(",") + 1 == wide
    for row in (whole, whole.removesuffix(",a"), "7;red;free text;2.5"):
        assert (read(row) == read("age,colour,height\n7,red,2.5")).all(), row
    with pytest.raises(SystemExit, match="the model takes age, colour"):
        read("1,2,3,4,5,6,7")
    with pytest.raises(SystemExit, match="'old' in column 'age' is no number"):
        read("old,red,x,1")


def test_dates_and_truths_are_encoded_as_the_dataset_was(tmp_path: Path) -> None:
    from depthwise.data.tables.columns import to_plain

    rows = ["sold,paid,label"]
    for i in range(60):
        day = f"2024-{1 + i % 12:02}-{1 + i % 28:02} {i % 24:02}:{i % 60:02}:07"
        rows.append(f"{day if i % 9 else ''},{('true', 'False', '')[i % 3]},{'ab'[i % 2]}")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    data = load(tmp_path / "t.csv", cache=False)
    assert [column.kind for column in data.columns] == ["date", "boolean", "label"]
    new = "paid,sold\nTRUE,2031-05-06 07:08:09.25\n,\nfalse,2020/2/29\n"
    (tmp_path / "new.csv").write_text(new.replace("/2/", "/02/"))
    about = {"input_shape": list(data.input_shape), "columns": to_plain(data.columns)}
    read = reader(ROWS, about)
    known = read_inputs(tmp_path / "new.csv", data.input_shape, "float32", data.columns)
    np.testing.assert_array_equal(read(str(tmp_path / "new.csv")), known)
    with pytest.raises(SystemExit, match="'soon' in column 'sold' is no date"):
        read("soon,true")


@pytest.mark.parametrize(
    "about, takes",
    [
        ({"input_shape": [64], "input_dtype": "int64"}, "raw items"),
        ({"input_shape": [4, 3, 9, 9], "input_dtype": "uint8"}, "raw items"),
        ({"input_shape": [3, 9, 9], "input_dtype": "float32"}, "raw items"),
        ({"input_shape": [2], "input_dtype": "float32",
          "columns": [{"name": "sold", "kind": "span"}]}, "column 'sold' is a span"),
    ],
)  # fmt: skip
def test_what_only_depthwise_can_read_is_said_in_the_script(about, takes) -> None:
    reading = reading_of(about)
    assert takes in reading.takes and reading.code == "" and reading.example == "items.npy"


def run(*arguments: object) -> list[str]:
    command = [sys.executable, "-W", "ignore", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.splitlines()


def require(to: str) -> None:
    if remedy := FORMATS[to].requires():
        pytest.skip(remedy)


def test_a_photo_is_answered_by_an_onnx_file_of_any_name(tmp_path: Path) -> None:
    require("onnx")
    X = np.random.default_rng(1).integers(0, 256, (30, 3, 8, 6), dtype=np.uint8)
    model = DNN(hidden=5, epochs=2).fit(X, np.array(["ant", "bee"])[np.arange(30) % 2])
    done = export(model, out=tmp_path / "small.onnx", samples=X)
    assert [path.name for path in done.files] == ["small.onnx"]
    assert done.script == tmp_path / "run_small.py"
    assert {path.name for path in tmp_path.iterdir()} == {"small.onnx", "run_small.py"}
    (tmp_path / "photos").mkdir()
    files = photos(tmp_path / "photos")[:3]
    told = run(done.script, *files)
    pixels = np.stack([picture_pixels(path.read_bytes(), (3, 8, 6)) for path in files])
    assert told == [f"{p} {k}" for p, k in zip(files, model.predict(pixels), strict=True)]
    assert run(done.script, files[0]) == [model.predict(pixels[:1])[0]]


def test_a_row_is_answered_as_the_model_does(tmp_path: Path) -> None:
    require("onnx")
    data = table(tmp_path / "t.csv")
    model = DNN(hidden=5, epochs=2).fit(data)
    done = export(model, out=tmp_path / "rows.onnx", samples=data.test.X)
    (tmp_path / "new.csv").write_text(NEW)
    inputs = read_inputs(tmp_path / "new.csv", model.input_shape_, "float32", model.columns_)
    told = run(done.script, tmp_path / "new.csv", "3,green,none,1.5")
    named = [f"{tmp_path / 'new.csv'} {label}" for label in model.predict(inputs)]
    assert told == [*named, f"3,green,none,1.5 {model.predict(inputs[:1])[0]}"]


def test_numbers_without_columns_are_taken_as_they_stand(tmp_path: Path) -> None:
    X = np.random.default_rng(2).random((5, 3), dtype=np.float32)
    read = reader(NUMBERS, {"input_shape": [3]})
    np.save(tmp_path / "x.npy", X)
    np.savetxt(tmp_path / "bare.csv", X, delimiter=";")
    np.savetxt(tmp_path / "named.csv", X, delimiter=",", header="p,q,r", comments="")
    for name in ("x.npy", "bare.csv", "named.csv"):
        assert (read(str(tmp_path / name)) == X).all(), name
    assert read("-.5,1e3,2").tolist() == [[-0.5, 1000, 2]]
    with pytest.raises(SystemExit, match="rows of 3 numbers"):
        read("1,2")


@pytest.mark.parametrize(
    "to, out, said",
    [("openvino", "a.onnx", "is a file of onnx, but openvino"), (None, "a.tflite", "end in .onnx")],
)
def test_a_file_of_another_format_is_refused_first(tmp_path: Path, capsys, to, out, said) -> None:
    with pytest.raises(InputError, match=said):
        place_of(to, tmp_path / out)
    with pytest.raises(SystemExit) as ended:
        main(["export", str(tmp_path / "no-model"), "--out", str(tmp_path / out),
              *(["--to", to] if to else [])])  # fmt: skip
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_a_folder_whose_name_has_a_dot_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "v1.onnx").mkdir()
    assert place_of(None, tmp_path / "v1.onnx").folder == tmp_path / "v1.onnx"
    assert place_of("onnx", tmp_path / "v1.2").of("model.onnx") == tmp_path / "v1.2" / "model.onnx"
    assert place_of(None, "a/b.xml").of("model.bin") == Path("a/b.bin")


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("stem", ["model", "small", 'o"""dd\\N{', "it's"])
def test_a_script_is_sound_whatever_its_names(tmp_path: Path, to: str, stem: str) -> None:
    columns = [{"name": '"""; import os\\N{', "kind": "span"}]
    about = {"input_shape": [2], "input_dtype": "float32", "columns": columns}
    for more in (
        about,
        {**about, "columns": None},
        {"input_shape": [3, 9, 9], "input_dtype": "uint8"},
    ):
        name, text = script_of(Place(to, tmp_path, stem), FORMATS[to].files, more)
        tree = ast.parse(text)
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import)
                    for alias in node.names}  # fmt: skip
        assert not {"os", "depthwise"} & imported
        assert name.startswith("run_") and name.endswith(".py")


def test_the_script_decides_by_the_models_threshold(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 3)).astype(np.float32)
    y = np.where(X[:, 0] + random.normal(size=60) > 1.2, "yes", "no")
    model = DNN(size="xxs", epochs=3, threads=1).fit(X, y)
    likeliest = model.predict(X)
    model.decision_threshold_ = float(np.quantile(model.predict_proba(X)[:, 1], 0.4))
    export(model, "torch-export", tmp_path / "o")
    np.save(tmp_path / "x.npy", X)
    command = [sys.executable, str(tmp_path / "o" / "run_torch.py"), str(tmp_path / "x.npy")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert said == model.predict(X).tolist() != likeliest.tolist()


WRITTEN = {
    ".": ["3", "-4e1", ".5", "1,234.5", "1,234,567", "1 234", "1'234", "$3", "-$1,200", "3 EUR",
          "(5.00)", "45%", "4.5 %", "1\u00a0234", "\u22127", "1,234", "3,5", "12,75"],
    ",": ["3", "3,5", "1.234,5", "1.234", "1 234,5", "-3,0 €", "CHF 1.200,50", "12,5%", "3.5"],
}  # fmt: skip


@pytest.mark.parametrize("mark", [".", ","])
def test_numbers_as_people_write_them_are_read_as_the_dataset_reads_them(mark: str) -> None:
    from depthwise.data.tables.numbers import written_numbers

    column = {"name": "p", "kind": "number", "median": 1.5, "offset": 0.25, "decimal": mark}
    read = reader(ROWS, {"columns": [column, {"name": "label", "kind": "label"}]})
    for cell in WRITTEN[mark]:
        wanted = written_numbers([cell], mark).values[0]
        assert read(f'"{cell}"').tolist() == [[np.float32(wanted - 0.25)]], cell
    assert read("p\nNA\n?\n").tolist() == [[1.5], [1.5]]


@pytest.mark.parametrize("cell", ["B12", "1_0", "12:30", "1,23,4", "1.2.3", "five", "--3", "3 and"])
def test_a_cell_that_is_no_number_ends_the_script_with_its_name(cell: str) -> None:
    about = {"columns": [{"name": "p", "kind": "number", "median": 0.0}]}
    with pytest.raises(SystemExit, match=f"{cell!r} in column 'p' is no number"):
        reader(ROWS, about)(f'"{cell}"')


@pytest.mark.parametrize("code", [ROWS, NUMBERS])
@pytest.mark.parametrize("given", ["", "\n", "1,2\n3\n"])
def test_no_row_and_half_a_row_are_no_items(code: str, given: str) -> None:
    columns = [{"name": n, "kind": "number", "median": 0.0} for n in "pq"]
    with pytest.raises(SystemExit, match=r"rows of a table|rows of 2 numbers"):
        reader(code, {"columns": columns, "input_shape": [2]})(given)


def test_a_blank_is_no_number_of_a_model_of_arrays() -> None:
    with pytest.raises(SystemExit, match="no blank cells"):
        reader(NUMBERS, {"input_shape": [2]})("1,\n")


def test_an_exported_file_takes_unix_times_that_float32_would_merge(tmp_path: Path) -> None:
    times = 1_700_000_000 + 24 * np.arange(200)
    rows = [f"{t},{k * 7 % 13},{'ab'[k // 5 % 2]}" for k, t in enumerate(times)]
    (tmp_path / "t.csv").write_text("time,n,label\n" + "\n".join(rows))
    data = load(tmp_path / "t.csv", cache=False)
    model = DNN(hidden=(16,), epochs=3).fit(data)
    done = export(model, "onnx", tmp_path / "out")
    text = "time,n\n" + "\n".join(row.rpartition(",")[0] for row in rows)
    (tmp_path / "new.csv").write_text(text)
    found = subprocess.run(
        [sys.executable, str(tmp_path / "out" / "run_onnx.py"), str(tmp_path / "new.csv")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    inputs = read_inputs(tmp_path / "new.csv", (2,), "float32", model.columns_)
    assert len(np.unique(inputs[:, 0])) == 200
    assert found.stdout.split() == [str(answer) for answer in model.predict(inputs)] and done
