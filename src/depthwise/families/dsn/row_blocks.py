"""The items a stack learns from, in memory or in a file larger than it, read block by block.

    blocks     consecutive items that are read together: 1 of an array in memory, 64 of a memmap
    shards     consecutive blocks whose Gram is gathered by one worker

What is held besides the inputs themselves: (N, K) float32 predictions of every finished module, so
that a module learns without running those below it again, and one Gram a worker. Shards are the
same for any number of workers and merged in their order, so that the result is too, bit for bit.

Shapes: N items, B batch, K targets, L features.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Self

import joblib  # type: ignore[import-untyped]
import numpy as np
import torch
from torch import Tensor

from depthwise.compute import Compute
from depthwise.data.inputs import statistics
from depthwise.families.dsn.gram import Gram, fast_products

__all__ = ["Rows", "column_statistics", "gather"]

FILE_BLOCK = 64
READ_ROWS = 2048
SHARD_ROWS, MOST_SHARDS = 8192, 8
Taken = tuple[Tensor, Tensor, Tensor, Tensor | None]


class Rows:
    """Inputs (N, ...), targets (N,) class indices or (N, K) numbers, earlier predictions, and the
    items' weights (N,), None where all count once."""

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        n_targets: int,
        device: str,
        weights: np.ndarray | None = None,
    ):
        self.inputs, self.targets, self.weights = inputs, targets, weights
        self.n_targets, self.device = n_targets, device
        self.block = FILE_BLOCK if _on_disk(inputs) else 1
        self.earlier: list[Tensor] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # read only; a copy of a file would not fit

    def __len__(self) -> int:
        return len(self.inputs)

    def block_numbers(self) -> Tensor:
        """What a loop over blocks draws its batches from: (N / block,) int64."""
        return torch.arange(-(-len(self) // self.block))

    @property
    def n_items(self) -> float:
        """The sum of the weights."""
        return len(self) if self.weights is None else float(self.weights.sum())

    def take(self, blocks: Tensor) -> Taken:
        """Raw inputs (B, ...), earlier predictions (B, M K), targets (B, K) and weights (B,) or
        None of these blocks."""
        starts = blocks.cpu().sort().values * self.block
        items = (starts[:, None] + torch.arange(self.block)).flatten()
        return self._read(items[items < len(self)].numpy())

    def spans(self, start: int = 0, end: int | None = None) -> Iterator[Taken]:
        """The same four of items start .. end, READ_ROWS at a time, in order."""
        end = len(self) if end is None else end
        for first in range(start, end, READ_ROWS):
            yield self._read(slice(first, min(first + READ_ROWS, end)))

    def _read(self, items: Any) -> Taken:
        x = torch.from_numpy(np.array(self.inputs[items])).to(self.device)
        before = [answers[items] for answers in self.earlier]
        y = torch.cat(before, dim=1) if before else torch.empty(len(x), 0)
        w = None if self.weights is None else torch.from_numpy(self.weights[items]).to(self.device)
        return x, y.to(self.device), self._one_hot(items).to(self.device), w

    def _one_hot(self, items: Any) -> Tensor:
        chosen = torch.from_numpy(np.array(self.targets[items]))
        if chosen.dim() == 2:
            return chosen.float()
        return torch.nn.functional.one_hot(chosen, self.n_targets).float()

    def shards(self) -> list[tuple[int, int]]:
        """(start, end) of consecutive items, about SHARD_ROWS or more each."""
        count = max(1, min(MOST_SHARDS, len(self) // SHARD_ROWS))
        marks = np.linspace(0, len(self), count + 1).astype(int).tolist()
        return list(itertools.pairwise(marks))


Features = Callable[[Tensor, Tensor], Tensor]  # raw inputs, earlier predictions -> (B, L)


def gather(rows: Rows, features: Features, n_features: int, compute: Compute, n_jobs: int) -> Gram:
    """The Gram of all rows' features and targets, shards in parallel by `n_jobs` workers."""
    total = Gram(n_features, rows.n_targets, device=rows.device)
    one = partial(_gather_shard, rows, features, n_features, max(1, compute.threads // n_jobs))
    with fast_products(compute):
        if n_jobs == 1:
            grams: Any = (one(*shard) for shard in rows.shards())
        else:
            workers = joblib.Parallel(n_jobs, prefer="threads", return_as="generator")
            grams = workers(joblib.delayed(one)(*shard) for shard in rows.shards())
        for gram in grams:
            total.merge(gram)
    torch.set_num_threads(compute.threads)  # workers share the setting
    return total


@torch.no_grad()
def _gather_shard(
    rows: Rows, features: Features, n_features: int, threads: int, start: int, end: int
) -> Gram:
    torch.set_num_threads(threads)
    gram = Gram(n_features, rows.n_targets, device=rows.device)
    for x, earlier, targets, weights in rows.spans(start, end):
        gram.add(features(x, earlier), targets, weights)
    return gram


def column_statistics(
    inputs: np.ndarray, weights: np.ndarray | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation by channel or column in float64, no copy of the data made but
    where items have weights (N,)."""
    if weights is not None:
        return statistics(np.asarray(inputs), weights)
    axes = (0, 2, 3) if inputs.ndim == 4 else (0,)
    parts = [inputs[i : i + READ_ROWS] for i in range(0, len(inputs), READ_ROWS)]
    count = inputs.size / inputs.shape[1]
    mean = sum(p.sum(axis=axes, dtype=np.float64) for p in parts) / count
    centre = mean[:, None, None] if inputs.ndim == 4 else mean
    squares = sum(np.square(p - centre).sum(axis=axes) for p in parts)
    return torch.from_numpy(mean), torch.from_numpy(np.sqrt(squares / count))


def _on_disk(inputs: np.ndarray) -> bool:
    array: Any = inputs
    while array is not None:
        if isinstance(array, np.memmap):
            return True
        array = array.base if isinstance(array, np.ndarray) else None
    return False
