"""A model that was fitted on a table, asked about other tables: fit, predict, measure, as a person
gives the commands; and whether it notices that it is measured on what it has learnt from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise.catalog import load_model
from depthwise.cli import main
from depthwise.data.load import load
from depthwise.data.tables.columns import Column
from depthwise.errors import ModelFileError
from depthwise.families.shallow.shallow import LogisticRegression

HERE = ("--device", "raspberry-pi-5", "--json")
SUSPECT = "was not trained on this split"


def run(*arguments: Any) -> int:
    """The exit code of one command."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def flowers(n: int = 90) -> str:
    """Red ones are roses, yellow ones tulips; blue ones are roses if they are tall. One height in
    ten is blank."""
    lines = []
    for k in range(n):
        colour, tall = ("red", "yellow", "blue")[k % 3], k // 3 % 2
        species = "rose" if colour == "red" or (colour == "blue" and tall) else "tulip"
        height = "" if k % 10 == 4 else str(k / 100 + (40 if tall else 20))
        lines.append(f"{colour},{species},{height},{k * 7 % 13}")
    return "colour,species,height,leaves\n" + "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "flowers.csv"
    path.write_text(flowers())
    return path


@pytest.fixture(scope="module")
def model(table: Path) -> Path:
    """Fitted by the command on colours, blanks and all; features blue, red, yellow, height,
    leaves."""
    out = table.parent / "model"
    command = ("fit", table, "--label", "species", "--family", "logistic", "--seed", "5")
    assert run(*command, "--out", out, "--quiet") == 0
    return out


def asked(model: Path, path: Path, capsys: Any) -> tuple[list[dict[str, Any]], str]:
    """What predict says of each row, and what it says on stderr."""
    capsys.readouterr()
    assert run("predict", model, path, "--top", "2", "--json") == 0
    told = capsys.readouterr()
    return [json.loads(line) for line in told.out.splitlines()], told.err


def shares(answers: list[dict[str, Any]]) -> list[list[float]]:
    """P(rose), P(tulip) of each row."""
    ranked = [{top["class"]: top["probability"] for top in answer["top"]} for answer in answers]
    return [[each["rose"], each["tulip"]] for each in ranked]


# -- predict ------------------------------------------------------------------------------------


def test_new_rows_in_another_order_are_answered_as_the_hand_encoded_ones(
    model: Path, table: Path, tmp_path: Path, capsys: Any
) -> None:
    new = "leaves,id,height,colour\n3,a,41.5,blue\n4,b,,red\n5,c,22,mauve\n6,d,20,\n"
    (tmp_path / "new.csv").write_text(new)
    answers, told = asked(model, tmp_path / "new.csv", capsys)
    data = load(table, label="species", seed=5)
    lines = table.read_text().splitlines()[1:]
    heights = [lines[i].split(",")[2] for i in data.indices["train"]]
    median = np.median([float(height) for height in heights if height])
    by_hand = [[1, 0, 0, 41.5, 3], [0, 1, 0, median, 4], [0, 0, 0, 22, 5], [0, 0, 0, 20, 6]]
    wanted = load_model(model).predict_proba(np.array(by_hand, np.float32))
    np.testing.assert_allclose(shares(answers), wanted, atol=1e-6)
    assert [answer["class"] for answer in answers[:2]] == ["rose", "rose"]
    assert "unknown value: column 'colour': 'mauve' in no row" in told
    assert "blank cell: in 1 of 3 columns" in told and len(told.splitlines()) == 2


def test_a_table_with_its_labels_and_one_without_names_are_answered_alike(
    model: Path, table: Path, tmp_path: Path, capsys: Any
) -> None:
    lines = table.read_text().splitlines()
    whole, told = asked(model, table, capsys)
    (tmp_path / "bare.csv").write_text("\n".join(lines[1:]))
    (tmp_path / "unlabelled.csv").write_text(
        re.sub("(?m),(rose|tulip),", ",", "\n".join(lines[1:]))
    )
    for name in ("bare.csv", "unlabelled.csv"):
        assert shares(asked(model, tmp_path / name, capsys)[0]) == shares(whole)
    truth = [line.split(",")[1] for line in lines[1:]]
    assert np.mean([a["class"] == t for a, t in zip(whole, truth)]) > 0.8
    assert "unknown value" not in told


def test_a_missing_column_is_one_line_with_the_name_that_was_meant(
    model: Path, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "new.csv").write_text("color,height,leaves\nred,1,2\n")
    assert run("predict", model, tmp_path / "new.csv") == 2
    told = capsys.readouterr()
    assert told.out == "" and len(told.err.splitlines()) == 1
    assert "new.csv has no column 'colour'; did you mean 'color'?" in told.err


# -- saved and read back ------------------------------------------------------------------------


def test_columns_and_split_are_saved_and_read_back(model: Path, table: Path) -> None:
    loaded, data = load_model(model), load(table, label="species", seed=5)
    assert loaded.columns_ == data.columns and loaded.split_ == data.split_marks
    assert [(c.name, c.kind) for c in loaded.columns_] == [
        ("colour", "text"), ("species", "label"), ("height", "number"), ("leaves", "number"),
    ]  # fmt: skip
    assert loaded.split_.seed == 5


def test_a_model_fitted_on_arrays_has_no_columns_also_after_a_dataset(
    table: Path, tmp_path: Path
) -> None:
    model = LogisticRegression()
    assert model.columns_ is None
    data = load(table, label="species")
    assert model.fit(data).columns_ == data.columns
    model.fit(*data.train).save(tmp_path / "m")
    assert model.columns_ is None and load_model(tmp_path / "m").columns_ is None


def test_a_dataset_cut_to_other_columns_loses_them(table: Path) -> None:
    data = load(table, label="species")
    data.inputs = data.inputs[:, :3]
    assert LogisticRegression().fit(data).columns_ is None


def test_a_model_saved_before_columns_were_remembered_still_loads(
    model: Path, tmp_path: Path
) -> None:
    old = copied(model, tmp_path)
    about = json.loads((old / "model.json").read_text())
    del about["columns"], about["split"]
    (old / "model.json").write_text(json.dumps(about))
    loaded = load_model(old)
    assert loaded.columns_ is None and loaded.split_ is None


def copied(model: Path, folder: Path) -> Path:
    for name in ("model.json", "model.safetensors"):
        (folder / name).write_bytes((model / name).read_bytes())
    return folder


ONE = {"name": "a", "kind": "number", "median": 0}
MARKS = {"train": "0", "test": "0", "seed": 0}


@pytest.mark.parametrize(
    "changes",
    [
        {"columns": []}, {"columns": 5}, {"columns": [ONE]}, {"columns": {"a": ONE}},
        {"columns": [{**ONE, "name": str(k)} for k in range(6)]},
        {"columns": [{**ONE, "name": "a", "median": "x"}] * 5},
        {"columns": [{"name": "t", "kind": "text", "values": [1, 2, 3, 4, 5]}]},
        {"columns": [{"name": "t", "kind": "text", "values": 5}]},
        {"columns": [{"name": "t", "kind": "import os", "values": list("abcde")}]},
        {"split": 5}, {"split": []}, {"split": {}}, {"split": {**MARKS, "seed": "1; rm"}},
        {"split": {**MARKS, "seed": -1}}, {"split": {**MARKS, "seed": True}},
        {"split": {**MARKS, "train": None}}, {"split": {**MARKS, "test": ["0"]}},
    ],
)  # fmt: skip
def test_columns_that_lie_are_refused(model: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    path = copied(model, tmp_path) / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ModelFileError, match="does not describe"):
        load_model(tmp_path)


def test_five_sound_columns_for_five_features_are_taken(model: Path, tmp_path: Path) -> None:
    path = copied(model, tmp_path) / "model.json"
    columns = [{**ONE, "name": str(k)} for k in range(5)]
    path.write_text(json.dumps({**json.loads(path.read_text()), "columns": columns}))
    assert load_model(tmp_path).columns_ == [Column(str(k), "number") for k in range(5)]


# -- measure ------------------------------------------------------------------------------------


def test_measured_on_its_own_split_it_scores_what_fit_told_and_nothing_is_suspected(
    model: Path, table: Path, capsys: Any
) -> None:
    assert run("measure", model, "--data", table, "--seed", "5", *HERE) == 0
    told = capsys.readouterr()
    measured = json.loads(told.out)["accuracy"]
    assert measured["value"] == json.loads((model / "fit.json").read_text())["result"]["value"]
    assert "warning" not in told.err


def test_measured_on_another_split_it_says_so_and_which_seed_is_its_own(
    model: Path, table: Path, capsys: Any
) -> None:
    assert run("measure", model, "--data", table, *HERE) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(lines) == 1 and SUSPECT in lines[0] and "give --seed 5" in lines[0]


def test_new_data_without_one_of_the_values_does_not_shift_the_columns(
    model: Path, tmp_path: Path, capsys: Any
) -> None:
    rows = [line for line in flowers(120).splitlines() if not line.startswith("blue")]
    (tmp_path / "new.csv").write_text("\n".join(rows))
    assert run("measure", model, "--data", tmp_path / "new.csv", "--seed", "5", *HERE) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["accuracy"]["value"] == 1.0  # red and yellow tell it all
    assert SUSPECT in told.err and "--seed" not in told.err  # the seed is not what differs


def test_a_test_part_that_the_data_bring_is_not_suspected_whatever_the_seed(
    tmp_path: Path, capsys: Any
) -> None:
    lines = flowers().splitlines()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("\n".join(lines[:70]))
    (tmp_path / "data" / "test.csv").write_text("\n".join([lines[0], *lines[70:]]))
    command = ("fit", tmp_path / "data", "--label", "species", "--family", "logistic", "--quiet")
    assert run(*command, "--out", tmp_path / "m") == 0
    assert run("measure", tmp_path / "m", "--data", tmp_path / "data", "--seed", "9", *HERE) == 0
    assert "warning" not in capsys.readouterr().err


def test_a_model_fitted_on_arrays_does_not_know_what_it_has_seen(
    table: Path, tmp_path: Path, capsys: Any
) -> None:
    data = load(table, label="species")
    LogisticRegression().fit(data.train.X, np.asarray(data.classes)[data.train.y]).save(tmp_path)
    assert run("measure", tmp_path, "--data", table, "--label", "species", *HERE) == 0
    assert "whether it has seen the test part is not known" in capsys.readouterr().err


def test_pictures_brought_to_the_models_size_are_its_own_split_with_its_own_seed(
    tmp_path: Path, capsys: Any
) -> None:
    from PIL import Image

    for k in range(24):
        (tmp_path / "data" / str(k % 2)).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(k).integers(0, 256, (9 + k % 3, 7, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / str(k % 2) / f"{k}.png")
    command = ("fit", tmp_path / "data", "--family", "logistic", "--quiet", "--seed", "1")
    assert run(*command, "--out", tmp_path / "m") == 0
    for seed, suspected in (("1", False), ("2", True)):
        assert (
            run("measure", tmp_path / "m", "--data", tmp_path / "data", "--seed", seed, *HERE) == 0
        )
        assert (SUSPECT in capsys.readouterr().err) == suspected
