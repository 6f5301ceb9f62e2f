"""The same picture saved, cut, mirrored or shifted is found; a different one is not."""

import io

import numpy as np
import pytest
from PIL import Image

from depthwise.backbones.embedding import leading_components
from depthwise.inspecting.twins import FINE, FULL, aligned_correlation, find_twins


def scenes(n, seed=0, side=32):
    """uint8 (n, 3, side, side): smooth coloured noise with grey detail."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(n, 3, 4, 4)).repeat(side // 4, 2).repeat(side // 4, 3)
    fine = rng.normal(size=(n, 1, side // 2, side // 2)).repeat(2, 2).repeat(2, 3)
    return np.clip(128 + 40 * coarse + 25 * fine, 0, 255).astype(np.uint8)


def as_jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file)).transpose(2, 0, 1)


CHANGES = {
    "saved again": as_jpeg,
    "mirrored": lambda image: image[:, :, ::-1],
    "brighter": lambda image: np.clip(image * 1.2, 0, 255).astype(np.uint8),
    "shifted": lambda image: np.pad(image, ((0, 0), (3, 0), (2, 0)), mode="edge")[:, :32, :32],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_correlates_once_it_is_aligned(change):
    image = scenes(1)[0]
    both = np.stack([image, CHANGES[change](image)])
    pair = np.array([[0, 1]])
    assert aligned_correlation(both, pair, FULL)[0] > 0.9
    assert aligned_correlation(both, pair, FINE)[0] > 0.55


def test_other_pictures_and_flat_ones_do_not():
    images = np.concatenate([scenes(2), np.full((2, 3, 32, 32), 90, np.uint8)])
    rho = aligned_correlation(images, np.array([[0, 1], [0, 2], [2, 3]]))
    assert rho[0] < 0.5
    assert rho[1] == rho[2] == -1


def test_the_shift_is_found_as_brute_force_finds_it():
    """One shift, without mirror and zoom, by numpy's own correlation of the two windows."""
    image = scenes(1)[0]
    moved = CHANGES["shifted"](image)
    x, y = image[:, 3:-3, 3:-3].astype(float), moved[:, 6:, 5:-1].astype(float)
    expected = np.corrcoef(x.ravel(), y.ravel())[0, 1]
    found = aligned_correlation(np.stack([image, moved]), np.array([[0, 1]]))[0]
    assert found == pytest.approx(expected, abs=1e-3)


def test_twins_are_told_among_many():
    images = scenes(60)
    copies = np.stack([change(images[i]) for i, change in enumerate(CHANGES.values())])
    everything = np.concatenate([images, copies])
    thumbs = everything.reshape(64, 3, 4, 8, 4, 8).mean(axis=(3, 5))
    rows = (thumbs + thumbs[..., ::-1]).reshape(64, -1)  # alike of a picture and its mirror image
    pairs, rho = find_twins(
        everything, leading_components((rows - rows.mean(axis=0)).astype(np.float32))
    )
    assert {tuple(pair) for pair in pairs.tolist()} == {(i, 60 + i) for i in range(4)}
    assert (rho > 0.9).all()


def test_where_all_pictures_are_alike_nothing_is_a_twin():
    """8 x 8 pixels: any two can be aligned."""
    images = scenes(50, side=8)
    rows = images.reshape(50, -1).astype(np.float32)
    assert len(find_twins(images, leading_components(rows - rows.mean(axis=0)))[0]) == 0
