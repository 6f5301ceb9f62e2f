"""Augmentation of boxes and masks: laws, and painted boxes as referees."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthwise.data.pictures.augment_targets import (
    IGNORE,
    Windows,
    mirrored,
    move_boxes,
    move_images,
    move_masks,
    random_colours,
    random_windows,
    unmoved,
)

B, C, H, W = 3, 2, 11, 17
lawful = settings(deadline=None, max_examples=40)


def batch(seed, channels=C):
    numbers = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (B, channels, H, W), dtype=torch.uint8, generator=numbers)
    masks = torch.randint(0, 5, (B, H, W), dtype=torch.uint8, generator=numbers)
    corners = torch.rand(20, 2, 2, generator=numbers) * torch.tensor([W, H])
    boxes = torch.cat([corners.amin(1), corners.amax(1)], 1)
    return images, masks, boxes, torch.randint(0, B, (20,), generator=numbers)


def at(left, top, scale=1.0, mirror=False):
    """One window for all B."""
    each = [torch.full((B,), float(v)) for v in (left, top, scale)]
    return Windows(*each, torch.full((B,), mirror))


@given(st.integers(0, 10**6))
@lawful
def test_unmoved_is_the_identity_and_so_is_mirrored_twice(seed):
    images, masks, boxes, item = batch(seed)
    for windows in (unmoved(B), mirrored(mirrored(unmoved(B)))):
        assert torch.equal(move_images(images, windows), images)
        assert torch.equal(move_masks(masks, windows), masks)
        moved, kept = move_boxes(boxes, item, windows, (H, W))
        assert torch.equal(moved, boxes[kept])


@given(st.integers(0, 10**6))
@lawful
def test_mirroring_mirrors_images_masks_and_boxes_exactly_and_twice_is_never(seed):
    images, masks, boxes, item = batch(seed)
    windows = mirrored(unmoved(B))
    once = move_images(images, windows)
    assert torch.equal(once, images.flip(-1)) and torch.equal(move_images(once, windows), images)
    assert torch.equal(move_masks(masks, windows), masks.flip(-1))
    whole = boxes.round()
    moved, kept = move_boxes(whole, item, windows, (H, W))
    back, again = move_boxes(moved, item[kept], windows, (H, W))
    assert torch.equal(back, whole[kept[again]]) and len(again) == len(kept)


@given(st.integers(0, 10**6))
@lawful
def test_each_image_has_its_own_window(seed):
    images, masks, _, _ = batch(seed)
    torch.manual_seed(seed)
    windows = random_windows(B, H, W)
    for i in range(B):
        alone = Windows(*(each[i : i + 1] for each in windows))
        single = move_images(images[i : i + 1], alone)[0].int()
        assert (single - move_images(images, windows)[i].int()).abs().max() <= 1  # of rounding
        assert torch.equal(move_masks(masks[i : i + 1], alone)[0], move_masks(masks, windows)[i])


@given(
    st.tuples(*[st.integers(0, n) for n in (W - 1, H - 1)]),
    st.tuples(st.integers(1, W), st.integers(1, H)),
    st.integers(-6, 6),
    st.integers(-6, 6),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.booleans(),
)
@lawful
def test_a_painted_box_is_moved_with_its_picture(corner, side, left, top, scale, mirror):
    (x1, y1), (w, h) = corner, side
    x2, y2 = min(W, x1 + w), min(H, y1 + h)
    masks = torch.zeros(B, H, W, dtype=torch.uint8)
    masks[:, y1:y2, x1:x2] = 1
    windows = at(left, top, scale, mirror)
    painted = move_masks(masks, windows, outside=0)[1]
    box = torch.tensor([[x1, y1, x2, y2]], dtype=torch.float32)
    moved, kept = move_boxes(box, torch.tensor([1]), windows, (H, W), min_visible=0)
    assert len(kept) == bool(painted.any())
    if len(kept):
        seen = painted.nonzero()
        (top_, left_), (bottom, right) = seen.amin(0).tolist(), seen.amax(0).tolist()
        assert moved[0].tolist() == [left_, top_, right + 1, bottom + 1]


def test_images_and_masks_are_read_at_the_same_places():
    masks = torch.arange(H * W, dtype=torch.uint8).view(1, H, W).expand(B, H, W)
    windows = at(2, -1, 2.0, True)
    nearest = move_masks(masks, windows)
    ramp = torch.arange(W).float().expand(B, 1, H, W)  # bilinear is exact on a ramp
    moved = move_images(ramp, windows)
    inside = nearest != IGNORE
    columns = (nearest % W).float()[:, None]
    assert ((moved - columns).abs() <= 0.5)[:, 0][inside].all()


def test_scaling_agrees_with_torchs_own():
    images = torch.rand(B, C, 8, 8) * 255
    windows = at(2, 1, 2.0)
    ours = move_images(images, windows)
    theirs = torch.nn.functional.interpolate(images, scale_factor=2, mode="bilinear")
    assert torch.allclose(ours[..., 1:-1, 1:-1], theirs[..., 3:9, 5:11], atol=1e-3)


def test_a_box_goes_when_too_little_of_it_is_left():
    box, item = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0])
    assert len(move_boxes(box, item, at(6, 0), (H, W), 0.41)[1]) == 0  # 4 of 10 columns are left
    moved, kept = move_boxes(box, item, at(6, 0), (H, W), 0.39)
    assert moved.tolist() == [[0, 0, 4, 10]] and kept.tolist() == [0]
    assert len(move_boxes(box, item, at(11, 0), (H, W), 0)[1]) == 0


def test_beyond_the_border_masks_are_ignored_and_images_go_on():
    images, masks, _, _ = batch(4)
    windows = at(-3, 0)
    assert (move_masks(masks, windows)[:, :, :3] == IGNORE).all()
    assert torch.equal(move_images(images, windows)[..., 0], images[..., 0])


def test_all_frames_of_a_clip_move_alike():
    images = batch(5)[0]
    clip = images[:, None].expand(B, 4, C, H, W)
    windows = at(1.5, 0.5, 1.3, True)
    moved = move_images(clip, windows)
    assert moved.shape == clip.shape
    assert all(torch.equal(moved[:, t], move_images(images, windows)) for t in range(4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
def test_types_and_shapes_stay(dtype):
    images = batch(6)[0].to(dtype)
    moved = random_colours(move_images(images, random_windows(B, H, W)))
    assert moved.shape == images.shape
    assert moved.dtype == (dtype if dtype != torch.float64 else torch.float32)


def test_windows_are_spread_as_they_say():
    torch.manual_seed(0)
    windows = random_windows(4000, 50, 80, smallest=0.5, largest=2, shift=0.1)
    assert 0.5 <= windows.scale.min() < 0.51 and 1.98 < windows.scale.max() <= 2
    assert (
        abs(windows.scale.log().mean()) < 0.03 and abs(windows.mirror.float().mean() - 0.5) < 0.03
    )
    edges = windows.left + 80 / windows.scale
    large = windows.scale > 1
    assert windows.left[large].min() >= -8 and edges[large].max() <= 88
    assert not random_windows(50, 9, 9, mirror=False).mirror.any()
    shifts = random_windows(500, 50, 80, smallest=1, largest=1, shift=0.1)
    assert (shifts.left.unique().tolist(), shifts.top.unique().tolist()) == (
        [float(v) for v in range(-8, 9)],
        [float(v) for v in range(-5, 6)],
    )


def test_the_same_seed_draws_the_same():
    images = batch(7)[0]
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(random_colours(move_images(images, random_windows(B, H, W))))
    assert torch.equal(*drawn)


def test_colours_change_as_they_say():
    torch.manual_seed(1)
    flat = torch.full((200, 3, 4, 4), 100, dtype=torch.uint8)
    bright = random_colours(flat, 0.2, 0, 0).float().mean((1, 2, 3))
    assert 80 <= bright.min() < 83 and 117 < bright.max() <= 120
    images = batch(8, 3)[0]
    assert torch.equal(random_colours(images, 0, 0, 0), images)
    pale = random_colours(images.float(), 0, 0, 0.9)
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    inside = ((pale > 0) & (pale < 255)).all(1)
    greys = [(x.float() * weights).sum(1)[inside] for x in (images, pale)]
    assert np.allclose(*greys, atol=0.01)  # colourfulness leaves the grey
