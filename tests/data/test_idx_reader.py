"""IDX against files written by hand from its definition."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pictures import noise_u8

from depthwise.data.load import load
from depthwise.data.readers.idx import is_idx, parse
from depthwise.errors import DataError


def idx_bytes(array, code=8):
    head = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def write_pair(folder, images, labels, stem="train", suffix=""):
    pack = gzip.compress if suffix == ".gz" else bytes
    (folder / f"{stem}-images-idx3-ubyte{suffix}").write_bytes(pack(idx_bytes(images)))
    (folder / f"{stem}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx_bytes(labels)))


IMAGES, LABELS = noise_u8(30, 5, 7), np.arange(30, dtype=np.uint8) % 3


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_of_train_and_t10k_keeps_its_split(tmp_path, suffix):
    write_pair(tmp_path, IMAGES, LABELS, "train", suffix)
    write_pair(tmp_path, IMAGES[::-1][:9] // 2, LABELS[:9], "t10k", suffix)
    data = load(tmp_path, cache=False)
    assert data.input_shape == (1, 5, 7) and data.classes == ["0", "1", "2"]
    assert data.indices["test"].tolist() == list(range(30, 39))
    assert np.array_equal(data.inputs[:30, 0], IMAGES) and np.array_equal(data.labels[:30], LABELS)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_single_images_file_finds_its_labels(tmp_path, suffix):
    write_pair(tmp_path, IMAGES, LABELS, "train", suffix)
    data = load(tmp_path / f"train-images-idx3-ubyte{suffix}")
    assert len(data.labels) == 30 and data.split_origin.startswith("seeded split")


def test_labels_given_beside_the_file_are_used(tmp_path):
    (tmp_path / "pictures").write_bytes(idx_bytes(IMAGES))
    (tmp_path / "answers").write_bytes(idx_bytes(LABELS))
    for labels in (LABELS, tmp_path / "answers"):
        assert np.array_equal(load(tmp_path / "pictures", labels=labels).labels, LABELS)


@pytest.mark.parametrize(
    ("code", "dtype"), [(8, ">u1"), (9, ">i1"), (11, ">i2"), (12, ">i4"), (13, ">f4"), (14, ">f8")]
)
def test_every_type_of_the_format_is_read(code, dtype):
    values = np.array([[1, 2, 3], [4, 5, 6]])
    read = parse(idx_bytes(values.astype(dtype), code), "x")
    assert read.dtype == np.dtype(dtype).newbyteorder("=") and np.array_equal(read, values)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (idx_bytes(IMAGES)[:-1], "1,049 bytes follow"),
        (idx_bytes(IMAGES) + b"\0", "1,051 bytes follow"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12 + b"\0" * 50, "50 bytes follow"),
        (bytes([0, 0, 8, 3]) + b"\0\0\0\1", "header"),
        (b"hello world", "not an IDX file"),
        (b"", "begins with nothing"),
        (gzip.compress(idx_bytes(IMAGES), mtime=0)[:-20], "cut off"),
        (gzip.compress(idx_bytes(IMAGES), mtime=0)[:10] + b"\xff" * 30, "not a sound gzip"),
    ],
)
def test_a_lying_header_or_a_broken_file_is_refused(data, what):
    with pytest.raises(DataError, match=what):
        parse(data, "digits.idx")


def test_a_gzip_bomb_is_refused_before_it_fills_the_memory():
    head = bytes([0, 0, 8, 1]) + struct.pack(">I", 100 << 20)
    bomb = gzip.compress(head + b"\0" * (100 << 20))
    with pytest.raises(DataError, match="bomb"):
        parse(bomb, "bomb.gz")


def test_gzip_members_in_a_row_are_one_file():
    whole = idx_bytes(IMAGES)
    assert np.array_equal(parse(gzip.compress(whole[:99]) + gzip.compress(whole[99:]), "x"), IMAGES)


def test_images_without_labels_say_which_file_is_missing(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(IMAGES))
    (problem,) = [p for p in load(tmp_path).problems if p.kind == "no labels"]
    assert problem.where == "train-labels-idx1-ubyte"


def test_labels_of_another_length_are_refused(tmp_path):
    write_pair(tmp_path, IMAGES, LABELS[:-1])
    with pytest.raises(DataError, match="30 items but 29 labels"):
        load(tmp_path)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=80),
    st.sampled_from([b"", b"\0\0\10\1", b"\0\0\10\3\0\0\0\2", b"\x1f\x8b\x08\0"]),
)
def test_any_bytes_give_an_array_or_one_data_error(tail, head):
    try:
        assert isinstance(parse(head + tail, "x"), np.ndarray)
    except DataError as error:
        assert "\n" not in str(error)
    is_idx(head + tail)
