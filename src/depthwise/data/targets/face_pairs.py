"""The noun Pairs: which two pictures show the same person, in folds, as verification asks it.

LFW (Huang et al. 2007) published the form: ten folds, each with as many pairs of one person as of
two, and no person in two folds; whoever tests on a fold learns on the people outside it.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

__all__ = ["Pairs"]


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs: positions of their two pictures `left` and `right` int64 (P,), whether both show
    the `same` person bool (P,), and the fold int64 (P,) each is in, from 0."""

    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    folds: np.ndarray

    def __len__(self) -> int:
        return len(self.left)

    @property
    def n_folds(self) -> int:
        return int(self.folds.max(initial=-1)) + 1

    def take(self, chosen: np.ndarray) -> Self:
        """These pairs: int positions or a mask (P,)."""
        return type(self)(
            self.left[chosen], self.right[chosen], self.same[chosen], self.folds[chosen]
        )

    def fold(self, k: int) -> Self:
        """The pairs of fold k, from 0; raises IndexError beyond."""
        return self.take(self.folds == range(self.n_folds)[k])

    def people(self, labels: np.ndarray, k: int | None = None) -> np.ndarray:
        """The people, by their label, in the pairs of fold k or of all."""
        chosen = self if k is None else self.fold(k)
        return np.unique(labels[np.concatenate([chosen.left, chosen.right])])

    def tobytes(self) -> bytes:
        """Everything, in an order of bytes that is the same on all machines."""
        numbers = (self.left, self.right, self.same, self.folds)
        return b"".join(values.astype("<i8").tobytes() for values in numbers)
