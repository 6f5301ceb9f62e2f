"""What Dataset, BoxTable and the cache make of boxes, masks, clips and faces."""

import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pictures import make_folder, noise_u8
from made_seen import MAKERS, make_voc, some_items
from test_clips_readers import film, make_strips
from test_faces_reader import ROWS, make_people
from test_masks_reader import make_masks

from depthwise.data.checks import check
from depthwise.data.dataset import Dataset
from depthwise.data.load import load
from depthwise.data.targets.box_table import BoxTable
from depthwise.errors import DataError, InputError


def make_faces(root):
    make_people(root)
    (root / "pairs.txt").write_text("\n".join(ROWS))
    return root


SETS = {
    "detection": lambda root: make_voc(root, some_items(8)),
    "segmentation": make_masks,
    "video": make_strips,
    "faces": make_faces,
    "classification": make_folder,
}
every_task = pytest.mark.parametrize("task", SETS)


def same(a, b):
    """Whether two datasets hold the same, memory-mapped or not."""
    if isinstance(a.targets, BoxTable):
        assert a.targets.tobytes() == b.targets.tobytes()
    elif a.targets is not None:
        assert np.array_equal(a.targets, b.targets)
    assert (a.pairs is None) == (b.pairs is None)
    assert a.pairs is None or a.pairs.tobytes() == b.pairs.tobytes()
    for name in ("sizes", "palette"):
        ours, theirs = getattr(a, name), getattr(b, name)
        assert (ours is None and theirs is None) or np.array_equal(ours, theirs)
    return (a.fingerprint, a.split_marks, a.task, a.classes, a.kind, str(a)) == (
        b.fingerprint,
        b.split_marks,
        b.task,
        b.classes,
        b.kind,
        str(b),
    )


@every_task
def test_the_cache_keeps_and_restores_everything(tmp_path, task, monkeypatch):
    root = SETS[task](tmp_path)
    plain, first = load(root, cache=False), load(root)
    monkeypatch.setattr(
        sys.modules["depthwise.data.load"], "read_tree", None
    )  # nothing is read again
    second = load(root)
    assert same(plain, first) and same(first, second) and second.task == task
    assert isinstance(second.inputs, np.memmap)
    assert isinstance(second.targets, np.memmap) == (task == "segmentation")


@every_task
@pytest.mark.parametrize("wrapper", ["", "set/"])
def test_a_zip_reads_like_its_folder(tmp_path, task, wrapper):
    root = SETS[task](tmp_path / "d")
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, f"{wrapper}{path.relative_to(root)}")
    plain, packed = load(root, cache=False), load(tmp_path / "d.zip", cache=False)
    assert (packed.task, packed.fingerprint) == (plain.task, plain.fingerprint)


def test_damaged_masks_in_the_cache_are_made_again(tmp_path, private_cache):
    root = make_masks(tmp_path)
    kept = np.array(load(root).targets)
    path = next(private_cache.rglob("masks.npy"))
    data = bytearray(path.read_bytes())
    data[-40:] = bytes(40)
    path.write_bytes(data)
    assert np.array_equal(load(root).targets, kept)


@every_task
def test_the_task_is_told_and_may_be_asked_for(tmp_path, task):
    root = SETS[task](tmp_path)
    data = load(root, cache=False, task=task)
    assert data.task == task and same(data, load(root, cache=False))
    if task != "classification":
        assert f"task    {task}" in str(data)


@pytest.mark.parametrize("asked", ["detection", "segmentation", "video"])
def test_a_task_that_the_data_are_not_for_is_refused(tmp_path, asked):
    with pytest.raises(DataError, match=f"nothing for task '{asked}'.*expected"):
        load(make_folder(tmp_path), cache=False, task=asked)


def test_a_task_may_see_less_than_there_is(tmp_path):
    root = make_voc(tmp_path, some_items(8))
    make_masks(tmp_path, 8, "elsewhere", "SegmentationClass")
    for k in range(8):  # masks of the pictures that have boxes
        path = tmp_path / f"SegmentationClass/{k}.png"
        from PIL import Image

        Image.open(path).resize((60, 40), Image.Resampling.NEAREST).save(
            tmp_path / f"SegmentationClass/p{k}.png"
        )
        path.unlink()
    assert load(root, cache=False).task == "detection"
    data = load(root, cache=False, task="segmentation")
    assert data.task == "segmentation" and data.targets.shape == (8, 40, 60)
    bare = load(root, cache=False, labelled=False)
    assert bare.task == "unlabelled" and bare.targets is None and bare.classes == []
    assert same(load(root, cache=False, task="unlabelled"), bare)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"task": "detecton"}, "did you mean 'detection'"),
        ({"task": "poetry"}, "use one of classification"),
        ({"task": "unlabelled", "labelled": True}, "exclude each other"),
        ({"format": "cocoa"}, "did you mean 'coco'"),
    ],
)
def test_tasks_and_formats_that_are_none_are_refused(options, what):
    with pytest.raises(InputError, match=what):
        load("digits", **options)


def test_one_moved_box_or_one_changed_pixel_is_other_data(tmp_path):
    images, boxes = noise_u8(9, 8, 8, seed=1), np.array([[1.0, 2, 5, 6]] * 9)
    table = BoxTable.of(boxes, np.arange(9) % 2, np.arange(9), 9)
    boxes[int(load(images, labels=table).indices["test"][0]), 0] = 2
    other = BoxTable.of(boxes, np.arange(9) % 2, np.arange(9), 9)
    a, b = load(images, labels=table), load(images, labels=other)
    assert a.fingerprint != b.fingerprint
    assert a.split_marks.test != b.split_marks.test and a.split_marks.train == b.split_marks.train
    masks = noise_u8(9, 8, 8, seed=2) % 3
    c = load(images, labels=masks)
    masks = masks.copy()
    masks[c.indices["train"][0], 3, 3] ^= 1
    assert c.split_marks.train != load(images, labels=masks).split_marks.train


def test_marks_of_classes_are_what_they_were_before_there_were_targets():
    import hashlib

    data = Dataset(
        "d", "images", noise_u8(4, 1, 3, 3), np.array([0, 1, 0, 1]), ["a", "b"],
        {"train": np.array([0, 1]), "validation": np.array([2]), "test": np.array([3])},
    )  # fmt: skip
    by_hand = hashlib.sha256(b"uint8(1, 3, 3)2" + data.inputs[:2].tobytes())
    by_hand.update(np.array([0, 1], "<i8").tobytes() + b"a\0b")
    assert data.split_marks.train == by_hand.hexdigest()


def test_parts_of_a_dataset_have_their_own_answers(tmp_path):
    data = load(make_voc(tmp_path, some_items(9)), cache=False)
    for part, chosen in data.indices.items():
        X, y = data.part(part)
        assert len(X) == len(y) == len(chosen)
        for i, k in enumerate(chosen):
            assert np.array_equal(y[i][0], data.targets[k][0])
    masks = load(make_masks(tmp_path / "m", 9), cache=False)
    assert np.array_equal(masks.test.y, masks.targets[masks.indices["test"]])


def test_checks_of_a_dataset_count_boxes_and_images(tmp_path):
    data = load(make_voc(tmp_path, some_items(8)), cache=False)
    assert {str(p) for p in check(data)} == {str(p) for p in data.problems}
    assert any("fewer than 10 boxes" in str(p) for p in data.problems)


def test_a_class_missing_from_the_training_part_is_told_and_not_fatal(tmp_path):
    items = {f"p{k}": [("cat", (1, 2, 9, 9 + k))] for k in range(6)}
    items["p5"].append(("dog", (1, 1, 5, 5)))
    make_voc(tmp_path, items)
    folder = tmp_path / "ImageSets/Main"
    folder.mkdir(parents=True)
    for part, names in (("train", "p0 p1 p2"), ("val", "p3"), ("test", "p4 p5")):
        (folder / f"{part}.txt").write_text("\n".join(names.split()))
    told = [str(p) for p in load(tmp_path, cache=False).problems]
    assert "class missing from a part: dog: none in train" in told


@pytest.mark.parametrize(("form", "name"), [("yolo", "data.yaml"), ("coco", "instances.json")])
def test_the_file_of_annotations_stands_for_its_folder(tmp_path, form, name):
    root = MAKERS[form](tmp_path, some_items(8))
    assert same(
        load(root / name, cache=False), replace_source(load(root, cache=False), root / name)
    )


def replace_source(data, path):
    return replace(data, source=str(path), name=path.name.split(".")[0])


def test_data_for_another_task_are_refused_by_who_asks(tmp_path):
    data = load(make_masks(tmp_path), cache=False)
    data.require_task("segmentation", "unlabelled")
    with pytest.raises(InputError, match="is data for segmentation; this is for classification or"):
        data.require_task("classification", "unlabelled")


# -- arrays ---------------------------------------------------------------------------------------


def test_arrays_of_masks_and_boxes_are_fitted_with_their_images():
    images, masks = noise_u8(12, 8, 10, seed=1), noise_u8(12, 8, 10, seed=2) % 3
    data = load(images, labels=masks, image_size=(4, 5))
    assert data.task == "segmentation" and data.inputs.shape == (12, 1, 4, 5)
    assert np.array_equal(data.targets, masks[:, 1::2, 1::2])
    table = BoxTable.from_lists([([[2, 2, 6, 8]], [0])] * 12)
    found = load(images, labels=table, image_size=(4, 20))
    assert found.targets[11][0].tolist() == [[4, 1, 12, 4]] and found.task == "detection"


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (np.zeros((12, 8, 9), int), "masks of"),
        (np.full((12, 8, 10), 300), "0 to 255"),
        (np.full((12, 8, 10), 0.5), "whole numbers"),
        (np.zeros((11, 8, 10), int), "12 items but 11 labels"),
        (BoxTable.from_lists([([[1, 2, 3, 4]], [0])] * 11), "12 items but 11 labels"),
        (BoxTable.from_lists([([[1, 2, np.nan, 4]], [0])] * 12), "finite"),
        (BoxTable.from_lists([([[1, 2, 1, 4]], [0])] * 12), "no area"),
        (BoxTable.from_lists([([], [])] * 12), "must be some"),
    ],
)
def test_arrays_of_answers_that_do_not_fit_are_refused(labels, what):
    with pytest.raises(DataError, match=what):
        load(noise_u8(12, 8, 10, seed=1), labels=labels)


# -- BoxTable -------------------------------------------------------------------------------------


@st.composite
def lists(draw):
    """(boxes (m, 4), labels (m,)) of each of some images."""
    counts = draw(st.lists(st.integers(0, 4), min_size=1, max_size=7))
    numbers = np.random.default_rng(draw(st.integers(0, 99)))
    return [(numbers.random((m, 4), np.float32), numbers.integers(0, 5, m)) for m in counts]


@given(lists(), st.data())
@settings(deadline=None, max_examples=60)
def test_a_table_gives_back_what_it_was_made_from_in_any_order(pairs, data):
    table = BoxTable.from_lists(pairs)
    chosen = data.draw(st.lists(st.integers(-len(pairs), len(pairs) - 1), max_size=9))
    taken = table.take(np.array(chosen, np.int64))
    assert len(table) == len(pairs) and len(taken) == len(chosen)
    for some, where in ((taken, chosen), (table, range(len(pairs)))):
        for i, k in enumerate(where):
            assert all(np.array_equal(a, b) for a, b in zip(some[i], pairs[k]))
    assert table.items.tolist() == [i for i, (_, y) in enumerate(pairs) for _ in y]
    mask = np.arange(len(pairs)) % 2 == 0
    assert table.take(mask).tobytes() == table.take(np.flatnonzero(mask)).tobytes()


def test_a_table_from_shuffled_rows_is_sorted_by_image():
    table = BoxTable.of(np.eye(4)[:3], [5, 6, 7], [2, 0, 2], 4, crowd=[1, 0, 0])
    assert table.labels.tolist() == [6, 5, 7] and table.starts.tolist() == [0, 1, 1, 3, 3]
    assert table.crowd.tolist() == [False, True, False]
    assert [len(table[i][1]) for i in (-1, -2)] == [0, 2]
    with pytest.raises(IndexError):
        table[4]


def test_scaling_is_by_each_images_own_factors():
    table = BoxTable.from_lists([([[1, 2, 3, 4]], [0]), ([[1, 2, 3, 4]], [0])])
    scaled = table.scaled(np.array([[10, 1], [0.5, 2]]))
    assert scaled.boxes_xyxy.tolist() == [[1, 20, 3, 40], [2, 1, 6, 2]]


def test_clips_without_classes_are_unlabelled():
    data = load(np.stack([film(k) for k in range(6)]))
    assert data.task == "unlabelled" and data.kind == "video" and data.classes == []
