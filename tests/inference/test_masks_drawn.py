"""Masks as pictures, pixel by pixel."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthwise.data.load import load
from depthwise.errors import InputError
from depthwise.inference.masks_drawn import colours_for, index_png, overlay, with_names

PALETTE = np.array([(200, 0, 0), (0, 100, 0)], np.uint8)
MASK = np.array([[0, 0, 0, 255, 1], [0, 0, 0, 255, 1]], np.uint8)


def grey(level: int) -> np.ndarray:
    return np.full((1, 2, 5), level, np.uint8)


def test_a_pixel_is_the_mean_of_photograph_and_colour() -> None:
    shown = overlay(grey(100), MASK, PALETTE, opacity=0.5)
    assert shown.shape == (2, 5, 3)
    assert shown[0, 0].tolist() == [150, 50, 50]
    assert overlay(grey(100), MASK, PALETTE, opacity=0.25)[0, 0].tolist() == [125, 75, 75]


def test_where_classes_meet_there_is_a_line() -> None:
    assert overlay(grey(100), MASK, PALETTE)[:, 2].tolist() == [[200, 0, 0]] * 2
    mask = np.array([[0, 0, 0, 1, 1]] * 2, np.uint8)
    shown = overlay(grey(100), mask, PALETTE)
    assert shown[0].tolist() == [[150, 50, 50]] * 2 + [[200, 0, 0]] + [[50, 100, 50]] * 2


def test_ignored_pixels_are_the_photograph() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 2, 5)).astype(np.uint8)
    assert np.array_equal(overlay(rgb, MASK, PALETTE)[:, 3], rgb[:, :, 3].T)
    nothing = np.full_like(MASK, 255)
    assert np.array_equal(overlay(rgb, nothing, PALETTE), rgb.transpose(1, 2, 0))


def test_without_opacity_only_the_lines_are_seen() -> None:
    whole = np.zeros((2, 5), np.uint8)
    assert np.array_equal(overlay(grey(7), whole, PALETTE, opacity=0), np.full((2, 5, 3), 7))


def test_fractions_are_drawn_as_bytes_are() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (3, 2, 5)).astype(np.uint8)
    assert np.array_equal(overlay(rgb / 255, MASK, PALETTE), overlay(rgb, MASK, PALETTE))


def test_an_index_png_holds_the_mask_and_its_colours() -> None:
    picture = Image.open(io.BytesIO(index_png(MASK, PALETTE)))
    assert picture.mode == "P"
    assert np.array_equal(np.asarray(picture), MASK)
    shown = np.asarray(picture.convert("RGB"))
    assert shown[0, 0].tolist() == [200, 0, 0]
    assert shown[0, 4].tolist() == [0, 100, 0]


def test_an_index_png_is_read_back_as_a_mask(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).integers(0, 3, (6, 20, 30)).astype(np.uint8)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    for i, mask in enumerate(masks):
        (tmp_path / "labels" / f"{i}.png").write_bytes(index_png(mask))
        Image.fromarray(mask * 80).save(tmp_path / "images" / f"{i}.png")
    data = load(tmp_path)
    assert data.task == "segmentation"
    order = data.inputs[:, 0, 0].tolist()
    assert np.array_equal(
        data.targets, masks[[(masks[:, 0] * 80).tolist().index(row) for row in order]]
    )


def test_the_names_stand_beside_the_picture_largest_first() -> None:
    picture = overlay(grey(100), MASK, PALETTE)
    shown = with_names(picture, MASK, ["wall", "door"], PALETTE)
    assert np.array_equal(shown[:2, :5], picture)
    assert shown.shape[0] >= 2 * 16
    left = 5 + 4 + 6
    assert shown[4 + 6, left].tolist() == [200, 0, 0]
    assert shown[4 + 16 + 6, left].tolist() == [0, 100, 0]


def test_colours_differ_and_none_is_black() -> None:
    colours = colours_for(255)
    assert len(np.unique(colours, axis=0)) == 255
    assert colours.any(axis=1).all()


def test_what_cannot_be_drawn_is_told() -> None:
    with pytest.raises(InputError, match=r"\(1, 2, 5\) and \(2, 4\)"):
        overlay(grey(0), MASK[:, 1:], PALETTE)
    with pytest.raises(InputError, match="class 1, but the palette has 1 colours"):
        index_png(MASK, PALETTE[:1])
    with pytest.raises(InputError, match="opacity"):
        overlay(grey(0), MASK, PALETTE, opacity=2)
