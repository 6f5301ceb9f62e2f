import numpy as np
import pytest
import torch

from depthwise.data.pictures.augment import augmenter, random_affine, random_cutout, random_shift
from depthwise.errors import InputError


def images(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (7, 3, 11, 5), dtype=torch.uint8, generator=generator)


def brute_shifts(image: np.ndarray, reach: int, flip: bool) -> list[np.ndarray]:
    """Every picture that a shift by up to `reach` (and a mirror) can give, pixel by pixel."""
    _, height, width = image.shape
    found = []
    for mirror in (False, True) if flip else (False,):
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                moved = np.empty_like(image)
                for y in range(height):
                    for x in range(width):
                        from_x = width - 1 - (x + right) if mirror else x + right
                        source = np.clip(y + down, 0, height - 1), np.clip(from_x, 0, width - 1)
                        moved[:, y, x] = image[:, source[0], source[1]]
                found.append(moved)
    return found


@pytest.mark.parametrize("flip", [False, True])
def test_every_shifted_image_is_one_of_the_possible_ones(flip: bool) -> None:
    batch = images()
    moved = random_shift(batch, 1, flip)
    assert moved.shape == batch.shape
    assert moved.dtype == torch.uint8
    for image, result in zip(batch.numpy(), moved.numpy()):
        assert any((result == possible).all() for possible in brute_shifts(image, 1, flip))


def test_a_shift_of_nothing_changes_nothing() -> None:
    assert (random_shift(images(), 0) == images()).all()


def test_cutout_blanks_one_square_to_the_mean() -> None:
    batch = images()
    holed = random_cutout(batch, 3)
    for image, result in zip(batch.float(), holed.float()):
        changed = (image != result).any(dim=0)
        rows, columns = changed.any(dim=1).sum(), changed.any(dim=0).sum()
        assert rows <= 3
        assert columns <= 3
        mean = image.mean(dim=(1, 2)).to(torch.uint8).float()
        assert (result[:, changed] == mean[:, None]).all()


def test_no_rotation_scale_shear_or_shift_is_the_identity() -> None:
    batch = images()
    assert (random_affine(batch, 0, 0, 0, 0) == batch).all()


def test_affine_moves_a_point_by_at_most_what_it_says() -> None:
    torch.manual_seed(0)
    batch = torch.zeros(64, 1, 21, 21)
    batch[:, :, 10, 10] = 255.0  # the centre: rotation, scale and shear leave it there
    moved = random_affine(batch, shift=0.1)
    y, x = torch.meshgrid(torch.arange(21.0), torch.arange(21.0), indexing="ij")
    weight = moved.sum(dim=(1, 2, 3)).clamp(min=1e-6)
    centre_y, centre_x = (
        (moved * y).sum(dim=(1, 2, 3)) / weight,
        (moved * x).sum(dim=(1, 2, 3)) / weight,
    )
    assert (centre_y - 10).abs().max() <= 2.1 * 1.3  # a tenth of 21, stretched and slanted a little
    assert (centre_x - 10).abs().max() <= 2.1 * 1.3
    assert (centre_y - 10).abs().max() > 0.5


def test_auto_flips_colour_but_not_grey() -> None:
    ramp = torch.arange(32, dtype=torch.uint8).expand(64, 1, 32, 32).contiguous()
    grey = augmenter("auto", (1, 32, 32))(ramp)
    assert (grey[:, 0, 16].diff() >= 0).all()  # never mirrored
    colour = augmenter("auto", (3, 32, 32))(ramp.expand(64, 3, 32, 32))
    falling = (colour[:, 0, 16, 20].int() - colour[:, 0, 16, 10].int()) < 0
    assert 0 < falling.sum() < 64


def test_flat_inputs_are_left_alone() -> None:
    rows = torch.randn(3, 5)
    assert augmenter("auto", (5,))(rows) is rows


def test_an_unknown_augmentation_is_named() -> None:
    with pytest.raises(InputError, match="'rotat'"):
        augmenter(("shift", "rotat"), (1, 8, 8))
