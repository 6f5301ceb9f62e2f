"""The deep belief network's ladder of sizes, what its settings may be, and what they come to."""

from __future__ import annotations

from typing import Any

from depthwise.errors import InputError
from depthwise.settings import whole_numbers
from depthwise.training.schedules import Passes, of_quality
from depthwise.training.step import Recipe

__all__ = ["SIZES", "check_layers", "of_layer", "recipe", "widths"]

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


def check_layers(model: Any) -> None:
    """Raises InputError where a setting has not one value for each layer."""
    layers = len(widths(model))
    for name in ("epochs", "lr"):
        value = getattr(model, name)
        if isinstance(value, tuple | list) and len(value) != layers:
            raise InputError(
                f"{name} must be one number, or a tuple with one for each of {layers} layers; "
                f"got {value!r}."
            )
    if not whole_numbers("sweeps", model.sweeps, "whole numbers of at least 1"):
        raise InputError(f"sweeps must be whole numbers, such as (3, 6, 10); got {model.sweeps!r}.")
