"""The segmenter's parts: loss by hand, scores against scikit-learn, tiles, and checked masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, jaccard_score
from torch import nn
from torch.nn import functional

from depthwise.backbones.images.named import backbone
from depthwise.data.dataset import IGNORE
from depthwise.errors import InputError
from depthwise.tasks.segmentation.loss import Shown, class_weights, pixel_loss
from depthwise.tasks.segmentation.masks import as_masks
from depthwise.tasks.segmentation.network import UNet, continued, depthwise_in_float32
from depthwise.tasks.segmentation.scores import (
    confusions,
    iou,
    iou_interval,
    mean_iou,
    segmentation_report,
)
from depthwise.tasks.segmentation.tiles import blended_bands, cuts

pytestmark = pytest.mark.numerical

SEEDS = st.integers(0, 10_000)


def some_masks(seed: int, n: int = 4, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Truth with ignored pixels, perhaps lacking classes, and what was called."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(rng.integers(0, k, 4), (n, 3, 7)).astype(np.uint8)
    called = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, k, truth.shape))
    truth[rng.random(truth.shape) < 0.2] = IGNORE
    return truth, called.astype(np.uint8)


# -- the loss -------------------------------------------------------------------------------------


def test_the_loss_is_the_formula() -> None:
    logits = torch.tensor([[1.0, 0.0, -1.0], [0.5, 2.0, 0.0]])  # (K, pixels)
    masks, weights = torch.tensor([[1, 0, IGNORE]]), torch.tensor([0.5, 3.0])
    p = [math.exp(b) / (math.exp(a) + math.exp(b)) for a, b in logits.T.tolist()]
    by_hand = -(3.0 * math.log(p[0]) + 0.5 * math.log(1 - p[1])) / 3.5
    got = pixel_loss(logits[None, :, None], masks[None], weights=weights)
    assert float(got) == pytest.approx(by_hand, rel=1e-6)
    both = 2 * p[0] / (p[0] + p[1] + 1), 2 * (1 - p[1]) / ((1 - p[0]) + (1 - p[1]) + 1)
    got = pixel_loss(logits[None, :, None], masks[None], weights=weights, dice=0.3)
    assert float(got) == pytest.approx(by_hand + 0.3 * (1 - sum(both) / 2), rel=1e-5)


def test_without_weights_it_is_the_cross_entropy_of_torch() -> None:
    logits, masks = torch.randn(2, 4, 3, 5), torch.randint(0, 4, (2, 3, 5))
    masks[0, 1] = IGNORE
    told = functional.cross_entropy(logits, masks, ignore_index=IGNORE)
    torch.testing.assert_close(pixel_loss(logits, masks.to(torch.uint8)), told)


def test_ignored_pixels_have_no_gradient() -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    masks = torch.randint(0, 3, (2, 4, 5))
    masks[:, 1] = IGNORE
    pixel_loss(logits, masks, weights=torch.tensor([1.0, 2.0, 3.0]), dice=1.0).backward()
    assert logits.grad is not None
    assert not logits.grad[:, :, 1].any()
    assert logits.grad[:, :, [0, 2, 3]].abs().min() > 0


def test_a_batch_of_nothing_but_ignored_pixels_leaves_the_loss_finite() -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    loss = pixel_loss(logits, torch.full((2, 4, 5), IGNORE), weights=torch.ones(3), dice=0.5)
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_weights_are_median_frequencies_by_hand() -> None:
    masks = np.array([[[0, 0, 0, 1], [0, 0, 0, IGNORE]], [[0, 2, 2, 0], [0, 2, 2, 0]]], np.uint8)
    shown = Shown(4)
    shown.add(masks)
    frequencies = [10 / 15, 1 / 7, 4 / 8]  # class 1 is shown by the first alone, 2 by the second
    told = [0.5 / f for f in frequencies]
    np.testing.assert_allclose(class_weights("balanced", shown), [*told, 1], rtol=1e-6)
    np.testing.assert_allclose(class_weights(0.5, shown), [*np.sqrt(told), 1], rtol=1e-6)
    np.testing.assert_array_equal(class_weights(None, shown), np.ones(4))


# -- the scores -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_scores_agree_with_scikit_learn(seed: int) -> None:
    truth, called = some_masks(seed)
    counts = truth != IGNORE
    own, other = truth[counts], called[counts]
    report = segmentation_report(confusions(truth, called, 5), list("abcde"))
    there = np.unique(own)
    each = jaccard_score(own, other, labels=there, average=None, zero_division=0)
    for k, name in enumerate("abcde"):
        told = each[list(there).index(k)] if k in there else None
        assert report["per_class"][name] == (None if told is None else pytest.approx(told))
    assert report["value"] == pytest.approx(each.mean())
    assert report["pixel_accuracy"] == pytest.approx(accuracy_score(own, other))
    assert report["pixels"] == counts.sum()


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_iou_is_symmetric(seed: int) -> None:
    """Of two masks that show the same classes."""
    truth, called = some_masks(seed)
    called[truth == IGNORE] = IGNORE
    counts = truth != IGNORE
    one, other = (
        iou(confusions(a, b, 5).sum(axis=0)) for a, b in ((truth, called), (called, truth))
    )
    both = np.isin(np.arange(5), truth[counts]) & np.isin(np.arange(5), called[counts])
    np.testing.assert_allclose(one[both], other[both])


def test_the_interval_holds_the_value_and_shrinks_with_images() -> None:
    few, many = (confusions(*some_masks(0, n), 5) for n in (6, 600))
    for matrices in (few, many):
        low, high = iou_interval(matrices)
        assert low <= float(mean_iou(matrices.sum(axis=0))) <= high
    assert np.diff(iou_interval(many))[0] < 0.3 * np.diff(iou_interval(few))[0]


def test_the_interval_is_that_of_a_share_where_each_image_is_one_pixel() -> None:
    """IoU of a single class called right in 30 of 50 images of one pixel is their share, whose
    normal interval is p -+ 1.96 sqrt(p (1 - p) / 50)."""
    truth, called = np.zeros((50, 1, 1), np.uint8), np.zeros((50, 1, 1), np.uint8)
    called[30:] = 1
    low, high = iou_interval(confusions(truth, called, 2))
    half = 1.96 * math.sqrt(0.6 * 0.4 / 50)
    assert low == pytest.approx(0.6 - half, abs=0.03)
    assert high == pytest.approx(0.6 + half, abs=0.03)


def test_one_image_says_nothing_of_others() -> None:
    assert iou_interval(confusions(*some_masks(0, 1), 5)) == (0.0, 1.0)


# -- tiles ----------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 900), st.sampled_from([64, 100, 256]), st.sampled_from([1, 2, 16, 32]))
def test_weights_of_a_pixel_sum_to_one(length: int, tile: int, multiple: int) -> None:
    total = torch.zeros(length)
    made = cuts(length, tile, multiple)
    for start, stop, weights in made:
        total[start:stop] += weights
        assert start % multiple == 0
        assert weights.min() > 0 or len(weights) == 0
        assert stop - start <= max(tile, 4 * multiple) + multiple
    torch.testing.assert_close(total, torch.ones(length))
    assert len({start for start, _, _ in made}) == len(made)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), SEEDS)
def test_tiles_of_what_looks_at_single_pixels_are_the_whole(h: int, w: int, seed: int) -> None:
    image = torch.rand(2, h, w, generator=torch.Generator().manual_seed(seed))

    def answer(part: torch.Tensor) -> torch.Tensor:
        return torch.stack([part.sum(0), part.prod(0), part[0]])

    bands = list(blended_bands(image, answer, 64, 8))
    torch.testing.assert_close(torch.cat(bands, dim=1), answer(image))
    assert all(band.shape[1] <= 72 for band in bands)


# -- the network ----------------------------------------------------------------------------------


def test_an_image_is_continued_by_its_last_row_and_column() -> None:
    x = torch.arange(6, dtype=torch.uint8).reshape(1, 1, 2, 3)
    assert continued(x, 4)[0, 0].tolist() == [
        [0, 1, 2, 2],
        [3, 4, 5, 5],
        [3, 4, 5, 5],
        [3, 4, 5, 5],
    ]
    assert continued(x, 1) is x


def test_moving_an_image_by_a_stride_moves_its_answer() -> None:
    torch.manual_seed(0)
    network = UNet(backbone("cnn-xxs", (3, 48, 96)), 4, 32).eval()
    x = torch.rand(1, 3, 48, 96 + network.multiple)
    with torch.inference_mode():
        a = network(x[..., : -network.multiple])
        b = network(x[..., network.multiple :])
    away = 40  # from the borders
    torch.testing.assert_close(
        a[..., network.multiple + away : -away], b[..., away : -away - network.multiple]
    )


def test_bytes_and_their_fractions_of_255_are_one_image_to_what_was_pretrained() -> None:
    network = UNet(backbone("efficientnet-lite0", (3, 40, 40), pretrained=False), 3, 32).eval()
    network.fine.standardise.set_statistics(torch.zeros(3), torch.full((3,), 255.0))
    x = torch.randint(0, 256, (1, 3, 40, 40), dtype=torch.uint8)
    with torch.inference_mode():
        of_bytes = network.backbone.features(x)[-1]
        of_floats = network.backbone.features(x / 255)[-1]
    torch.testing.assert_close(of_bytes, of_floats, atol=1e-4, rtol=1e-4)


def test_depthwise_convolutions_compute_in_float32_while_the_rest_is_narrow() -> None:
    depthwise = nn.Conv2d(6, 6, 5, padding=2, groups=6)
    network, x = nn.Sequential(depthwise, nn.Conv2d(6, 2, 1)), torch.randn(2, 6, 7, 9)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = network(x)
        with depthwise_in_float32(network):
            mixed = network(x)
            alone = depthwise(x.bfloat16())
        assert torch.is_autocast_enabled("cpu")
        assert depthwise(x).dtype == torch.bfloat16  # and afterwards all is as before
    told = depthwise(x)
    assert narrow.dtype == mixed.dtype == torch.bfloat16
    assert alone.dtype == torch.float32
    torch.testing.assert_close(alone, functional.conv2d(x.bfloat16().float(), *_own(depthwise)))
    after = functional.conv2d(told.bfloat16(), network[1].weight.bfloat16())
    bias = network[1].bias.bfloat16()[:, None, None]
    torch.testing.assert_close(mixed, after + bias, atol=0.02, rtol=0.02)


def _own(conv: nn.Conv2d) -> tuple[object, ...]:
    return conv.weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups


def test_a_failure_within_leaves_autocast_as_it_was() -> None:
    network = nn.Conv2d(6, 6, 5, groups=6)
    with torch.autocast("cpu", torch.bfloat16), depthwise_in_float32(network):
        with pytest.raises(RuntimeError):
            network(torch.zeros(1, 6, 2, 2))
        assert torch.is_autocast_enabled("cpu")


# -- masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16, bool])
def test_masks_of_whole_numbers_are_taken_as_bytes(dtype: type) -> None:
    given_masks = np.array([[[0, 1, 1]]]).astype(dtype)
    masks = as_masks(given_masks)
    assert masks.dtype == np.uint8
    assert masks.tolist() == [[[0, 1, 1]]]
    assert np.array_equal(as_masks(torch.from_numpy(given_masks.astype(np.uint8))), masks)


def test_masks_of_several_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="all be of one size"):
        as_masks([np.zeros((2, 3), np.uint8), np.zeros((3, 3), np.uint8)])
