"""Folders of class folders: what is read, what is skipped and named, what is refused."""

import os

import numpy as np
import pytest
from made_pictures import encoded, make_folder, noise_u8
from test_picture_modes import huge_png

from depthwise.data.load import load
from depthwise.errors import DataError


def kinds(data):
    return {problem.kind: problem for problem in data.problems}


def test_class_folders_become_classes_and_pixels_are_kept(tmp_path):
    data = load(make_folder(tmp_path, each=7))
    assert data.classes == ["cat", "dog"] and data.input_shape == (3, 9, 11)
    assert np.bincount(data.labels).tolist() == [7, 7]
    assert np.array_equal(data.inputs[0], noise_u8(9, 11, 3, seed=1).transpose(2, 0, 1))


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_train_val_and_test_folders_are_the_split(tmp_path, validation):
    data = load(make_folder(tmp_path, each=3, parts=("train", validation, "test")))
    assert data.split_origin == "split from the data"
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [6, 6, 6]


def test_only_train_and_test_leave_validation_to_be_carved(tmp_path):
    data = load(make_folder(tmp_path, each=8, parts=("train", "test")))
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [14, 2, 16]


def test_a_class_may_be_called_train(tmp_path):
    data = load(make_folder(tmp_path, classes=("bus", "train")))
    assert data.classes == ["bus", "train"] and data.split_origin.startswith("seeded")


def test_a_folder_round_everything_is_looked_through(tmp_path):
    assert load(make_folder(tmp_path / "outer" / "inner").parent.parent).classes == ["cat", "dog"]


def test_class_names_with_spaces_and_unicode_are_kept(tmp_path):
    names = ("Süßer Hund", "猫", "a b c")
    data = load(make_folder(tmp_path, names))
    assert data.classes == sorted(names) and "猫" in str(data)


def test_numbered_classes_are_in_the_order_of_numbers(tmp_path):
    assert load(make_folder(tmp_path, ("10", "9", "1"))).classes == ["1", "9", "10"]


def test_hidden_files_and_litter_are_ignored(tmp_path):
    make_folder(tmp_path)
    for name in (".DS_Store", "cat/Thumbs.db", "cat/.hidden.png", "dog/desktop.ini"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "__MACOSX" / "cat").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "cat" / "1.png").write_bytes(b"x")
    assert set(kinds(load(tmp_path))) == {"few items"}


def test_different_sizes_are_brought_to_their_median_in_multiples_of_eight(tmp_path):
    for k, (h, w) in enumerate([(20, 30), (25, 41), (31, 38), (90, 60), (22, 44), (30, 39)]):
        folder = tmp_path / "ab"[k % 2]
        folder.mkdir(exist_ok=True)
        (folder / f"{k}.png").write_bytes(encoded(noise_u8(h, w, 3, seed=k)))
    data = load(tmp_path)  # medians 27.5 and 40
    assert data.input_shape == (3, 24, 40)
    assert kinds(data)["different sizes"].count == 6


def test_large_pictures_of_one_size_are_capped_at_224(tmp_path):
    data = load(make_folder(tmp_path, each=3, size=(300, 448, 3)))
    assert data.input_shape == (3, 150, 224)


@pytest.mark.parametrize(("size", "shape"), [(16, (3, 16, 16)), ((5, 9), (3, 5, 9))])
def test_image_size_overrides(tmp_path, size, shape):
    assert load(make_folder(tmp_path), image_size=size).input_shape == shape


def test_all_grey_is_one_channel_and_one_colour_picture_makes_three(tmp_path):
    make_folder(tmp_path, size=(6, 6))
    assert load(tmp_path).input_shape == (1, 6, 6)
    assert load(tmp_path, mode="RGB").input_shape == (3, 6, 6)
    (tmp_path / "cat" / "late.png").write_bytes(encoded(noise_u8(6, 6, 3, seed=99)))
    assert load(tmp_path).input_shape == (3, 6, 6)
    assert load(tmp_path, mode="L").input_shape == (1, 6, 6)


def test_one_picture_of_another_size_among_many_is_noticed(tmp_path):
    make_folder(tmp_path, each=50, size=(8, 8))
    (tmp_path / "dog" / "z.png").write_bytes(encoded(noise_u8(20, 20, seed=99)))
    data = load(tmp_path)
    assert data.input_shape == (1, 8, 8) and kinds(data)["different sizes"].count == 2


def test_a_broken_picture_is_skipped_and_named(tmp_path):
    make_folder(tmp_path, each=20)
    (tmp_path / "cat" / "5.png").write_bytes(b"I am a text file")
    (tmp_path / "cat" / "huge.png").write_bytes(huge_png(50_000, 50_000))
    whole = (tmp_path / "dog" / "3.png").read_bytes()
    (tmp_path / "dog" / "3.png").write_bytes(whole[: len(whole) // 2])
    data = load(tmp_path)
    broken = {p.where: p.detail for p in data.problems if p.kind == "unreadable picture"}
    assert set(broken) == {"cat/5.png", "cat/huge.png", "dog/3.png"}
    assert "not a picture" in broken["cat/5.png"] and "megapixels" in broken["cat/huge.png"]
    assert len(data.labels) == len(data.inputs) == 38
    kept = [k for k in range(20) if k != 3]
    dogs = [noise_u8(9, 11, 3, seed=21 + int(k)).transpose(2, 0, 1) for k in sorted(map(str, kept))]
    assert np.array_equal(data.inputs[19:], np.stack(dogs))


def test_mostly_broken_pictures_are_fatal(tmp_path):
    make_folder(tmp_path, each=4)
    for k in range(3):
        for name in ("cat", "dog"):
            (tmp_path / name / f"{k}.png").write_bytes(b"no")
    with pytest.raises(DataError, match="6 of 8 pictures cannot be read"):
        load(tmp_path)


def test_a_class_that_vanishes_is_fatal(tmp_path):
    make_folder(tmp_path, ("cat", "dog", "elk"), each=3)
    for k in range(3):
        (tmp_path / "elk" / f"{k}.png").write_bytes(b"no")
    with pytest.raises(DataError, match="no picture of class elk"):
        load(tmp_path)


def test_stray_pictures_and_other_files_are_reported(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "cover.png").write_bytes(encoded(noise_u8(9, 11, 3)))
    (tmp_path / "cat" / "notes.md").write_text("hello")
    found = kinds(load(tmp_path))
    assert found["stray picture"].where == "cover.png"
    assert found["not a picture"].where == "cat/notes.md"


def test_pictures_without_a_suffix_are_recognised(tmp_path):
    make_folder(tmp_path)
    for path in list(tmp_path.glob("*/*.png")):
        path.rename(path.with_suffix(""))
    assert len(load(tmp_path).labels) == 14


def test_a_link_back_to_the_top_is_not_walked_for_ever(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "cat" / "loop").symlink_to(tmp_path)
    assert len(load(tmp_path).labels) == 14


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({}, "is empty; expected one folder of pictures for each class"),
        ({"a/1.png": 1}, "one item only"),
        ({"a/1.png": 1, "a/2.png": 2, "a/3.png": 3}, "one class only"),
        ({"1.png": 1, "2.png": 2}, "2 items are too few for a split"),
        ({"a/1.png": 1, "b/2.png": 2}, "too few"),
        ({"test/a/1.png": 1, "test/b/2.png": 2}, "no training part"),
    ],
)
def test_what_nothing_can_be_learnt_from_is_refused(tmp_path, files, what):
    for name, seed in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encoded(noise_u8(8, 8, seed=seed)))
    with pytest.raises(DataError, match=what):
        load(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_a_folder_that_may_not_be_read_says_so(tmp_path):
    make_folder(tmp_path / "d")
    (tmp_path / "d").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be read"):
            load(tmp_path / "d")
    finally:
        (tmp_path / "d").chmod(0o700)


def test_a_class_folder_that_may_not_be_read_is_reported(tmp_path, monkeypatch):
    make_folder(tmp_path, ("cat", "dog", "elk"))
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("elk"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    problem = kinds(load(tmp_path))["unreadable folder"]
    assert problem.where == "elk" and "Permission denied" in problem.detail


# -- words of a split -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tops",
    [
        ("training_set", "test_set"),
        ("Train Set", "Test Set"),
        ("trainset", "testset"),
        ("train_images", "test_images"),
        ("train1", "test1"),
        ("asl_alphabet_train", "asl_alphabet_test"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("pets/training_set", "pets/test_set"),
    ],
)
def test_top_folders_with_words_of_a_split_are_no_classes(tmp_path, tops):
    make_folder(tmp_path, parts=tops)
    data = load(tmp_path, cache=False)
    assert data.classes == ["cat", "dog"]
    names = [data.item_name(i) for i in data.indices["test"]]
    assert len(names) == 14 and all(name.startswith(tops[1]) for name in names)


def test_the_same_without_classes_is_a_split_of_unlabelled_pictures(tmp_path):
    for k in range(20):
        path = tmp_path / ("flowers_train", "flowers_test")[k % 4 == 0] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(noise_u8(9, 11, seed=k)))
    data = load(tmp_path, cache=False)
    assert data.task == "unlabelled" and len(data.indices["test"]) == 5


@pytest.mark.parametrize("classes", [("test tubes", "train stations"), ("valid", "invalid")])
def test_classes_that_only_sound_like_a_split_stay_classes(tmp_path, classes):
    make_folder(tmp_path, classes=classes)
    assert load(tmp_path, cache=False).classes == sorted(classes)


def test_folders_that_share_no_folders_below_are_classes(tmp_path):
    for top, below in (("model_trains", "a"), ("test_cards", "b")):
        make_folder(tmp_path / top, classes=(below,))
    assert load(tmp_path, cache=False).classes == ["model_trains", "test_cards"]


def test_pictures_to_predict_beside_the_split_are_left_out_and_told(tmp_path):
    make_folder(tmp_path, parts=("seg_train/seg_train", "seg_test/seg_test"))
    make_folder(tmp_path / "seg_pred", classes=("seg_pred",))
    data = load(tmp_path, cache=False)
    assert data.classes == ["cat", "dog"] and len(data.labels) == 28
    assert [p.count for p in data.problems if p.kind == "stray picture"] == [7]
