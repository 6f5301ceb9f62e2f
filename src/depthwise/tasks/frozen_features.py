"""Learning the head alone: where nothing below it learns, every item is seen once.

    z = head(s(x))        s(x): what is seen of an item by a frozen backbone or encoder

s(x) is computed once for all items, and the head is the network that the loop trains, which takes
seconds where the whole would take hours. A task says

    _seen(inputs)         s of all items, as an array with a row an item
    _head(network)        the part of its network that takes these rows

Under a limit of seconds, as many items are looked at as LOOKING of it suffices for, drawn at
random, and the head learns from these.
"""

from __future__ import annotations

import abc
import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from depthwise.checkpoint import write_atomically
from depthwise.compute import Compute
from depthwise.models.networks import NetworkEstimator
from depthwise.training.run import Run, look_in_time
from depthwise.training.step import GradientUpdate, Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["SeesOnce"]

LOOKING = 0.6  # of a limit of seconds; the rest is for learning
PART = 16  # items that are looked at between two looks at the clock


class SeesOnce(NetworkEstimator):
    """See the top of this file. `stands_on`: the network's attribute that may be frozen."""

    stands_on: ClassVar[str] = "backbone"
    _whole: nn.Module | None = None  # while the head alone is `network_`

    @abc.abstractmethod
    def _seen(self, inputs: np.ndarray) -> np.ndarray:
        """s(x), an item a row."""

    @abc.abstractmethod
    def _head(self, network: Any) -> nn.Module:
        """What stands on s(x)."""

    @property
    def _sees_once(self) -> bool:
        """Whether nothing below the head learns. A task's own encoder, that has never learnt, does
        not say `all_frozen`."""
        return getattr(getattr(self.network_, self.stands_on, None), "all_frozen", False)

    @property
    def _is_alone(self) -> bool:
        """Whether `network_` is the head just now."""
        return self._whole is not None

    @contextlib.contextmanager
    def _head_alone(self) -> Iterator[None]:
        """The head is the network for a while."""
        whole = self._whole = self.network_
        self.network_ = self._head(whole)
        try:
            yield
        finally:
            self.network_ = whole.eval()
            del self._whole

    def _train(self, data: TrainingData, run: Run) -> None:
        if not self._sees_once:
            super()._train(data, run)
            return
        if run.limit is None:
            seen, is_cut = self._features_of(data), False
        else:
            seen, is_cut = self._features_in_time(data, run)
        with self._head_alone():
            super()._train(seen, run)
        if is_cut and self.history_["stopped"] == "finished":
            self.history_["stopped"] = "time"

    def _features_of(self, data: TrainingData) -> TrainingData:
        """s in place of the items, the held-out ones too."""
        held = data.held_out and (self._seen(data.held_out[0]), data.held_out[1])
        return replace(data, inputs=self._seen(data.inputs), held_out=held)

    def _features_in_time(self, data: TrainingData, run: Run) -> tuple[TrainingData, bool]:
        """s of those items that a share of the run's seconds suffices to look at, the held-out part
        likewise, and whether there were more. A run taken up again looks at as many as before."""
        path = None if run.checkpoint is None else _looked_file(run.checkpoint)
        before = json.loads(path.read_text()) if path is not None and path.exists() else [None] * 2
        seconds = LOOKING * (run.seconds_left or 0.0)
        items = len(data) + (len(data.held_out[0]) if data.held_out else 0)
        seen, places = self._seen_in_time(data.inputs, seconds * len(data) / items, before[0])
        counts, held = [len(places), 0], None
        looked = replace(data.at(places), inputs=seen)
        if data.held_out is not None:
            share = seconds * len(data.held_out[0]) / items
            rows, places = self._seen_in_time(data.held_out[0], share, before[1])
            held, counts[1] = (rows, data.held_out[1][places]), len(places)
        if path is not None:
            write_atomically(path, lambda scratch: scratch.write_text(json.dumps(counts)))
        return replace(looked, held_out=held), sum(counts) < items

    def _seen_in_time(
        self, inputs: np.ndarray, seconds: float, count: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """s of the items that `seconds` suffice for, at least one part, or of `count` of them,
        drawn at random, and their places (M,) in ascending order."""
        order = np.random.default_rng(0).permutation(len(inputs))[:count]
        limit = seconds if count is None else None
        rows, places = look_in_time(order, PART, lambda part: self._raw(inputs[part]), limit)
        back = np.argsort(places)
        return self._settled(np.concatenate(rows)[back]), places[back]

    def _raw(self, inputs: np.ndarray) -> np.ndarray:
        """s(x) before it is settled by all that was looked at, as standardising is."""
        return self._seen(inputs)

    def _settled(self, rows: np.ndarray) -> np.ndarray:
        return rows

    def _train_once_more(self, data: TrainingData, recipe: Recipe) -> None:
        if not self._sees_once:
            super()._train_once_more(data, recipe)
            return
        seen = self._features_of(data)
        with self._head_alone():
            super()._train_once_more(seen, recipe)

    def _update(
        self, loss: Callable[[Tensor, Tensor], Tensor], recipe: Recipe, compute: Compute
    ) -> GradientUpdate:
        if self._is_alone:
            return GradientUpdate(self.network_, loss, recipe, compute)
        return super()._update(loss, recipe, compute)


def _looked_file(checkpoint: Path) -> Path:
    """How many items were looked at; one of the checkpoint's `stage_files`."""
    return checkpoint.with_name(f"{checkpoint.stem}.looked{checkpoint.suffix}")
