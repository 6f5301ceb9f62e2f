"""enroll, identify, verify and forget, as a person gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from depthwise.catalog import load_model
from depthwise.cli import main
from depthwise.families.shallow.shallow import LogisticRegression
from depthwise.tasks.faces.recognizer import FaceRecognizer

SETTINGS: dict[str, Any] = {
    "size": "xs",
    "n_embedding": 16,
    "epochs": 4,
    "augment": "shift",
    "mirror": False,
    "precision": "float32",
    "threads": 1,
    "validation_fraction": 0.0,
}


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def learnt(digits: Any) -> FaceRecognizer:
    """The ten digits stand for people."""
    X, y = digits[0][:500], digits[1][:500]
    return FaceRecognizer(**SETTINGS).fit(X, np.array([f"person {n}" for n in y]))


@pytest.fixture
def model(learnt: FaceRecognizer, tmp_path: Path) -> Path:
    return Path(learnt.save(tmp_path / "model"))


@pytest.fixture(scope="module")
def pictures(digits: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two files of each digit, "3a.png" and "3b.png", and an array of several."""
    folder, (X, y) = tmp_path_factory.mktemp("pictures"), digits[2:]
    found = {}
    for n in range(10):
        for letter, i in zip("ab", np.flatnonzero(y == n), strict=False):
            found[f"{n}{letter}"] = folder / f"{n}{letter}.png"
            Image.fromarray(X[i, 0]).save(found[f"{n}{letter}"])
    found["threes"] = folder / "threes.npy"
    np.save(found["threes"], X[y == 3][:6, 0])
    return found


def test_who_was_enrolled_is_found_and_forgotten(
    model: Path, pictures: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("enroll", model, "Ann", pictures["3a"]) == 0
    assert capsys.readouterr().out == f"Ann by 1 picture; 1 person enrolled in {model}\n"
    assert run("enroll", model, "Ben", pictures["7a"], pictures["7b"], "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"name": "Ben", "pictures": 2, "enrolled": {"Ann": 1, "Ben": 2}}
    assert run("identify", model, pictures["3a"], pictures["7a"], "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["name"] for line in lines] == ["Ann", "Ben"]
    assert lines[0]["similarity"] == pytest.approx(1, abs=1e-4)  # the very picture
    assert run("forget", model, "Ann") == 0
    assert capsys.readouterr().out == f"Ann is gone; 1 person enrolled in {model}\n"
    assert b"Ann" not in (model / "model.json").read_bytes()
    assert run("identify", model, pictures["3a"]) == 0
    assert capsys.readouterr().out.split()[-2] in ("unknown", "Ben")


def test_what_is_written_is_what_python_answers(
    model: Path, pictures: dict[str, Path], digits: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run("enroll", model, "Ann", pictures["3a"])
    threes = digits[2][digits[3] == 3][:6]
    capsys.readouterr()
    assert run("identify", model, pictures["threes"], "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    loaded: Any = load_model(model)
    assert [line["name"] for line in lines] == loaded.identify(threes).tolist()
    assert [line["row"] for line in lines] == list(range(6))
    np.testing.assert_allclose(
        [line["similarity"] for line in lines], loaded.similarities(threes)[:, 0], atol=1e-6
    )
    assert run("verify", model, pictures["3a"], pictures["3b"], "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["same"] is bool(loaded.verify(threes[0], threes[1])[0])
    assert told["threshold"] == loaded.threshold_
    assert run("verify", model, pictures["3a"], pictures["3a"]) == 0
    assert capsys.readouterr().out.startswith("the same person  similarity 1.000")


def test_more_pictures_of_somebody_known_are_added(
    model: Path, pictures: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run("enroll", model, "Ann", pictures["3a"])
    assert run("enroll", model, "Ann", pictures["3a"], "--add") == 0
    assert "Ann by 2 pictures" in capsys.readouterr().out


def test_an_unreadable_picture_is_told_and_the_others_are_answered(
    model: Path, pictures: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("enroll", model, "Ann", pictures["3a"])
    (tmp_path / "note.png").write_text("no picture")
    capsys.readouterr()
    assert run("identify", model, tmp_path / "note.png", pictures["3a"]) == 1
    told = capsys.readouterr()
    assert "Ann" in told.out
    assert "note.png is not a picture" in told.err


def test_somebody_is_enrolled_by_the_pictures_that_can_be_read(
    model: Path, pictures: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    assert run("enroll", model, "Ann", tmp_path / "missing.png") == 2
    assert "missing.png cannot be read" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    assert run("enroll", model, "Ann", pictures["3a"], tmp_path / "missing.png") == 1
    told = capsys.readouterr()
    assert told.out.startswith("Ann by 1 picture;") and "missing.png cannot be read" in told.err


def test_a_folder_of_pictures_enrolls_and_is_identified(
    model: Path, pictures: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("3a", "3b"):
        (tmp_path / "ann" / f"{name}.png").parent.mkdir(exist_ok=True)
        (tmp_path / "ann" / f"{name}.png").write_bytes(pictures[name].read_bytes())
    assert run("enroll", model, "Ann", tmp_path / "ann") == 0
    assert capsys.readouterr().out.startswith("Ann by 2 pictures;")
    assert run("identify", model, f"{tmp_path}/ann/*.png", "--json") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("identify", "MODEL", "3a"), "nobody is enrolled"),
        (("forget", "MODEL", "Ann"), "nobody called 'Ann'"),
        (("enroll", "MODEL", "unknown", "3a"), "must not be 'unknown'"),
        (("enroll", "MODEL", "Ann", "3a", "--add"), "nobody to add pictures to"),
        (("verify", "MODEL", "3a", "threes"), "holds 6 pictures"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    arguments: tuple[str, ...],
    told: str,
    model: Path,
    pictures: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [model if word == "MODEL" else pictures.get(word, word) for word in arguments]
    assert run(*given) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.out == ""


def test_a_model_of_something_else_knows_no_people(
    pictures: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [[0.0, 1.0], [1.0, 0.0], [0.5, 1.0], [1.0, 0.2]]
    LogisticRegression().fit(rows, [0, 1, 0, 1]).save(tmp_path / "rows")
    for verb in ("enroll", "identify", "verify", "forget"):
        files = [] if verb == "forget" else [pictures["3a"]]
        name = ["Ann"] if verb in ("enroll", "forget") else [pictures["3b"]]
        assert run(verb, tmp_path / "rows", *name, *files) == 2
        assert "knows no people" in capsys.readouterr().err
