"""Losses, each with its formula and its source; sample weights and distillation.

z: logits (B, K); y: class indices (B,); eps: label smoothing; w: weights of items (B,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "Taught",
    "Weighted",
    "distillation",
    "over_answers",
    "smoothed_cross_entropy",
    "squared_error",
]


@dataclass(frozen=True, eq=False)
class Weighted:
    """Targets (N, ...) with sample weights, sliced into batches like a tensor: the batch loss is
    (1/B) sum_i w_i L_i of the items' losses L_i. `weights` (N,) have mean 1 over all N items, so
    that the gradient of a batch is that of the weighted loss of all, on average."""

    targets: Tensor
    weights: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, chosen: Any) -> Weighted:
        return Weighted(self.targets[chosen], self.weights[chosen])

    def to(self, device: Any) -> Weighted:
        return Weighted(self.targets.to(device), self.weights.to(device))

    def mean(self, losses: Tensor) -> Tensor:
        """The weighted mean of a loss per item: (B,) -> scalar."""
        return (losses * self.weights.to(losses.dtype)).mean()


@dataclass(frozen=True, eq=False)
class Taught(Weighted):
    """Labels (N,) with the logits (N, K) that a teacher gives the same items: the cross-entropy
    becomes (1 - a) L + a T^2 KL(softmax(t / T) || softmax(z / T)), a `share`, T `temperature`
    (Hinton, Vinyals and Dean 2015)."""

    logits: Tensor
    temperature: float = 2.0
    share: float = 0.7

    def __getitem__(self, chosen: Any) -> Taught:
        parts = (self.targets[chosen], self.weights[chosen], self.logits[chosen])
        return Taught(*parts, self.temperature, self.share)

    def to(self, device: Any) -> Taught:
        parts = (self.targets.to(device), self.weights.to(device), self.logits.to(device))
        return Taught(*parts, self.temperature, self.share)


def distillation(
    logits: Tensor, teacher: Tensor, temperature: float, reduction: str = "batchmean"
) -> Tensor:
    """T^2 KL(softmax(t / T) || softmax(z / T)), mean over the batch: (B, K), (B, K) -> scalar, or
    of each item, reduction "none": (B,)."""
    wanted = torch.log_softmax(teacher.float() / temperature, dim=1)
    given = torch.log_softmax(logits.float() / temperature, dim=1)
    divergence = functional.kl_div(given, wanted, reduction=reduction, log_target=True)
    divergence = divergence.sum(dim=1) if reduction == "none" else divergence
    return temperature**2 * divergence


def smoothed_cross_entropy(
    logits: Tensor, labels: Tensor | Weighted, smoothing: float = 0.0
) -> Tensor:
    """L = -(1 - eps) log p_y - (eps / K) sum_k log p_k,   p = softmax(z), mean over the batch.

    Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7.
    Computed in float32 whatever the logits' precision. (B, K), (B,) -> scalar.
    """
    if isinstance(labels, Weighted):
        losses = functional.cross_entropy(
            logits.float(), labels.targets, label_smoothing=smoothing, reduction="none"
        )
        if isinstance(labels, Taught):
            soft = distillation(logits, labels.logits, labels.temperature, "none")
            losses = (1 - labels.share) * losses + labels.share * soft
        return labels.mean(losses)
    return functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing)


def squared_error(answers: Tensor, targets: Tensor | Weighted, scale: Tensor) -> Tensor:
    """((a - t) / scale)^2, mean over an item's targets and over the batch: (B, T) -> scalar."""
    if isinstance(targets, Weighted):
        return targets.mean((((answers - targets.targets) / scale) ** 2).mean(dim=1))
    return (((answers - targets) / scale) ** 2).mean()


def over_answers(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """The mean of `loss` over the answers of a network that gives several, as one with early exits
    does while it learns: (outputs, or a list of them, targets) -> scalar."""

    def mean(outputs: Any, targets: Tensor) -> Tensor:
        if isinstance(outputs, Tensor):
            return loss(outputs, targets)
        return sum((loss(answer, targets) for answer in outputs[1:]), loss(outputs[0], targets)) / (
            len(outputs)
        )

    return mean
