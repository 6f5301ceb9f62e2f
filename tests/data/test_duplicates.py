"""Copies found, look-alikes left alone; the referee is all pairs by brute force."""

import io
import time

import numpy as np
import pytest
from made_pictures import encoded, noise_u8
from PIL import Image

from depthwise.data.duplicates import MAX_DISTANCE, exact_groups, near_groups


def smooth(n, c=3, side=24, seed=0):
    """Photograph-like: broad shapes, mostly of light and less of colour, uint8 (N, C, H, W)."""
    rng = np.random.default_rng(seed)
    light, colour = rng.uniform(40, 215, (n, 1, 6, 6)), rng.uniform(-40, 40, (n, c, 6, 6))
    small = (light + (colour if c > 1 else 0)).astype(np.float32)
    how = Image.Resampling.BICUBIC
    planes = [Image.fromarray(plane).resize((side, side), how) for plane in small.reshape(-1, 6, 6)]
    return (
        np.clip(np.stack([np.asarray(p) for p in planes]), 0, 255)
        .astype(np.uint8)
        .reshape(n, c, side, side)
    )


def saved_again(pixels, quality):
    data = encoded(pixels.transpose(1, 2, 0), "JPEG", quality=quality)
    return np.asarray(Image.open(io.BytesIO(data))).transpose(2, 0, 1)


def test_equal_items_share_the_first_one_s_position():
    rows = np.array([[1.0, 2], [3, 4], [1, 2], [5, 6], [3, 4], [1, 2]], np.float32)
    assert exact_groups(rows).tolist() == [0, 1, 0, 3, 1, 0]


def test_a_picture_saved_again_as_jpeg_joins_its_original():
    originals = smooth(60)
    copies = np.stack([saved_again(picture, 80) for picture in originals])
    groups = near_groups(np.concatenate([originals, copies]))
    assert np.array_equal(groups, np.tile(np.arange(60), 2))


def test_brightness_and_faint_noise_do_not_hide_a_copy():
    originals = smooth(60, c=1)
    noise = np.random.default_rng(1).normal(0, 2, originals.shape)
    copies = np.clip(originals + 8 + noise, 0, 255).astype(np.uint8)
    groups = near_groups(np.concatenate([originals, copies]))
    assert np.array_equal(groups, np.tile(np.arange(60), 2))


def test_different_pictures_stay_apart():
    assert np.array_equal(near_groups(smooth(300, seed=3)), np.arange(300))


def test_the_same_shape_in_another_colour_or_much_brighter_is_another_picture():
    shape = np.zeros((1, 12, 12), np.uint8)
    shape[:, 3:9, 3:9] = 160
    red = np.concatenate([shape, 0 * shape, 0 * shape])
    blue = red[::-1]
    assert near_groups(np.stack([red, blue, red + 60])).tolist() == [0, 1, 2]


def test_flat_pictures_join_only_when_equal():
    flat = np.stack([np.full((1, 8, 8), level, np.uint8) for level in (0, 1, 1, 255)])
    assert near_groups(flat).tolist() == [0, 1, 1, 3]


@pytest.mark.parametrize("side", [8, 24])
def test_groups_agree_with_all_pairs_by_brute_force(side):
    base = smooth(25, c=1, side=side, seed=5)
    rng = np.random.default_rng(6)
    varied = [np.clip(base + rng.normal(0, s, base.shape), 0, 255) for s in (0, 1, 3, 30)]
    images = np.concatenate(varied).astype(np.uint8)
    flat = images.reshape(len(images), -1).astype(float)
    centred = flat - flat.mean(1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1)
    apart = np.linalg.norm(centred[:, None] - centred[None], axis=2)
    near = apart <= MAX_DISTANCE[1] * np.minimum(norm[:, None], norm[None])
    reach = near.copy()
    for _ in range(6):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    assert np.array_equal(near_groups(images), reach.argmax(axis=1))


def test_a_hundred_equal_pictures_are_one_group():
    images = np.concatenate([smooth(40), np.repeat(smooth(1, seed=9), 100, axis=0)])
    groups = near_groups(images)
    assert (groups[40:] == 40).all() and np.array_equal(groups[:40], np.arange(40))


def test_pictures_of_odd_sizes_have_groups_too():
    for shape in ((5, 1, 3, 7), (5, 3, 1, 1), (2, 3, 70, 33), (1, 1, 8, 8)):
        images = noise_u8(*shape)
        assert np.array_equal(near_groups(images), np.arange(len(images)))


def test_twelve_thousand_small_pictures_take_little_work():
    images = noise_u8(12_000, 1, 28, 28)
    start = time.process_time()
    near_groups(images)
    assert time.process_time() - start < 3  # seconds; 0.4 where this was written
