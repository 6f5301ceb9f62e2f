"""The deep autoencoder's ladder of sizes, and what its settings may be."""

from __future__ import annotations

from typing import NamedTuple, Protocol

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


class _Settings(Protocol):
    """The settings of an autoencoder that depend on each other."""

    hidden: int | tuple[int, ...] | None
    code_size: int | None
    convolutional: bool
    activation: str
    code_activation: str
    normalise: bool
    pretrain: str | None
    loss: str
    noise: str | None
    noise_level: float
    sparsity: float | None
    visible: str


def widths(rung: Rung, its: _Settings) -> Rung:
    """A rung with `hidden` and `code_size` in place of its own."""
    if its.hidden is not None:
        hidden = whole_numbers("hidden", its.hidden, "layer widths, all 1 or more")
        rung = rung._replace(hidden=hidden, units=hidden[-1] if hidden else 0)
    if its.code_size is not None:
        rung = rung._replace(code=int(its.code_size))
    if min((*rung.hidden, rung.code)) < 1:
        raise InputError(
            "hidden must be layer widths and code_size a number of units, all 1 or more; got "
            f"{its.hidden!r} and {its.code_size!r}."
        )
    if its.convolutional and not rung.hidden:
        raise InputError("hidden=() leaves convolutions no layer before the code; give one width.")
    return rung


def check_together(its: _Settings) -> None:
    """Raises InputError for settings that do not go together, with a remedy."""
    if its.noise == "masking" and its.noise_level >= 1:
        raise InputError(
            'noise_level must be below 1 with noise="masking", a share of the values; got '
            f"{its.noise_level!r}."
        )
    if its.pretrain == "rbm" and (its.convolutional or its.normalise):
        raise InputError(
            'pretrain="rbm" makes dense layers without normalisation; '
            "set convolutional=False and normalise=False, or pretrain=None."
        )
    if its.pretrain == "rbm" and its.activation not in ("auto", "logistic"):
        raise InputError(
            f'pretrain="rbm" makes logistic units; got activation={its.activation!r}. '
            'Use "auto", or pretrain=None.'
        )
    hidden = its.activation == "logistic" or its.pretrain == "rbm"
    if its.sparsity is not None and not hidden and its.code_activation != "logistic":
        raise InputError(
            'sparsity is of logistic units; set activation="logistic" or '
            'code_activation="logistic", or sparsity=None.'
        )
    if its.loss == "cross_entropy" and its.visible == "gaussian":
        raise InputError(
            'loss="cross_entropy" is for values in [0, 1]; this data is standardised. '
            'Use "squared" or "auto".'
        )
