"""The deep belief network's ladder of sizes, what its settings may be, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from depthwise.errors import InputError
from depthwise.settings import whole_numbers
from depthwise.training.schedules import Passes, of_quality
from depthwise.training.step import Recipe

__all__ = ["SIZES", "check_settings", "of_layer", "recipe", "widths"]

# size -> units of each layer
SIZES: dict[str, tuple[int, ...]] = {
    "s": (128, 128),
    "m": (256, 512),
    "l": (500, 500, 2000),
}
# of each layer's learning, where `epochs` is auto
PASSES = {"fast": Passes(2_100, 10, 100), "paper": Passes(4_000, 10, 200)}


def widths(model: Any) -> tuple[int, ...]:
    """Units of each layer, bottom up. Raises InputError."""
    if model.hidden is not None:
        units = whole_numbers("hidden", model.hidden, "positive layer widths")
        if not units:
            raise InputError(f"hidden must be positive layer widths; got {model.hidden!r}.")
        return units
    own: tuple[int, ...] = model._rung()
    return own


def of_layer(setting: Any, depth: int) -> Any:
    """A setting that is one for all layers, or a tuple with one for each."""
    return setting[depth] if isinstance(setting, tuple | list) else setting


def recipe(model: Any, items: int, depth: int) -> Recipe:
    """How the machine at `depth` learns from `items`, "auto" filled in."""
    small = min(100, max(10, items // 20))
    batch_size = small if model.batch_size == "auto" else int(model.batch_size)
    passes = of_quality(model.quality, PASSES).epochs(items, batch_size)
    epochs = of_layer(model.epochs, depth)
    return Recipe(
        epochs=passes if epochs == "auto" else float(epochs),
        batch_size=batch_size,
        lr=float(of_layer(model.lr, depth)),
        schedule="cosine",
        average=model.average,
        seed=model._seed(),
    )


def check_settings(model: Any) -> None:
    """Raises InputError naming the first setting that is wrong, its value and a remedy."""
    for name, holds, remedy in (*_of_layers(model), *_numbers(model), *_choices(model)):
        if not holds:
            raise InputError(f"{name} must be {remedy}; got {getattr(model, name)!r}.")


def _of_layers(model: Any) -> Iterator[tuple[str, bool, str]]:
    layers = len(widths(model))
    for name in ("epochs", "lr"):
        value = getattr(model, name)
        given = value if isinstance(value, tuple | list) else [value] * layers
        fits = all(_above_zero(v) or (v, name) == ("auto", "epochs") for v in given)
        yield name, fits and len(given) == layers, "above 0, or a tuple with one for each layer"


def _numbers(model: Any) -> Iterator[tuple[str, bool, str]]:
    passes = model.finetune_epochs
    auto = isinstance(passes, str) and passes == "auto"
    yield "finetune_epochs", auto or _within(passes, 0, math.inf), 'at least 0 or "auto"'
    yield "finetune_lr", _above_zero(model.finetune_lr), "above 0, say 0.02"
    yield "discriminative", _within(model.discriminative, 0, math.inf), "at least 0, say 5"
    for name in ("momentum", "weight_decay", "average"):
        yield name, _within(getattr(model, name), 0, 1), "in [0, 1)"
    for name in ("k", "sample_sweeps", "draws"):
        yield name, _whole(getattr(model, name)), "a whole number, at least 1"


def _choices(model: Any) -> Iterator[tuple[str, bool, str]]:
    whole = _whole(model.batch_size) or model.batch_size == "auto"
    yield "batch_size", whole, 'a whole number, at least 1, or "auto"'
    yield "persistent", model.persistent in ("no", "top", "all"), '"no", "top" or "all"'
    sweeps = whole_numbers("sweeps", model.sweeps, "whole numbers of at least 1")
    yield "sweeps", bool(sweeps), "whole numbers, such as (3, 6, 10)"


def _within(value: Any, low: float, high: float) -> bool:
    return bool(isinstance(value, int | float | np.number) and low <= value < high)


def _above_zero(value: Any) -> bool:
    return _within(value, 0, math.inf) and bool(value > 0)


def _whole(value: Any) -> bool:
    return bool(isinstance(value, int | np.integer) and value >= 1)
