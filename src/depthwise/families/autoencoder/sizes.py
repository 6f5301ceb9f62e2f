"""The deep autoencoder's ladder of sizes, and what its settings may be."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from depthwise.errors import InputError
from depthwise.families.autoencoder.network import ACTIVATIONS
from depthwise.settings import whole_numbers

__all__ = ["SIZES", "Rung", "check_settings", "widths"]


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


def check_settings(model: Any) -> None:
    """Raises InputError naming the first setting that is wrong, its value and a remedy."""
    for name, holds, remedy in (*_choices(model), *_numbers(model)):
        if not holds:
            raise InputError(f"{name} must be {remedy}; got {getattr(model, name)!r}.")
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


def _choices(model: Any) -> list[tuple[str, bool, str]]:
    known: dict[str, tuple[Any, ...]] = {
        "activation": ("auto", *ACTIVATIONS),
        "code_activation": ("linear", "logistic"),
        "pretrain": (None, "rbm"),
        "loss": ("auto", "cross_entropy", "squared"),
        "noise": (None, "masking", "gaussian"),
        "optimizer": ("adamw", "sgd"),
        "schedule": ("onecycle", "cosine", "constant"),
    }
    return [
        (name, getattr(model, name) in values, " or ".join(map(repr, values)))
        for name, values in known.items()
    ]


def _numbers(model: Any) -> list[tuple[str, bool, str]]:
    share = model.noise != "masking" or model.noise_level < 1
    batch, passes = model.batch_size, model.pretrain_epochs
    return [
        ("noise_level", _number(model.noise_level) and share, "0 or more, and masking below 1"),
        ("sparsity", model.sparsity is None or 0 < model.sparsity < 1, "within (0, 1), or None"),
        ("sparsity_weight", _number(model.sparsity_weight), "0 or more"),
        ("contractive", _number(model.contractive), "0 or more"),
        ("pretrain_epochs", passes == "auto" or _positive(passes), 'above 0 or "auto"'),
        ("pretrain_lr", _positive(model.pretrain_lr), "above 0, say 0.1"),
        ("head_units", _whole(model.head_units, 1), "at least 1"),
        ("epochs", model.epochs == "auto" or _positive(model.epochs), 'above 0 or "auto"'),
        ("batch_size", batch == "auto" or _whole(batch, 1), 'at least 1 or "auto"'),
        ("lr", _positive(model.lr), "above 0, say 0.002"),
        ("weight_decay", _number(model.weight_decay), "0 or more"),
        ("clip_norm", model.clip_norm is None or _positive(model.clip_norm), "above 0 or None"),
        ("average", _number(model.average) and model.average < 1, "within [0, 1)"),
        ("patience", model.patience is None or _whole(model.patience, 1), "at least 1 or None"),
    ]


def _number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(0 <= value < math.inf)


def _positive(value: Any) -> bool:
    return _number(value) and bool(value > 0)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and bool(value >= least)
