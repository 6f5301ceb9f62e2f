"""Boxes: laws, hand arithmetic, and rasters and brute force as referees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from depthwise import boxes
from depthwise.errors import InputError

lawful = settings(deadline=None, max_examples=60)  # the machine may be busy
SIDE = 9  # rasters of 9 x 9 pixels


@st.composite
def whole_boxes(draw, least=0, most=7):
    """float64 (M, 4) with corners on whole pixels of the raster; some without an area."""
    n = draw(st.integers(least, most))
    corners = draw(arrays(np.int64, (n, 2, 2), elements=st.integers(0, SIDE)))
    return np.sort(corners, axis=1).reshape(n, 4).astype(np.float64)


@st.composite
def scored(draw):
    found = draw(whole_boxes(most=9))
    n = len(found)
    scores = draw(arrays(np.float64, n, elements=st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9])))
    return found, scores, draw(arrays(np.int64, n, elements=st.integers(0, 2)))


def raster(box):
    """bool (SIDE, SIDE): the pixels that a box covers."""
    x1, y1, x2, y2 = (int(v) for v in box)
    covered = np.zeros((SIDE, SIDE), bool)
    covered[y1:y2, x1:x2] = True
    return covered


def brute_iou(a, b):
    both, either = (raster(a) & raster(b)).sum(), (raster(a) | raster(b)).sum()
    return both / either if either else 0.0


@lawful
@given(whole_boxes(), whole_boxes())
def test_iou_is_that_of_counted_pixels(a, b):
    counted = np.array([[brute_iou(p, q) for q in b] for p in a]).reshape(len(a), len(b))
    assert np.allclose(boxes.iou_matrix(a, b), counted, atol=1e-12)


@lawful
@given(whole_boxes(), whole_boxes())
def test_iou_and_giou_are_symmetric_and_bounded(a, b):
    overlap, wide = boxes.iou_matrix(a, b), boxes.giou_matrix(a, b)
    assert np.array_equal(overlap, boxes.iou_matrix(b, a).T)
    assert np.array_equal(wide, boxes.giou_matrix(b, a).T)
    assert ((overlap >= 0) & (overlap <= 1)).all() and ((wide >= -1) & (wide <= overlap)).all()


@lawful
@given(whole_boxes())
def test_a_box_overlaps_itself_wholly_unless_it_is_nothing(found):
    own = np.diag(boxes.iou_matrix(found, found))
    assert np.array_equal(own, (boxes.area(found) > 0).astype(float))


def test_giou_by_hand():
    a, b = np.array([[0.0, 0, 2, 2]]), np.array([[3.0, 0, 5, 2]])
    # hull 5 x 2 = 10, together 8: 0 - 2/10
    assert boxes.giou_matrix(a, b).tolist() == [[pytest.approx(-0.2)]]
    # two of 2 x 2 that share 1 x 2: IoU 2/6, and the hull 3 x 2 is full
    assert boxes.giou(a[0], np.array([1.0, 0, 3, 2])) == pytest.approx(1 / 3)


@lawful
@given(whole_boxes())
def test_forms_come_back_as_they_went(found):
    for there, back in (
        (boxes.xyxy_to_cxcywh, boxes.cxcywh_to_xyxy),
        (boxes.xyxy_to_xywh, boxes.xywh_to_xyxy),
    ):
        assert np.array_equal(back(there(found)), found)


def test_forms_by_hand():
    box = np.array([[2.0, 3, 8, 7]])
    assert boxes.xyxy_to_cxcywh(box).tolist() == [[5, 5, 6, 4]]
    assert boxes.xyxy_to_xywh(box).tolist() == [[2, 3, 6, 4]]


@lawful
@given(whole_boxes(), st.integers(0, SIDE), st.integers(0, SIDE))
def test_clipping_leaves_the_pixels_inside(found, height, width):
    clipped = boxes.clip(found, height, width)
    inside = [raster(box)[:height, :width].sum() for box in found]
    assert boxes.area(clipped).tolist() == inside
    assert np.array_equal(boxes.clip(clipped, height, width), clipped)
    full = boxes.area(found)
    shares = np.divide(inside, full, out=np.zeros(len(found)), where=full > 0)
    assert np.allclose(boxes.visible_share(found, height, width), shares)


@lawful
@given(whole_boxes())
def test_flipped_boxes_cover_the_flipped_pixels_and_twice_is_never(found):
    mirrored = boxes.flip(found, SIDE)
    for box, other in zip(found, mirrored):
        assert np.array_equal(raster(box)[:, ::-1], raster(other))
    assert np.array_equal(boxes.flip(mirrored, SIDE), found)


def brute_nms(found, scores, labels, threshold):
    """Straight from the definition, over all pairs."""
    kept: list[int] = []
    for i in sorted(range(len(found)), key=lambda i: (-scores[i], i)):
        rivals = [j for j in kept if labels[j] == labels[i]]
        if all(brute_iou(found[i], found[j]) <= threshold for j in rivals):
            kept.append(i)
    return kept


@lawful
@given(scored(), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_suppression_keeps_what_brute_force_keeps(case, threshold):
    found, scores, labels = case
    kept = boxes.nms(found, scores, labels, threshold)
    assert kept.tolist() == brute_nms(found, scores, labels, threshold)
    one_class = boxes.nms(found, scores, threshold=threshold)
    assert one_class.tolist() == brute_nms(found, scores, 0 * labels, threshold)


@lawful
@given(scored(), st.floats(0, 1))
def test_suppression_is_idempotent(case, threshold):
    found, scores, labels = case
    kept = boxes.nms(found, scores, labels, threshold)
    again = boxes.nms(found[kept], scores[kept], labels[kept], threshold)
    assert again.tolist() == list(range(len(kept)))


def test_suppression_stops_at_as_many_as_are_wanted():
    found = np.array([[k, 0, k + 1, 1] for k in range(5)], float)
    assert boxes.nms(found, np.array([1.0, 5, 3, 2, 4]), most=3).tolist() == [1, 4, 2]


def test_numpy_answers_numpy_and_torch_answers_torch_with_the_same_values():
    found = np.random.default_rng(0).uniform(0, 9, (6, 4)).astype(np.float32)
    ours, theirs = boxes.giou_matrix(found, found), boxes.giou_matrix(*[torch.tensor(found)] * 2)
    assert isinstance(ours, np.ndarray) and ours.dtype == np.float32
    assert isinstance(theirs, torch.Tensor) and np.array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("other", [[1.0, 1, 4, 5], [6.0, 6, 8, 9], [3.0, 3, 3, 3]])
def test_gradients_of_giou_are_finite_and_agree_with_differences(other):
    box = torch.tensor([0.5, 0.25, 3.5, 4.0], dtype=torch.float64, requires_grad=True)
    target = torch.tensor(other, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda b: boxes.giou(b, target), box)


def test_boxes_of_no_area_leave_gradients_finite():
    box = torch.zeros(2, 4, requires_grad=True)
    boxes.giou(box, torch.zeros(2, 4)).sum().backward()
    assert torch.isfinite(box.grad).all()


def test_no_boxes_are_no_trouble():
    none = np.zeros((0, 4))
    assert boxes.iou_matrix(none, np.ones((3, 4))).shape == (0, 3)
    assert boxes.nms(none, np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_that_is_no_overlap_is_refused(threshold):
    with pytest.raises(InputError, match="threshold is"):
        boxes.nms(np.zeros((1, 4)), np.zeros(1), threshold=threshold)
