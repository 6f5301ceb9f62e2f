"""How good detections are: average precision as COCO measures it, and errors of counts.

Found boxes of one class, best first over all pictures, are hits or misses at an overlap o:

    hit         the free true box of the picture that it overlaps most, IoU >= o, is taken by it
    neither     no such box, but o of it lies inside a crowd: it is left out
    precision   hits / (hits + misses)       of the best so many
    recall      hits / true boxes
    AP_o        mean over r = 0, 0.01 .. 1 of the best precision at a recall of r or more
    AP50        AP at o = 0.5;   AP   mean over o = 0.5, 0.55 .. 0.95

at most 100 of the best boxes a picture. A class of which there is no true box has no AP and counts
in no mean (Lin et al. 2014, "Microsoft COCO", and the evaluation that its authors published).
Intervals are those of the bootstrap over pictures: each resample is a number of times w_i that
picture i counts, so hits and misses are matched once (Efron 1979).

Shapes: N pictures, M boxes found of one class, K classes, O overlaps, R resamples.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from depthwise.boxes import area, iou_matrix
from depthwise.data.targets.box_table import BoxTable

__all__ = [
    "INTERVAL", "MOST", "OVERLAPS", "Detections", "Matches", "average_precision",
    "detection_report", "match", "mean_precisions", "resamples",
]  # fmt: skip

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100  # boxes a picture that count
RESAMPLES, AT_ONCE = 500, 4_000_000  # and boxes times resamples in memory
INTERVAL = (2.5, 97.5)  # per cent


class Detections(NamedTuple):
    """What was found in one picture: boxes float32 (m, 4), left, top, right, bottom in its pixels;
    labels (m,) class names; scores float32 (m,), best first."""

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


class Matches(NamedTuple):
    """Of the boxes found of one class, best first: the picture each is in (M,); whether it is a
    hit, and whether it is left out, at each overlap (M, O); true boxes of each picture (N,)."""

    items: np.ndarray
    hits: np.ndarray
    ignored: np.ndarray
    truths: np.ndarray


def match(found: list[Detections], truth: BoxTable, k: int, name: Any) -> Matches:
    """Hits and misses of class k, whose name in `found` is `name`."""
    rows = [_of_picture(found[i], truth, i, k, name) for i in range(len(truth))]
    scores = np.concatenate([row[0] for row in rows])
    order = np.argsort(-scores, kind="stable")
    items = np.repeat(np.arange(len(rows)), [len(row[0]) for row in rows])
    hits, ignored = (np.concatenate([row[part] for row in rows]) for part in (1, 2))
    truths = np.bincount(truth.items[(truth.labels == k) & ~truth.crowd], minlength=len(truth))
    return Matches(items[order], hits[order], ignored[order], truths)


def average_precision(matches: Matches, weights: np.ndarray | None = None) -> np.ndarray:
    """AP (R, O) of each resample, whose `weights` (R, N) say how often a picture counts; (1, O) of
    all pictures once. NaN where there is no true box."""
    if weights is None:
        weights = np.ones((1, len(matches.truths)))
    total = weights @ matches.truths  # (R,)
    often = weights[:, matches.items, None]  # (R, M, 1)
    hits = (often * matches.hits).cumsum(axis=1)
    misses = (often * ~(matches.hits | matches.ignored)).cumsum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / total[:, None, None]
        precision = np.nan_to_num(hits / (hits + misses))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]  # at that recall or more
    made = np.full((len(weights), matches.hits.shape[1]), np.nan)
    for r, o in np.ndindex(made.shape):
        if total[r] > 0:
            made[r, o] = _interpolated(recall[r, :, o], best[r, :, o])
    return made


def mean_precisions(
    found: list[Detections], truth: BoxTable, classes: np.ndarray
) -> tuple[float, float]:
    """(AP50, AP), means over the classes; 0 where there is no true box at all."""
    each = np.stack(
        [average_precision(match(found, truth, k, c))[0] for k, c in enumerate(classes)]
    )
    return _number(_mean(each[:, 0])) or 0.0, _number(_mean(each.mean(axis=1))) or 0.0


def detection_report(
    found: list[Detections], truth: BoxTable, classes: np.ndarray, seed: int = 0
) -> dict[str, Any]:
    """{"value": AP50, "low", "high": its 95% interval over pictures, "items", "per_class": AP50,
    "ap": AP at 0.5:0.95, "ap_per_class"}; None for a class of which there is no true box."""
    matches = [match(found, truth, k, name) for k, name in enumerate(classes)]
    each = np.stack([average_precision(one)[0] for one in matches])  # (K, O)
    low, high = _interval([_only(one, 0) for one in matches], seed)
    names = [str(name) for name in classes]
    return {
        "value": _number(_mean(each[:, 0])) or 0.0,
        "low": low,
        "high": high,
        "items": len(truth),
        "per_class": {name: _number(ap[0]) for name, ap in zip(names, each, strict=True)},
        "ap": _number(_mean(each.mean(axis=1))) or 0.0,
        "ap_per_class": {name: _number(ap.mean()) for name, ap in zip(names, each, strict=True)},
    }


def resamples(pictures: int, seed: int) -> np.ndarray:
    """(R, N): how often each picture is drawn."""
    drawn = np.random.default_rng(seed).integers(0, pictures, (RESAMPLES, pictures))
    return np.stack([np.bincount(row, minlength=pictures) for row in drawn]).astype(np.float64)


def _interval(matches: list[Matches], seed: int) -> tuple[float, float]:
    """Of the mean AP over classes, matched at one overlap."""
    weights = resamples(len(matches[0].truths), seed)
    boxes = max(1, *(len(one.items) for one in matches))
    parts = np.array_split(weights, -(-weights.shape[0] * boxes // AT_ONCE))
    drawn = np.concatenate(
        [_mean(np.stack([average_precision(one, w)[:, 0] for one in matches])) for w in parts]
    )
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.percentile(drawn, INTERVAL) if len(drawn) else (0.0, 1.0)
    return float(low), float(high)


# -- one picture ----------------------------------------------------------------------------------


def _of_picture(
    found: Detections, truth: BoxTable, i: int, k: int, name: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (m,) of the boxes of class k in picture i, best first; hits and ignored (m, O)."""
    own = np.flatnonzero(found.labels == name)
    own = own[np.argsort(-found.scores[own], kind="stable")][:MOST]
    boxes, rows = found.boxes[own].astype(np.float64), truth.rows(i)
    real = truth.boxes_xyxy[rows].astype(np.float64)[truth.labels[rows] == k]
    crowd = truth.crowd[rows][truth.labels[rows] == k]
    hits = _taken(iou_matrix(boxes, real[~crowd]))
    inside = _share_inside(boxes, real[crowd])
    ignored = ~hits & (inside[:, None] >= OVERLAPS)
    return found.scores[own], hits, ignored


def _taken(overlap: np.ndarray) -> np.ndarray:
    """Hits (m, O) of boxes found, best first, whose overlaps with the true ones are (m, n)."""
    found, true = overlap.shape
    hits = np.zeros((found, len(OVERLAPS)), bool)
    free = np.ones((true, len(OVERLAPS)), bool)
    if true:
        for box, own in enumerate(overlap):
            left = np.where(free, own[:, None], -1.0)
            best = left.argmax(axis=0)
            hits[box] = left.max(axis=0) >= OVERLAPS
            free[best[hits[box]], hits[box].nonzero()[0]] = False
    return hits


def _share_inside(boxes: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """(m, 4), (n, 4) -> (m,): the largest share of each box's area that lies in one crowd."""
    low = np.maximum(boxes[:, None, :2], crowds[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], crowds[None, :, 2:])
    shared = (high - low).clip(0).prod(axis=-1)  # (m, n)
    return shared.max(axis=1, initial=0.0) / np.maximum(area(boxes), 1e-12)


# -- inside ---------------------------------------------------------------------------------------


def _interpolated(recall: np.ndarray, best: np.ndarray) -> float:
    """Mean over RECALLS of the best precision (M,) at the first recall (M,) that is as high."""
    first = np.searchsorted(recall, RECALLS, side="left")
    return float(np.append(best, 0.0)[first].mean())


def _only(matches: Matches, overlap: int) -> Matches:
    one = slice(overlap, overlap + 1)
    return matches._replace(hits=matches.hits[:, one], ignored=matches.ignored[:, one])


def _mean(each: np.ndarray) -> np.ndarray:
    """Over classes that have a value: (K, ...) -> (...)."""
    known = np.isfinite(each)
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = np.where(known, each, 0).sum(axis=0) / known.sum(axis=0)
    return mean


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
