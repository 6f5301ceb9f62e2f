"""Gradient descent that is gentler with a backbone than with what stands on it.

    rate of the rest        eta(t)
    rate of the backbone    share * eta(t)

What has been learnt on a million pictures should be adapted, not unlearnt; what is new must be
learnt. Discriminative rates: Howard and Ruder 2018, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.training.step import GradientUpdate, Recipe, set_apart

__all__ = ["BackboneUpdate"]


class BackboneUpdate(GradientUpdate):
    """One step of gradient descent; `below`, a part of `network`, learns at `share` of the rate."""

    def __init__(
        self,
        network: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        recipe: Recipe,
        compute: Compute,
        augment: Callable[[Tensor], Tensor] | None = None,
        *,
        below: nn.Module,
        share: float = 0.1,
    ):
        super().__init__(network, loss, recipe, compute, augment)
        set_apart(self.optimizer, below, {"share": share}, {"share": 1.0})

    def rate(self, group: dict[str, Any], progress: float) -> float:
        return float(group["share"]) * super().rate(group, progress)
