"""What the detector minimises, and which positions are to find which box.

With s the network's probability of the object's class at a position, u the IoU of its box there
with the object's box, and t what it is to answer with, 0 at all positions of no object:

    alignment     m = s^alpha u^beta, at the positions inside the object's box
    assignment    the k positions of the largest m are the object's; a position that two objects
                  claim belongs to the one it overlaps more
    quality       t = m / max m, over the object's positions
    loss          sum |t - s|^2 BCE(s, t) / T  +  lambda sum t (1 - GIoU) / T,      T = sum t

So the positions that already do well at both, class and box, are those that are taught:
task-aligned learning (Feng et al. 2021, "TOOD", equations 5 to 9), quality focal loss (Li et al.
2020), GIoU (Rezatofighi et al. 2019). TOOD has t = m / max m * max u, so that a score tells how
good the box is; without that factor it tells that the object is there, and where boxes were drawn
carelessly it is not lower for it: on the validation list of BCCD, 25 passes of size s, AP50 0.885
for 0.861, AP 0.553 for 0.535. An object too small to have a position inside has those within half
a stride of the finest level.

Crowds are not learnt: of positions inside one only those that have an object count.

Targets are (B, M, 5): box in pixels and class; -1 for none, -2 - k for a crowd of class k.

Shapes: B batch, A positions, M objects at most in a picture, K classes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from depthwise.boxes import giou, iou

__all__ = ["Assignment", "DetectionLoss", "assign"]

ALPHA, BETA = 1.0, 6.0
POSITIVES = 13  # k
BOX_WEIGHT = 2.0  # lambda
LEAST = 1e-9  # a metric that is never quite nothing, so that the largest always can be told


class Assignment(NamedTuple):
    """Of each position: the object it is to find, -1 for none (B, A); t (B, A); and whether it is
    left out because it lies in a crowd (B, A)."""

    objects: Tensor
    quality: Tensor
    ignored: Tensor


class DetectionLoss:
    """(answers (B, A, 4 + K), targets (B, M, 5)) -> scalar; points (A, 2), strides (A,)."""

    def __init__(self, points: Tensor, strides: Tensor):
        self.points, self.strides = points, strides

    def __call__(self, answers: Tensor, targets: Tensor) -> Tensor:
        boxes, logits = answers[..., :4], answers[..., 4:]
        points, strides = self.points.to(boxes), self.strides.to(boxes)
        found = assign(boxes.detach(), logits.detach().sigmoid(), points, strides, targets)
        total = found.quality.sum().clamp(min=1)
        truth = _own(targets, found.objects)  # (B, A, 5)
        classes = quality_focal(logits, _goal(truth[..., 4], found, logits), found.ignored) / total
        apart = 1 - giou(boxes, truth[..., :4])
        return classes + BOX_WEIGHT * (found.quality * apart).sum() / total


def quality_focal(logits: Tensor, goal: Tensor, ignored: Tensor) -> Tensor:
    """sum |t - s|^2 BCE(s, t) over positions that count: (B, A, K), (B, A, K), (B, A) -> scalar."""
    weight = (goal - logits.sigmoid()).square() * ~ignored[..., None]
    each = functional.binary_cross_entropy_with_logits(logits, goal, reduction="none")
    return (weight * each).sum()


@torch.no_grad()
def assign(
    boxes: Tensor, scores: Tensor, points: Tensor, strides: Tensor, targets: Tensor
) -> Assignment:
    """boxes (B, A, 4), scores (B, A, K) of the network, targets (B, M, 5) -> which is for which."""
    truth, labels = targets[..., :4], targets[..., 4].long()
    real, crowd = labels >= 0, labels <= -2  # (B, M)
    inside = _inside(truth, points, strides)  # (B, M, A)
    overlap = iou(truth[:, :, None], boxes[:, None])  # (B, M, A)
    own = labels.clamp(min=0)[:, :, None].expand(-1, -1, boxes.shape[1])
    score = scores.transpose(1, 2).gather(1, own)  # (B, M, A)
    may = inside & real[..., None]
    metric = torch.where(may, score**ALPHA * overlap**BETA + LEAST, 0.0)
    chosen = may & (metric >= _kth_largest(metric))
    claimed = torch.where(chosen, overlap, -1.0)
    best = claimed.amax(dim=1, keepdim=True)
    chosen &= claimed == best
    chosen &= chosen.cumsum(dim=1) == 1  # of two equal claims the first
    quality = _quality(metric * chosen)
    objects = torch.where(chosen.any(dim=1), chosen.int().argmax(dim=1), -1)
    ignored = (inside & crowd[..., None]).any(dim=1) & (objects < 0)
    return Assignment(objects, quality.sum(dim=1), ignored)


def _inside(truth: Tensor, points: Tensor, strides: Tensor) -> Tensor:
    """Which points lie inside which box, or within half a finest stride of its centre:
    (B, M, 4), (A, 2) -> (B, M, A)."""
    low, high = truth[..., None, :2], truth[..., None, 2:]
    within = ((points > low) & (points < high)).all(dim=-1)
    near = ((points - (low + high) / 2).abs() <= strides.min() / 2).all(dim=-1)
    return within | (near & (strides == strides.min()))


def _kth_largest(metric: Tensor) -> Tensor:
    """(B, M, A) -> (B, M, 1)"""
    count = min(POSITIVES, metric.shape[2])
    return metric.topk(count, dim=2).values[..., -1:]


def _quality(metric: Tensor) -> Tensor:
    """t of each object at the positions that are its own, elsewhere 0: (B, M, A)."""
    return metric / metric.amax(dim=2, keepdim=True).clamp(min=LEAST)


def _own(targets: Tensor, objects: Tensor) -> Tensor:
    """The target of each position, the first where it has none: (B, A, 5)."""
    return targets.gather(1, objects.clamp(min=0)[..., None].expand(-1, -1, 5))


def _goal(labels: Tensor, found: Assignment, like: Tensor) -> Tensor:
    """t in the column of the object's class, 0 elsewhere: (B, A) -> (B, A, K)."""
    goal = torch.zeros_like(like)
    return goal.scatter_(2, labels.long().clamp(min=0)[..., None], found.quality[..., None])
