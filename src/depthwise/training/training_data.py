"""What `fit` learns from, checked: the same for every family.

Shapes: N items, K outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

__all__ = ["TrainingData"]


@dataclass(frozen=True)
class TrainingData:
    """inputs (N, ...); targets: what was made of y, a row an item, or None; weights float64 (N,),
    or None where all items count alike; held_out: inputs and targets that are scored, not learnt
    from, or None; teacher: logits (N, K) that another network answers the items with, or None."""

    inputs: np.ndarray
    targets: Any = None
    weights: np.ndarray | None = None
    held_out: tuple[np.ndarray, Any] | None = None
    teacher: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def scored(self) -> tuple[np.ndarray, Any]:
        """The held-out items and their targets; otherwise those that are learnt."""
        return self.held_out or (self.inputs, self.targets)

    def at(self, places: np.ndarray) -> Self:
        """The items at these places, a bool or an index array, with the same held-out part. The
        teacher's logits stay as they are: whoever learns from them compares the numbers of both."""
        return replace(
            self,
            inputs=self.inputs[places],
            targets=None if self.targets is None else self.targets[places],
            weights=None if self.weights is None else self.weights[places],
        )
