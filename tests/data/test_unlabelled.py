"""Data without labels: found out or said, the same checks and split, and no classes."""

import numpy as np
import pytest
from made_pictures import encoded, make_folder, noise_u8

from depthwise.data.dataset import PARTS
from depthwise.data.load import load
from depthwise.errors import DataError, InputError

X = noise_u8(40, 6, 5)
Y = np.arange(40) % 4
TABLE = "width,height,kind\n" + "".join(f"{k % 7},{k / 3:.3f},k{k % 2}\n" for k in range(40))


def is_unlabelled(data):
    return data.classes == [] and data.n_classes == 0 and not data.labels.any()


def parts_of(data):
    return [data.indices[part].tolist() for part in PARTS]


# -- what is recognised ---------------------------------------------------------------------------


def test_pictures_side_by_side_are_unlabelled(tmp_path):
    for k in range(20):
        (tmp_path / f"{k:02}.png").write_bytes(encoded(X[k]))
    data = load(tmp_path)
    assert is_unlabelled(data) and np.array_equal(data.inputs[:, 0], X[:20])
    assert [len(data.indices[part]) for part in PARTS] == [14, 3, 3]


def test_pictures_in_train_and_test_alone_keep_that_split(tmp_path):
    for k in range(20):
        path = tmp_path / ("test" if k < 5 else "train") / f"{k:02}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(X[k]))
    data = load(tmp_path)
    assert is_unlabelled(data)
    assert np.array_equal(data.test.X[:, 0], X[:5])


def test_broken_pictures_and_copies_are_noticed_without_classes_too(tmp_path):
    for k in range(12):
        (tmp_path / f"{k:02}.png").write_bytes(encoded(X[k]))
    (tmp_path / "copy.png").write_bytes(encoded(X[0]))
    (tmp_path / "torn.png").write_bytes(encoded(X[0])[:40])
    data = load(tmp_path)
    kinds = {problem.kind: problem.where for problem in data.problems}
    assert kinds == {"exact duplicate": "copy.png = 00.png", "unreadable picture": "torn.png"}
    both = [part for part in PARTS if {0, 12} & set(data.indices[part].tolist())]
    assert len(both) == 1  # copies stay on one side


@pytest.mark.parametrize(
    ("names", "test_items"),
    [(("X",), None), (("pictures_of_cats",), None), (("x_train", "x_test"), 15)],
)
def test_arrays_without_a_name_for_labels_are_unlabelled(tmp_path, names, test_items):
    pieces = (X[:25], X[25:]) if len(names) == 2 else (X,)
    np.savez(tmp_path / "d.npz", **dict(zip(names, pieces)))
    data = load(tmp_path / "d.npz")
    assert is_unlabelled(data) and np.array_equal(data.inputs[:, 0], X)
    assert test_items is None or data.indices["test"].tolist() == list(range(25, 40))


def test_one_npy_file_is_unlabelled(tmp_path):
    np.save(tmp_path / "measurements.npy", X.reshape(40, 30).astype(np.float32))
    data = load(tmp_path / "measurements.npy")
    assert is_unlabelled(data) and data.kind == "table" and data.input_shape == (30,)


def test_arrays_in_memory_may_come_alone():
    assert is_unlabelled(load(X))
    assert is_unlabelled(load({"X": X}))


def test_labels_whose_inputs_are_missing_are_still_refused(tmp_path):
    np.savez(tmp_path / "d.npz", x_train=X, y_test=Y)
    with pytest.raises(DataError, match="no inputs and labels"):
        load(tmp_path / "d.npz")


# -- tables ---------------------------------------------------------------------------------------


def test_the_last_column_is_a_feature_once_labels_are_not_wanted(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    assert load(tmp_path / "t.csv").classes == ["k0", "k1"]
    data = load(tmp_path / "t.csv", labelled=False)
    assert is_unlabelled(data)
    assert data.input_shape == (4,)  # width, height, and two for the kinds
    assert "unlabelled" in data.summary().splitlines()[0]


@pytest.mark.parametrize("name", ["kind", "label"])
def test_a_column_that_is_named_as_the_label_is_left_out(tmp_path, name):
    (tmp_path / "t.csv").write_text(TABLE.replace("kind", name))
    data = load(tmp_path / "t.csv", labelled=False, label="kind" if name == "kind" else None)
    assert is_unlabelled(data) and data.input_shape == (2,)
    assert f"unlabelled (column {name} left out)" in data.summary()


def test_a_label_column_that_is_no_class_is_no_obstacle_to_those_who_need_none(tmp_path):
    rows = "".join(f"{k},{k * k / 7:.5f}\n" for k in range(80))
    (tmp_path / "t.csv").write_text("width,y\n" + rows)
    with pytest.raises(DataError, match="--task anomaly"):
        load(tmp_path / "t.csv", task="classification")
    data = load(tmp_path / "t.csv", labelled=False)
    assert is_unlabelled(data) and data.input_shape == (1,)


def test_one_column_is_a_table_without_labels(tmp_path):
    (tmp_path / "t.csv").write_text("width\n" + "".join(f"{k}\n" for k in range(30)))
    with pytest.raises(DataError, match="--task anomaly"):
        load(tmp_path / "t.csv")
    assert load(tmp_path / "t.csv", labelled=False).inputs[:, 0].tolist() == list(range(30))


def test_a_model_that_knows_no_label_column_reads_the_table_without(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    data = load(tmp_path / "t.csv", labelled=False)
    again = load(tmp_path / "t.csv", columns=data.columns)
    assert again.fingerprint == data.fingerprint


def test_large_tables_are_read_alike_by_the_quick_way(tmp_path, monkeypatch):
    text = "a,b,c\n" + "".join(f"{k % 5},{k / 8},{k % 3}\n" for k in range(60))
    (tmp_path / "t.csv").write_text(text)
    slow = load(tmp_path / "t.csv", labelled=False, cache=False)
    monkeypatch.setattr("depthwise.data.readers.table.LARGE_BYTES", 10)
    quick = load(tmp_path / "t.csv", labelled=False, cache=False)
    assert quick.fingerprint == slow.fingerprint and quick.input_shape == (3,)


# -- labels taken away ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["folder", "arrays", "npz"])
def test_going_without_labels_is_the_labelled_split_with_labels_taken_away(tmp_path, how):
    make_folder(tmp_path / "d", each=9)
    np.savez(tmp_path / "d.npz", X=X, y=Y)
    source = {"folder": tmp_path / "d", "arrays": (X, Y), "npz": tmp_path / "d.npz"}[how]
    with_labels = load(source, seed=3)
    bare, stripped = load(source, seed=3, labelled=False), with_labels.without_labels()
    assert is_unlabelled(bare) and is_unlabelled(stripped)
    assert bare.fingerprint == stripped.fingerprint != with_labels.fingerprint
    assert bare.split_marks == stripped.split_marks
    assert parts_of(stripped) == parts_of(with_labels)


def test_taking_labels_away_leaves_the_labelled_data_as_it_was():
    data = load(X, labels=Y)
    before = data.fingerprint
    stripped = data.without_labels()
    assert data.classes == ["0", "1", "2", "3"] and data.labels.any()
    assert data.fingerprint == before
    assert stripped.without_labels() is stripped


def test_what_was_wrong_with_the_labels_is_forgotten_with_them():
    labels = np.where(np.arange(40) < 4, 1, 0)
    pixels = np.concatenate([X[:39], X[:1]])  # the last is a copy of the first, of another class
    data = load(pixels, labels=labels)
    assert {p.kind for p in data.problems} == {
        "few items", "exact duplicate", "conflicting labels",
    }  # fmt: skip
    assert {p.kind for p in data.without_labels().problems} == {"exact duplicate"}


def test_one_class_is_no_class_to_tell_but_may_be_learnt_by_itself(tmp_path):
    make_folder(tmp_path, classes=("good",), each=9)
    with pytest.raises(DataError, match=r"one class only.*--task anomaly"):
        load(tmp_path)
    assert is_unlabelled(load(tmp_path, labelled=False))


def test_a_class_that_is_only_in_the_test_part_is_welcome_without_labels():
    parts = {"x_train": X[:30], "y_train": Y[:30] % 2, "x_test": X[30:], "y_test": Y[30:]}
    assert is_unlabelled(load(parts, labelled=False))


# -- insisting, and what is printed ---------------------------------------------------------------


def test_labels_that_are_insisted_on_and_missing_are_told_how_to_go_on(tmp_path):
    (tmp_path / "1.png").write_bytes(encoded(X[0]))
    (tmp_path / "2.png").write_bytes(encoded(X[1]))
    for _ in range(2):  # from the files, and from the cache
        with pytest.raises(DataError, match=r"no labels; put pictures into a folder.*--task"):
            load(tmp_path, labelled=True)
    with pytest.raises(InputError, match="labelled is 'no'"):
        load(X, labelled="no")


def test_the_summary_of_unlabelled_data_has_no_table_of_classes():
    assert str(load(X)).splitlines() == [
        "arrays: 40 images of 6 x 5 pixels, grey, unlabelled",
        "  source  arrays in memory",
        "  split   train 28, validation 6, test 6 (seeded split 70/15/15, seed 0)",
    ]
    assert {part: len(counts) for part, counts in load(X).counts().items()} == dict.fromkeys(
        PARTS, 0
    )


def test_the_cache_keeps_unlabelled_data_as_it_was_read(tmp_path):
    for k in range(20):
        (tmp_path / f"{k:02}.png").write_bytes(encoded(X[k]))
    first, second = load(tmp_path), load(tmp_path)
    assert isinstance(second.inputs, np.memmap)
    assert is_unlabelled(second) and second.fingerprint == first.fingerprint
