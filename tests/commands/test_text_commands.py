"""Texts in classes as a person asks for them: inspect, choose, predict, measure, export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from depthwise.backbones.texts import named
from depthwise.cli import main

NICE = ("lovely", "warm", "brave", "funny", "moving")
POOR = ("dull", "cold", "silly", "boring", "weak")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module", autouse=True)
def _without_the_encoder() -> Iterator[None]:
    """Its rungs take long; what they answer is tested where they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(named, "_found_folder", lambda: None)
        yield


@pytest.fixture(scope="module")
def reviews(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reviews")
    rows = [
        f"number {i} was a {words[i % 5]} and {words[i // 5 % 5]} film\t{name}"
        for i in range(150)
        for words, name in ((NICE, "good"), (POOR, "bad"))
    ]
    (folder / "reviews.tsv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def chosen(tmp_path_factory, reviews) -> Path:
    out = tmp_path_factory.mktemp("models") / "out"
    limits = ("--families", "tfidf,text", "--max-size-mb", "3.8", "--train-minutes", "0.2")
    assert run("choose", reviews, *limits, "--out", out, "-q") == 0
    return out


def test_choose_knows_texts_and_says_how_good_the_winner_is(chosen) -> None:
    record = json.loads((chosen / "choice.json").read_text())
    assert record["task"] == "text" and record["test"]["value"] > 0.9
    assert {"tfidf", "text-xs"} <= {c["name"] for c in record["candidates"]}
    assert record["pictures"] is None
    assert "<svg" in (chosen / "report.html").read_text()


def test_choose_says_how_an_encoder_that_is_absent_could_be_had(chosen) -> None:
    record = json.loads((chosen / "choice.json").read_text())
    (about,) = [c for c in record["candidates"] if c["name"] == "text-minilm"]
    assert 'pip install "depthwise[sentences]"' in json.dumps(
        about["reason"], ensure_ascii=False
    ).replace("\\", "")


def test_texts_are_told_a_line_each(chosen, tmp_path, capsys) -> None:
    (tmp_path / "new.txt").write_text("a lovely and moving film\n\na dull and boring film\n")
    assert run("predict", chosen / "best", tmp_path / "new.txt", "--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["row"] for entry in told] == [0, 1, 2]  # a blank line has an answer's line too
    assert (told[0]["class"], told[2]["class"]) == ("good", "bad")


def test_a_table_of_texts_is_asked_by_its_prose(chosen, reviews, capsys) -> None:
    assert run("predict", chosen / "best", reviews / "reviews.tsv", "--json") == 0
    told = [json.loads(line)["class"] for line in capsys.readouterr().out.splitlines()]
    assert told[:2] == ["good", "bad"] and len(told) == 300


def test_it_is_measured_and_exported(chosen, reviews, tmp_path, capsys) -> None:
    assert run("measure", chosen / "best", "--data", reviews, "--json") == 0
    card = json.loads(capsys.readouterr().out)
    assert card["accuracy"]["value"] > 0.9 and card["latency"]["value"] > 0
    about = ("--to", "torch-export", "--data", reviews, "--out", tmp_path / "out", "--json", "-q")
    assert run("export", chosen / "best", *about) == 0
    assert json.loads(capsys.readouterr().out)["same_class"] == 1


def test_a_picture_is_no_text(chosen, tmp_path, capsys) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff\xff")
    assert run("predict", chosen / "best", tmp_path / "a.png") == 2
    assert "is not UTF-8 text" in capsys.readouterr().err


def test_pairs_are_chosen_for_and_told_how_alike_they_are(tmp_path, capsys) -> None:
    words = ("cat", "dog", "boat", "tree", "lamp", "song", "road", "rain")
    rows = []
    for i in range(160):
        a, b, c = words[i % 8], words[i // 8 % 8], words[(i + 3) % 8]
        other = f"here is the {a} by the {b}, {i}" if i % 2 else f"they sold {c} for {i} {c}"
        rows.append(f"there was a {a} and a {b}, {i}\t{other}\t{5.0 if i % 2 else 0.5}")
    (tmp_path / "pairs.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]))
    out = tmp_path / "out"
    limits = ("--max-size-mb", "14", "--train-minutes", "0.1", "--out", out, "-q")
    assert run("choose", tmp_path / "pairs.tsv", *limits) == 0
    record = json.loads((out / "choice.json").read_text())
    assert record["task"] == "pairs" and record["test"]["unit"] == "Spearman"
    capsys.readouterr()
    (tmp_path / "new.tsv").write_text("there was a cat and a dog\there is the cat by the dog\n")
    assert run("predict", out / "best", tmp_path / "new.tsv", "--json") == 0
    (told,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert 0 <= told["similarity"] <= 5


def test_a_document_of_100000_words_is_answered_and_what_is_cut_is_said(
    chosen, tmp_path, capsys
) -> None:
    (tmp_path / "long.txt").write_text("a lovely and moving film " * 20_000)
    assert run("predict", chosen / "best", tmp_path / "long.txt", "--json") == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["class"] == "good"
    assert "1 of 1 texts have more than" in told.err


def test_pairs_are_no_texts(chosen, tmp_path, capsys) -> None:
    rows = [
        f"here is the {a} of {i}\tthere was a {a} {i}\t{i % 7 / 2}" for i, a in enumerate(NICE * 5)
    ]
    (tmp_path / "pairs.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]))
    assert run("measure", chosen / "best", "--data", tmp_path / "pairs.tsv") == 2
    assert "looks like data for pairs" in capsys.readouterr().err
