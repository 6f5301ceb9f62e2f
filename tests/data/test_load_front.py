"""The front door: arguments, mistyped names, what a Dataset is and prints."""

import subprocess
import sys

import numpy as np
import pytest
from made_pictures import encoded, make_folder, noise_u8
from made_seen import make_coco, make_yolo, some_items

import depthwise.data
from depthwise.data.dataset import PARTS, Problem
from depthwise.data.load import load
from depthwise.errors import DataError, InputError

X, Y = noise_u8(60, 8, 8), np.arange(60) % 3


def test_the_package_exports_what_it_says():
    assert set(depthwise.data.__all__) == {"Dataset", "Problem", "Split", "load"}
    assert depthwise.data.load is load


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("mnits", "mnist"), ("fashion_mnist", "fashion-mnist"), ("Digits", "digits")],
)
def test_a_mistyped_name_is_answered_with_the_likely_one(typed, meant):
    with pytest.raises(DataError, match=f"did you mean {meant}"):
        load(typed)


def test_a_mistyped_path_is_answered_with_what_lies_there(tmp_path):
    make_folder(tmp_path / "pictures")
    with pytest.raises(DataError, match="did you mean pictures"):
        load(tmp_path / "pictuers")
    with pytest.raises(DataError, match="known names are digits, mnist"):
        load(tmp_path / "nothing" / "like" / "it")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"format": "idxx"}, "did you mean 'idx'"),
        ({"format": "parquet"}, "use one of folder, idx"),
        ({"mode": "HSV"}, 'use "L" for grey'),
        ({"image_size": 0}, "1 to 4096"),
        ({"image_size": (8, 8, 8)}, "give .height, width."),
        ({"image_size": "big"}, "give .height, width."),
        ({"test_fraction": 0}, "test_fraction is 0"),
        ({"validation_fraction": 1.5}, "validation_fraction is 1.5"),
        ({"test_fraction": 0.6, "validation_fraction": 0.5}, "nothing to train on"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"seed": 2**32}, "seed is 4294967296; give a whole number from 0 to 4294967295"),
    ],
)
def test_a_wrong_argument_is_named_with_its_value(arguments, what):
    with pytest.raises(InputError, match=what):
        load(X, labels=Y, **arguments)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("notes.md", b"# Notes\nnothing to learn here\n", "of no known kind"),
        ("empty.bin", b"", "of no known kind .it begins with nothing"),
        ("one.png", encoded(noise_u8(4, 4)), "one item only; bring several"),
        ("text.jpg", b"I am text", "1 of 1 pictures cannot be read"),
        ("a.csv", b"", "empty"),
        ("x.idx", bytes([0, 0, 8, 3, 0, 0, 0, 1]), "ends inside its IDX header"),
    ],
)
def test_a_file_that_is_no_data_set_is_refused_in_one_line(tmp_path, name, content, what):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=what) as caught:
        load(tmp_path / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_a_class_that_the_brought_test_part_alone_holds_is_named():
    parts = {"x_train": X[:40], "y_train": Y[:40] % 2, "x_test": X[40:], "y_test": Y[40:]}
    with pytest.raises(DataError, match="class '2' has items for test but none for training"):
        load(parts)


def test_format_overrides_what_looking_would_say(tmp_path):
    (tmp_path / "odd.xyz").write_text("a,label\n1,x\n2,y\n3,x\n4,y\n5,x\n6,y\n")
    with pytest.raises(DataError, match="no known kind"):
        load(tmp_path / "odd.xyz")
    assert load(tmp_path / "odd.xyz", format="csv").classes == ["x", "y"]


def test_parts_hold_copies_of_their_items():
    data = load(X, labels=Y)
    for part in PARTS:
        split = getattr(data, part)
        assert np.array_equal(split.X, X[data.indices[part]][:, None])
        assert np.array_equal(split.y, Y[data.indices[part]])
    data.train.X[:] = 0
    assert data.train.X.any()


def test_the_fingerprint_tells_data_labels_and_split_apart():
    base = load(X, labels=Y).fingerprint
    changed = X.copy()
    changed[5, 5, 5] ^= 1
    others = [load(changed, labels=Y), load(X, labels=2 - Y), load(X, labels=Y, seed=1)]
    assert load(X, labels=Y).fingerprint == base and len(base) == 64
    assert len({base, *(other.fingerprint for other in others)}) == 4


def test_the_summary_reads_as_a_person_would_write_it():
    data = load(X, labels=[("ant", "bee", "cow")[y] for y in Y])
    data.problems = [Problem("unreadable picture", "a.png", "the file is cut off", 2)]
    assert str(data).splitlines() == [
        "arrays: 60 images of 8 x 8 pixels, grey, in 3 classes",
        "  source  arrays in memory",
        "  split   train 42, validation 9, test 9 (seeded split 70/15/15, seed 0)",
        "",
        "  class  train  validation  test",
        "  ant       14           3     3",
        "  bee       14           3     3",
        "  cow       14           3     3",
        "",
        "  noticed",
        "  - unreadable picture (2): a.png: the file is cut off",
    ]


def test_many_problems_of_one_kind_are_told_in_one_line():
    data = load(X, labels=Y)
    data.problems = [Problem("unreadable picture", f"{k}.png", "empty file") for k in range(50)]
    lines = str(data).splitlines()
    assert lines[-1].startswith("  - unreadable picture (50): 0.png: empty file; 1.png")
    assert len(lines) == 11


def test_many_classes_are_summed_up():
    data = load(noise_u8(100, 4, 4), labels=np.arange(100) % 25)
    assert "  ... and 5 more classes" in str(data)


def test_reading_data_needs_no_torch():
    code = "import depthwise.data, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# -- a file of annotations ------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [".", "annotations"])
def test_a_json_path_opens_itself_and_no_other_annotation(tmp_path, folder):
    make_coco(tmp_path, some_items())
    (tmp_path / folder).mkdir(exist_ok=True)
    path = tmp_path / folder / "mine.json"
    (tmp_path / "instances.json").rename(path)
    (tmp_path / folder / "other.json").write_text('{"images": 1, "annotations": 2, "categories": ')
    (tmp_path / "labels.csv").write_text("filename,xmin,ymin,xmax,ymax,class\np0.png,1,x,2,3,z\n")
    data = load(path, cache=False)
    assert data.classes == ["cat", "dog"] and len(data.labels) == 6
    path.write_text("{")
    with pytest.raises(DataError, match=r"mine\.json"):
        load(path, cache=False)


def test_a_yaml_path_opens_the_folder_beside_it_but_no_other_yaml(tmp_path):
    make_yolo(tmp_path, some_items())
    (tmp_path / "other.yaml").write_text("names: [hen]\n")
    assert load(tmp_path / "data.yaml", cache=False).classes == ["cat", "dog"]


def test_classes_that_differ_by_case_or_unicode_form_are_told(tmp_path):
    make_folder(tmp_path, classes=("Cat", "cat", "u\u0308", "\u00fc"))
    data = load(tmp_path, cache=False)
    told = [p.where for p in data.problems if p.kind == "names alike"]
    assert len(data.classes) == 4 and len(told) == 1
    assert "Cat and cat" in told[0] and "u\\u0308 and \\xfc" in told[0]
