"""Gradient boosting round by round, from scikit-learn's histograms and tree grower.

    F_0(x) = b,    F_r(x)_k = F_{r-1}(x)_k + eta tree_rk(x)        (Friedman 2001; Ke et al. 2017)
    a leaf's value = -sum_i g_i / (sum_i h_i + l2),  g_i = dL/dF_k, h_i = d2L/dF_k^2 at its items

    classes   L = -log softmax(F)_y       g_k = p_k - [y = k]    h_k = p_k (1 - p_k)
              two classes have one tree a round, F_1 - F_0
    numbers   L = (F_k - y_k)^2 / 2       g_k = F_k - y_k        h_k = 1

Columns are cut into at most 255 bins once. The columns that came from one category (Dataset.columns
says which) are one feature, and a node parts its values in two sets rather than one from the rest.
After each round the held-out items are scored; `patience` rounds without a better score end the
growth, and the rounds up to the best one are kept. The clock is looked at after every tree.

Shapes: N items, D columns, K trees a round.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.grower import TreeGrower

from depthwise.families.boosting.boosting_losses import Loss

__all__ = ["Grown", "Growth", "Part", "Plan", "Tree"]

BINS = 256  # the last one for a category that is blank
PROBE = 16  # a sixteenth of the rows tells what all will take
LARGE = 2_000_000  # numbers: binned in less than a second
FEWEST = 5  # rounds, for which rows are left out where time is short


@dataclass(frozen=True)
class Plan:
    """How to grow.

    | field           | unit, sensible range                                           |
    | --------------- | -------------------------------------------------------------- |
    | `rounds`        | 10 .. 2000                                                     |
    | `learning_rate` | share of each tree that is added, 0.02 .. 0.3                  |
    | `leaves`        | of a tree at most, 4 .. 127                                    |
    | `depth`         | of a tree at most, 3 .. 16                                     |
    | `least_items`   | in a leaf, 1 .. 100                                            |
    | `column_share`  | of the features, drawn anew for each node, 0.2 .. 1            |
    | `l2`            | penalty on a leaf's value, in items, 0 .. 10                   |
    | `patience`      | rounds without a better score before stopping; None for never  |
    | `seed`          | any integer                                                    |
    """

    rounds: int
    learning_rate: float = 0.15
    leaves: int = 31
    depth: int = 8
    least_items: int = 20
    column_share: float = 1.0
    l2: float = 0.0
    patience: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Part:
    """Values of a category, by their columns of the input, and whether they go right; the others go
    the other way, as blanks do."""

    columns: tuple[int, ...]
    goes_right: bool


@dataclass
class Tree:
    """scikit-learn's nodes, (M,) records, `feature_idx` in columns of the input; `sets`: by node,
    what goes where at a node that parts a category."""

    nodes: np.ndarray
    sets: dict[int, Part] = field(default_factory=dict)


@dataclass
class Grown:
    """`rounds` of K trees each, the `baseline` (K,), each round's score on the held-out items, why
    it `stopped`: "finished", "patience", "time" or "interrupted", and the rows it learnt from."""

    rounds: list[list[Tree]]
    baseline: np.ndarray
    scores: list[float]
    stopped: str = "finished"
    rows: int = 0


class Growth:
    """Rounds grown on `columns` (N, D) for `loss`.

    categories: for each category the columns that came from it, as slices.
    seconds_limit: from the making of this object on. threads: of the grower.
    tell: called after each round with the rounds done, the loss on what is learnt from, and the
        best score on what is held out.
    """

    def __init__(
        self,
        plan: Plan,
        loss: Loss,
        categories: Sequence[slice] = (),
        seconds_limit: float | None = None,
        threads: int = 1,
        tell: Callable[[int, float, float | None], None] | None = None,
    ):
        self.plan, self.loss, self.categories = plan, loss, list(categories)
        self.threads, self.tell = threads, tell
        self.deadline = math.inf if seconds_limit is None else time.monotonic() + seconds_limit
        self.rng = np.random.default_rng(plan.seed)

    def grow(
        self,
        columns: np.ndarray,
        targets: np.ndarray,
        weights: np.ndarray | None = None,
        held_out: tuple[np.ndarray, np.ndarray] | None = None,
        start: np.ndarray | None = None,
    ) -> Grown:
        """Rounds from the baseline on, or from F = `start` (N, K), with a baseline of 0."""
        rows = self._affordable(columns, targets)
        if rows is not None:
            columns, targets = columns[rows], targets[rows]
            weights = None if weights is None else weights[rows]
            start = None if start is None else start[rows]
        self._bin(self._features(columns))
        baseline = self.loss.baseline(targets, weights)
        raw = np.tile(baseline, (len(targets), 1)).copy(order="F")
        if start is not None:
            raw[:], baseline = start, np.zeros_like(baseline)
        grown = Grown([], baseline, [], rows=len(targets))
        held = self._held(held_out, baseline)
        try:
            self._rounds(grown, targets, raw, weights, held)
        except KeyboardInterrupt:
            grown.stopped = "interrupted"
        if grown.scores:
            kept = 1 + int(np.argmax(grown.scores))
            del grown.rounds[kept:]
        return grown

    def _rounds(
        self,
        grown: Grown,
        targets: np.ndarray,
        raw: np.ndarray,
        weights: np.ndarray | None,
        held: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
    ) -> None:
        took = 0.0
        for done in range(1, self.plan.rounds + 1):
            started = time.monotonic()
            must = done == 1
            growing = must or started + took < self.deadline
            trees = self._round(targets, raw, weights, held, must) if growing else None
            if trees is None:
                grown.stopped = "time"
                return
            grown.rounds.append(trees)
            took = time.monotonic() - started
            if held is not None:
                grown.scores.append(self.loss.score(held[1], held[2]))
                if self._waited(grown.scores):
                    grown.stopped = "patience"
                    return
            if self.tell:
                score = max(grown.scores, default=None)
                self.tell(done, -self.loss.score(targets, raw), score)

    def _waited(self, scores: list[float]) -> bool:
        patience = self.plan.patience
        return patience is not None and len(scores) - 1 - int(np.argmax(scores)) >= patience

    def _round(
        self,
        targets: np.ndarray,
        raw: np.ndarray,
        weights: np.ndarray | None,
        held: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
        must: bool,
    ) -> list[Tree] | None:
        """One tree for each column of `raw`, which they are added to; None where the time has run
        out before the last one and they are not a `must`."""
        gradients, hessians = self.loss.gradients(targets, raw)
        if weights is not None:
            gradients, hessians = gradients * weights[:, None], hessians * weights[:, None]
        growers: list[Any] = []
        for g, h in zip(gradients.T, hessians.T):
            if growers and not must and time.monotonic() > self.deadline:
                return None
            growers.append(self._tree(g, h))
        for k, grower in enumerate(growers):
            for leaf in grower.finalized_leaves:
                raw[leaf.sample_indices, k] += leaf.value
        return [self._written(grower, k, held) for k, grower in enumerate(growers)]

    def _tree(self, gradients: np.ndarray, hessians: np.ndarray) -> Any:
        plan, bins = self.plan, self.bins
        grower = TreeGrower(
            self.binned,
            np.ascontiguousarray(gradients, np.float32),
            np.ascontiguousarray(hessians, np.float32),
            max_leaf_nodes=plan.leaves,
            max_depth=plan.depth,
            min_samples_leaf=plan.least_items,
            n_bins=BINS,
            n_bins_non_missing=bins.n_bins_non_missing_,
            has_missing_values=self.blanks,
            is_categorical=bins.is_categorical_,
            l2_regularization=plan.l2,
            feature_fraction_per_split=plan.column_share,
            rng=self.rng,
            shrinkage=plan.learning_rate,
            n_threads=self.threads,
        )
        grower.grow()
        if len(grower.finalized_leaves) == 1:  # too few items to part still tell a direction
            step = float(gradients.sum()) / (float(hessians.sum()) + plan.l2 + 1e-12)
            grower.root.value = -plan.learning_rate * step
        return grower

    def _written(
        self, grower: Any, k: int, held: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    ) -> Tree:
        """The tree in columns of the input; its answers are added to the held-out items'."""
        predictor = grower.make_predictor(self.bins.bin_thresholds_)
        if held is not None:
            held[2][:, k] += predictor.predict_binned(held[0], BINS - 1, self.threads)
        nodes = predictor.nodes.copy()
        sets = {}
        for node in np.flatnonzero(nodes["is_categorical"].astype(bool)):
            place = int(nodes["feature_idx"][node]) - len(self.plain)
            bits = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
            sets[int(node)] = self._part(place, bits, bool(nodes["missing_go_to_left"][node]))
        split = np.flatnonzero(
            ~nodes["is_leaf"].astype(bool) & ~nodes["is_categorical"].astype(bool)
        )
        nodes["feature_idx"][split] = self.plain[nodes["feature_idx"][split]]
        return Tree(nodes, sets)

    def _part(self, place: int, bits: np.ndarray, blank_left: bool) -> Part:
        """Of a category's values those that go another way than a blank; `bits`: which go left."""
        first, stop = self.categories[place].start, self.categories[place].stop
        left = [bool(bits[k // 32] >> np.uint32(k % 32) & 1) for k in range(stop - first)]
        return Part(
            tuple(first + k for k, goes in enumerate(left) if goes != blank_left), blank_left
        )

    # -- columns to bins ------------------------------------------------------------------------

    def _features(self, columns: np.ndarray) -> np.ndarray:
        """float64 (N, D'): the plain columns, then a code for each category, NaN for a blank."""
        taken = np.zeros(columns.shape[1], bool)
        for part in self.categories:
            taken[part] = True
        self.plain = np.flatnonzero(~taken)
        blocks = [columns[:, self.plain].astype(np.float64)]
        for part in self.categories:
            one_hot = columns[:, part]
            codes = np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), math.nan)
            blocks.append(codes[:, None])
        return np.concatenate(blocks, axis=1) if self.categories else blocks[0]

    def _bin(self, features: np.ndarray) -> None:
        plain = len(self.plain)
        known: list[Any] = [None] * plain
        known += [np.arange(part.stop - part.start, dtype=np.float64) for part in self.categories]
        self.bins = _BinMapper(
            n_bins=BINS,
            is_categorical=np.arange(len(known)) >= plain,
            known_categories=known,
            random_state=self.plan.seed,
            n_threads=self.threads,
        )
        self.binned = self.bins.fit_transform(features)
        self.blanks = (self.binned == BINS - 1).any(axis=0).astype(np.uint8)

    def _held(
        self, held_out: tuple[np.ndarray, np.ndarray] | None, baseline: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Bins, targets and F of the held-out items."""
        if held_out is None or not len(held_out[1]):
            return None
        binned = self.bins.transform(self._features(held_out[0]))
        return np.ascontiguousarray(binned), held_out[1], np.tile(baseline, (len(binned), 1))

    def _affordable(self, columns: np.ndarray, targets: np.ndarray) -> np.ndarray | None:
        """Rows that can be binned and seen FEWEST times before the deadline, spread over all; None
        for all of them. Time is told from a sixteenth, to which it is at most proportional."""
        if math.isinf(self.deadline) or columns.size < LARGE:
            return None
        started = time.monotonic()
        some = self.rng.permutation(len(columns))
        probe = some[: max(1000, len(columns) // PROBE)]
        self._bin(self._features(columns[probe]))
        binned_in = time.monotonic() - started
        raw = np.tile(self.loss.baseline(targets[probe], None), (len(probe), 1))
        gradients, hessians = self.loss.gradients(targets[probe], raw)
        self._tree(gradients[:, 0], hessians[:, 0])
        trees = FEWEST * raw.shape[1] * (time.monotonic() - started - binned_in)
        share = (self.deadline - time.monotonic()) / (binned_in + trees)
        rows = int(len(probe) * max(share, 1.0))
        return None if rows >= len(columns) else np.sort(some[:rows])
