"""fit and measure of people's folders without a list of pairs, as the ORL faces come in a zip."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from depthwise.catalog import load_model
from depthwise.cli import main
from depthwise.data.load import load
from depthwise.errors import NothingFitsError
from depthwise.measuring.quality import quality
from depthwise.measuring.scorecard import Scorecard

PEOPLE, PICTURES = 40, 5
QUICK = ("--size", "xs", "--set", "mirror=false", "--set", "augment=none", "--set", "threads=1",
         "--set", "precision=float32", "-q")  # fmt: skip


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def orl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """s1/1.pgm .. s40/5.pgm: a pattern a person, and a little noise."""
    path, random = tmp_path_factory.mktemp("faces") / "orl.zip", np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for person in range(1, PEOPLE + 1):
            pattern = random.integers(0, 256, (4, 4)).repeat(4, 0).repeat(4, 1)
            for k in range(1, PICTURES + 1):
                noisy = np.clip(pattern + random.normal(0, 20, (16, 16)), 0, 255)
                Image.fromarray(noisy.astype(np.uint8)).save(into := io.BytesIO(), "PPM")
                archive.writestr(f"s{person}/{k}.pgm", into.getvalue())
        archive.writestr("README", "forty people")
    return path


@pytest.fixture(scope="module")
def fitted(orl: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people") / "model"
    assert run("fit", orl, "--family", "faces", "--epochs", "1", "--out", folder, *QUICK) == 0
    return folder


def test_the_score_of_faces_is_told_on_people_who_were_never_seen(
    orl: Path, fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads((fitted / "fit.json").read_text())["result"]
    assert told["unit"] == "fraction" and told["low"] <= told["value"] <= told["high"]
    data = load(orl, task="faces")
    people = {part: {*data.labels[data.indices[part]].tolist()} for part in data.indices}
    assert not people["train"] & people["test"] and told["details"]["people"] == len(people["test"])
    assert run("fit", orl, "--family", "faces", "--epochs", "1", "--out", fitted, *QUICK) == 0
    shown = capsys.readouterr().out
    assert "unknown" not in shown and "%" in shown


def test_measure_tells_the_same_score(
    orl: Path, fitted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_the_score(model: Any, data: Any, *_: Any, **options: Any) -> Scorecard:
        """The other five take twelve seconds, and are tested elsewhere."""
        return Scorecard(device="none", accuracy=quality(model, data, "test", options["task"]))

    monkeypatch.setattr("depthwise.measuring.scorecard.measure", only_the_score)
    told = json.loads((fitted / "fit.json").read_text())["result"]
    assert run("measure", fitted, "--data", orl, "--json", "--device", "h100") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["accuracy"]["value"] == pytest.approx(told["value"])
    assert "warning: the model was not trained" not in shown.err


def test_pictures_in_folders_are_faces_to_a_model_of_faces(orl: Path, fitted: Path) -> None:
    metric = quality(
        load_model(fitted), load(orl, test_fraction=0.4), "test"
    )  # read as classes, as Python does
    assert metric.known and metric.details["pairs_of_one"] > 0


def test_choose_reads_for_what_the_families_named_learn(
    orl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []

    def stop(data: Any, **options: Any) -> None:
        seen.append((data.task, options["task"]))
        raise NothingFitsError("far enough")

    monkeypatch.setattr("depthwise.choosing.choose.choose", stop)
    for families, wanted in (("faces", ("faces", "faces")), ("cnn", ("classification", None))):
        assert run("choose", orl, "--families", families, "--out", tmp_path / "out") == 3
        assert seen[-1] == wanted
    assert "task faces, which is what faces learn" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--family", "logistic", "--task", "faces"), "does not learn the task faces; faces do"),
        (
            ("--family", "logistic", "--task", "anomaly"),
            "does not learn the task anomaly; dbn, dbm",
        ),
        (("--family", "faces", "--task", "detection"), "does not learn the task detection"),
        (("--family", "rbm", "--task", "oracle"), "--task must be one of"),
        (("--family", "dbn", "--task", "classification", "--unlabelled"), "exclude each other"),
    ],
)
def test_a_task_that_a_family_does_not_learn_is_refused_first(
    orl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments, said: str
) -> None:
    assert run("fit", orl, *arguments, "--out", tmp_path / "out") == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_fit_with_a_task_is_scored_by_it(orl: Path, tmp_path: Path) -> None:
    for task, unit in (("anomaly", "AUROC"), ("generate", "nats")):
        out = tmp_path / task
        wanted = ("--set", "epochs=1", "--set", "n_hidden=8", "--task", task, "-q")
        assert run("fit", orl, "--family", "rbm", *wanted, "--out", out) == 0
        told = json.loads((out / "fit.json").read_text())
        assert told["result"]["unit"] == unit and told["request"]["task"] == task
