"""Prose as a person gives it: choose, fit, measure, and what cannot be asked of a writer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from depthwise import load, load_data
from depthwise.cli import main
from depthwise.errors import InputError
from depthwise.tasks.language.language_model import SIZES, LanguageModel

WORDS = ["to be", "or not", "that is", "the question", "whether", "nobler", "in the mind"]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("prose") / "book.txt"
    drawn = np.random.default_rng(0).choice(WORDS, (400, 6))
    path.write_text("\n".join(" ".join(line) for line in drawn) + "\n")
    return path


@pytest.fixture(scope="module")
def chosen(tmp_path_factory, book) -> Path:
    out = tmp_path_factory.mktemp("models") / "out"
    limits = ("--train-minutes", "0.05", "--max-size-mb", "0.2")
    with pytest.MonkeyPatch.context() as patch:  # larger ones take long to be measured
        patch.setattr(LanguageModel, "sizes", {name: SIZES[name] for name in ("xxs", "xs")})
        assert run("choose", book, *limits, "--out", out) == 0
    return out


def test_choose_knows_prose_and_ranks_by_bits(chosen: Path) -> None:
    record = json.loads((chosen / "choice.json").read_text())
    assert record["task"] == "language" and record["test"]["unit"] == "-bits/byte"
    assert record["winner"] == "language-xxs"  # xs is larger than 0.2 MB
    assert -8 < record["test"]["value"] < -0.5
    assert "bits per byte" in (chosen / "report.html").read_text()


def test_what_is_told_of_the_test_part_is_what_the_model_says_of_it(chosen, book) -> None:
    record = json.loads((chosen / "choice.json").read_text())
    text = load_data(book).test.X
    model = load(chosen / "best")
    assert record["test"]["value"] == pytest.approx(-model.bits_per_byte(list(text)))
    low, high = record["test"]["low"], record["test"]["high"]
    assert low < record["test"]["value"] < high


def test_fit_and_measure_take_text_files(book, tmp_path: Path, capsys) -> None:
    settings = ("--family", "language", "--size", "xxs", "--epochs", "1", "--out", tmp_path / "m")
    assert run("fit", book, *settings, "-q") == 0
    assert "negative bits per byte" in capsys.readouterr().out
    assert run("measure", tmp_path / "m", "--data", book, "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["accuracy"]["unit"] == "-bits/byte"
    assert "128 tokens read and 32 written" in card["latency"]["details"]["answer"]


def test_what_was_held_out_chooses_and_is_not_learnt(book) -> None:
    data = load_data(book)
    model = LanguageModel(size="xxs", epochs=2, validation_fraction=0.0, threads=1).fit(data)
    assert all("score" in record for record in model.history_["epochs"])
    assert model.split_ == data.split_marks


def test_classes_are_not_foretold(tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((20, 3), dtype=np.float32)
    with pytest.raises(InputError, match="data for classification; this is for language"):
        LanguageModel().fit(load_data((X, [0, 1] * 10)))
