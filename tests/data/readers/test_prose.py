"""Prose: text files that are told from tables, and cut so that the later is asked about."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthwise import load_data
from depthwise.data.raw import TEST, TRAIN, VALIDATION
from depthwise.data.readers.prose import _pieces
from depthwise.errors import DataError

LINES = [f"and the {word} of line {i} was told" for i in range(60) for word in ("sun", "moon")]
PROSE = "\n".join(LINES) + "\n"


def parts(data) -> dict[str, str]:
    return {name: "".join(data.part(name).X) for name in ("train", "validation", "test")}


def test_a_text_file_is_prose_whose_end_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(PROSE)
    data = load_data(tmp_path / "book.txt")
    found = parts(data)
    assert data.task == "language" and not data.classes
    assert found["train"] + found["validation"] + found["test"] == PROSE
    assert all(text.endswith("told\n") for text in found.values())
    assert 0.09 < len(found["test"]) / len(PROSE) < 0.11
    assert f"{len(PROSE):,} characters of text" in data.summary()


def test_files_named_for_a_part_are_that_part(tmp_path: Path) -> None:
    for name in ("wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"):
        (tmp_path / name).write_text(PROSE + name)
    for name, text in parts(load_data(tmp_path)).items():
        assert text == f"{PROSE}wiki.{'valid' if name == 'validation' else name}.tokens"


def test_only_the_part_that_is_missing_is_cut(tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.txt").write_text(PROSE + name)
    found = parts(load_data(tmp_path))
    assert found["test"] == PROSE + "test"
    assert found["train"] + found["validation"] == PROSE + "train"


def test_every_book_is_cut_for_itself(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(PROSE.replace("sun", name))
    (tmp_path / "three.txt").write_text("\n")
    data = load_data(tmp_path)
    assert all("one" in text and "two" in text for text in parts(data).values())
    assert any("three.txt" in problem.where for problem in data.problems)


@given(st.text(min_size=1), st.sampled_from([["a"], ["train"], ["train", "test"], ["a", "valid"]]))
def test_nothing_is_lost_and_nothing_comes_twice(text: str, names: list[str]) -> None:
    found = list(_pieces({f"{name}.txt": text for name in names}))
    for name in names:
        mine = [(part, piece) for file, part, piece in found if file == f"{name}.txt"]
        assert "".join(piece for _, piece in mine) == text
        assert [part for part, _ in mine] == sorted(
            (part for part, _ in mine), key=[TRAIN, VALIDATION, TEST].index
        )


@pytest.mark.parametrize(
    "text", ["1 2 3\n" * 30, "name,of,it\n" + "the big one,the small one,told\n" * 9, "one\ttwo\n"]
)
def test_numbers_and_tables_are_no_prose(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.txt").write_text(text)
    with pytest.raises(DataError):
        load_data(tmp_path / "data.txt", task="language")


def test_what_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes(PROSE.encode() + "café".encode("latin-1") + b"\n")
    with pytest.raises(DataError, match=r"old.txt is not UTF-8"):
        load_data(tmp_path)


def test_a_few_words_are_too_little(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("a b c d e f g h i j k l m n o p q r s t u v w")
    with pytest.raises(DataError, match="45 characters of text; give 100"):
        load_data(tmp_path)


def test_without_a_training_part_it_says_so(tmp_path: Path) -> None:
    for name in ("valid", "test"):
        (tmp_path / f"{name}.txt").write_text(PROSE)
    with pytest.raises(DataError, match="no training part"):
        load_data(tmp_path)
