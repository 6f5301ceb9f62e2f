"""The sizes of a deep Boltzmann machine by name."""

from __future__ import annotations

from typing import Any

from depthwise.errors import InputError
from depthwise.settings import whole_numbers

__all__ = ["SIZES", "layer_widths"]

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
