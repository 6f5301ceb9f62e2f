"""The statistics that contrastive learning of a restricted Boltzmann machine compares.

Shapes: B batch, M chains, D visible units, H hidden units, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Phases"]


@dataclass
class Phases:
    """Statistics of both halves of the gradient, the rows of the data above those of the model.

    v (B + M, D), h (B + M, H), labels (B + M, K) or None. `v` and `h` are the upper parts of
    `v_and_spare` and `h_and_spare`, which have room for the two rows of centring.
    """

    items: int
    v_and_spare: Tensor
    h_and_spare: Tensor
    labels: Tensor | None

    def __post_init__(self) -> None:
        self.v, self.h = self.v_and_spare[:-2], self.h_and_spare[:-2]

    def shares(self) -> Tensor:
        """What a row counts in the difference of the means, times B: (B + M, 1)."""
        shares = self.h.new_ones(len(self.h), 1)
        shares[self.items :] = -self.items / (len(self.h) - self.items)
        return shares
