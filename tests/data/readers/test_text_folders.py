"""Folders of texts: IMDB, newsgroups, metadata; what is left out is told."""

import pytest
from made_tables import described, json_lines, newsgroups, put, said, text_folders

from depthwise.data.load import load
from depthwise.errors import DataError


def told(data, kind):
    return [p for p in data.problems if p.kind == kind]


def test_imdb_is_its_classes_and_parts_without_what_is_beside(tmp_path):
    text_folders(tmp_path)
    data = load(tmp_path, cache=False)
    assert data.task == "text" and data.classes == ["neg", "pos"]
    assert len(data.indices["test"]) == 40 and len(data.inputs) == 80
    place = next(i for i in range(80) if data.item_name(i).endswith("train/pos/1_7.txt"))
    assert data.inputs[place] == said(1)[0] and data.classes[data.labels[place]] == "pos"
    (aside,) = told(data, "file beside the texts")
    assert aside.count == 4  # README, two urls_pos.txt, the text without a class


def test_newsgroups_are_read_without_suffix_and_in_latin_1(tmp_path):
    newsgroups(tmp_path)
    data = load(tmp_path, cache=False)
    assert data.classes == ["rec.autos", "sci.space"] and len(data.indices["test"]) == 20
    assert "café" in data.inputs[0]
    (western,) = told(data, "encoding")
    assert western.count == 60


def test_metadata_says_what_files_are(tmp_path):
    described(tmp_path)
    (tmp_path / "texts/3.txt").unlink()
    data = load(tmp_path, cache=False)
    assert data.task == "text" and data.classes == ["bad", "good"] and len(data.inputs) == 39
    assert said(0)[0] in data.inputs.tolist()
    assert [p.where for p in told(data, "missing file")] == ["texts/3.txt"]


def test_an_empty_text_is_left_out_and_told(tmp_path):
    for k in range(40):
        put(tmp_path, f"{'ab'[k % 2]}/{k}.txt", said(k)[0] if k != 5 else " \n")
    data = load(tmp_path, cache=False)
    assert len(data.inputs) == 39 and [p.where for p in told(data, "empty text")] == ["b/5.txt"]


def test_books_of_one_folder_are_prose_and_may_be_asked_to_be(tmp_path):
    for k in range(40):
        put(tmp_path, f"{'ab'[k % 2]}/{k}.txt", (said(k)[0] + ".\n") * 9)
    assert load(tmp_path, cache=False).task == "text"
    assert load(tmp_path, task="language", cache=False).task == "language"
    assert load(tmp_path / "a", cache=False).task == "language"


def test_what_is_no_text_is_named(tmp_path):
    for k in range(40):
        put(tmp_path, f"{'ab'[k % 2]}/{k}.txt", said(k)[0])
    put(tmp_path, "b/99.txt", b"one\0two")
    with pytest.raises(DataError, match=r"b/99.txt holds zero bytes"):
        load(tmp_path, cache=False)


def test_tables_in_folders_are_no_texts(tmp_path):
    for part in ("train", "test"):
        put(
            tmp_path,
            f"{part}/a.jsonl",
            json_lines([{"n": k % 9, "label": k % 2} for k in range(60)]),
        )
    assert load(tmp_path, cache=False).kind == "table"
