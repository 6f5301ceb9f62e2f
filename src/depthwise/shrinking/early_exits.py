"""Early exits: where to put them, how they learn, and how sure an item must be to leave.

    places      modules after which one tensor alone decides the rest: tried out, by letting only
                some items of a batch go on; chosen for the share of products that lies before them
    learning    trunk frozen: every head is a linear classifier of what it reads, made once;
                or jointly with the trunk, the mean of all losses
    thresholds  on validation items: of all combinations of a grid, the cheapest whose accuracy is
                at least that of the whole network less a tolerance

Average cost of an item: sum_e share_e cost_e, cost_e of everything up to exit e, heads included.

Shapes: N items, E exits, K classes, F features of a head.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.data.inputs import as_tensor
from depthwise.errors import InputError
from depthwise.measuring.counting import count
from depthwise.models.networks import NetworkEstimator
from depthwise.reshaping.edits import edits_of
from depthwise.reshaping.exits import NEVER, exits, with_all_answers
from depthwise.shrinking.fine_tune import compute_of, fine_tune
from depthwise.training.loop import train
from depthwise.training.step import GradientUpdate, Recipe

__all__ = ["add_exits", "best_thresholds", "cuts", "exit_curve"]

SHARES = (0.3, 0.65)  # of the products that should lie before an exit
CELLS = 4  # a side, that maps are averaged over
GRID = 40  # thresholds an exit
HEAD_ITEMS = 20_000  # that heads alone learn from
BATCH = 512


def add_exits(
    model: NetworkEstimator,
    inputs: np.ndarray,
    targets: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray],
    *,
    places: list[str] | None = None,
    joint_epochs: float = 0.0,
    head_epochs: float = 8.0,
    tolerance: float = 0.0,
    teacher: nn.Module | None = None,
    **tuning: Any,
) -> tuple[NetworkEstimator, dict[str, Any]]:
    """A copy of the model that stops when it is sure, and the record: places, thresholds, macs of
    each exit, share of the validation items that leaves there, and the curve.

    inputs (N, ...), targets (N,) class indices; held_out: validation items, which choose the
    thresholds. places: by default two, before which 30% and 65% of the products lie. joint_epochs
    above 0 trains the trunk with the heads, after them. tolerance: accuracy that may be lost.
    Raises InputError for a network that cannot be cut.
    """
    smaller = copy.deepcopy(model)
    sample = as_tensor(held_out[0][:4])
    edit = _edit(smaller, sample, places)
    before = edits_of(smaller.network_)
    smaller.network_ = exits(smaller.network_, edit)
    smaller.network_.edits = [*before, edit]  # type: ignore[assignment]
    _learn_heads(smaller, inputs, targets, head_epochs)
    if joint_epochs:
        fine_tune(smaller, inputs, targets, epochs=joint_epochs, teacher=teacher, **tuning)
    logits = all_logits(smaller.network_, held_out[0])
    costs = exit_macs(smaller.network_, sample[:1])
    thresholds, record = best_thresholds(logits, held_out[1], costs, tolerance)
    smaller.network_.exits.thresholds.copy_(torch.tensor(thresholds))  # type: ignore
    smaller.network_.eval()
    record["places"] = [place for place, _, _ in edit["places"]]
    return smaller, record


# -- places --------------------------------------------------------------------------------------


def cuts(network: nn.Module, sample: Tensor) -> dict[str, Any]:
    """{path: (products before it, shape of what comes out)} of every module after which a batch can
    be cut: letting items 1 and 2 of three go on gives what the whole network gives for them."""
    network.eval()
    found: dict[str, Any] = {}
    paths = [
        f"{path}.{name}".lstrip(".")
        for path, module in network.named_modules()
        if isinstance(module, nn.Sequential)
        for name, _ in module.named_children()
    ]
    three = sample[torch.arange(3) % len(sample)]
    with torch.inference_mode():
        whole = network(three)
    for path in dict.fromkeys(paths):
        shape = _cut_at(network, path, three, whole)
        if shape is not None:
            found[path] = (_macs_until(network, path, sample[:1]), shape)
    return found


@torch.inference_mode()
def _cut_at(network: nn.Module, path: str, three: Tensor, whole: Tensor) -> Any:
    """The shape of one item after the module, or None where it is no cut."""
    shapes: list[Any] = []

    def only_two(module: Any, inputs: Any, h: Any) -> Any:
        shapes.append(tuple(h.shape[1:]))
        return h[1:]

    handle = network.get_submodule(path).register_forward_hook(only_two)
    try:
        answers = network(three)
    except (RuntimeError, AttributeError, TypeError):
        return None
    finally:
        handle.remove()
    sound = len(shapes) == 1 and answers.shape == whole[1:].shape
    close = sound and torch.allclose(answers, whole[1:], rtol=1e-3, atol=1e-3)
    return shapes[0] if close and len(shapes[0]) in (1, 3) else None


class _Enough(Exception):
    pass


def _macs_until(network: nn.Module, path: str, one: Tensor) -> int:
    """Products of one item up to and with the module at `path`."""
    module = network.get_submodule(path)

    def stop(*_: Any) -> None:
        raise _Enough

    class Until(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Any:
            try:
                return self.network(x)
            except _Enough:
                return None

    handle = module.register_forward_hook(stop)
    try:
        return count(Until().eval(), one).macs
    finally:
        handle.remove()


def _edit(model: NetworkEstimator, sample: Tensor, places: list[str] | None) -> dict[str, Any]:
    network = model.network_
    found = cuts(network, sample)
    if places is None:
        places = _chosen(found, count(network, sample[:1]).macs)
    missing = [place for place in places if place not in found]
    if missing or not places:
        known = ", ".join(found) or "none"
        raise InputError(
            f"no exit can stand after {missing[0] if missing else 'any module'!r}; those that can: "
            f"{known}."
        )
    sizes = []
    for place in sorted(places, key=lambda path: found[path][0]):
        shape = found[place][1]
        cells = min(CELLS, *shape[1:]) if len(shape) == 3 else 0
        sizes.append([place, shape[0], cells])
    return {"kind": "exits", "places": sizes, "classes": model.n_outputs}


def _chosen(found: dict[str, Any], macs: int) -> list[str]:
    """For each of SHARES the nearest place, the last of those with equally many products."""
    inner = {path: before for path, (before, _) in found.items() if 0 < before < 0.9 * macs}
    places = []
    for share in SHARES if inner else ():
        near = min(abs(before - share * macs) for before in inner.values())
        places.append([p for p, n in inner.items() if abs(n - share * macs) == near][-1])
    return list(dict.fromkeys(places))


# -- learning -------------------------------------------------------------------------------------


def _learn_heads(
    model: NetworkEstimator, inputs: np.ndarray, targets: np.ndarray, epochs: float
) -> None:
    """Train every head on the features of each item; the trunk stays frozen."""
    network: Any = model.network_
    compute = compute_of(model)
    chosen = np.random.default_rng(0).permutation(len(inputs))[:HEAD_ITEMS]
    inputs, targets = inputs[chosen], targets[chosen]
    with compute.active():
        features = _features(network, inputs)
    for head, rows in zip(network.exits.heads, features):
        spread = rows.std(dim=0).clamp(min=1e-3)
        centre = rows.mean(dim=0)
        recipe = Recipe(epochs=epochs, batch_size=256, lr=1e-2, weight_decay=0.01, seed=0)
        plain = replace(compute, precision="float32", channels_last=False)
        _fit_linear(head.linear, (rows - centre) / spread, targets, model, recipe, plain)
        with torch.no_grad():  # what was learnt of standardised features, for them as they are
            head.linear.weight /= spread
            head.linear.bias -= head.linear.weight @ centre


def _fit_linear(
    linear: nn.Linear,
    rows: Tensor,
    targets: np.ndarray,
    model: NetworkEstimator,
    recipe: Recipe,
    compute: Compute,
) -> None:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    update = GradientUpdate(linear, model._loss(), recipe, compute)
    train(linear, update, rows, torch.from_numpy(targets), recipe, compute=compute)


@torch.no_grad()
def _features(network: Any, inputs: np.ndarray) -> list[Tensor]:
    """(N, F) of each head."""
    network.eval()
    pieces: list[list[Tensor]] = [[] for _ in network.exits.heads]
    hooks = [
        head.linear.register_forward_pre_hook(
            lambda m, x, number=number: pieces[number].append(x[0])
        )
        for number, head in enumerate(network.exits.heads)
    ]
    try:
        for start in range(0, len(inputs), BATCH):
            with_all_answers(network, as_tensor(inputs[start : start + BATCH]))
    finally:
        for hook in hooks:
            hook.remove()
    return [torch.cat(parts) for parts in pieces]


# -- thresholds -----------------------------------------------------------------------------------


@torch.no_grad()
def all_logits(network: Any, inputs: np.ndarray) -> np.ndarray:
    """(E + 1, N, K): of each exit, and last of the network itself."""
    network.eval()
    parts = [
        torch.stack(with_all_answers(network, as_tensor(inputs[start : start + BATCH])))
        for start in range(0, len(inputs), BATCH)
    ]
    return torch.cat(parts, dim=1).numpy()


def exit_macs(network: Any, one: Tensor) -> list[float]:
    """Products of an item that leaves at each exit, and last of one that never does."""
    thresholds = network.exits.thresholds
    before = thresholds.clone()
    macs = []
    for number in range(len(before) + 1):
        thresholds.fill_(NEVER)
        thresholds[number : number + 1] = -1.0
        macs.append(float(count(network, one).macs))
    thresholds.copy_(before)
    return macs


def best_thresholds(
    logits: np.ndarray, labels: np.ndarray, costs: list[float], tolerance: float = 0.0
) -> tuple[list[float], dict[str, Any]]:
    """The cheapest thresholds (E,) with an accuracy of at least the whole network's - tolerance.

    logits (E + 1, N, K); labels (N,); costs (E + 1,) of leaving at each. The record holds macs,
    shares, accuracies, and the curve: for thresholds of ever less sure items, accuracy and cost.
    """
    logits = logits.astype(np.float64)
    p = np.exp(logits - logits.max(axis=2, keepdims=True))
    confidence = (p.max(axis=2) / p.sum(axis=2))[:-1]  # (E, N)
    right = logits.argmax(axis=2) == labels  # (E + 1, N)
    whole = right[-1].mean()
    grids = [np.append(_grid(row), NEVER) for row in confidence]
    best: tuple[float, float] = (costs[-1], -whole)
    chosen: tuple[float, ...] = (NEVER,) * len(confidence)
    points = []
    for thresholds in itertools.product(*grids):
        accuracy, cost, _ = _leaving(confidence, right, costs, thresholds)
        points.append((cost, accuracy, thresholds))
        if accuracy >= whole - tolerance - 1e-12 and (cost, -accuracy) < best:
            best, chosen = (cost, -accuracy), thresholds
    accuracy, cost, shares = _leaving(confidence, right, costs, chosen)
    record = {
        "thresholds": [float(t) for t in chosen],
        "macs": costs,
        "shares": [float(share) for share in shares],
        "accuracy": float(accuracy),
        "whole_accuracy": float(whole),
        "exit_accuracies": [float(row.mean()) for row in right],
        "average_macs": float(cost),
        "saved": float(1 - cost / costs[-1]),
        "curve": exit_curve(points),
    }
    return [float(t) for t in chosen], record


def exit_curve(points: list[tuple[float, float, tuple[float, ...]]]) -> list[dict[str, Any]]:
    """The points of (cost, accuracy, thresholds) that no other beats in both, cheapest first."""
    curve: list[dict[str, Any]] = []
    for cost, accuracy, thresholds in sorted(points, key=lambda p: (p[0], -p[1])):
        if not curve or accuracy > curve[-1]["accuracy"]:
            known = {"average_macs": float(cost), "accuracy": float(accuracy)}
            curve.append({**known, "thresholds": [float(t) for t in thresholds]})
    return curve


def _grid(confidence: np.ndarray) -> np.ndarray:
    """Thresholds that a growing part of the items (N,) reaches, densest where they are sure."""
    shares = 1 - np.linspace(0, 1, GRID) ** 0.5
    return np.unique(np.quantile(confidence, shares[::-1]))


def _leaving(
    confidence: np.ndarray,
    right: np.ndarray,
    costs: list[float],
    thresholds: tuple[float, ...],
) -> tuple[float, float, np.ndarray]:
    """Accuracy, average cost, and the share that leaves at each exit (E + 1,)."""
    sure = confidence >= np.array(thresholds)[:, None]
    sure = np.concatenate([sure, np.ones((1, sure.shape[1]), dtype=bool)])
    where = sure.argmax(axis=0)  # the first exit that an item reaches
    accuracy = right[where, np.arange(len(where))].mean()
    shares = np.bincount(where, minlength=len(costs)) / len(where)
    return float(accuracy), float(shares @ np.array(costs)), shares
