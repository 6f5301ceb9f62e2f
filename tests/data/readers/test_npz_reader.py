"""Arrays in npz and npy files, paired by their names."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pictures import noise_u8

from depthwise.data.load import load
from depthwise.data.readers.npz import pair, parse
from depthwise.errors import DataError

X, Y = noise_u8(20, 6, 5), np.arange(20) % 2


def npy_bytes(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("x", "y"), [("X", "y"), ("data", "target"), ("images", "labels"), ("arr_0", "arr_1")]
)
def test_one_pair_is_found_by_its_names(tmp_path, x, y):
    np.savez(tmp_path / "d.npz", **{x: X, y: Y, "other": np.arange(3)})
    data = load(tmp_path / "d.npz")
    assert np.array_equal(data.inputs[:, 0], X) and np.array_equal(data.labels, Y)


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("trainX", "trainY", "testX", "testY"),
        ("Xtrain", "ytrain", "Xtest", "ytest"),
    ],
)
def test_pairs_with_part_names_keep_the_split(tmp_path, names):
    np.savez_compressed(tmp_path / "d.npz", **dict(zip(names, (X, Y, X[::-1][:7] // 3, Y[:7]))))
    data = load(tmp_path / "d.npz")
    assert data.indices["test"].tolist() == list(range(20, 27))


def test_labels_as_a_column_one_hot_or_text_are_understood():
    for labels in (Y[:, None], np.eye(2)[Y], Y.astype(float), Y.astype(bool)):
        assert np.array_equal(load({"X": X, "y": labels}).labels, Y)
    assert load({"X": X, "y": np.where(Y, "b", "a")}).classes == ["a", "b"]


def test_a_folder_of_npy_files_works_like_an_npz(tmp_path):
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", Y)
    assert np.array_equal(load(tmp_path).labels, Y)


def test_one_npy_takes_its_labels_as_an_argument(tmp_path):
    np.save(tmp_path / "X.npy", X.astype(np.float32) / 255)
    data = load(tmp_path / "X.npy", labels=Y)
    assert np.array_equal(data.inputs[:, 0], X)


def test_fortran_order_is_kept():
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    assert np.array_equal(parse(npy_bytes(array), "x"), array)


def test_unknown_names_are_listed(tmp_path):
    np.savez(tmp_path / "d.npz", foo=X, bar=Y)
    with pytest.raises(DataError, match=r"no inputs and labels among the arrays \(bar, foo\)"):
        load(tmp_path / "d.npz")


def test_pickled_objects_are_never_opened(tmp_path):
    np.savez(tmp_path / "d.npz", X=np.array([{}, []], dtype=object), y=Y[:2])
    with pytest.raises(DataError, match="pickled objects are never opened"):
        load(tmp_path / "d.npz")


@pytest.mark.parametrize(
    "shape", ["(9999999999, 99999)", "(-1, 4)", "(3,)", "()", "(0, 4)", "('a',)", "2**99"]
)
def test_a_lying_header_is_refused_before_anything_is_allocated(shape):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + b"\0" * 12
    with pytest.raises(DataError):
        parse(data, "x.npy")


def test_names_that_mean_two_things_are_not_paired_twice():
    assert pair(["x_train", "y_train", "x", "y"], "d") == [(0, "x_train", "y_train")]


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=120),
    st.sampled_from([b"", b"\x93NUMPY\1\0", b"\x93NUMPY\1\0\x46\0{'descr': "]),
)
def test_any_bytes_give_an_array_or_one_data_error(tail, head):
    try:
        assert isinstance(parse(head + tail, "x"), np.ndarray)
    except DataError as error:
        assert "\n" not in str(error)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 600), st.binary(min_size=1, max_size=3))
def test_a_damaged_npz_gives_a_dataset_or_one_data_error(position, damage):
    import tempfile
    from pathlib import Path

    buffer = io.BytesIO()
    np.savez(buffer, X=X, y=Y)
    whole = bytearray(buffer.getvalue())
    place = position if position < 300 else len(whole) - (position - 299)
    whole[place : place + len(damage)] = damage
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.npz"
        path.write_bytes(bytes(whole))
        try:
            assert len(load(path, cache=False).labels) == 20
        except DataError as error:
            assert "\n" not in str(error)


def test_a_damaged_member_is_named(tmp_path):
    np.savez(tmp_path / "d.npz", X=X, y=Y)
    whole = bytearray((tmp_path / "d.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "d.npz") as archive:
        whole[archive.getinfo("X.npy").header_offset + 300] ^= 0xFF
    (tmp_path / "d.npz").write_bytes(bytes(whole))
    with pytest.raises(DataError, match=r"X\.npy is damaged"):
        load(tmp_path / "d.npz")
