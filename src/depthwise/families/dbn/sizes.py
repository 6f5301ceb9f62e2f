"""The deep belief network's ladder of sizes, what its settings may be, and what they come to."""

from __future__ import annotations

from typing import Any, Protocol

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


class _Settings(Protocol):
    """The settings of a belief network of which each layer may have its own."""

    quality: str
    epochs: Any  # float | "auto", or a tuple with one for each layer
    batch_size: int | str
    lr: float | tuple[float, ...]
    average: float
    sweeps: int | tuple[int, ...]


def widths(rung: tuple[int, ...], hidden: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """Units of each layer, bottom up: of `hidden`, or the rung's. Raises InputError."""
    if hidden is None:
        return rung
    units = whole_numbers("hidden", hidden, "positive layer widths")
    if not units:
        raise InputError(f"hidden must be positive layer widths; got {hidden!r}.")
    return units


def of_layer(setting: Any, depth: int) -> Any:
    """A setting that is one for all layers, or a tuple with one for each."""
    return setting[depth] if isinstance(setting, tuple | list) else setting


def recipe(its: _Settings, items: int, depth: int, seed: int) -> Recipe:
    """How the machine at `depth` learns from `items`, "auto" filled in."""
    small = min(100, max(10, items // 20))
    batch_size = small if its.batch_size == "auto" else int(its.batch_size)
    passes = of_quality(its.quality, PASSES).epochs(items, batch_size)
    epochs = of_layer(its.epochs, depth)
    return Recipe(
        epochs=passes if epochs == "auto" else float(epochs),
        batch_size=batch_size,
        lr=float(of_layer(its.lr, depth)),
        schedule="cosine",
        average=its.average,
        seed=seed,
    )


def check_layers(its: _Settings, layers: int) -> None:
    """Raises InputError where a setting has not one value for each of so many layers."""
    for name, value in (("epochs", its.epochs), ("lr", its.lr)):
        if isinstance(value, tuple | list) and len(value) != layers:
            raise InputError(
                f"{name} must be one number, or a tuple with one for each of {layers} layers; "
                f"got {value!r}."
            )
    if not whole_numbers("sweeps", its.sweeps, "whole numbers of at least 1"):
        raise InputError(f"sweeps must be whole numbers, such as (3, 6, 10); got {its.sweeps!r}.")
