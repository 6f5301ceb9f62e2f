"""`--metric` on the command line: fit, measure, predict and choose of a table with a rare class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise import load
from depthwise.cli import main


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One item in eight is "yes"."""
    random = np.random.default_rng(0)
    X = random.normal(size=(600, 3))
    z = X[:, 0] + X[:, 1] + random.normal(size=600)
    names = np.where(z > np.quantile(z, 0.88), "yes", "no")
    path = tmp_path_factory.mktemp("metric") / "people.csv"
    rows = [",".join([*(f"{value:.4f}" for value in row), name]) for row, name in zip(X, names)]
    path.write_text("\n".join(["a,b,c,bought", *rows]))
    return path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def fitted(table: Path) -> Path:
    out = table.parent / "model"
    command = ("fit", table, "--family", "logistic", "--metric", "f1", "--out", out, "-q")
    assert run(*command) == 0
    return out


def test_fit_cuts_two_classes_where_the_metric_is_best(fitted: Path) -> None:
    model = load(fitted)
    assert model.metric == "f1"
    assert 0 < model.decision_threshold_ < 0.5
    result = json.loads((fitted / "fit.json").read_text())["result"]
    assert (result["unit"], result["details"]["metric"]) == ("F1", "f1")
    assert result["details"]["scores"]["f1"]["of"] == "yes"


def test_measure_tells_the_metric_first_and_the_others_after(
    table: Path, fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("measure", fitted, "--data", table, "--metric", "auroc") == 0
    lines = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert lines[:5] == ["AUROC", "accuracy", "balanced", "f1", "log"]


def test_predict_says_what_the_threshold_says(
    table: Path, fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", fitted, table, "--json", "--top", "2") == 0
    told: list[dict[str, Any]] = [json.loads(t) for t in capsys.readouterr().out.splitlines()]
    mark = load(fitted).decision_threshold_
    unlikely = 0
    for answer in told:
        shares = {entry["class"]: entry["probability"] for entry in answer["top"]}
        assert (answer["class"] == "yes") == (shares["yes"] >= mark)
        unlikely += answer["class"] == "yes" and shares["yes"] < 0.5
    assert unlikely


@pytest.mark.parametrize(
    "command",
    [
        ("choose", "TABLE", "--out", "OUT"),
        ("fit", "TABLE", "--family", "dnn", "--out", "OUT"),
        ("measure", "MODEL", "--data", "TABLE"),
    ],
    ids=lambda command: command[0],
)
def test_an_unknown_metric_is_answered_with_the_known(
    command: tuple[str, ...], table: Path, fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"TABLE": table, "MODEL": fitted, "OUT": table.parent / "none"}
    assert run(*(places.get(word, word) for word in command), "--metric", "precision") == 2
    told = capsys.readouterr().err
    assert "accuracy, balanced_accuracy, f1, auroc, log_loss" in told
    assert "'precision'" in told
    assert not places["OUT"].exists()


def test_inspect_tells_the_shares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{i},{i % 7},{'yes' if i % 16 == 0 else 'no'}" for i in range(320)]
    (tmp_path / "rare.csv").write_text("\n".join(["a,b,answer", *rows]))
    assert run("inspect", tmp_path / "rare.csv") == 0
    assert "(93.8% and 6.2%): accuracy says little" in capsys.readouterr().out
