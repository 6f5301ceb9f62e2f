from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from tests.bare_model import BareClassifier

from depthwise.data.load import load
from depthwise.errors import DataError, InputError
from depthwise.inference.input_files import predictions, read_inputs

SHAPE = (1, 5, 7)


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)


class Brightest(BareClassifier):
    """Stands in for a model: the class is the brightest of the first three pixels or columns."""

    def __init__(self, shape):
        super().__init__(None, shape, "uint8", classes=["a", "b", "c"])

    def predict_proba(self, X):
        first = X.reshape(len(X), -1)[:, :3].astype(float) + 1e-9
        return first / first.sum(axis=1, keepdims=True)


def test_a_picture_reads_as_the_very_pixels_that_the_loader_gives(tmp_path):
    random = np.random.default_rng(1)
    for name in ("x", "y"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(6):
            image = Image.fromarray(random.integers(0, 256, (11, 9, 3), dtype=np.uint8))
            image.save(tmp_path / "data" / name / f"{i}.png")
    data = load(tmp_path / "data", image_size=(5, 7), mode="L", cache=False)
    read = read_inputs(tmp_path / "data" / "x" / "3.png", (1, 5, 7))
    assert any((item == read[0]).all() for item in data.inputs)


def test_rows_of_an_array_file_keep_their_order(tmp_path, pixels):
    np.save(tmp_path / "many.npy", pixels)
    assert (read_inputs(tmp_path / "many.npy", SHAPE)[:, 0] == pixels).all()
    np.savez(tmp_path / "many.npz", images=pixels, ids=np.arange(3))
    assert (read_inputs(tmp_path / "many.npz", SHAPE)[:, 0] == pixels).all()


def test_a_single_picture_as_an_array_is_one_item(tmp_path, pixels):
    np.save(tmp_path / "one.npy", pixels[0])
    assert read_inputs(tmp_path / "one.npy", SHAPE).shape == (1, 1, 5, 7)
    np.save(tmp_path / "colour.npy", np.stack([pixels[0]] * 3, axis=-1))
    assert read_inputs(tmp_path / "colour.npy", (3, 5, 7)).shape == (1, 3, 5, 7)


def test_several_arrays_in_one_file_are_asked_about(tmp_path, pixels):
    np.savez(tmp_path / "both.npz", a=pixels, b=pixels)
    with pytest.raises(DataError, match="several arrays"):
        read_inputs(tmp_path / "both.npz", SHAPE)


@pytest.mark.parametrize(
    "text",
    ["1,2,3\n4,5,6\n", "p,q,r\n1,2,3\n4,5,6\n", "p;q;r;label\n1;2;3;x\n4;5;6;y\n",
     "class\tp\tq\tr\nx\t1\t2\t3\ny\t4\t5\t6\n", "\ufeffp,q,r\r\n1,2,3\r\n\r\n4,5,6\r\n"],
)  # fmt: skip
def test_rows_of_a_table_with_or_without_names_and_labels(tmp_path, text):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    assert read_inputs(tmp_path / "t.csv", (3,), "float32").tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "text, said",
    [
        ("p,q,r\n1,2,3\n4,x,6\n", "row 3: 'x' is no number"),
        ("p,q,r\n1,,3\n", "row 2: '' is no number"),
        ("1,2,nan\n", "row 1: 'nan' is no number"),
        ("1,2\n3,4\n", "row 1: 2 cells; this model takes rows of 3"),
        ("", "is empty"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_its_row(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_inputs(tmp_path / "t.csv", (3,), "float32")


@pytest.mark.parametrize(
    "content, said",
    [
        (b"hello", "is not a picture"),
        (b"", "is not a picture"),
        (b"\x89PNG\r\n\x1a\n\0\0", "cannot be used"),
        (b"\x93NUMPY\x01\0", "not a sound npy file"),
        (b"PK\3\4rubbish", "file"),
    ],
)
def test_a_broken_file_is_named(tmp_path, content, said):
    (tmp_path / "file.png").write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read_inputs(tmp_path / "file.png", SHAPE)
    assert "file.png" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(DataError, match="is a folder"):
        read_inputs(tmp_path, SHAPE)
    with pytest.raises(DataError, match=r"none\.png cannot be read: No such file"):
        read_inputs(tmp_path / "none.png", SHAPE)


def test_a_picture_for_a_model_of_tables_is_refused(tmp_path):
    Image.new("L", (7, 5)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="takes rows of 3 numbers"):
        read_inputs(tmp_path / "a.png", (3,), "float32")


def test_broken_files_stand_between_good_ones_in_their_order(tmp_path, pixels):
    pixels[:, 0, :3] = [[9, 0, 0], [0, 9, 0], [0, 0, 9]]
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    (tmp_path / "broken.png").write_text("no")
    np.save(tmp_path / "many.npy", pixels[1:])
    files = [str(tmp_path / n) for n in ("0.png", "broken.png", "2.png", "many.npy", "1.png")]
    told = list(predictions(Brightest(SHAPE), files, top=2))
    assert isinstance(told[1], DataError)
    found = [
        (t.name.rpartition("/")[2], t.ranked[0][0]) for t in told if not isinstance(t, Exception)
    ]
    assert found == [
        ("0.png", "a"), ("2.png", "c"), ("many.npy[0]", "b"), ("many.npy[1]", "c"), ("1.png", "b"),
    ]  # fmt: skip
    assert told[0].to_dict()["top"][0] == {"class": "a", "probability": pytest.approx(1.0)}
    assert len(told[0].ranked) == 2


def test_more_files_than_a_block_lose_none(tmp_path, pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels[0]).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    told = list(predictions(Brightest(SHAPE), [str(tmp_path / "a.png")] * 515))
    assert len(told) == 515 and len({t.ranked[0][0] for t in told}) == 1
