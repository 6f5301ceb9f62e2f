"""How the steps of a network are computed fastest: precision, memory layout and threads.

A few steps are timed each way, for a small share of the time that training will take, and the
choice is remembered for the machine. Where a network is tiny, or a GPU has little time, nothing is
timed.

Shapes: N items.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from depthwise.compute import (
    Compute,
    cached_choice,
    fastest,
    has_bfloat16,
    is_gpu,
    own_randomness,
    with_threads,
)
from depthwise.reshaping.int8 import learning
from depthwise.training.graphs import RecordedUpdate, settled_step_seconds
from depthwise.training.step import GradientUpdate, Recipe, Update

__all__ = ["Work", "choose_compute"]

TIMED_STEPS, TIMED_ROUNDS = 2, 3  # steps a run, runs that count
FEW_ITEMS = 8  # of a first step, which says how long a batch would take
LEAST_GPU_LIMIT = 60.0  # seconds of a run, below which ways to compute on a GPU are not timed
TIMING_SHARE, LEAST_TIMING, MOST_TIMING = 0.03, 0.5, 5.0  # of the run; seconds


@dataclass(frozen=True)
class Work:
    """What is to be computed: the steps of a fit on x (N, ...) and y (N, ...). of_images: whether
    the network takes nothing else; limit: seconds, or None."""

    network: nn.Module
    x: Tensor
    y: Any
    recipe: Recipe
    loss: Callable[[Tensor, Tensor], Tensor]
    of_images: bool
    limit: float | None = None

    @property
    def batch_size(self) -> int:
        return min(len(self.x), self.recipe.batch_size)

    def update(self, compute: Compute) -> GradientUpdate:
        """Of a copy of the network."""
        trial = compute.place(copy.deepcopy(self.network)).train()
        return GradientUpdate(trial, self.loss, self.recipe, compute)

    def batch(self, items: int, device: str) -> tuple[Tensor, Any]:
        return self.x[:items].to(device), self.y[:items].to(device)

    def steps(self, compute: Compute, items: int) -> None:
        """TIMED_STEPS of so many items."""
        update = self.update(compute)
        with learning(update.network):
            for _ in range(TIMED_STEPS):
                update(*self.batch(items, compute.device), 0.5)

    def settled(self, compute: Compute) -> float:
        """Seconds of a step once kernels are loaded, recorded where that is the way."""
        plain = self.update(compute)
        with learning(plain.network):
            update: Update = RecordedUpdate(plain) if compute.graph else plain
            batch = self.batch(self.batch_size, compute.device)
            return settled_step_seconds(update, *batch, compute)

    def race(self, plain: Compute, ways: list[Compute]) -> Compute | None:
        """The fastest way; None where a first step shows that trying all takes too long."""
        few = min(self.batch_size, FEW_ITEMS)
        for _ in range(2):  # the first steps prepare kernels
            started = time.perf_counter()
            self.steps(plain, few)
        item = (time.perf_counter() - started) / few / TIMED_STEPS
        seconds = _timing_seconds(item * len(self.x) * self.recipe.epochs, self.limit)
        if item * few * TIMED_STEPS * len(ways) * 2 > 2 * seconds:
            return None
        fit = seconds / (item * TIMED_STEPS * len(ways) * (1 + TIMED_ROUNDS))
        items = max(few, min(self.batch_size, int(fit)))
        options: dict[str, Any] = {"rounds": TIMED_ROUNDS, "seconds": seconds}
        return fastest(lambda way: self.steps(way, items), ways, **options)


def choose_compute(
    work: Work, plain: Compute, *, auto_precision: bool, auto_threads: bool
) -> Compute:
    """`plain`, or the way that is faster, of those that settings leave open."""
    device = plain.device
    if _is_tiny(work.network, work.x):
        return plain
    shape = (work.batch_size, *work.x.shape[1:])
    precision = "auto" if auto_precision else plain.precision
    threads = "auto" if auto_threads else plain.threads
    key = f"{work.network!r}|{shape}|{device}|{precision}|{threads}"
    race = partial(work.race, plain)
    with own_randomness(device=device):
        ways = _ways(work, plain, auto_precision)  # the last is what mostly wins
        if is_gpu(device):
            hurry = work.limit is not None and work.limit < LEAST_GPU_LIMIT
            by_step = partial(_least, work.settled, ways)
            return ways[-1] if hurry else cached_choice(f"{key}|{plain.graph}", by_step)
        compute = cached_choice(key, lambda: race(ways), otherwise=ways[-1])
        if auto_threads and device == "cpu":
            return with_threads(key, compute, race)
    return compute


def _ways(work: Work, plain: Compute, auto_precision: bool) -> list[Compute]:
    """Precisions and layouts to try; on one thread, which a busy machine disturbs least."""
    several = auto_precision and has_bfloat16(plain.device)
    precisions = ("float32", "bfloat16") if several else (plain.precision,)
    layouts = (False, True) if work.x.dim() >= 4 and work.of_images else (False,)
    return [
        replace(plain, precision=precision, channels_last=layout)
        for precision in precisions
        for layout in layouts
    ]


def _timing_seconds(training: float, limit: float | None) -> float:
    """How long to time ways to compute a run that takes `training` seconds, or `limit` at most."""
    return min(MOST_TIMING, max(LEAST_TIMING, TIMING_SHARE * min(training, limit or math.inf)))


def _least(seconds: Callable[[Compute], float], ways: list[Compute]) -> Compute:
    """The way of the least seconds."""
    taken = []
    for way in ways:
        with way.active():
            taken.append(seconds(way))
    return ways[taken.index(min(taken))]


def _is_tiny(network: nn.Module, x: Tensor) -> bool:
    """So little work that choosing how to do it would cost more than doing it."""
    weights = sum(p.numel() for p in network.parameters())
    positions = 1
    if x.dim() >= 4:  # of images, or of all frames of clips
        positions = x[0].numel() // x.shape[-3]
    return len(x) * weights * positions < 2e9
