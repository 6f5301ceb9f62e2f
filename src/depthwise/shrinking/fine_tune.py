"""Fine-tuning of a trained network, also a pruned or quantised one, with or without a teacher.

It is the loop of training/loop.py with a recipe of its own: few epochs, a one-cycle rate below the
one that the network was first trained with.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from depthwise.compute import Compute, resolve_device
from depthwise.data.inputs import as_tensor
from depthwise.data.pictures.augment import augmenter
from depthwise.models.networks import NetworkEstimator
from depthwise.models.supervised import Regressor, Watch
from depthwise.reshaping.int8 import learning
from depthwise.shrinking.distilling import Taught, taught_targets
from depthwise.training.loop import train
from depthwise.training.step import GradientUpdate

__all__ = ["compute_of", "fine_tune"]


def compute_of(model: NetworkEstimator) -> Compute:
    """How the model was trained, where this machine can do so; nothing is timed."""
    device = resolve_device(model.device)
    threads = 1 if model.threads == "auto" else int(model.threads)
    recorded = dict(model.history_.get("compute") or {}) if model.is_fitted else {}
    try:
        known = Compute(**recorded)
    except TypeError:
        known = Compute()
    if known.device != device:
        known = Compute(device)
    return replace(known, threads=threads)


def fine_tune(
    model: NetworkEstimator,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    epochs: float,
    lr: float | None = None,
    teacher: nn.Module | None = None,
    temperature: float = 4.0,
    share: float = 0.7,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
    compute: Compute | None = None,
    seconds_limit: float | None = None,
    watch: Watch | None = None,
    **recipe: Any,
) -> dict[str, Any]:
    """Fine-tune `model.network_`; returns the history, now the model's own.

    `inputs` (N, ...), `targets` (N,) or (N, T) as the loop takes them (class indices); `epochs` 0.2
    to 20; `lr`: peak, by default a third of the model's own. `teacher`: a network of the same
    outputs, see distilling.py. `held_out` chooses the best epoch.
    Raises DivergedError when the loss explodes.
    """
    compute = compute or compute_of(model)
    how = model.recipe(
        len(inputs), **{"epochs": epochs, "lr": lr or model.lr / 3, "patience": None, **recipe}
    )
    network = compute.place(model.network_)
    model.running_ = None  # what a runtime was given is not what the network will be
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    augment = augmenter(model.augment, model.input_shape_)
    x, y = as_tensor(inputs), torch.from_numpy(targets)
    taught: dict[str, Any] = {}
    if teacher is not None:
        teacher = compute.place(teacher)
        moving = model.augment is not None and len(model.input_shape_) == 3
        with compute.active():
            y = y if moving else taught_targets(teacher, x, y)
        taught = {"teacher": teacher if moving else None, "share": share}
        taught |= {"temperature": temperature, "numbers": isinstance(model, Regressor)}
    validate = partial(model._validation_scores, *held_out) if held_out else None
    options: dict[str, Any] = {"seconds_limit": seconds_limit, "watch": watch}
    try:
        with learning(network):
            about = (network, model._loss(), how, compute, augment)
            update = Taught(*about, **taught) if taught else GradientUpdate(*about)
            options |= {"compute": compute, "validate": validate}
            history = train(network, update, x, y, how, **options)
    finally:
        Compute().place(network)
        if teacher is not None:
            Compute().place(teacher)
    model.history_ = asdict(history)
    return model.history_
