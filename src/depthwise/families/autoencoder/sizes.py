"""The deep autoencoder's ladder of sizes, and what its settings may be."""

from __future__ import annotations

from typing import Any, NamedTuple

from depthwise.errors import InputError
from depthwise.settings import whole_numbers

__all__ = ["SIZES", "Rung", "check_together", "widths"]


class Rung(NamedTuple):
    """Units of the hidden layers and of the code; with convolutions, channels of the first one and
    units of the one hidden layer after them."""

    hidden: tuple[int, ...]
    code: int
    channels: int
    units: int


SIZES: dict[str, Rung] = {
    "s": Rung((256, 128), 16, 8, 128),
    "m": Rung((512, 256), 24, 16, 256),
    "l": Rung((1000, 500, 250), 30, 32, 512),
}


def widths(model: Any) -> Rung:
    """The rung that the settings name, with `hidden` and `code_size` in place of its own."""
    rung: Rung = model._rung()
    if model.hidden is not None:
        hidden = whole_numbers("hidden", model.hidden, "layer widths, all 1 or more")
        rung = rung._replace(hidden=hidden, units=hidden[-1] if hidden else 0)
    if model.code_size is not None:
        rung = rung._replace(code=int(model.code_size))
    if min((*rung.hidden, rung.code)) < 1:
        raise InputError(
            "hidden must be layer widths and code_size a number of units, all 1 or more; got "
            f"{model.hidden!r} and {model.code_size!r}."
        )
    if model.convolutional and not rung.hidden:
        raise InputError("hidden=() leaves convolutions no layer before the code; give one width.")
    return rung


def check_together(model: Any) -> None:
    """Raises InputError for settings that do not go together, with a remedy."""
    if model.noise == "masking" and model.noise_level >= 1:
        raise InputError(
            'noise_level must be below 1 with noise="masking", a share of the values; got '
            f"{model.noise_level!r}."
        )
    if model.pretrain == "rbm" and (model.convolutional or model.normalise):
        raise InputError(
            'pretrain="rbm" makes dense layers without normalisation; '
            "set convolutional=False and normalise=False, or pretrain=None."
        )
    if model.pretrain == "rbm" and model.activation not in ("auto", "logistic"):
        raise InputError(
            f'pretrain="rbm" makes logistic units; got activation={model.activation!r}. '
            'Use "auto", or pretrain=None.'
        )
    hidden = model.activation == "logistic" or model.pretrain == "rbm"
    if model.sparsity is not None and not hidden and model.code_activation != "logistic":
        raise InputError(
            'sparsity is of logistic units; set activation="logistic" or '
            'code_activation="logistic", or sparsity=None.'
        )
    if model.loss == "cross_entropy" and model.visible == "gaussian":
        raise InputError(
            'loss="cross_entropy" is for values in [0, 1]; this data is standardised. '
            'Use "squared" or "auto".'
        )
