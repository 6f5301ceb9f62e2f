"""Losses, each with its formula and its source.

z: logits (B, K); y: class indices (B,); eps: label smoothing.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["smoothed_cross_entropy"]


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """L = -(1 - eps) log p_y - (eps / K) sum_k log p_k,   p = softmax(z), mean over the batch.

    Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", section 7.
    Computed in float32 whatever the logits' precision. (B, K), (B,) -> scalar.
    """
    return functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
