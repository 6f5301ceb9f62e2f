"""Pictures with a table of labels, Hugging Face's folders, and classes in the names of files."""

import json

import numpy as np
import pytest
from made_pictures import encoded, make_folder, noise_u8
from made_seen import kinds

from depthwise.data.load import load
from depthwise.errors import DataError

N = 20


def pictures(root, names, folder="images"):
    for k, name in enumerate(names):
        path = root / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(noise_u8(8, 9, seed=k)))
    return root


def with_table(root, lines, name="labels.csv", n=N, **options):
    pictures(root, [f"p{k}.png" for k in range(n)], **options)
    (root / name).write_text("\n".join(lines) + "\n")
    return root


def said(data):
    """picture -> class"""
    return {
        data.item_name(i).rpartition("/")[2]: data.classes[k] for i, k in enumerate(data.labels)
    }


WANT = {f"p{k}.png": ("cat", "dog")[k % 2] for k in range(N)}
FORMS = {
    "suffix": ["id,label", *(f"p{k}.png,{WANT[f'p{k}.png']}" for k in range(N))],
    "no suffix": ["id,label", *(f"p{k},{WANT[f'p{k}.png']}" for k in range(N))],
    "folders": ["path;class", *(f"images\\p{k}.png;{WANT[f'p{k}.png']}" for k in range(N))],
    "label first": ["breed,image", *(f"{WANT[f'p{k}.png']},p{k}.png" for k in range(N))],
    "no header": [f"p{k}.png,{WANT[f'p{k}.png']}" for k in range(N)],
    "more columns": [
        ",id,width,animal,url",
        *(f"{k},p{k},8,{WANT[f'p{k}.png']},http://x/{k}" for k in range(N)),
    ],
    "number and name": [
        "id,class_id,class_name",
        *(f"p{k},{k % 2},{WANT[f'p{k}.png']}" for k in range(N)),
    ],
    "one-hot": ["image,cat,dog", *(f"p{k},{1 - k % 2}.0,{k % 2}.0" for k in range(N))],
}


@pytest.mark.parametrize("form", [form for form in FORMS if form != "number and name"])
def test_a_table_says_the_class_of_each_picture(tmp_path, form):
    data = load(with_table(tmp_path, FORMS[form]), cache=False)
    assert data.task == "classification" and said(data) == WANT
    assert "the label is" in kinds(data)["labels in a table"][0].detail


def test_of_a_number_and_a_name_of_each_class_the_name_is_taken(tmp_path):
    data = load(with_table(tmp_path, FORMS["number and name"]), cache=False)
    assert said(data) == WANT
    detail = kinds(data)["labels in a table"][0].detail
    assert "'class_name', not class_id; --label NAME" in detail


def test_lists_apart_by_white_space_say_class_and_part(tmp_path):
    root = pictures(tmp_path, [f"p{k}.png" for k in range(N)])
    for part, which in (("train", range(12)), ("val", range(12, 16)), ("test", range(16, N))):
        lines = [f"images/p{k}.png {k % 2}" for k in which]
        (root / f"{part}.txt").write_text("\n".join(lines))
    data = load(root, cache=False)
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [12, 4, 4]
    assert said(data) == {f"p{k}.png": str(k % 2) for k in range(N)}


def test_numbers_beside_pictures_are_predicted(tmp_path):
    rows = ["file,age", *(f"p{k}.png,{20 + 1.5 * k}" for k in range(N))]
    data = load(with_table(tmp_path, rows), cache=False)
    assert data.task == "regression"
    ages = {data.item_name(i).rpartition("/")[2]: age for i, age in enumerate(data.targets)}
    assert ages == {f"p{k}.png": 20 + 1.5 * k for k in range(N)}


def test_few_whole_numbers_are_classes_unless_numbers_are_asked_for(tmp_path):
    root = with_table(tmp_path, ["file,rooms", *(f"p{k}.png,{k % 4}" for k in range(N))])
    assert load(root, cache=False).classes == ["0", "1", "2", "3"]
    assert load(root, task="regression", cache=False).task == "regression"


def test_several_columns_are_asked_about_and_taken_by_name(tmp_path):
    rows = ["id,x,y", *(f"p{k},{k / 7},{k * k / 9}" for k in range(N))]
    root = with_table(tmp_path, rows)
    with pytest.raises(DataError, match=r"several columns that may be the label \(x, y\).*--label"):
        load(root, cache=False)
    both = load(root, label="x,y", cache=False)
    assert both.targets.shape == (N, 2)
    k = int(both.item_name(5).rpartition("/")[2][1:-4])
    assert np.allclose(both.targets[5], [k / 7, k * k / 9])
    assert load(root, label="x", cache=False).targets.ndim == 1
    with pytest.raises(DataError, match=r"labels\.csv"):
        load(root, label="z", cache=False)


def test_what_is_missing_blank_or_said_twice_is_told_and_two_labels_are_refused(tmp_path):
    rows = [*FORMS["suffix"], "p0.png,cat", "gone.png,dog"]
    rows[4] = "p3.png,"
    root = with_table(tmp_path, rows)
    pictures(root, ["extra.png"], "images/more")
    found = kinds(load(root, cache=False))
    assert "gone.png" in found["label without picture"][0].where
    assert "labels.csv, line 5" in found["row without label"][0].where
    assert "line 22" in found["repeated row"][0].where
    assert "extra.png" in found["picture without label"][0].where
    with_table(tmp_path, [*rows, "p1.png,cat"])
    with pytest.raises(DataError, match=r"p1.png has two labels: 'dog' .*line 3.* 'cat' .*line 24"):
        load(root, cache=False)


def test_a_sample_submission_is_no_label(tmp_path):
    with_table(tmp_path / "train", FORMS["suffix"], folder=".")
    pictures(tmp_path / "test", [f"q{k}.png" for k in range(5)], ".")
    (tmp_path / "sampleSubmission.csv").write_text(
        "id,label\n" + "".join(f"q{k}.png,cat\n" for k in range(5))
    )
    assert len(load(tmp_path, cache=False).labels) == N


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_hugging_face_folders(tmp_path, form):
    for part, which in (
        ("train", range(12)),
        ("validation", range(12, 16)),
        ("test", range(16, N)),
    ):
        pictures(tmp_path / part, [f"p{k}.png" for k in which], ".")
        for k in which:  # the same names in all parts would do too
            (tmp_path / part / f"p{k}.png").write_bytes(encoded(noise_u8(8, 9, seed=k)))
        records = [{"file_name": f"p{k}.png", "label": WANT[f"p{k}.png"]} for k in which]
        lines = [json.dumps(record) for record in records]
        if form == "csv":
            lines = ["file_name,label", *(",".join(record.values()) for record in records)]
        (tmp_path / part / f"metadata.{form}").write_text("\n".join(lines))
    data = load(tmp_path, cache=False)
    assert said(data) == WANT
    assert [len(data.indices[p]) for p in ("train", "validation", "test")] == [12, 4, 4]


def test_class_folders_stay_the_classes_unless_a_table_of_labels_says_otherwise(tmp_path):
    make_folder(tmp_path, ("cam1", "cam2"), each=10)
    names = [f"cam{c}/{k}.png" for c in (1, 2) for k in range(10)]
    notes = "\n".join(["file,weather", *(f"{name},dry" for name in names)])
    (tmp_path / "notes.csv").write_text(notes)
    assert load(tmp_path, cache=False).classes == ["cam1", "cam2"]
    rows = ["file,label", *(f"{name},{'ab'[k % 2]}" for k, name in enumerate(names))]
    (tmp_path / "notes.csv").write_text("\n".join(rows))
    assert load(tmp_path, cache=False).classes == ["a", "b"]
    assert load(tmp_path, format="folder", cache=False).classes == ["cam1", "cam2"]


# -- classes in names -----------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [".", "train"])
def test_pictures_called_by_their_class(tmp_path, folder):
    pictures(tmp_path, [f"{'cat' if k % 2 else 'dog'}.{k}.png" for k in range(N)], folder)
    if folder == "train":
        pictures(tmp_path, [f"{k}.png" for k in range(3)], "test1")
    data = load(tmp_path, cache=False)
    assert data.classes == ["cat", "dog"] and len(data.labels) == N
    assert all(data.item_name(i).rpartition("/")[2].startswith(data.classes[k])
               for i, k in enumerate(data.labels))  # fmt: skip
    assert "classes in names" in kinds(data) and ("stray picture" in kinds(data)) == (
        folder == "train"
    )


def test_names_of_one_word_or_of_cameras_are_no_classes(tmp_path):
    pictures(tmp_path, [f"IMG_{k}.png" for k in range(6)] + [f"DSC_{k}.png" for k in range(6)], ".")
    assert load(tmp_path, cache=False).task == "unlabelled"
