"""Faces: people and the list of pairs."""

import unicodedata

import numpy as np
import pytest
from made_pictures import encoded, noise_u8
from made_seen import kinds

from depthwise.data.load import load
from depthwise.data.readers.faces import parse_pairs
from depthwise.errors import DataError

PEOPLE = {"Ada_L": 4, "Emmy_N": 3, "Lise_M": 5, "Marie_C": 2, "Rosa_P": 1, "Vera_R": 3}


def make_people(root, people=PEOPLE, seed=0):
    for name, n in people.items():
        folder = root / name
        folder.mkdir(parents=True)
        for k in range(1, n + 1):
            seed += 1
            (folder / f"{name}_{k:04d}.jpg").write_bytes(
                encoded(noise_u8(12, 12, seed=seed), "PNG")
            )
    return root


ROWS = [
    *("Ada_L\t1\t3", "Ada_L\t2\tEmmy_N\t1"),
    *("Lise_M\t5\t4", "Lise_M\t1\tMarie_C\t2"),
    *("Vera_R\t1\t2", "Vera_R\t3\tRosa_P\t1"),
]


def position(data, person, number):
    """Where a picture lies, going by the order of the files."""
    before = sum(PEOPLE[p] for p in sorted(PEOPLE) if p < person)
    assert data.classes[data.labels[before]] == person
    return before + number - 1


@pytest.mark.parametrize("count", ["3 1", "3\t1", ""])
def test_pairs_are_those_of_the_list_with_or_without_its_count(tmp_path, count):
    make_people(tmp_path)
    (tmp_path / "pairs.txt").write_text("\n".join(([count] if count else []) + ROWS))
    data = load(tmp_path, cache=False)
    pairs = data.pairs
    assert data.task == "faces" and data.classes == sorted(PEOPLE)
    assert pairs.left.tolist()[:2] == [position(data, "Ada_L", 1), position(data, "Ada_L", 2)]
    assert pairs.right.tolist()[:2] == [position(data, "Ada_L", 3), position(data, "Emmy_N", 1)]
    assert pairs.same.tolist() == [True, False] * 3 and pairs.folds.tolist() == [0, 0, 1, 1, 2, 2]
    assert "of 6 people, 6 pairs in 3 folds" in str(data)
    assert "not a picture" not in kinds(data)


def test_people_of_the_last_folds_are_for_test_and_validation(tmp_path):
    make_people(tmp_path)
    (tmp_path / "pairs.txt").write_text("\n".join(ROWS))
    data = load(tmp_path, cache=False)
    people = [{data.classes[k] for k in data.part(p).y} for p in ("train", "validation", "test")]
    assert people == [{"Ada_L", "Emmy_N"}, {"Lise_M", "Marie_C"}, {"Vera_R", "Rosa_P"}]


@pytest.mark.parametrize("seed", range(5))
def test_without_pairs_whole_people_are_shared_out(tmp_path, seed):
    people = {f"person {k}": 1 + k % 4 for k in range(20)}
    data = load(make_people(tmp_path, people), cache=False, task="faces", seed=seed)
    parts = [set(data.part(p).y.tolist()) for p in ("train", "validation", "test")]
    assert sum(map(len, parts)) == 20 and all(parts) and data.pairs is None
    assert "few items" not in kinds(data)


def test_people_without_pairs_are_classes_unless_asked_for(tmp_path):
    assert load(make_people(tmp_path), cache=False).task == "classification"


def test_arrays_of_faces_with_names_are_faces_when_asked_for():
    faces = noise_u8(20, 8, 8, seed=1)
    data = load(faces, labels=[f"p{k // 2}" for k in range(20)], task="faces")
    assert data.task == "faces" and data.n_classes == 10


@pytest.mark.parametrize(
    "twin", ["ada_l", "Ada_L ".strip() + "\u200a", unicodedata.normalize("NFD", "José")]
)
def test_two_people_under_one_name_are_refused(tmp_path, twin):
    people = {**PEOPLE, "José": 2, twin: 2}
    with pytest.raises(DataError, match="two names for one person"):
        load(make_people(tmp_path, people), cache=False, task="faces")


def test_a_person_with_one_broken_picture_is_left_out_and_not_fatal(tmp_path):
    make_people(tmp_path)
    (tmp_path / "Rosa_P/Rosa_P_0001.jpg").write_bytes(b"no")
    (tmp_path / "pairs.txt").write_text("\n".join(ROWS))
    data = load(tmp_path, cache=False)
    assert "Rosa_P" not in data.classes and len(data.pairs) == 5
    assert kinds(data)["missing pair"][0].where == "Rosa_P 1"
    assert (
        data.pairs.same == (data.labels[data.pairs.left] == data.labels[data.pairs.right])
    ).all()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "4 1\n" + "\n".join(ROWS),
            "promises 4 folds of 1 pairs of each kind, 8 in all, but has 6",
        ),
        ("\n".join([*ROWS, "Ada_L\tone\t2"]), "line 7: .* is no pair"),
        ("\n".join([*ROWS, "Ada_L\t1\t2\t3\t4"]), "line 7: .* is no pair"),
        ("3 1\n" + "\n".join([*ROWS[:5], "Ada_L"]), "line 7: 'Ada_L' is no pair"),
        ("\n".join(row.replace("_", "") for row in ROWS), "most of its pictures are not there"),
    ],
)
def test_lists_that_make_no_sense_are_refused(tmp_path, text, what):
    make_people(tmp_path)
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(DataError, match=f"pairs.txt.*{what}"):
        load(tmp_path, cache=False)


def test_names_with_spaces_are_told_apart_by_tabs():
    found, folds = parse_pairs(["Ada King\t1\t2", "Ada King\t1\tEmmy N\t3"], "pairs.txt")
    assert found[1] == (("Ada King", 1), ("Emmy N", 3)) and folds.tolist() == [0, 0]


def test_a_fold_and_its_people():
    from depthwise.data.targets.face_pairs import Pairs

    pairs = Pairs(np.arange(4), np.arange(4)[::-1], np.ones(4, bool), np.array([0, 0, 1, 1]))
    assert pairs.fold(1).left.tolist() == [2, 3] and pairs.n_folds == 2
    labels = np.array([7, 7, 8, 9])
    assert pairs.people(labels).tolist() == [7, 8, 9]
    with pytest.raises(IndexError):
        pairs.fold(2)
