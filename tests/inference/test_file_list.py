"""Folders and patterns become the files that a model takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.bare_model import Bare

from depthwise.errors import DataError, InputError
from depthwise.inference.file_list import expanded
from depthwise.inference.input_files import Told
from depthwise.inference.writing import _names

PNG = b"\x89PNG\r\n\x1a\n"


PICTURES, CLIPS = Bare(None, (3, 8, 8), "uint8"), Bare(None, (4, 3, 8, 8), "uint8")
ROWS, TEXTS = Bare(None, (5,)), Bare(None, (16,), "int64")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "many"
    for name in ("b.jpg", "a.PNG", "deep/er/c.jpeg", "deep/d", "notes.md", ".hidden.jpg",
                 "Thumbs.db", "t.csv", "u.tsv", "x.npy", "said.txt", "film.mp4"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PNG if name == "deep/d" else b"content")
    return root


def below(folder: Path, found: list[Any]) -> list[str]:
    return [str(Path(name).relative_to(folder)) for name in found]


@pytest.mark.parametrize(
    "model, wanted",
    [
        (PICTURES, ["a.PNG", "b.jpg", "deep/d", "deep/er/c.jpeg"]),
        (CLIPS, [".", "deep", "deep/er", "film.mp4"]),
        (ROWS, ["t.csv", "u.tsv"]),
        (TEXTS, ["said.txt", "t.csv", "u.tsv"]),
    ],
)
def test_a_folder_means_the_files_that_the_model_takes(folder, model, wanted):
    assert below(folder, expanded([str(folder)], model)) == wanted


def test_arrays_are_taken_where_there_is_no_picture(tmp_path):
    (tmp_path / "x.npy").write_bytes(b"content")
    assert below(tmp_path, expanded([str(tmp_path)], PICTURES)) == ["x.npy"]


def test_what_is_left_out_of_a_folder_is_told_once(folder):
    told: list[str] = []
    expanded([str(folder)], PICTURES, told.append)
    assert len(told) == 1 and "6 other files" in told[0] and "film.mp4" in told[0]


def test_a_pattern_that_the_shell_left_is_expanded_in_order(folder):
    assert below(folder, expanded([f"{folder}/*.*p*g*"], PICTURES)) == ["a.PNG", "b.jpg"][1:]
    found = below(folder, expanded([f"{folder}/**/*.jp*"], PICTURES))
    assert found == ["b.jpg", "deep/er/c.jpeg"]
    assert below(folder, expanded([f"{folder}/dee?"], PICTURES)) == ["deep/d", "deep/er/c.jpeg"]


def test_a_file_whose_name_is_a_pattern_is_itself(tmp_path):
    odd = tmp_path / "photo[1].jpg"
    odd.write_bytes(b"content")
    assert expanded([str(odd)], PICTURES) == [str(odd)]


def test_what_cannot_be_had_is_an_error_in_its_place(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    names = [str(folder / "b.jpg"), f"{folder}/*.webp", str(tmp_path / "empty"), "a.jpg", "x" * 999]
    first, pattern, empty, *missing = expanded(names, PICTURES)
    assert first == names[0] and missing == names[3:]
    assert isinstance(pattern, DataError) and "*.webp" in str(pattern)
    assert isinstance(empty, InputError) and "pictures" in str(empty)


def test_a_folder_of_frames_is_a_clip_itself_and_a_folder_of_clips_is_many(tmp_path):
    for clip in ("one", "two"):
        (tmp_path / clip).mkdir()
        for k in range(3):
            (tmp_path / clip / f"{k}.png").write_bytes(PNG)
    assert below(tmp_path, expanded([str(tmp_path)], CLIPS)) == ["one", "two"]
    assert expanded([str(tmp_path / "one")], CLIPS) == [str(tmp_path / "one")]


def test_thousands_of_equal_names_each_have_a_file_of_their_own():
    names = _names([Told(f"{k}/a.jpg", None) for k in range(3000)])
    assert len(set(names)) == 3000 and names[:3] == ["a", "a-copy2", "a-copy3"]
