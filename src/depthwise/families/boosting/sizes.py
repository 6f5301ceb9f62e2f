"""What boosting of labels and of numbers share: settings, growing with an eye on the clock, and
what watchers are told.

Shapes: N items, D columns, K trees a round.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from depthwise.compute import free_cores
from depthwise.data.tables.columns import category_slices
from depthwise.families.boosting.boosting_losses import Loss
from depthwise.families.boosting.rounds import Grown, Growth, Plan
from depthwise.models.estimator import Estimator
from depthwise.settings import AUTO, NONE, check_settings, number, one_of, setting, settings, whole
from depthwise.training.events import Event, Watch
from depthwise.training.run import Run
from depthwise.training.training_data import TrainingData

__all__ = ["Boosting", "as_columns"]

MORE = 10  # rounds that a call of partial_fit adds
EVERY = 0.25  # seconds between two events
LEAVES, DEPTH = 31, 8
TREES = {  # by size
    "xs": Plan(150, 0.05, leaves=8, depth=5, column_share=0.5, l2=10.0),
    "s": Plan(20, 0.15, LEAVES, DEPTH),
    "m": Plan(100, 0.15, LEAVES, DEPTH),
    "l": Plan(500, 0.1, LEAVES, 12, least_items=10, column_share=0.7, l2=1.0),
}


@settings
class Boosting(Estimator):
    """See GradientBoosting for the meaning of the settings."""

    priority: ClassVar[dict[str, int]] = {"images": 8, "table": 0}
    # where rounds are cut by the clock, those of the largest are worth as much as a small one's
    first_sizes: ClassVar[tuple[str, ...]] = ("l", "xs", "m", "s")
    resource: ClassVar[str] = "max_iter"
    resumes: ClassVar[bool] = False
    sizes: ClassVar[dict[str, int]] = {size: plan.rounds for size, plan in TREES.items()}

    size: str = setting(
        default="m",
        doc='"xs" (150 rounds of trees with 8 leaves, for few or noisy items), "s" (20 rounds of '
        '31 leaves), "m" (100 rounds) or "l" (500 rounds of deeper trees, each node choosing '
        "among some of the features); a round is one tree a class or target",
    )
    max_iter: int | None = setting(
        default=None,
        range=whole("[1, inf)", usual=(10, 2000)) | NONE,
        doc="rounds at most, in place of the size's",
    )
    learning_rate: float | str = setting(
        default="auto",
        range=number("(0, inf)", usual=(0.03, 0.3)) | AUTO,
        doc='share of each tree that is added; "auto" is 0.05 of "xs", 0.15 of "s" and "m", 0.1 '
        'of "l"',
    )
    patience: int | str | None = setting(
        default="auto",
        range=whole("[1, inf)", usual=(5, 100)) | one_of("auto", None),
        doc='rounds without a smaller loss on `validation` before stopping; "auto" is 1.5 / '
        "learning_rate; the rounds up to the best one are kept",
    )
    random_state: Any = setting(
        default=0, doc="seed of the binning's sample and of the features that nodes choose among"
    )

    def _weigh(self, data: TrainingData, sample_weight: Any) -> TrainingData:
        """With the items of weight 0 too: thresholds are put between them as between others."""
        weights = self._checked_weights(sample_weight, data.targets, len(data))
        return replace(data, weights=weights)

    def _grown(self, loss: Loss, data: TrainingData, run: Run) -> Grown:
        """Rounds on the data, until they or the seconds of the run are over."""
        plan, threads, held = self._plan(), free_cores(), data.held_out
        limit = None if run.limit is None else run.limit - run.seconds
        tell = None if run.watch is None else _Telling(run.watch, plan.rounds, len(data))
        growth = Growth(plan, loss, category_slices(self.columns_), limit, threads, tell)
        held = held and (as_columns(held[0]), held[1])
        with threadpool_limits(threads):
            grown = growth.grow(as_columns(data.inputs), data.targets, data.weights, held)
        if not grown.rounds:
            raise KeyboardInterrupt  # before there was anything to keep
        return grown

    def _more(
        self, loss: Loss, columns: np.ndarray, targets: np.ndarray, start: np.ndarray
    ) -> Grown:
        """MORE rounds on columns (N, D), from the answers `start` (N, K) on."""
        plan = replace(self._plan(), rounds=MORE, patience=None)
        growth = Growth(plan, loss, threads=free_cores())
        with threadpool_limits(growth.threads):
            return growth.grow(columns, targets, start=start)

    def _record_rounds(self, grown: Grown, data: TrainingData, run: Run) -> None:
        stopped = grown.stopped == "interrupted"  # by the callback, which is not called again
        self._record(len(grown.rounds), data, replace(run, watch=None) if stopped else run)
        self.history_ |= {"stopped": grown.stopped, "rows": grown.rows}

    def refit_settings(self, length: float) -> dict[str, Any] | None:
        return {"max_iter": int(length), "patience": None}

    def _plan(self) -> Plan:
        """Of its size, with what was set in place."""
        check_settings(self)
        rounds, plan, auto = self._rounds(), TREES[self.size], self.learning_rate == "auto"
        rate = plan.learning_rate if auto else float(self.learning_rate)
        patience: Any = math.ceil(1.5 / rate) if self.patience == "auto" else self.patience
        seed = self._seed()
        return replace(plan, rounds=rounds, learning_rate=rate, patience=patience, seed=seed)

    def _rounds(self) -> int:
        own: int = self._rung()
        return own if self.max_iter is None else int(self.max_iter)


class _Telling:
    """Turns rounds into events, a few a second."""

    def __init__(self, watch: Watch, rounds: int, items: int):
        self.watch, self.rounds, self.items = watch, rounds, items
        self.begun = self.told = time.monotonic()

    def __call__(self, done: int, loss: float, score: float | None) -> None:
        now = time.monotonic()
        if now - self.told < EVERY:
            return
        self.told, seconds = now, now - self.begun
        self.watch(Event.at(done, self.rounds, seconds, loss=loss, score=score, items=self.items))


def as_columns(inputs: np.ndarray) -> np.ndarray:
    """(N, ...) -> (N, D)"""
    return inputs.reshape(len(inputs), -1)
