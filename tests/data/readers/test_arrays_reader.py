"""Arrays in memory: shapes, ranges, and what is refused."""

import numpy as np
import pytest
import torch
from made_pictures import noise_u8

from depthwise.data.load import load
from depthwise.data.readers.arrays import as_images
from depthwise.errors import DataError

Y = np.arange(12) % 3


@pytest.mark.parametrize("shape", [(12, 5, 7), (12, 5, 7, 1), (12, 1, 5, 7)])
def test_grey_images_in_any_layout_become_one_channel_first(shape):
    pixels = noise_u8(12, 5, 7)
    data = load(pixels.reshape(shape), labels=Y)
    assert np.array_equal(data.inputs, pixels[:, None]) and data.kind == "images"


def test_channels_last_and_channels_first_agree():
    pixels = noise_u8(12, 5, 7, 3)
    first, last = load((pixels.transpose(0, 3, 1, 2), Y)), load((pixels, Y))
    assert np.array_equal(first.inputs, last.inputs) and first.input_shape == (3, 5, 7)


def test_torch_tensors_and_lists_are_arrays_too():
    pixels = noise_u8(12, 4, 4)
    assert np.array_equal(load(torch.tensor(pixels), labels=torch.tensor(Y)).inputs[:, 0], pixels)
    table = load([[1, 2], [3, 4], [5, 6], [7, 8]] * 3, labels=["a", "b", "c", "d"] * 3)
    assert table.kind == "table" and table.inputs.dtype == np.float32


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([0.0, 127.4, 255.0], np.float32), [0, 127, 255]),
        (np.array([0, 257, 65535], np.uint16), [0, 1, 255]),
        (np.array([0, 7, 255], np.uint16), [0, 7, 255]),
        (np.array([0, 7, 255], np.int64), [0, 7, 255]),
        (np.array([False, True, True]), [0, 255, 255]),
    ],
)
def test_every_range_of_values_becomes_levels(values, levels):
    assert as_images(values.reshape(3, 1, 1), "x").ravel().tolist() == levels


def test_alpha_is_laid_on_white():
    rgba = np.array([[[[10, 20, 30, 255]]], [[[10, 20, 30, 0]]]], np.uint8)
    assert as_images(rgba, "x")[:, :, 0, 0].tolist() == [[10, 20, 30], [255, 255, 255]]


@pytest.mark.parametrize(
    ("inputs", "what"),
    [
        (np.full((12, 3), np.nan), "NaN or infinity in 12 of 12 items"),
        (np.where(np.arange(24).reshape(12, 2) == 9, np.inf, 0.0), "the first is item 4"),
        (np.where(np.arange(48).reshape(12, 2, 2) == 9, np.nan, 0.0), "the first is item 2"),
        (np.full((12, 2, 2), -1.0), "from -1 to -1; scale images"),
        (np.zeros((12,)), "must be images"),
        (np.zeros((12, 5, 5, 7)), "no axis of 1 to 4 channels"),
        (np.zeros((12, 0, 5)), "no pixels"),
        (np.array([{}] * 12), "Python objects"),
        (np.array([["a", "b"]] * 12), "must hold numbers"),
        ([[1, 2], [3]] * 6, "not a regular array"),
        (np.zeros((12, 2), complex), "must hold numbers"),
        (np.zeros((11, 2)), "11 items but 12 labels"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(inputs, what):
    with pytest.raises(DataError, match=what) as caught:
        load(inputs, labels=Y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (np.array([0.5] * 12), "all numbers to predict are 0.5"),
        (np.where(Y == 1, np.inf, 0.5), "label of item 1 is inf"),
        (np.where(Y == 1, np.nan, 0.0), "label of item 1 is nan"),
        (np.zeros((12, 2)), "one-hot"),
        (np.zeros((12, 2, 2)), r"must be \(N,\)"),
        (np.array([None] * 12), "Python objects"),
        (np.zeros(12), "one class only"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, what):
    with pytest.raises(DataError, match=what):
        load(np.arange(24.0).reshape(12, 2), labels=labels)


def test_arrays_without_labels_say_how_to_give_them():
    with pytest.raises(DataError, match="labels=y"):
        load(np.zeros((4, 3)), labelled=True)


def test_size_and_colour_of_arrays_follow_the_options():
    pixels = np.zeros((12, 40, 60, 3), np.uint8)
    pixels[..., 1] = 200
    pixels[np.arange(12), np.arange(12), 0] = 9  # no two alike
    data = load(pixels, labels=Y, image_size=(20, 30), mode="L")
    assert data.input_shape == (1, 20, 30) and abs(int(data.inputs[0, 0, 19, 29]) - 117) <= 1


def test_the_users_arrays_are_not_changed():
    pixels = noise_u8(12, 5, 7)
    before = pixels.copy()
    load(pixels, labels=Y, image_size=9)
    assert np.array_equal(pixels, before)
