"""Average precision against the COCO evaluator and by hand; counting thresholds by brute force."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from depthwise.data.targets.box_table import BoxTable
from depthwise.tasks.detection.counts import (
    GRID,
    best_thresholds,
    counted,
    counting_report,
    true_counts,
)
from depthwise.tasks.detection.scores import (
    OVERLAPS,
    Detections,
    average_precision,
    detection_report,
    match,
    mean_precisions,
    resamples,
)

CLASSES = np.array(["bee", "fly", "gnat"])
NOTHING = Detections(np.zeros((0, 4), np.float32), CLASSES[:0], np.zeros(0, np.float32))


def random_case(seed: int, pictures: int = 7) -> tuple[list[Detections], BoxTable]:
    """Crowds among the true boxes; found ones near them or anywhere; some pictures are empty."""
    rng = np.random.default_rng(seed)
    found, boxes, labels, items, crowd = [], [], [], [], []
    for i in range(pictures):
        n = int(rng.integers(0, 6))
        low, size = rng.uniform(0, 60, (n, 2)), rng.uniform(5, 40, (n, 2))
        true = np.concatenate([low, low + size], axis=1).round(1)
        kinds = rng.integers(0, 3, n)
        boxes.append(true)
        labels.append(kinds)
        items += [i] * n
        crowd.append(rng.random(n) < 0.15)
        near = true.repeat(3, axis=0) + rng.normal(0, 3, (3 * n, 4))
        wild = rng.uniform(0, 50, (4, 2))
        wild = np.concatenate([wild, wild + rng.uniform(5, 40, (4, 2))], axis=1)
        every = np.concatenate([near, wild])
        every[:, 2:] = np.maximum(every[:, 2:], every[:, :2] + 1)
        named = np.concatenate([kinds.repeat(3), rng.integers(0, 3, 4)])
        order = rng.permutation(len(every))
        scores = np.sort(rng.random(len(every)).astype(np.float32))[::-1]
        chosen = every[order].astype(np.float32)
        found.append(Detections(chosen, CLASSES[named[order]], scores))
    table = BoxTable.of(
        np.concatenate(boxes), np.concatenate(labels), items, pictures, np.concatenate(crowd)
    )
    return found, table


def by_the_coco_evaluator(found: list[Detections], truth: BoxTable) -> np.ndarray:
    """(K, O) AP; NaN for a class without a true box."""
    evaluator = pytest.importorskip("faster_coco_eval")

    def xywh(box: Any) -> list[float]:
        x1, y1, x2, y2 = map(float, box)
        return [x1, y1, x2 - x1, y2 - y1]

    boxes = [xywh(box) for box in truth.boxes_xyxy]
    annotations = [
        {"id": m + 1, "image_id": int(i), "category_id": int(k), "bbox": box,
         "area": box[2] * box[3], "iscrowd": int(c)}
        for m, (i, k, box, c) in enumerate(
            zip(truth.items, truth.labels, boxes, truth.crowd, strict=True)
        )
    ]  # fmt: skip
    results = [
        {"image_id": i, "category_id": int((name == CLASSES).argmax()), "bbox": xywh(box),
         "score": float(score)}
        for i, one in enumerate(found)
        for box, name, score in zip(*one, strict=True)
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = evaluator.COCO(
            {
                "images": [{"id": i, "width": 200, "height": 200} for i in range(len(truth))],
                "categories": [{"id": k, "name": str(c)} for k, c in enumerate(CLASSES)],
                "annotations": annotations,
            }
        )
        judge = evaluator.COCOeval_faster(coco, coco.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, -1]  # (O, 101, K)
    ap = precision.mean(axis=1).T
    return np.where(ap < 0, np.nan, ap)


@pytest.mark.parametrize("seed", range(25))
def test_average_precision_is_that_of_the_coco_evaluator(seed: int) -> None:
    found, truth = random_case(seed)
    own = np.stack([average_precision(match(found, truth, k, c))[0] for k, c in enumerate(CLASSES)])
    np.testing.assert_allclose(own, by_the_coco_evaluator(found, truth), atol=1e-9)


def test_precision_at_recall_by_hand() -> None:
    """Two true boxes, found in the order hit, miss, hit: precision 1 up to recall 0.5, then 2/3."""
    truth = BoxTable.from_lists([([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 0])])
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 30, 30]], np.float32)
    found = [Detections(boxes, CLASSES[[0, 0, 0]], np.array([0.9, 0.8, 0.7], np.float32))]
    by_hand = (51 * 1 + 50 * 2 / 3) / 101  # recalls 0 .. 0.5, and 0.51 .. 1
    np.testing.assert_allclose(average_precision(match(found, truth, 0, "bee"))[0], by_hand)


def test_one_true_box_is_found_once() -> None:
    truth = BoxTable.from_lists([([[0, 0, 10, 10]], [0])])
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], np.float32)
    found = [Detections(boxes, CLASSES[[0, 0]], np.array([0.9, 0.8], np.float32))]
    assert match(found, truth, 0, "bee").hits[:, 0].tolist() == [True, False]


def test_what_lies_in_a_crowd_is_neither_hit_nor_miss() -> None:
    truth = BoxTable.of([[0, 0, 10, 10], [20, 0, 90, 90]], [0, 0], [0, 0], 1, [False, True])
    boxes = np.array([[30, 10, 40, 20], [30, 40, 40, 50], [0, 0, 10, 10]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    found = [Detections(boxes, CLASSES[[0, 0, 0]], scores)]
    np.testing.assert_allclose(average_precision(match(found, truth, 0, "bee"))[0], 1)
    assert true_counts(truth, 3).tolist() == [[1, 0, 0]]


def test_perfect_detections_score_one_and_none_score_nothing() -> None:
    truth = random_case(3)[1]
    truth = BoxTable.of(truth.boxes_xyxy, truth.labels, truth.items, len(truth))
    perfect = [
        Detections(truth[i][0], CLASSES[truth[i][1]], np.ones(len(truth[i][1]), np.float32))
        for i in range(len(truth))
    ]
    assert mean_precisions(perfect, truth, CLASSES) == pytest.approx((1, 1))
    assert mean_precisions([NOTHING] * len(truth), truth, CLASSES) == (0, 0)


def test_a_class_that_is_nowhere_counts_in_no_mean() -> None:
    truth = BoxTable.from_lists([([[0, 0, 10, 10]], [1]), ([], [])])
    found = [Detections(truth[0][0], CLASSES[[1]], np.ones(1, np.float32)), NOTHING]
    report = detection_report(found, truth, CLASSES)
    assert report["per_class"] == {"bee": None, "fly": pytest.approx(1), "gnat": None}
    assert report["value"] == pytest.approx(1)


def test_no_object_anywhere_is_no_error() -> None:
    truth = BoxTable.from_lists([([], []), ([], [])])
    report = detection_report([NOTHING, NOTHING], truth, CLASSES)
    assert report["value"] == 0
    assert (report["low"], report["high"]) == (0, 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_weight_is_as_often_as_the_picture_is_there(seed: int) -> None:
    found, truth = random_case(seed, pictures=5)
    drawn = np.array([3, 0, 0, 4, 2, 2, 2])
    again = [found[i] for i in drawn]
    # twins have equal scores: a little apart, so that their order is told
    for n, one in enumerate(again):
        again[n] = one._replace(scores=one.scores.astype(np.float64) - 1e-9 * n)
    weights = np.bincount(drawn, minlength=5)[None].astype(float)
    for k, name in enumerate(CLASSES):
        weighed = average_precision(match(found, truth, k, name), weights)[0]
        listed = average_precision(match(again, truth.take(drawn), k, name))[0]
        # a pair of twins climbs in two steps instead of one: precision differs between them only
        np.testing.assert_allclose(weighed, listed, atol=0.03)


def test_the_interval_holds_the_value_and_narrows_with_more_pictures() -> None:
    few, many = (detection_report(*random_case(5, n), CLASSES) for n in (12, 120))
    for report in (few, many):
        assert report["low"] <= report["value"] <= report["high"]
    assert many["high"] - many["low"] < few["high"] - few["low"]
    assert (resamples(9, 0).sum(axis=1) == 9).all()


# -- counting -------------------------------------------------------------------------------------


def test_counts_are_the_boxes_above_the_threshold_of_their_class() -> None:
    found, truth = random_case(11)
    lows = [0.2, 0.5, 0.9]
    told = counted(found, CLASSES, lows)
    for i, one in enumerate(found):
        for k, name in enumerate(CLASSES):
            pairs = zip(one.labels, one.scores, strict=True)
            assert told[i, k] == sum(c == name and s > lows[k] for c, s in pairs)
    assert told.shape == (len(truth), 3)


def test_no_threshold_counts_better_than_the_one_chosen() -> None:
    found, truth = random_case(12, pictures=20)
    best, true = best_thresholds(found, truth, CLASSES), true_counts(truth, 3)
    chosen = abs(counted(found, CLASSES, best) - true).mean(axis=0)
    for low in GRID:
        assert (chosen <= abs(counted(found, CLASSES, [low] * 3) - true).mean(axis=0)).all()


def test_of_equally_good_thresholds_the_middle_is_chosen() -> None:
    truth = BoxTable.from_lists([([[0, 0, 9, 9]], [0])])
    boxes, scores = np.tile([0, 0, 9, 9], (2, 1)).astype(np.float32), np.array([0.8, 0.3])
    found = [Detections(boxes, CLASSES[[0, 0]], scores)]
    assert best_thresholds(found, truth, CLASSES)[0] == pytest.approx((0.3 + 0.8) / 2, abs=0.02)


def test_counting_errors_by_hand() -> None:
    counts, true = np.array([[3, 1, 0], [5, 0, 0]]), np.array([[4, 1, 0], [2, 2, 0]])
    report = counting_report(counts, true, CLASSES)
    assert report["per_class"] == {"bee": 2, "fly": 1, "gnat": 0}
    assert report["value"] == -1
    assert report["low"] <= report["value"] <= report["high"]


def test_overlaps_are_those_of_coco() -> None:
    assert OVERLAPS.tolist() == pytest.approx([0.5 + 0.05 * n for n in range(10)])
