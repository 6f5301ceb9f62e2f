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
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from depthwise.checkpoint import write_atomically
from depthwise.compute import Compute
from depthwise.models.networks import NetworkEstimator
from depthwise.models.supervised import Watch
from depthwise.training.loop import look_in_time, time_left
from depthwise.training.step import GradientUpdate, Recipe

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

    def _train(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        held_out: tuple[np.ndarray, np.ndarray] | None,
        checkpoint: str | Path | None,
        seconds_limit: float | None,
        watch: Watch | None,
    ) -> None:
        if not self._sees_once:
            super()._train(inputs, labels, held_out, checkpoint, seconds_limit, watch)
            return
        begun = time.monotonic()
        if seconds_limit is None:
            seen, is_cut = self._seen(inputs), False
            held = None if held_out is None else (self._seen(held_out[0]), held_out[1])
        else:
            seen, labels, held, is_cut = self._cut(
                inputs, labels, held_out, checkpoint, LOOKING * seconds_limit
            )
        with self._head_alone():
            left = time_left(seconds_limit, begun)
            super()._train(seen, labels, held, checkpoint, left, watch)
        if is_cut and self.history_["stopped"] == "finished":
            self.history_["stopped"] = "time"

    def _cut(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        held_out: tuple[np.ndarray, np.ndarray] | None,
        checkpoint: str | Path | None,
        seconds: float,
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None, bool]:
        """s of those items that `seconds` suffice to look at, their labels, the held-out part
        likewise, and whether there were more. A run taken up again looks at as many as before."""
        path = None if checkpoint is None else _looked_file(Path(checkpoint))
        before = json.loads(path.read_text()) if path is not None and path.exists() else [None] * 2
        items = len(inputs) + (len(held_out[0]) if held_out else 0)
        seen, places = self._seen_in_time(inputs, seconds * len(inputs) / items, before[0])
        labels = labels[places]
        self._weights = None if self._weights is None else self._weights[places]
        counts, held = [len(places), 0], None
        if held_out is not None:
            share = seconds * len(held_out[0]) / items
            rows, places = self._seen_in_time(held_out[0], share, before[1])
            held, counts[1] = (rows, held_out[1][places]), len(places)
        if path is not None:
            write_atomically(path, lambda scratch: scratch.write_text(json.dumps(counts)))
        return seen, labels, held, sum(counts) < items

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

    def _run(
        self,
        inputs: np.ndarray,
        labels: np.ndarray,
        recipe: Recipe,
        state: dict[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        if self._is_alone or not self._sees_once:
            return super()._run(inputs, labels, recipe, state, **options)
        seen = self._seen(inputs)
        with self._head_alone():
            return super()._run(seen, labels, recipe, state, **options)

    def _update(
        self, loss: Callable[[Tensor, Tensor], Tensor], recipe: Recipe, compute: Compute
    ) -> GradientUpdate:
        if self._is_alone:
            return GradientUpdate(self.network_, loss, recipe, compute)
        return super()._update(loss, recipe, compute)


def _looked_file(checkpoint: Path) -> Path:
    """How many items were looked at; one of the checkpoint's `stage_files`."""
    return checkpoint.with_name(f"{checkpoint.stem}.looked{checkpoint.suffix}")
