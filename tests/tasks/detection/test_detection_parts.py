"""The detector's network, its assignment and loss, and its targets: laws and loops as referees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from depthwise.backbones.images.named import backbone
from depthwise.boxes import giou, iou
from depthwise.data.pictures.augment_targets import mirrored, unmoved
from depthwise.data.targets.box_table import BoxTable
from depthwise.errors import InputError
from depthwise.tasks.detection.loss import (
    BOX_WEIGHT,
    POSITIVES,
    DetectionLoss,
    assign,
    quality_focal,
)
from depthwise.tasks.detection.network import DetectionNetwork, positions, repeated, strides_for
from depthwise.tasks.detection.targets import (
    AUGMENTATIONS,
    as_table,
    augmented,
    encoded,
    moved,
    table_of,
    upside_down,
)

pytestmark = pytest.mark.numerical

lawful = settings(deadline=None, max_examples=25)
H, W, K = 24, 40, 3


def network(side: tuple[int, int] = (48, 64), k: int = K) -> DetectionNetwork:
    torch.manual_seed(0)
    below = backbone("residual-xs", (3, *side), pretrained=False)
    return DetectionNetwork(below, k, width=8, depth=1).eval()


def random_targets(seed: int, pictures: int = 3, crowds: bool = False) -> BoxTable:
    """Boxes of whole pixels in pictures of H x W, up to four in each."""
    rng = np.random.default_rng(seed)
    items = np.repeat(np.arange(pictures), rng.integers(0, 5, pictures))
    low = rng.integers(0, (W - 8, H - 8), (len(items), 2))
    size = rng.integers(3, 9, (len(items), 2))
    crowd = rng.random(len(items)) < 0.3 if crowds else None
    boxes = np.concatenate([low, low + size], axis=1)
    return BoxTable.of(boxes, rng.integers(0, K, len(items)), items, pictures, crowd)


def pictures_of(n: int) -> np.ndarray:
    return np.zeros((n, 3, H, W), np.uint8)


# -- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(48, 64), (50, 70), (17, 33)])
def test_every_position_answers_whatever_the_size(size: tuple[int, int]) -> None:
    made = network()
    points, strides = positions(size, made.strides)
    answers = made(torch.zeros(2, 3, *size))
    assert answers.shape == (2, len(points), 4 + K) == (2, len(strides), 4 + K)


def test_a_box_holds_its_own_point_and_begins_four_strides_wide() -> None:
    made = network()
    points, strides = positions((48, 64), made.strides)
    boxes = made(torch.rand(1, 3, 48, 64))[0, :, :4]
    assert (boxes[:, :2] < points).all()
    assert (points < boxes[:, 2:]).all()
    sides = boxes[:, 2:] - boxes[:, :2]
    assert torch.allclose(sides / strides[:, None], torch.tensor(4.0), rtol=0.2)


def test_points_are_the_middles_of_their_cells() -> None:
    points, strides = positions((16, 24), (4, 8))
    cells = [
        ((j + 0.5) * s, (i + 0.5) * s, s)
        for s in (4, 8)
        for i in range(16 // s)
        for j in range(24 // s)
    ]
    assert torch.cat([points, strides[:, None]], dim=1).tolist() == [list(cell) for cell in cells]


def test_repeating_the_border_keeps_the_picture() -> None:
    x = torch.randint(0, 256, (2, 3, 5, 9), dtype=torch.uint8)
    larger = repeated(x, 8)
    assert larger.shape == (2, 3, 8, 16)
    assert torch.equal(larger[:, :, :5, :9], x)
    referee = functional.pad(x.float(), (0, 7, 0, 3), mode="replicate")
    assert torch.equal(larger.float(), referee)
    assert repeated(larger, 8) is larger


def test_small_pictures_are_looked_at_more_finely() -> None:
    assert strides_for(64) == (4, 8, 16)
    assert strides_for(240) == (8, 16, 32)


def test_a_backbone_without_a_map_fine_enough_is_refused() -> None:
    with pytest.raises(InputError, match="needs one at 4"):
        DetectionNetwork(_Coarse(), 2, width=8, depth=1)


class _Coarse(torch.nn.Module):
    strides, channels, description = (16, 32), (8, 8), {"input_shape": (3, 64, 64)}


# -- who finds what -------------------------------------------------------------------------------


def random_answers(seed: int, n: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes (B, A, 4) about the points, and logits (B, A, K)."""
    torch.manual_seed(seed)
    points, strides = positions((H, W), (4, 8))
    reach = torch.rand(n, len(points), 4) * 3 * strides[:, None]
    boxes = torch.cat([points - reach[..., :2], points + reach[..., 2:]], dim=-1)
    return boxes, torch.randn(n, len(points), K), points


def by_loops(
    boxes: torch.Tensor, scores: torch.Tensor, points: torch.Tensor, targets: np.ndarray
) -> tuple[list[int], list[float]]:
    """Of one picture: the object of each position, and its quality; plain Python."""
    strides = positions((H, W), (4, 8))[1].tolist()
    claims: dict[int, tuple[float, int]] = {}
    metrics: dict[tuple[int, int], float] = {}
    for m, (x1, y1, x2, y2, k) in enumerate(targets.tolist()):
        if k < 0:
            continue
        box, candidates = torch.tensor([x1, y1, x2, y2]), []
        for a, (px, py) in enumerate(points.tolist()):
            near = max(abs(px - (x1 + x2) / 2), abs(py - (y1 + y2) / 2)) <= 2 and strides[a] == 4
            if (x1 < px < x2 and y1 < py < y2) or near:
                u = float(iou(boxes[a], box))
                candidates.append((float(scores[a, int(k)]) * u**6 + 1e-9, u, a))
        for metric, u, a in sorted(candidates, reverse=True)[:POSITIVES]:
            metrics[m, a] = metric
            if a not in claims or u > claims[a][0]:
                claims[a] = (u, m)
    objects, quality = [-1] * len(points), [0.0] * len(points)
    for m in {m for _, m in claims.values()}:
        own = [a for a, (_, owner) in claims.items() if owner == m]
        most = max(metrics[m, a] for a in own)
        for a in own:
            objects[a], quality[a] = m, metrics[m, a] / most
    return objects, quality


@given(st.integers(0, 10**6))
@lawful
def test_assignment_is_that_of_plain_loops(seed: int) -> None:
    targets = encoded(random_targets(seed, crowds=True), pictures_of(3), np.arange(K))
    boxes, logits, points = random_answers(seed)
    scores, strides = logits.sigmoid(), positions((H, W), (4, 8))[1]
    found = assign(boxes, scores, points, strides, torch.from_numpy(targets))
    for b in range(3):
        objects, quality = by_loops(boxes[b], scores[b], points, targets[b])
        assert found.objects[b].tolist() == objects
        np.testing.assert_allclose(found.quality[b].numpy(), quality, rtol=1e-4, atol=1e-6)


def test_every_object_has_a_position_however_small() -> None:
    table = BoxTable.from_lists([([[7.9, 7.9, 8.1, 8.1], [20, 3, 21, 4]], [0, 1])])
    targets = torch.from_numpy(encoded(table, pictures_of(1), np.arange(K)))
    boxes, logits, points = random_answers(1, n=1)
    strides = positions((H, W), (4, 8))[1]
    found = assign(boxes, logits.sigmoid(), points, strides, targets)
    assert set(found.objects[0].tolist()) == {-1, 0, 1}


def test_positions_in_a_crowd_are_left_out() -> None:
    table = BoxTable.of([[0, 0, 20, H]], [1], [0], 1, [True])
    targets = torch.from_numpy(encoded(table, pictures_of(1), np.arange(K)))
    boxes, logits, points = random_answers(2, n=1)
    points, strides = positions((H, W), (4, 8))
    loss = DetectionLoss(points, strides)
    before = loss(torch.cat([boxes, logits], dim=-1), targets)
    logits[0, points[:, 0] < 20] += 5.0  # whatever is said there
    assert torch.equal(loss(torch.cat([boxes, logits], dim=-1), targets), before)
    logits[0, points[:, 0] > 20] += 5.0
    assert loss(torch.cat([boxes, logits], dim=-1), targets) > before


def test_the_loss_is_the_formula() -> None:
    targets = encoded(random_targets(8), pictures_of(3), np.arange(K))
    boxes, logits, points = random_answers(8)
    strides = positions((H, W), (4, 8))[1]
    total, classes, places = 0.0, 0.0, 0.0
    for b in range(3):
        objects, quality = by_loops(boxes[b], logits[b].sigmoid(), points, targets[b])
        total += sum(quality)
        for a, m in enumerate(objects):
            for k in range(K):
                is_own = m >= 0 and int(targets[b, m, 4]) == k
                t, s = quality[a] if is_own else 0.0, float(logits[b, a, k].sigmoid())
                bce = -t * np.log(s) - (1 - t) * np.log(1 - s)
                classes += (t - s) ** 2 * bce
            if m >= 0:
                apart = 1 - giou(boxes[b, a], torch.from_numpy(targets[b, m, :4]))
                places += quality[a] * float(apart)
    got = DetectionLoss(points, strides)(
        torch.cat([boxes, logits], dim=-1), torch.from_numpy(targets)
    )
    assert float(got) == pytest.approx((classes + BOX_WEIGHT * places) / max(total, 1), rel=1e-4)


def test_pictures_without_an_object_leave_the_loss_finite() -> None:
    targets = torch.tensor([0, 0, 0, 0, -1.0]).repeat(2, 1, 1)
    made = network((H, W)).train()
    loss = DetectionLoss(*positions((H, W), made.strides))
    value = loss(made(torch.rand(2, 3, H, W)), targets)
    value.backward()
    assert torch.isfinite(value)
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)


def test_an_answer_as_good_as_its_box_costs_nothing() -> None:
    t = torch.tensor([[[0.7, 0.0]]])
    logits = torch.tensor([[[np.log(0.7 / 0.3), -60.0]]])
    assert float(quality_focal(logits, t, torch.tensor([[False]]))) == pytest.approx(0, abs=1e-6)


# -- targets --------------------------------------------------------------------------------------


@given(st.integers(0, 10**6))
@lawful
def test_encoding_loses_nothing(seed: int) -> None:
    table = random_targets(seed, crowds=True)
    again = table_of(encoded(table, pictures_of(3), np.arange(K)))
    assert again.tobytes() == table.tobytes()


def test_classes_are_renumbered_by_their_places() -> None:
    table = BoxTable.of([[0, 0, 5, 5]] * 3, [0, 2, 1], [0, 1, 1], 2, [False, True, False])
    again = table_of(encoded(table, pictures_of(2), np.array([2, 0, 1])))
    assert again.labels.tolist() == [2, 1, 0]
    assert again.crowd.tolist() == [False, True, False]


@given(st.integers(0, 10**6))
@lawful
def test_flipping_an_image_flips_its_boxes(seed: int) -> None:
    """A box is painted in the colour of its number: it goes where the paint goes."""
    images, targets = painted(seed)
    flips = (
        lambda x, t: moved(x, t, mirrored(unmoved(3))),
        lambda x, t: upside_down(x, t, torch.ones(3, dtype=torch.bool)),
    )
    for flip, axis in zip(flips, (3, 2), strict=True):
        flipped, boxes = flip(images, targets)
        assert torch.equal(flipped, images.flip(axis))
        for b, m in np.ndindex(*targets.shape[:2]):
            assert boxes[b, m, 4] == targets[b, m, 4]
            if targets[b, m, 4] >= 0:
                x1, y1, x2, y2 = boxes[b, m, :4].long().tolist()
                assert (flipped[b, 0, y1:y2, x1:x2] & 1 << m).all()
                assert (flipped[b, 0] & 1 << m > 0).sum() == (y2 - y1) * (x2 - x1)
        for once, twice in zip((images, targets), flip(flipped, boxes), strict=True):
            assert torch.equal(once, twice)


def painted(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    targets = encoded(random_targets(seed), pictures_of(3), np.arange(K))
    images = np.zeros((3, 1, H, W), np.uint8)
    for b, m in np.ndindex(*targets.shape[:2]):
        if targets[b, m, 4] >= 0:
            x1, y1, x2, y2 = targets[b, m, :4].astype(int)
            images[b, 0, y1:y2, x1:x2] |= 1 << m
    return torch.from_numpy(images), torch.from_numpy(targets)


def test_only_the_pictures_chosen_are_turned() -> None:
    images, targets = painted(4)
    which = torch.tensor([True, False, True])
    turned, over = upside_down(images, targets, which)
    assert torch.equal(turned[1], images[1])
    assert torch.equal(over[1], targets[1])
    assert torch.equal(turned[0], images[0].flip(1))


@pytest.mark.parametrize("floats", [False, True])
def test_augmented_boxes_stay_boxes_inside_the_picture(floats: bool) -> None:
    images, targets = painted(5)
    images = images / 255 if floats else images
    for seed in range(20):
        torch.manual_seed(seed)
        x, t = augmented(images, targets, AUGMENTATIONS)
        assert x.shape == images.shape
        assert x.dtype == images.dtype
        assert t.shape == targets.shape
        there = t[t[..., 4] >= 0]
        assert (there[:, :2] < there[:, 2:4]).all()
        assert (there[:, :4] >= 0).all()
        assert (there[:, [2, 3]] <= torch.tensor([W, H])).all()
        assert float(x.max()) <= (1 if floats else 255)


def test_no_augmentation_changes_nothing() -> None:
    images, targets = painted(6)
    for given_, got in zip((images, targets), augmented(images, targets, ()), strict=True):
        assert torch.equal(given_, got)


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ([5, 5, 5, 9], "has no area"),
        ([9, 5, 4, 9], "has no area"),
        ([5, 5, W + 2, 9], "reaches outside its picture of 40 x 24"),
        ([-3, 5, 9, 9], "reaches outside"),
        ([5, 5, float("nan"), 9], "not a box of numbers"),
    ],
)
def test_a_box_that_is_none_is_told_with_its_picture(box: list[float], told: str) -> None:
    table = BoxTable.from_lists([([], []), ([[1, 1, 4, 4], box], [0, 2])])
    with pytest.raises(InputError, match=told) as error:
        encoded(table, pictures_of(2), np.arange(K))
    assert "box 1 of picture 1" in str(error.value)
    assert "class 2" in str(error.value)


def test_a_box_that_rounding_put_over_the_edge_is_clipped() -> None:
    table = BoxTable.from_lists([([[-0.5, 0, W + 0.5, H]], [0])])
    assert encoded(table, pictures_of(1), np.arange(K))[0, 0].tolist() == [0, 0, W, H, 0]


def test_boxes_of_another_number_of_pictures_are_refused() -> None:
    with pytest.raises(InputError, match="boxes of 2 pictures, and there are 3"):
        encoded(BoxTable.from_lists([([], []), ([], [])]), pictures_of(3), np.arange(K))


def test_what_is_no_list_of_boxes_is_refused() -> None:
    for y in (np.zeros(3), [1, 2], "boxes", [([[1, 2, 3]], [0])]):
        with pytest.raises(InputError, match="y must be a BoxTable"):
            as_table(y)
    assert len(as_table([([], []), ([[0, 0, 1, 1]], [4])])) == 2
