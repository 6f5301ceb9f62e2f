"""Tables of prose and class: recognised, read as they are, and what is wrong with them named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthwise import load_data
from depthwise.data.duplicates import same_texts
from depthwise.data.readers.text_tables import parse_pairs, parse_texts
from depthwise.errors import DataError

GOOD = "a truly {} film with a {} heart"
BAD = "a {} waste of {} hours and money"
WORDS = ("warm", "kind", "brave", "quick", "plain", "small", "large", "quiet", "bright", "sharp")


def lines(n: int = 40, separator: str = "\t", order: int = 1) -> list[str]:
    """Texts that are all different, every second one bad."""
    made = []
    for i in range(n):
        text = (BAD if i % 2 else GOOD).format(WORDS[i % 10], WORDS[i // 4 % 10] + str(i))
        made.append(separator.join(((text, "bad" if i % 2 else "good"))[::order]))
    return made


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("header", [None, ("sentence", "label")])
@pytest.mark.parametrize("separator", ["\t", ",", ";"])
def test_texts_are_told_from_classes(tmp_path: Path, separator, header, order) -> None:
    rows = [*([separator.join(header[::order])] if header else []), *lines(40, separator, order)]
    (tmp_path / "data.tsv").write_text("\n".join(rows) + "\n")
    data = load_data(tmp_path, cache=False)
    assert data.task == "text" and data.kind == "text"
    assert data.classes == ["bad", "good"] and len(data.inputs) == 40
    (first,) = np.flatnonzero(data.inputs == GOOD.format("warm", "warm0"))
    assert data.classes[data.labels[first]] == "good"


def test_files_that_are_named_so_are_the_split(tmp_path: Path) -> None:
    for name, n in (("train", 30), ("dev", 10), ("test", 20)):
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines(n)))
    data = load_data(tmp_path, cache=False)
    assert [len(data.indices[part]) for part in ("train", "validation", "test")] == [30, 10, 20]
    assert any(problem.kind == "same item in two parts" for problem in data.problems)


def test_quotation_marks_stay_where_a_tab_separates(tmp_path: Path) -> None:
    rows = lines(20)
    rows[3] = 'he said "it is not so and stopped\tbad'
    (tmp_path / "data.tsv").write_text("\n".join(rows))
    data = load_data(tmp_path, cache=False)
    assert 'he said "it is not so and stopped' in data.inputs.tolist()


def test_quoted_cells_may_hold_the_separator_and_lines(tmp_path: Path) -> None:
    rows = lines(20, ",")
    rows[3] = '"well, he said\nand went home",bad'
    (tmp_path / "data.csv").write_text("\n".join(rows))
    assert "well, he said\nand went home" in load_data(tmp_path, cache=False).inputs.tolist()


def test_empty_texts_are_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "data.tsv").write_text("\n".join([*lines(20), " \tgood"]))
    data = load_data(tmp_path, cache=False)
    assert len(data.inputs) == 20
    (problem,) = [p for p in data.problems if p.kind == "empty text"]
    assert "row 21" in problem.where


def test_a_text_without_a_class_is_an_error_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "data.tsv").write_text("\n".join([*lines(20), "and what is this one then\t"]))
    with pytest.raises(DataError, match="no label in row 21"):
        load_data(tmp_path, cache=False)


def test_copies_are_told_and_stay_on_one_side(tmp_path: Path) -> None:
    rows = lines(60)
    (tmp_path / "data.tsv").write_text("\n".join([*rows, *(row.upper() for row in rows[:30])]))
    data = load_data(tmp_path, cache=False, label=None)
    assert any(problem.kind == "exact duplicate" for problem in data.problems)
    groups = same_texts(data.inputs)
    part_of = np.zeros(len(groups), int)
    for number, part in enumerate(("train", "validation", "test")):
        part_of[data.indices[part]] = number
    assert all(len(set(part_of[groups == g])) == 1 for g in np.unique(groups))


def test_numbers_with_a_class_are_no_texts(tmp_path: Path) -> None:
    rows = ["height,weight,label", *(f"{i},{2 * i},{'ab'[i % 2]}" for i in range(40))]
    (tmp_path / "data.csv").write_text("\n".join(rows))
    assert load_data(tmp_path, cache=False).kind == "table"


def test_the_same_texts_have_the_same_fingerprint_and_others_another(tmp_path: Path) -> None:
    marks = set()
    for name, rows in (("a", lines(20)), ("b", lines(20)), ("c", [*lines(19), "so it is\tgood"])):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "data.tsv").write_text("\n".join(rows))
        marks.add(load_data(folder, cache=False).fingerprint)
    assert len(marks) == 2


@given(
    st.lists(
        st.text(min_size=1).filter(
            lambda t: t.strip() and len(t.splitlines()) == 1 and "\0" not in t
        )
    )
)
def test_a_file_of_lines_gives_the_lines(texts: list[str]) -> None:
    said = [text.strip() for text in texts if not any("\ud800" <= c <= "\udfff" for c in text)]
    if not said:
        return
    found = parse_texts("\n".join(said).encode(), "some.txt")
    assert found == [t for t in said if t.removeprefix("\ufeff").strip()] or said[0][0] == "\ufeff"


def test_bytes_that_are_no_text_are_named() -> None:
    with pytest.raises(DataError, match=r"some.txt is not UTF-8 text \(byte 2\)"):
        parse_texts(b"ab\x81", "some.txt")
    with pytest.raises(DataError, match="has no text in it"):
        parse_texts(b" \n\n", "some.txt")


def pair_lines(n: int, said: object) -> list[str]:
    return [
        "\t".join((*(GOOD.format(WORDS[i % 10], w + str(i)) for w in WORDS[:2]), said(i)))
        for i in range(n)
    ]


def test_pairs_are_told_from_texts_and_similarities_from_classes(tmp_path: Path) -> None:
    for name, said in (("alike", lambda i: f"{i % 50 / 10}"), ("same", lambda i: str(i % 2))):
        folder = tmp_path / name
        folder.mkdir()
        rows = ["sentence1\tsentence2\tlabel", *pair_lines(40, said)]
        (folder / "data.tsv").write_text("\n".join(rows))
    alike = load_data(tmp_path / "alike", cache=False)
    same = load_data(tmp_path / "same", cache=False)
    assert (alike.task, same.task) == ("pairs", "pairs")
    assert alike.inputs.shape == same.inputs.shape == (40, 2)
    assert alike.classes == [] and same.classes == ["0", "1"] and same.targets is None
    (third,) = np.flatnonzero(alike.inputs[:, 0] == GOOD.format("quick", "warm3"))
    assert alike.targets[third] == pytest.approx(0.3)
    assert alike.train.y.dtype == np.float64
    assert alike.fingerprint != same.fingerprint


def test_columns_of_ids_stand_aside(tmp_path: Path) -> None:
    rows = [
        f"{i}\t{900 + i}\t{line}" for i, line in enumerate(pair_lines(20, lambda i: "ab"[i % 2]))
    ]
    (tmp_path / "data.tsv").write_text("\n".join(["id1\tid2\tsentence1\tsentence2\tlabel", *rows]))
    assert load_data(tmp_path, cache=False).classes == ["a", "b"]


def test_a_table_of_two_columns_is_asked_as_pairs() -> None:
    found = parse_pairs(b"one two\tthree\nfour\tfive six\n", "new.tsv")
    assert found.tolist() == [["one two", "three"], ["four", "five six"]]
    with pytest.raises(DataError, match="has one column; a pair of sentences is two"):
        parse_pairs(b"one\ntwo\n", "new.tsv")


@pytest.mark.parametrize("said", ["nan", "quite alike", ""])
def test_a_score_that_is_no_number_among_others_is_named(tmp_path: Path, said: str) -> None:
    rows = pair_lines(40, lambda i: said if i == 7 else f"{i % 26 / 5}")
    (tmp_path / "data.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]))
    with pytest.raises(DataError, match="row 9"):
        load_data(tmp_path, cache=False)


def test_a_score_far_from_the_others_is_told(tmp_path: Path) -> None:
    for name, odd in (("far", 1e9), ("near", 9.0)):
        rows = pair_lines(40, lambda i: f"{odd if i == 7 else i % 26 / 5}")  # noqa: B023
        folder = tmp_path / name
        folder.mkdir()
        (folder / "data.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *rows]))
    told = [p for p in load_data(tmp_path / "far", cache=False).problems if "far from" in p.kind]
    assert [problem.where for problem in told] == ["row 9"]
    assert not load_data(tmp_path / "near", cache=False).problems


def test_scripts_that_do_not_divide_words_are_prose(tmp_path: Path) -> None:
    rows = [f"東京の駅はどこですか{w}番の店です\t{'ab'[i % 2]}" for i, w in enumerate(WORDS * 3)]
    rows = [f"{i}{row}" for i, row in enumerate(rows)]
    (tmp_path / "data.tsv").write_text("\n".join(rows), encoding="utf-8")
    assert load_data(tmp_path, cache=False).task == "text"


@pytest.mark.parametrize("separator", ["\t", ","])
def test_documents_longer_than_what_is_looked_at_first_are_known(
    tmp_path: Path, separator: str
) -> None:
    rows = []
    for i in range(12):
        text = f"{WORDS[i % 10]} number {i}, " + "and then once more été " * 200
        text = text if separator == "\t" else f'"{text}\n{text}"'
        rows.append(f"{text}{separator}{'ab'[i % 2]}")
    (tmp_path / "data.csv").write_text("\n".join(rows), encoding="utf-8")
    data = load_data(tmp_path, cache=False)
    assert data.task == "text" and len(data.inputs) == 12
