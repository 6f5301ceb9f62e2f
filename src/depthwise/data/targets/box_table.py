"""The noun BoxTable: the boxes of all images in four flat arrays, as a table keeps its rows.

    boxes_xyxy   m-th box: left, top, right, bottom, in pixels of the dataset's `inputs`
    labels       its class
    crowd        whether it is a crowd or marked as difficult: not to be learnt, and neither a hit
                 nor a miss where it is found
    starts       the boxes of image i are starts[i] to starts[i + 1]; an image may have none

N images, M boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

__all__ = ["BoxTable"]


@dataclass(frozen=True, eq=False)
class BoxTable:
    """boxes_xyxy float32 (M, 4), labels int64 (M,), starts int64 (N + 1,), crowd bool (M,).

    `table[i]` is (boxes (m, 4), labels (m,)) of image i, `len(table)` is N.
    """

    boxes_xyxy: np.ndarray
    labels: np.ndarray
    starts: np.ndarray
    crowd: np.ndarray

    @classmethod
    def of(cls, boxes: Any, labels: Any, items: Any, n: int, crowd: Any = None) -> Self:
        """From boxes (M, 4), labels (M,) and the images (M,) they are in, in any order."""
        items = np.asarray(items, np.int64).reshape(-1)
        order = np.argsort(items, kind="stable")
        flags = np.zeros(len(items), bool) if crowd is None else np.asarray(crowd, bool)
        starts = np.concatenate([[0], np.cumsum(np.bincount(items, minlength=n))])
        placed = np.asarray(boxes, np.float32).reshape(-1, 4)[order]
        return cls(
            placed, np.asarray(labels, np.int64)[order], starts.astype(np.int64), flags[order]
        )

    @classmethod
    def from_lists(cls, pairs: Sequence[tuple[Any, Any]]) -> Self:
        """From (boxes (m, 4), labels (m,)) of each image."""
        labels = [np.asarray(found, np.int64).reshape(-1) for _, found in pairs]
        boxes = [np.asarray(found, np.float32).reshape(-1, 4) for found, _ in pairs]
        items = np.repeat(np.arange(len(pairs)), [len(found) for found in labels])
        none = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
        every = np.concatenate([none[0], *boxes]), np.concatenate([none[1], *labels])
        return cls.of(*every, items, len(pairs))

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.rows(i)
        return self.boxes_xyxy[rows], self.labels[rows]

    def rows(self, i: int) -> slice:
        """Where the boxes of image i lie in the flat arrays."""
        i = range(len(self))[i]  # counts from the end too, and raises IndexError beyond
        return slice(int(self.starts[i]), int(self.starts[i + 1]))

    @property
    def counts(self) -> np.ndarray:
        """int64 (N,): how many boxes each image has."""
        return np.diff(self.starts)

    @property
    def items(self) -> np.ndarray:
        """int64 (M,): the image of each box."""
        return np.repeat(np.arange(len(self)), self.counts)

    def take(self, indices: Any) -> Self:
        """The boxes of these images (int positions or a mask (N,)), in their order."""
        chosen = np.arange(len(self))[np.asarray(indices)].reshape(-1)
        counts = self.counts[chosen]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        rows = np.repeat(self.starts[chosen], counts) + within
        return type(self)(self.boxes_xyxy[rows], self.labels[rows], starts, self.crowd[rows])

    def scaled(self, factors: Any) -> Self:
        """Every box times the (vertical, horizontal) factors (N, 2) or (2,) of its image."""
        each = np.broadcast_to(np.asarray(factors, np.float64), (len(self), 2))[self.items]
        grown = self.boxes_xyxy * each[:, [1, 0, 1, 0]]
        return replace(self, boxes_xyxy=grown.astype(np.float32))

    def class_counts(self, k: int) -> np.ndarray:
        """int64 (K,): boxes of each class."""
        return np.bincount(self.labels, minlength=k)[:k]

    def tobytes(self) -> bytes:
        """Everything, in an order of bytes that is the same on all machines."""
        parts = (
            self.boxes_xyxy.astype("<f4"),
            self.labels.astype("<i8"),
            self.starts.astype("<i8"),
        )
        return b"".join(part.tobytes() for part in (*parts, self.crowd.astype("u1")))
