"""Losses, each with its formula and its source.

z: logits (B, K); y: class indices (B,); eps: label smoothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional

__all__ = ["over_answers", "smoothed_cross_entropy"]


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """L = -(1 - eps) log p_y - (eps / K) sum_k log p_k,   p = softmax(z), mean over the batch.

    Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7.
    Computed in float32 whatever the logits' precision. (B, K), (B,) -> scalar.
    """
    return functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing)


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
