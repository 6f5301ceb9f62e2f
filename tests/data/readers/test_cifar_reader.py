"""CIFAR batches as published, and pickles that mean harm."""

import pickle
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_pictures import noise_u8

from depthwise.data.load import load
from depthwise.data.readers.cifar import parse_binary, parse_pickle
from depthwise.data.readers.trees.safe_pickle import loads
from depthwise.errors import DataError, InputError

NAMES = ["cat", "dog", "frog"]


def batch(n, seed, **kinds):
    return {b"data": noise_u8(n, 3072, seed=seed), **{k.encode(): v for k, v in kinds.items()}}


def write_ten(folder, protocol=2):
    folder.mkdir(exist_ok=True)
    for k in range(1, 6):
        content = batch(6, k, labels=[0, 1, 2, 2, 1, 0])
        (folder / f"data_batch_{k}").write_bytes(pickle.dumps(content, protocol))
    test = batch(5, 9, labels=[2, 1, 0, 1, 1])
    (folder / "test_batch").write_bytes(pickle.dumps(test, protocol))
    meta = {b"label_names": [n.encode() for n in NAMES]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol))
    return folder


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_python_batches_keep_classes_split_and_pixels(tmp_path, protocol):
    data = load(write_ten(tmp_path / "cifar", protocol), cache=False)
    assert data.classes == NAMES and data.input_shape == (3, 32, 32)
    assert data.indices["test"].tolist() == [30, 31, 32, 33, 34]
    assert data.labels[30:].tolist() == [2, 1, 0, 1, 1]
    assert np.array_equal(data.inputs[:6].reshape(6, 3072), noise_u8(6, 3072, seed=1))


def test_a_tar_of_batches_is_read_without_unpacking(tmp_path):
    write_ten(tmp_path / "cifar-10-batches-py")
    packed = tmp_path / "cifar-10-python.tar.gz"
    subprocess.run(["tar", "-czf", packed, "-C", tmp_path, "cifar-10-batches-py"], check=True)
    assert load(packed).classes == NAMES


def test_cifar_100_offers_fine_and_coarse_labels(tmp_path):
    fine, coarse = [0, 1, 2, 3] * 5, [0, 0, 1, 1] * 5
    for name, seed in (("train", 1), ("test", 2)):
        content = batch(20, seed, fine_labels=fine, coarse_labels=coarse)
        (tmp_path / name).write_bytes(pickle.dumps(content, 2))
    meta = {b"fine_label_names": [b"a", b"b", b"c", b"d"], b"coarse_label_names": [b"x", b"y"]}
    (tmp_path / "meta").write_bytes(pickle.dumps(meta, 2))
    assert load(tmp_path).classes == ["a", "b", "c", "d"]
    assert load(tmp_path, label="coarse").classes == ["x", "y"]
    with pytest.raises(InputError, match="coarse, fine"):
        load(tmp_path, label="rough")


def test_binary_batches_are_read(tmp_path):
    pixels, labels = noise_u8(12, 3072), np.arange(12, dtype=np.uint8)[:, None] % 3
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (tmp_path / name).write_bytes(np.hstack([labels, pixels]).tobytes())
    (tmp_path / "batches.meta.txt").write_text("cat\ndog\nfrog\n\n")
    data = load(tmp_path)
    assert data.classes == NAMES and np.array_equal(data.labels[:12], labels[:, 0])
    assert np.array_equal(data.inputs[:12].reshape(12, 3072), pixels)


def test_a_cut_off_binary_batch_is_refused():
    with pytest.raises(DataError, match="not whole rows of 3,073"):
        parse_binary(b"\0" * 4000, ("labels",), "b.bin")


class Harm:
    def __reduce__(self):
        import os

        return os.system, ("echo harm > /tmp/depthwise_harm",)


def test_a_pickle_that_names_a_function_runs_nothing(tmp_path):
    for content in (Harm(), {b"data": Harm()}, [np.float64, Harm]):
        with pytest.raises(DataError, match="it names"):
            loads(pickle.dumps(content, 2), "evil")


def test_arrays_of_objects_in_a_pickle_are_refused():
    with pytest.raises(DataError, match="not a pickle of plain data"):
        loads(pickle.dumps(np.array([{}, []], dtype=object), 2), "evil")


def test_a_list_that_refers_to_itself_a_billion_times_is_refused():
    bomb = ["x"]
    for _ in range(12):
        bomb = [bomb] * 10
    with pytest.raises(DataError, match="too many"):
        loads(pickle.dumps(bomb, 2), "bomb")


def test_a_memo_index_of_four_billion_allocates_nothing():
    assert loads(b"\x80\x02Nr\xff\xff\xff\xff.", "x") is None


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({b"labels": [0, 1]}, "no data array"),
        ({b"data": noise_u8(2, 99), b"labels": [0, 1]}, "must be"),
        ({b"data": noise_u8(2, 3072)}, "no labels"),
        ({b"data": noise_u8(2, 3072), b"labels": [0]}, "expected 2 labels"),
        ({b"data": noise_u8(2, 3072), b"labels": [0, -1]}, "expected 2 labels"),
        ({b"data": noise_u8(2, 3072), b"labels": [[0], [1, 2]]}, "expected 2 labels"),
    ],
)
def test_a_batch_that_lacks_something_says_what(content, what):
    with pytest.raises(DataError, match=what):
        parse_pickle(pickle.dumps(content, 2), "data_batch_1")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"\x80\x02}", b"\x80\x04\x95", b"\x80\x02c"]))
def test_any_bytes_give_plain_data_or_one_data_error(tail, head):
    try:
        loads(head + tail, "x")
    except DataError as error:
        assert "\n" not in str(error)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_a_damaged_batch_gives_pixels_or_one_data_error(position, damage):
    whole = bytearray(pickle.dumps(batch(1, 0, labels=[0]), 2))
    position = position % 200 if position < 200 else len(whole) - (position - 199)
    whole[position : position + len(damage)] = damage
    try:
        pixels, _ = parse_pickle(bytes(whole), "x")
        assert pixels.shape[1:] == (3, 32, 32)
    except DataError as error:
        assert "\n" not in str(error)
