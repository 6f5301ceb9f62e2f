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
from depthwise.families.boosting.rounds import Grown, Growth, Loss, Plan
from depthwise.models.supervised import Supervised, Watch
from depthwise.settings import settings
from depthwise.training.loop import Event

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
class Boosting(Supervised):
    """See GradientBoosting for the meaning of the settings."""

    priority: ClassVar[dict[str, int]] = {"images": 8, "table": 0}
    # where rounds are cut by the clock, those of the largest are worth as much as a small one's
    first_sizes: ClassVar[tuple[str, ...]] = ("l", "xs", "m", "s")
    resource: ClassVar[str] = "max_iter"
    resumes: ClassVar[bool] = False
    sizes: ClassVar[dict[str, int]] = {size: plan.rounds for size, plan in TREES.items()}

    size: str = "m"
    max_iter: int | None = None
    learning_rate: float | str = "auto"
    patience: int | str | None = "auto"
    random_state: Any = 0

    def _grown(
        self,
        loss: Loss,
        parts: tuple[np.ndarray, np.ndarray, np.ndarray | None, Any],
        started: float,
        seconds_limit: float | None,
        watch: Watch | None,
    ) -> Grown:
        """Rounds on `parts`: inputs (N, ...), targets, weights and what is held out, if anything;
        until they or the seconds since `started` are over."""
        inputs, targets, weights, held_out = parts
        plan, threads = self._plan(), free_cores()
        limit = None if seconds_limit is None else seconds_limit - (time.monotonic() - started)
        tell = None if watch is None else _Telling(watch, plan.rounds, len(inputs))
        growth = Growth(plan, loss, category_slices(self.columns_), limit, threads, tell)
        held = None if held_out is None else (as_columns(held_out[0]), held_out[1])
        with threadpool_limits(threads):
            grown = growth.grow(as_columns(inputs), targets, weights, held)
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

    def _record_rounds(
        self, grown: Grown, started: float, held_out: Any, watch: Watch | None
    ) -> None:
        stopped = grown.stopped == "interrupted"  # whoever is told stopped it
        self._record(len(grown.rounds), started, held_out, None if stopped else watch)
        self.history_ |= {"stopped": grown.stopped, "rows": grown.rows}

    def refit_settings(self, length: float) -> dict[str, Any] | None:
        return {"max_iter": int(length), "patience": None}

    def _plan(self) -> Plan:
        """Of its size, with what was set in place."""
        rounds, plan = self._rounds(), TREES[self.size]
        auto, whole = self.learning_rate == "auto", isinstance(self.patience, int | np.integer)
        positive = not isinstance(self.learning_rate, str) and self.learning_rate > 0
        self._require("learning_rate", auto or positive, 'above 0, say 0.15, or "auto"')
        rate = plan.learning_rate if auto else float(self.learning_rate)
        known = self.patience in (None, "auto") or (whole and int(self.patience or 0) >= 1)
        self._require("patience", known, 'at least 1, None or "auto"')
        patience: Any = math.ceil(1.5 / rate) if self.patience == "auto" else self.patience
        seed = self._seed()
        return replace(plan, rounds=rounds, learning_rate=rate, patience=patience, seed=seed)

    def _rounds(self) -> int:
        rounds: int = self._rung()
        if self.max_iter is not None:
            self._require("max_iter", self.max_iter >= 1, "at least 1")
            rounds = int(self.max_iter)
        return rounds


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
        self.watch(
            Event(
                epoch=done,
                epochs=self.rounds,
                step=done,
                steps=self.rounds,
                loss=loss,
                score=score,
                items_per_second=done * self.items / max(seconds, 1e-9),
                seconds=seconds,
                seconds_left=(self.rounds - done) * seconds / done,
            )
        )


def as_columns(inputs: np.ndarray) -> np.ndarray:
    """(N, ...) -> (N, D)"""
    return inputs.reshape(len(inputs), -1)
