"""Frozen features: where nothing below the head learns, each item goes through it once.

    z = head(s(x))        s(x): the features that a frozen backbone or encoder makes of an item

s(x) is computed once for all items, and the head is the network that the loop trains, which takes
seconds where the whole would take hours. An estimator gives a `FrozenFeatures` where its network is
so, None else (`NetworkEstimator._frozen_features`).

Under a limit of seconds, as many items are looked at as LOOKING of it suffices for, drawn at
random, and the head learns from these.

Shapes: N items, M items looked at, F features.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import nn

from depthwise.checkpoint import write_atomically
from depthwise.training.run import Run, look_in_time
from depthwise.training.training_data import TrainingData

__all__ = ["FrozenFeatures", "head_alone"]

LOOKING = 0.6  # of a limit of seconds; the rest is for learning
PART = 16  # items that are looked at between two looks at the clock

Rows = Callable[[np.ndarray], np.ndarray]
# (items, seconds, how many of them at most) -> s of those there is time for, their places (M,)
InTime = Callable[[np.ndarray, float, int | None], tuple[np.ndarray, np.ndarray]]


def _as_it_is(rows: np.ndarray) -> np.ndarray:
    return rows


@dataclass(frozen=True)
class FrozenFeatures:
    """s, and the part of the network that takes it.

    raw: items (N, ...) -> features (N, F, ...); finish: what all that were looked at decide, such
    as standardising; in_time: in place of looking at items in random order, PART at a time.
    """

    raw: Rows
    head: nn.Module
    finish: Rows = _as_it_is
    in_time: InTime | None = None

    def of(self, inputs: np.ndarray) -> np.ndarray:
        """s(x), an item a row."""
        return self.finish(self.raw(inputs))

    def of_data(self, data: TrainingData) -> TrainingData:
        """s in place of the items, and after these, which may set how s is finished, in place of
        the held-out ones."""
        features = self.of(data.inputs)
        held = data.held_out and (self.of(data.held_out[0]), data.held_out[1])
        return replace(data, inputs=features, held_out=held)

    def of_data_in_time(self, data: TrainingData, run: Run) -> tuple[TrainingData, bool]:
        """s of those items that a share of the run's seconds suffices to look at, the held-out part
        likewise, and whether there were more. A run taken up again looks at as many as before."""
        path = None if run.checkpoint is None else _looked_file(run.checkpoint)
        before = json.loads(path.read_text()) if path is not None and path.exists() else [None] * 2
        seconds, look = LOOKING * (run.seconds_left or 0.0), self.in_time or self.seen_in_time
        items = len(data) + (len(data.held_out[0]) if data.held_out else 0)
        rows, places = look(data.inputs, seconds * len(data) / items, before[0])
        counts, held = [len(places), 0], None
        looked = replace(data.at(places), inputs=rows)
        if data.held_out is not None:
            share = seconds * len(data.held_out[0]) / items
            rows, places = look(data.held_out[0], share, before[1])
            held, counts[1] = (rows, data.held_out[1][places]), len(places)
        if path is not None:
            write_atomically(path, lambda scratch: scratch.write_text(json.dumps(counts)))
        return replace(looked, held_out=held), sum(counts) < items

    def seen_in_time(
        self, inputs: np.ndarray, seconds: float, count: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """s of the items that `seconds` suffice for, at least one part, or of `count` of them,
        drawn at random, and their places (M,) in ascending order."""
        order = np.random.default_rng(0).permutation(len(inputs))[:count]
        limit = seconds if count is None else None
        rows, places = look_in_time(order, PART, lambda part: self.raw(inputs[part]), limit)
        back = np.argsort(places)
        return self.finish(np.concatenate(rows)[back]), places[back]


class HasHead(Protocol):
    """An estimator whose head may learn alone. _whole: its network meanwhile, else None."""

    network_: nn.Module
    history_: dict[str, Any]
    _whole: nn.Module | None


@contextlib.contextmanager
def head_alone(
    model: HasHead, features: FrozenFeatures, data: TrainingData, run: Run
) -> Iterator[TrainingData]:
    """Inside, the head is the model's network, and the data are features of the items."""
    if run.limit is None:
        seen, is_cut = features.of_data(data), False
    else:
        seen, is_cut = features.of_data_in_time(data, run)
    whole = model._whole = model.network_
    model.network_ = features.head
    try:
        yield seen
    finally:
        model.network_ = whole.eval()
        del model._whole
    if is_cut and model.history_["stopped"] == "finished":
        model.history_["stopped"] = "time"


def _looked_file(checkpoint: Path) -> Path:
    """How many items were looked at; one of the checkpoint's `stage_files`."""
    return checkpoint.with_name(f"{checkpoint.stem}.looked{checkpoint.suffix}")
