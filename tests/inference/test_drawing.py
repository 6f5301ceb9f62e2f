"""Where every pixel of a grid must be is worked out here by hand."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image
from tests.bare_model import Bare
from torch import nn

from depthwise.catalog import FAMILIES
from depthwise.errors import InputError
from depthwise.families.cnn import CNN
from depthwise.families.shallow.shallow import GradientBoosting, LogisticRegression
from depthwise.inference import drawing
from made_ink import Ink

SIDES, TIMES = some.integers(1, 11), some.integers(1, 3)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@settings(max_examples=60, deadline=None)
@given(some.integers(1, 23), some.sampled_from([1, 3]), SIDES, SIDES, some.integers(1, 9), TIMES)
def test_every_tile_stands_whole_where_its_row_and_column_put_it(n, channels, h, w, columns, times):
    tiles = noise(n, channels, h, w)
    canvas = drawing.grid(tiles, columns, scale=times)
    gap = 1 if times == 1 else 2
    h, w = times * h, times * w
    assert canvas.shape == (
        gap + math.ceil(n / columns) * (h + gap), gap + columns * (w + gap), channels,
    )  # fmt: skip
    inked = np.zeros(canvas.shape[:2], bool)
    for k in range(n):
        top, left = gap + k // columns * (h + gap), gap + k % columns * (w + gap)
        inked[top : top + h, left : left + w] = True
        for channel in range(channels):
            shown = canvas[top : top + h, left : left + w, channel]
            assert np.array_equal(
                shown, np.kron(tiles[k, channel], np.ones((times, times), np.uint8))
            )
    assert (canvas[~inked] == drawing.GREY).all()


@settings(max_examples=100, deadline=None)
@given(some.integers(1, 500), SIDES, SIDES)
def test_a_grid_has_no_empty_row_and_is_about_as_wide_as_high(n, h, w):
    columns = drawing.columns_for(n, h, w)
    rows = math.ceil(n / columns)
    assert 1 <= columns <= n and (rows - 1) * columns < n
    if n >= 50 and max(h, w) <= 2 * min(h, w):
        assert 0.5 < columns * w / (rows * h) <= 3


@pytest.mark.parametrize("n, columns", [(1, 1), (64, 8), (100, 10), (10, 5), (12, 4), (7, 4)])
def test_square_tiles_fill_their_grid_where_they_can(n, columns):
    assert drawing.columns_for(n, 8, 8) == columns


@pytest.mark.parametrize("side", [1, 5, 8, 28, 47, 48, 224])
def test_tiny_tiles_are_enlarged_to_be_seen_and_large_ones_are_not(side):
    height, _ = drawing.grid_size(1, (1, side, side))
    shown = height - 2 * (2 if side < 48 else 1)
    assert shown % side == 0 and shown >= 48
    assert shown == side or shown < 2 * 48


@pytest.mark.parametrize("shape", [(7, 1, 7, 5), (23, 3, 4, 9), (1, 1, 1, 1)])
def test_the_announced_size_of_a_grid_is_its_size(shape):
    assert drawing.grid_size(shape[0], shape[1:]) == drawing.grid(noise(*shape)).shape[:2]


@pytest.mark.parametrize("n", [1, 5, 12, 13, 29])
def test_under_each_item_stands_its_reconstruction(n):
    above = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 3, 2), np.uint8)
    canvas = drawing.paired(above, 255 - above, scale=1)[:, :, 0]
    for k in range(n):
        (top, *_), (left, *_) = np.nonzero(canvas == k)
        assert (canvas[top + 3 + 1, left : left + 2] == 255 - k).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_is_lossless_the_same_each_time_and_knows_who_made_it(tmp_path, channels):
    canvas = noise(9, 14, channels)
    made = drawing.png(canvas)
    assert made == drawing.png(canvas)
    assert np.array_equal(opened(made).reshape(canvas.shape), canvas)
    (tmp_path / "a.png").write_bytes(made)
    assert drawing.is_ours(tmp_path / "a.png")


def test_a_picture_of_somebody_else_is_not_ours(tmp_path):
    Image.fromarray(noise(4, 4)).save(tmp_path / "theirs.png")
    (tmp_path / "text.png").write_text("a thesis")
    for name in ("theirs.png", "text.png", "none.png"):
        assert not drawing.is_ours(tmp_path / name)


def test_pixels_stay_fractions_fill_the_range_and_the_rest_is_scaled_by_the_originals():
    assert np.array_equal(drawing.to_pixels(noise(2, 1, 3, 3)), noise(2, 1, 3, 3))
    fractions = np.array([0, 0.2, 1, 0.5]).reshape(1, 1, 2, 2)
    assert drawing.to_pixels(fractions).ravel().tolist() == [0, 51, 255, 128]
    like = np.array([-1.0, 4.0]).reshape(1, 1, 1, 2)
    beyond = np.array([-9.0, 0.0, 4.0, 9.0]).reshape(1, 1, 2, 2)
    assert drawing.to_pixels(beyond, like).ravel().tolist() == [0, 51, 255, 255]
    assert drawing.to_pixels(np.full((1, 1, 1, 1), -3.0)).tolist() == [[[[0]]]]


# -- filters -----------------------------------------------------------------------------------


class Machine(nn.Module):
    """Weights (D, F) beside label weights, as a Boltzmann machine has them."""

    def __init__(self, pixels: int, units: int):
        super().__init__()
        self.label_weight = nn.Parameter(torch.zeros(3, pixels))
        self.weight = nn.Parameter(torch.arange(pixels * units).reshape(pixels, units).float())


def model(network: nn.Module, shape: tuple[int, ...]) -> Bare:
    return Bare(network, shape)


@pytest.mark.parametrize("units", [4, 6])  # 6: as many units as pixels
def test_filters_are_rows_of_a_linear_layer_and_columns_of_a_machine(units):
    linear = nn.Sequential(
        nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(6, units), nn.Linear(units, 6)
    )
    found = drawing.filters(model(linear, (1, 2, 3)))
    assert np.array_equal(found.reshape(units, 6), linear[2].weight.detach().numpy())
    machine = Machine(6, units)
    found = drawing.filters(model(machine, (1, 2, 3)))
    assert np.array_equal(found.reshape(units, 6), machine.weight.detach().numpy().T)


def test_filters_of_a_convolution_are_its_kernels():
    network = CNN(size="xxs").build((3, 8, 8), 10)
    kernels = next(m for m in network.modules() if isinstance(m, nn.Conv2d)).weight
    assert np.array_equal(drawing.filters(model(network, (3, 8, 8))), kernels.detach().numpy())


@pytest.mark.parametrize("make, shape", [(LogisticRegression, (5,)), (GradientBoosting, (1, 4, 4))])
def test_tables_and_trees_have_no_filters(make, shape):
    fitted = make().fit(np.random.default_rng(0).random((30, *shape)), np.arange(30) % 2)
    assert drawing.filters(fitted) is None
    assert drawing.filters_png(fitted) is None


NO_FILTERS = {"boosting", "boosting_regressor", "mean", "tabular"}


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - NO_FILTERS))
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 7, 5)])
def test_every_family_but_trees_has_filters_over_the_channels_of_its_images(family, shape):
    with torch.random.fork_rng():
        found = drawing.filters(model(FAMILIES[family]().build(shape, 3), shape))
    assert found.ndim == 4 and len(found) > 1 and found.shape[1] == shape[0]
    assert found.shape[2] <= shape[1] and found.std() > 0


def test_zero_is_white_and_opposite_weights_are_as_strong_a_blue_and_red():
    weights = np.array([[-1.0, -0.5, 0.0, 0.5, 1.0]]).reshape(1, 1, 1, 5)
    r, g, b = drawing.in_colours(weights)[0, :, 0].astype(int)
    assert (r[2], g[2], b[2]) == (255, 255, 255)
    assert b[0] > r[0] and r[4] > b[4]
    assert b[0] > g[0] and r[1] < r[2] and g[3] < g[2] and g[4] < g[3] and r[0] < r[1]


def test_colour_filters_are_colours_about_grey():
    weights = np.zeros((2, 3, 1, 1), np.float32)
    weights[0, 0], weights[1, 2] = 2.0, -2.0
    assert drawing.in_colours(weights).reshape(2, 3).tolist() == [[255, 128, 128], [128, 128, 0]]


def test_the_strongest_filters_come_first():
    network = nn.Linear(4, 4, bias=False)
    network.weight.data = torch.tensor([0.5, 3.0, 2.0, -1.0])[:, None] * torch.ones(4, 4)
    shown = opened(drawing.filters_png(model(network, (1, 2, 2)))).astype(int)
    tiles = [shown[1 + 3 * (k // 2), 1 + 3 * (k % 2)] for k in range(4)]  # 2 x 2 tiles of 2 x 2
    assert tiles[0][1] < tiles[1][1] < tiles[2][1] < tiles[3][1]  # 3, 2, -1, 0.5: ever paler
    assert tiles[2][2] > tiles[2][0] and tiles[3][0] > tiles[3][2]  # -1 is blue, 0.5 is red


# -- the report's ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ink(digits):
    return Ink(epochs=1).fit(digits[0][:200], digits[1][:200])


def test_pictures_of_a_generative_model_are_three_pngs(ink, digits):
    made = drawing.pictures(ink, digits[2])
    assert set(made) == {"filters", "samples", "reconstructions"}
    for text in made.values():
        assert opened(base64.b64decode(text)).size
    assert made == drawing.pictures(ink, digits[2])


def test_samples_of_a_model_of_labels_have_a_column_a_class(ink):
    shown = opened(drawing.samples_png(ink)).astype(int)
    assert shown.shape == (1 + 6 * 9, 1 + 10 * 9)  # 60 samples of 8 x 8, ten classes
    means = ink.sample(10, labels=np.arange(10)).astype(int)
    for k in range(10):
        tile = shown[10:18, 1 + 9 * k : 9 + 9 * k]
        nearest = np.abs(means[:, 0] - tile).sum(axis=(1, 2)).argmin()
        assert nearest == k


def test_reconstructions_are_shown_under_the_items(ink, digits):
    shown = opened(drawing.reconstructions_png(ink, digits[2][:3])).astype(int)
    assert np.array_equal(shown[1:9, 1:9], digits[2][0, 0])
    assert np.array_equal(shown[10:18, 1:9], 255 - digits[2][0, 0])  # Ink shows the negative


def test_a_classifier_has_filters_only(digits):
    fitted = LogisticRegression().fit(digits[0][:100], digits[1][:100])
    made = drawing.pictures(fitted, digits[2])
    assert made["filters"] and made["samples"] is None and made["reconstructions"] is None


def test_a_model_of_a_table_has_no_pictures():
    rows = np.random.default_rng(0).random((60, 5)).astype(np.float32)
    made = drawing.pictures(Ink(epochs=1).fit(rows), rows)
    assert made == {"filters": None, "samples": None, "reconstructions": None}


def test_a_model_that_cannot_make_what_is_asked_still_leaves_the_other_pictures(ink, digits):
    class Mute(Ink):
        def sample(self, *arguments, **options):
            raise InputError("no density was learnt")

    mute = Mute(epochs=1).fit(digits[0][:50], digits[1][:50])
    made = drawing.pictures(mute, digits[2])
    assert made["samples"] is None and made["filters"] and made["reconstructions"]


def test_a_class_that_cannot_be_asked_for_leaves_samples_of_any(digits):
    class Deaf(Ink):
        def sample(self, n=1, labels=None, *, random_state=None):
            if labels is not None:
                raise InputError("labels are not learnt")
            return super().sample(n, random_state=random_state)

    deaf = Deaf(epochs=1).fit(digits[0][:50], digits[1][:50])
    assert opened(drawing.samples_png(deaf)).size


def test_pictures_of_large_photographs_of_noise_stay_small():
    items = noise(30, 3, 150, 224)
    large = Ink(epochs=1).fit(items)
    made = drawing.pictures(large, items)
    assert sum(len(text) for text in made.values()) < 1_500_000
    for text in made.values():
        assert max(opened(base64.b64decode(text)).shape) < 800


def test_images_of_many_channels_are_no_pictures():
    assert not drawing.shows((2, 8, 8)) and not drawing.shows((64,)) and drawing.shows((3, 7, 5))
