"""Learning the head alone: where nothing below it learns, every item is seen once.

    z = head(s(x))        s(x): what is seen of an item by a frozen backbone or encoder

s(x) is computed once for all items, and the head is the network that the loop trains, which takes
seconds where the whole would take hours. A task says

    _seen(inputs)         s of all items, as an array with a row an item
    _head(network)        the part of its network that takes these rows
"""

from __future__ import annotations

import abc
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.estimator import Watch
from depthwise.networks import NetworkEstimator
from depthwise.training import time_left
from depthwise.updates import GradientUpdate, Recipe

__all__ = ["SeesOnce"]


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
        seen = self._seen(inputs)
        held = None if held_out is None else (self._seen(held_out[0]), held_out[1])
        with self._head_alone():
            left = time_left(seconds_limit, begun)
            super()._train(seen, labels, held, checkpoint, left, watch)

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
