"""Boxes on pictures, by their pixels."""

from __future__ import annotations

import numpy as np
import pytest

from depthwise.errors import InputError
from depthwise.inference.boxes_drawn import COLOURS, draw_boxes

H, W = 60, 90
GREY = np.full((3, H, W), 77, np.uint8)
BOX = [20.0, 30.0, 50.0, 55.0]
NAMES = ["bee", "wasp"]


def drawn(boxes: list, labels: list, scores: list | None = None, **options) -> np.ndarray:
    return draw_boxes(GREY, (np.array(boxes), np.array(labels), scores), NAMES, **options)


def test_the_frame_is_the_boxes_outermost_pixels() -> None:
    picture = drawn([BOX], ["bee"])
    assert picture.shape == (H, W, 3)
    colour, frame = np.array(COLOURS[0]), np.zeros((H, W), bool)
    frame[30:55, 20:50] = True
    frame[31:54, 21:49] = False
    assert (picture[frame] == colour).all()
    inside = picture[31:54, 21:49]
    assert (inside == 77).all()
    below = picture[55:]
    assert (below == 77).all()


def test_the_name_stands_above_the_box_on_its_colour() -> None:
    picture = drawn([BOX], ["wasp"], [0.5])
    above = picture[:30]
    changed = (above != 77).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert rows.max() == 29
    assert columns.min() == 20
    own = (above == COLOURS[1]).all(axis=-1)
    letters = above.min(axis=-1) > 130  # white, and mixed with the plate's blue
    assert own.sum() > letters.sum() > 10
    assert len(np.unique(columns)) == columns.max() - 19  # a plate without gaps


def test_a_name_without_room_above_stands_inside() -> None:
    picture = drawn([[20, 0, 80, 50]], ["bee"])
    assert (picture[:12, 20:40] != 77).any(axis=-1).sum() > 100
    assert (picture[:, :20] == 77).all()


def test_a_score_makes_the_plate_longer_and_can_be_left_out() -> None:
    def plate(picture: np.ndarray) -> int:
        return int((picture[25] != 77).any(axis=-1).sum())

    wide, narrow = drawn([BOX], ["bee"], [0.5]), drawn([BOX], ["bee"], [0.5], with_scores=False)
    assert plate(wide) > plate(narrow)
    assert np.array_equal(narrow, drawn([BOX], ["bee"]))


def test_the_likeliest_box_lies_on_top() -> None:
    boxes = [BOX, BOX]
    for scores, on_top in (([0.9, 0.2], 0), ([0.2, 0.9], 1)):
        picture = drawn(boxes, NAMES, scores)
        assert tuple(picture[54, 30]) == COLOURS[on_top]


def test_no_box_leaves_the_picture_as_it_is() -> None:
    assert np.array_equal(drawn(np.zeros((0, 4)).tolist(), []), GREY.transpose(1, 2, 0))


def test_a_box_beyond_the_picture_is_drawn_as_far_as_it_goes() -> None:
    picture = drawn([[-1e9, -5, 40, 1e9]], ["bee"])
    assert (picture[30:, 39] == COLOURS[0]).all()
    assert (picture[12:, 40:] == 77).all()


def test_grey_and_floats_become_colour_bytes() -> None:
    nothing = (np.zeros((0, 4)), np.zeros(0), None)
    grey = draw_boxes(np.full((1, 5, 7), 0.2, np.float32), nothing)
    assert grey.dtype == np.uint8
    assert grey.shape == (5, 7, 3)
    assert (grey == 51).all()


def test_enlarging_enlarges_picture_and_boxes() -> None:
    picture = drawn([BOX], ["bee"], enlarge=3)
    assert picture.shape == (3 * H, 3 * W, 3)
    assert (picture[90:165, 60] == COLOURS[0]).all()
    assert (picture[91:164, 61:149] == 77).all()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: draw_boxes(GREY[0], ([], [], None)), "boxes are drawn on an image"),
        (lambda: drawn([BOX], ["bee", "wasp"]), "1 boxes and 2 labels"),
        (lambda: drawn([BOX], ["hornet"]), "none of"),
        (lambda: drawn([[0, 0, np.nan, 5]], ["bee"]), "not a box of numbers"),
        (lambda: drawn([BOX], ["bee"], enlarge=0), "enlarge must be 1"),
    ],
)
def test_what_cannot_be_drawn_is_told(call, told: str) -> None:
    with pytest.raises(InputError, match=told):
        call()
