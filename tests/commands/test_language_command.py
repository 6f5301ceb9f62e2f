"""`depthwise generate`: what it prints, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from depthwise import catalog
from depthwise.commands.generate import generate
from depthwise.errors import InputError
from depthwise.families.shallow.shallow import LogisticRegression
from depthwise.tasks.language.language_model import LanguageModel

SENTENCE = "the quick brown fox jumps over the lazy dog. "


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings: dict[str, Any] = {"size": "xs", "context": 32, "epochs": 8, "batch_size": 8}
    made = LanguageModel(**settings, threads=1, precision="float32", validation_fraction=0.0)
    return made.fit(SENTENCE * 30).save(tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.FAMILIES, "language", LanguageModel)


def run(*arguments: str) -> Any:
    app = typer.Typer()
    app.command()(generate)
    return CliRunner().invoke(app, list(arguments))


def test_it_prints_the_prompt_and_what_follows(model: Path) -> None:
    options = ["--temperature", "0", "--max-tokens", "10"]
    told = run(str(model), "--prompt", "the quick brown", *options)
    assert told.exit_code == 0
    assert told.stdout == "the quick brown fox jumps\n"


def test_json_and_stop_texts(model: Path) -> None:
    options = ["--temperature", "0", "--stop", "over", "--stop", "lazy", "--json"]
    told = json.loads(run(str(model), "--prompt", "the quick", *options).stdout)
    assert told == {"prompt": "the quick", "text": " brown fox jumps ", "seed": 0}


def test_the_same_seed_prints_the_same(model: Path) -> None:
    options = ["--temperature", "1.5", "--top-p", "1", "--max-tokens", "30"]
    told = [run(str(model), "--seed", seed, *options).stdout for seed in ("1", "1", "2")]
    assert told[0] == told[1] != told[2]


def test_a_model_that_cannot_write_and_a_wrong_option_are_told(model: Path, tmp_path: Path) -> None:
    rows = [[0.0, 1.0], [1.0, 0.0], [0.5, 1.0], [1.0, 0.2]]
    LogisticRegression().fit(rows, [0, 1, 0, 1]).save(tmp_path / "other")
    refused = run(str(tmp_path / "other")).exception
    assert isinstance(refused, InputError)
    assert "a logistic cannot write" in str(refused)
    assert "top_p" in str(run(str(model), "--top-p", "2").exception)


@pytest.mark.parametrize("given", ["nan", "-1", "inf"])
def test_a_temperature_that_is_none_writes_nothing(model: Path, given: str) -> None:
    refused = run(str(model), "--prompt", "the", "--temperature", given)
    assert "temperature must be 0 or above" in str(refused.exception)
    assert refused.stdout == ""


@pytest.mark.parametrize("prompt", ["", "東京 🎉", "ab\udcff", SENTENCE * 9])
def test_any_prompt_is_gone_on_with(model: Path, prompt: str) -> None:
    told = run(str(model), "--prompt", prompt, "--max-tokens", "5", "--json")
    assert told.exit_code == 0
    assert json.loads(told.stdout)["prompt"] == prompt
