"""The settings of a deep Boltzmann machine: its ladder of sizes, and what each may be.

Settings are stored unchecked, as scikit-learn asks, and checked when they are used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from depthwise.errors import InputError
from depthwise.settings import whole_numbers

__all__ = ["SIZES", "check_settings", "layer_widths"]

# size -> units of each layer
SIZES: dict[str, tuple[int, ...]] = {
    "s": (128, 128),
    "m": (256, 512),
    "l": (500, 1000),
}


def layer_widths(hidden: Any, size: str) -> tuple[int, ...]:
    """Units of each hidden layer, bottom up. Raises InputError."""
    if hidden is not None:
        widths = whole_numbers("hidden", hidden, "the widths of 2 layers or more")
        if len(widths) < 2:
            raise InputError(
                f"hidden must be the widths of 2 layers or more; got {hidden!r}. With one hidden "
                "layer it is an RBM."
            )
        return widths
    if size not in SIZES:
        raise InputError(f"size must be one of {', '.join(SIZES)}; got {size!r}.")
    return SIZES[size]


def check_settings(model: Any) -> None:
    """Raises InputError for the first setting that is wrong, with its value."""
    layer_widths(model.hidden, model.size)
    for name in ("epochs", "batch_size"):
        _require(model, name, _auto_or(model, name, 1e-9), 'a number above 0 or "auto"')
    for name in ("pretrain_epochs", "finetune_epochs"):
        _require(model, name, _auto_or(model, name, 0), 'a number, 0 or more, or "auto"')
    whole = model.batch_size == "auto" or _whole(model.batch_size)
    _require(model, "batch_size", whole, 'a whole number or "auto"')
    for name in ("lr", "pretrain_lr"):
        _require(model, name, _within(getattr(model, name), 1e-12, math.inf), "above 0, say 0.01")
    rate = _auto_or(model, "finetune_lr", 1e-12)
    _require(model, "finetune_lr", rate, 'above 0, say 0.003, or "auto"')
    for name in ("chains", "sweeps", "mean_field_steps", "sample_sweeps"):
        _require(model, name, _whole(getattr(model, name)), "a whole number, at least 1")
    for name in ("weight_decay", "dropout", "input_dropout"):
        _require(model, name, _within(getattr(model, name), 0, 1), "in [0, 1)")
    sparse = model.sparsity is None or _within(model.sparsity, 1e-9, 1)
    _require(model, "sparsity", sparse, "in (0, 1), say 0.1, or None")


def _require(model: Any, name: str, holds: bool, remedy: str) -> None:
    if not holds:
        raise InputError(f"{name} must be {remedy}; got {getattr(model, name)!r}.")


def _auto_or(model: Any, name: str, least: float) -> bool:
    value = getattr(model, name)
    return value == "auto" or _within(value, least, math.inf)


def _within(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float | np.number) and bool(low <= value < high)


def _whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and int(value) >= 1
