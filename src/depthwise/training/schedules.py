"""How long training lasts where `epochs` is "auto".

    quality="fast"    the default: until accuracy hardly rises any more, as measured on the data of
                      benchmarks/promises/default_fits.py
    quality="paper"   the long schedules that published figures were reached with

    steps an epoch    ceil(N / batch)
    epochs            steps / (steps an epoch), within fewest .. most passes over the data

Shapes: N items.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from depthwise.errors import InputError

__all__ = ["Passes", "of_quality", "require_quality"]

OF_FEW_ITEMS = 100  # passes at most
QUALITIES = ("fast", "paper")
Chosen = TypeVar("Chosen")


@dataclass(frozen=True)
class Passes:
    """About `steps` updates, within `fewest` .. `most` passes over the data.

    least_steps: of few items more passes than `most`, up to 100, until there are so many updates.
    easy: passes that are enough where the training loss soon shows that there is little to learn; 0
    for no such shortening.
    least_batch: items a step at least, where the batch size is "auto" too; small batches are many
    steps, and a step of a small network takes the same time whatever its batch.
    """

    steps: int
    fewest: int
    most: int
    least_steps: int = 0
    least_batch: int = 8
    easy: int = 0

    def epochs(self, items: int, batch_size: int) -> int:
        """Passes over `items` in batches of `batch_size`."""
        steps_per_epoch = math.ceil(items / batch_size)
        usual = min(self.most, max(self.fewest, round(self.steps / steps_per_epoch)))
        return max(usual, min(OF_FEW_ITEMS, math.ceil(self.least_steps / steps_per_epoch)))


def of_quality(quality: str, ways: Mapping[str, Chosen]) -> Chosen:
    """What `ways` has for a model's `quality`. Raises InputError for one that there is not."""
    if not isinstance(quality, str) or quality not in ways:
        raise InputError(f"quality must be {' or '.join(map(repr, ways))}; got {quality!r}.")
    return ways[quality]


def require_quality(quality: str) -> None:
    """Raises InputError for a quality that there is not."""
    of_quality(quality, dict.fromkeys(QUALITIES))
