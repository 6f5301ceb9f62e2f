"""Structured pruning: whole channels and units leave, and the network is really smaller.

    repeat, in rounds:
        score every channel on real items                       importance.py
        rank all of them, from every layer, by                  importance / what removing it saves
        remove the lowest until the round's share is reached    channels.py
        fine-tune a little                                      fine_tune.py

The shares fall geometrically, s_r = s^(r / R): each round removes the same part of what is left
(Molchanov et al. 2017). What is saved is counted in macs, weights, or microseconds (each layer's
macs at the pace that was measured for that layer). Every layer keeps at least a few channels.

Shapes: N items, M channels.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from depthwise.data.inputs import as_tensor
from depthwise.errors import InputError
from depthwise.models.networks import NetworkEstimator
from depthwise.reshaping.edits import edits_of
from depthwise.shrinking.channels import Channels, channels_of
from depthwise.shrinking.fine_tune import compute_of, fine_tune
from depthwise.shrinking.importance import CRITERIA, importance

__all__ = ["lowest", "prune", "pruned_network"]

LEAST = 2  # channels that a layer keeps: one alone would be no depthwise convolution
SCORED = 1024  # items whose gradients tell what matters
Tell = Callable[[str], None]


def lowest(
    found: Channels, scores: np.ndarray, share: float, numbers: dict[str, float], multiple: int = 1
) -> set[int]:
    """The channels to remove so that at most `share` of the cost is left: those of the least
    importance for what they save. scores (M,); numbers: `found.products`, or another cost by layer;
    multiple: of how many channels every layer's width remains a multiple, where it can.

    Raises InputError where no layer can become narrower.
    """
    whole, removed, widths = found.cost(numbers), set[int](), dict(found.widths)
    saved = found.savings(numbers)
    order = np.argsort(scores / np.maximum(saved, 1e-12), kind="stable")
    left = {bundle: len(all_) for bundle, all_ in found.bundles().items()}
    waiting: dict[int, list[int]] = {bundle: [] for bundle in left}
    for index in order.tolist():
        if found.cost(numbers, widths) <= share * whole:
            break
        bundle = found.channels[index].bundle
        waiting[bundle].append(index)
        step = (left[bundle] - 1) % multiple + 1  # down to the next multiple
        if len(waiting[bundle]) == step and left[bundle] - step >= LEAST:
            removed |= set(waiting[bundle])
            found.narrow(widths, waiting[bundle])
            left[bundle] -= step
            waiting[bundle] = []
    if not removed and share < 1:
        raise InputError("no layer of this network can become narrower.")
    return removed


def pruned_network(network: nn.Module, found: Channels, removed: set[int]) -> nn.Module:
    """A copy of the network without these channels, which remembers its edits."""
    smaller, edit = found.without(network, removed)
    before = edits_of(smaller)
    if before and before[-1]["kind"] == "widths":  # the newest widths say it all
        edit["layers"] = {**before[-1]["layers"], **edit["layers"]}
        before = before[:-1]
    smaller.edits = [*before, edit]  # type: ignore[assignment]
    return smaller


def prune(
    model: NetworkEstimator,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    share: float,
    cost: str = "macs",
    criterion: str = "taylor",
    rounds: int = 3,
    epochs: float = 1.0,
    final_epochs: float | None = None,
    multiple: int = 1,
    teacher: nn.Module | None = None,
    seed: int = 0,
    tell: Tell = lambda text: None,
    **tuning: Any,
) -> NetworkEstimator:
    """A copy of the model with at most `share` of the cost, fine-tuned; the model is untouched.

    inputs (N, ...), targets (N,) or (N, T): training items, encoded as the loop takes them. share
    in (0, 1); cost "macs", "weights" or "microseconds"; rounds 1 to 10, each followed by `epochs`
    of fine-tuning, the last by `final_epochs` (default: as many as all rounds together). teacher: a
    network to learn from as well. `tuning`: of `fine_tune`.
    """
    _check(share, cost, criterion, rounds)
    smaller = copy.deepcopy(model)
    chosen = np.random.default_rng(seed).permutation(len(inputs))[:SCORED]
    x, y = as_tensor(inputs[chosen]), torch.from_numpy(targets[chosen])
    tuning = {"compute": compute_of(model), **tuning}
    last = rounds * epochs if final_epochs is None else final_epochs
    whole: float | None = None
    for round_ in range(1, rounds + 1):
        network = smaller.network_
        found = channels_of(network, x[:1])
        numbers = costs_of(network, found, x[:1], cost)
        now = found.cost(numbers)
        whole = now if whole is None else whole
        aim = share ** (round_ / rounds) * whole / now
        with tuning["compute"].active():
            scores = importance(network, found, x, y, smaller._loss(), criterion)
        removed = lowest(found, scores, aim, numbers, multiple if round_ == rounds else 1)
        smaller.network_ = pruned_network(network, found, removed)
        done = last if round_ == rounds else epochs
        if done:
            fine_tune(smaller, inputs, targets, epochs=done, teacher=teacher, **tuning)
        tell(f"round {round_} of {rounds}: {_told(smaller.network_, x, whole, cost, numbers)}")
    return smaller


def costs_of(network: nn.Module, found: Channels, sample: Any, cost: str) -> dict[str, float]:
    """The cost of one pair of channels, by layer."""
    if cost == "weights":
        return found.numbers
    if cost == "macs":
        return found.products
    seconds = _layer_seconds(network, list(found.products), sample)
    areas = {p: found.widths[p, "out"] * found.widths.get((p, "in"), 1) for p in found.products}
    return {path: 1e6 * seconds[path] / areas[path] for path in found.products}


def _layer_seconds(network: nn.Module, paths: list[str], sample: Any) -> dict[str, float]:
    """Quickest of several runs of each layer on one item."""
    best: dict[str, float] = dict.fromkeys(paths, float("inf"))
    begun: dict[str, float] = {}
    handles = []
    for path in paths:
        module = network.get_submodule(path)

        def start(_: Any, __: Any, path: str = path) -> None:
            begun[path] = time.perf_counter()

        def stop(_: Any, __: Any, ___: Any, path: str = path) -> None:
            best[path] = min(best[path], time.perf_counter() - begun[path])

        handles += [module.register_forward_pre_hook(start), module.register_forward_hook(stop)]
    try:
        with torch.inference_mode():
            for _ in range(20):
                network.eval()(sample)
    finally:
        for handle in handles:
            handle.remove()
    return best


def _told(network: nn.Module, x: Any, whole: float, cost: str, numbers: dict[str, float]) -> str:
    found = channels_of(network, x[:1])
    return f"{100 * found.cost(numbers) / whole:.1f}% of its {cost} left"


def _check(share: float, cost: str, criterion: str, rounds: int) -> None:
    if not 0 < share < 1:
        raise InputError(f"share must be above 0 and below 1, of the cost left; got {share!r}.")
    if cost not in ("macs", "weights", "microseconds"):
        raise InputError(f'cost must be "macs", "weights" or "microseconds"; got {cost!r}.')
    if criterion not in CRITERIA:
        raise InputError(f"criterion must be one of {', '.join(CRITERIA)}; got {criterion!r}.")
    if type(rounds) is not int or rounds < 1:
        raise InputError(f"rounds must be a whole number, at least 1; got {rounds!r}.")
