"""What the checks find, in data made to have it."""

import numpy as np
import pytest
from made_pictures import make_folder, noise_u8

from depthwise.data.checks import check
from depthwise.data.dataset import PARTS, Dataset
from depthwise.data.load import load


def found(data):
    return {problem.kind: problem for problem in data.problems}


def test_clean_data_has_no_problems():
    assert load(noise_u8(60, 8, 8), labels=np.arange(60) % 3).problems == []


def test_exact_duplicates_are_counted_and_named(tmp_path):
    make_folder(tmp_path, each=12)
    (tmp_path / "cat" / "copy.png").write_bytes((tmp_path / "cat" / "3.png").read_bytes())
    problem = found(load(tmp_path))["exact duplicate"]
    assert problem.count == 1 and problem.where == "cat/copy.png = cat/3.png"


def test_the_same_picture_under_two_classes_is_a_conflict(tmp_path):
    make_folder(tmp_path, each=12)
    (tmp_path / "dog" / "copy.png").write_bytes((tmp_path / "cat" / "3.png").read_bytes())
    problem = found(load(tmp_path))["conflicting labels"]
    assert problem.count == 1 and problem.where == "cat/3.png, dog/copy.png"


def test_leakage_in_a_split_the_data_brings_is_reported_and_left(tmp_path):
    make_folder(tmp_path, each=12, parts=("train", "test"))
    whole = (tmp_path / "train" / "cat" / "3.png").read_bytes()
    (tmp_path / "test" / "cat" / "0.png").write_bytes(whole)
    data = load(tmp_path)
    problem = found(data)["same item in two parts"]
    assert problem.where == "test/cat/0.png, train/cat/3.png" and len(data.indices["test"]) == 24


def test_a_seeded_split_never_leaks():
    pictures = noise_u8(40, 8, 8)
    images = np.concatenate([pictures, pictures, pictures])
    data = load(images, labels=np.tile(np.arange(40) % 2, 3))
    assert data.groups is not None
    sides = [set(data.groups[data.indices[p]]) for p in PARTS]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert "same item in two parts" not in {p.kind for p in check(data)}


def test_uneven_and_small_classes_are_reported():
    labels = np.repeat([0, 1], [95, 5])
    problems = found(load(noise_u8(100, 8, 8), labels=labels))
    told = "0 has 95 items, 1 5 (95.0% and 5.0%): accuracy says little"
    assert problems["uneven classes"].detail == told
    assert problems["few items"].where == "1"


def test_constant_pictures_and_constant_columns_are_reported():
    pictures = noise_u8(30, 8, 8)
    pictures[4] = 77
    problem = found(load(pictures, labels=np.arange(30) % 2))["constant picture"]
    assert problem.where == "item 4" and problem.count == 1
    table = np.random.default_rng(0).normal(size=(30, 3))
    table[:, 1] = 5
    assert found(load(table, labels=np.arange(30) % 2))["constant feature"].where == "feature 1"


def test_repeated_rows_of_a_table_stay_together():
    table = np.arange(40.0).reshape(40, 1)
    table = np.concatenate([table, table[:10]])
    data = load(table, labels=np.arange(50) % 2)
    assert found(data)["exact duplicate"].count == 10
    for part in PARTS:
        others = np.concatenate([data.indices[p] for p in PARTS if p != part])
        assert not set(data.inputs[data.indices[part], 0]) & set(data.inputs[others, 0])


def test_a_table_of_few_values_is_split_all_the_same():
    table = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 50, float)
    data = load(table, labels=(table[:, 0] != table[:, 1]).astype(int))
    assert [len(data.indices[p]) for p in PARTS] == [140, 30, 30]
    assert "spread over all parts" in found(data)["repeated rows"].detail


def test_check_works_on_a_dataset_made_by_hand():
    images = np.concatenate([noise_u8(9, 1, 8, 8), noise_u8(1, 1, 8, 8)])
    parts = dict(zip(PARTS, np.split(np.arange(10), [6, 8])))
    data = Dataset("x", "images", images, np.arange(10) % 2, ["a", "b"], parts)
    assert "same item in two parts" in {problem.kind for problem in check(data)}


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "x" * 300])
def test_odd_class_names_do_not_break_the_summary(name):
    data = load(noise_u8(60, 8, 8), labels=[name, "other"] * 30)
    assert name in data.classes and all(len(line) < 120 for line in str(data).splitlines())
    assert "\x1b" not in str(data)
