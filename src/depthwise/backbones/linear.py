"""A linear layer on frozen features, solved rather than trained: multinomial logistic regression.

    z    = W x + b                                     x (F,) standardised features, z (K,) logits
    J    = mean CE(z, y) + |W|^2 / (2 C N)             C: inverse strength of the penalty

J is convex and is minimised by L-BFGS (Liu and Nocedal 1989). C is chosen from CS by
cross-validation within the training items: of equal shares that are right, the one with the
smaller cross-entropy. The path goes from the strongest penalty to the weakest, each begun from the
one before it. On pooled levels of EfficientNet-lite0 it was as good as or better than a hidden
layer, ridge regression and a kernel machine, in a tenth of their time (docs/LOG.md).

Shapes: N items, F features, K classes.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.model_selection import StratifiedKFold
from torch import Tensor
from torch.nn import functional

__all__ = ["CS", "Linear", "solve", "solve_linear"]

CS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
STEPS, TOLERANCE = 60, 1e-5  # of L-BFGS at most; relative change of J at which it stops
FOLDS = 5
ALL_FOLDS = 4_000  # items: of more, one fold is enough to choose C by


@dataclass
class Linear:
    """W (K, F) and b (K,) as float32; `C` is what was chosen, `steps` how many L-BFGS took."""

    weight: Tensor
    bias: Tensor
    C: float
    steps: int = 0

    def __call__(self, features: Tensor) -> Tensor:
        """Logits (N, K)."""
        return functional.linear(features, self.weight, self.bias)


class _OutOfTime(Exception):
    pass


def solve_linear(
    features: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    *,
    weights: np.ndarray | None = None,
    seed: int = 0,
    seconds: float = math.inf,
) -> Linear:
    """The layer for standardised features (N, F) and label indices (N,), with C chosen by
    cross-validation; within about `seconds`, of which choosing C has a half at most. `weights`
    (N,): how much each item counts."""
    begun = time.monotonic()
    x, y, w = _tensors(features, labels, weights)
    C = _chosen(x, y, w, n_classes, seed, begun + seconds / 2)
    return solve(x, y, n_classes, C, weights=w, until=begun + seconds)


def solve(
    x: Tensor,
    y: Tensor,
    n_classes: int,
    C: float,
    *,
    weights: Tensor | None = None,
    start: Linear | None = None,
    until: float = math.inf,
) -> Linear:
    """Minimise J from `start`, or from W = 0; as far as it comes before the clock shows `until`
    (`time.monotonic()`)."""
    shape = (n_classes, x.shape[1])
    begin = np.zeros(n_classes * (x.shape[1] + 1))
    if start is not None:
        begin = torch.cat([start.weight.flatten(), start.bias]).double().numpy()
    reached, steps = begin, 0

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w, b = (part.requires_grad_(True) for part in _unflattened(flat, shape))
        losses = functional.cross_entropy(functional.linear(x, w, b), y, reduction="none")
        loss = losses.mean() if weights is None else (losses * weights).sum() / weights.sum()
        slopes = torch.autograd.grad(loss + w.square().sum() / (2 * C * len(x)), (w, b))
        value = float(loss.detach()) + float(w.detach().square().sum()) / (2 * C * len(x))
        return value, torch.cat([slope.flatten() for slope in slopes]).double().numpy()

    def after(flat: np.ndarray) -> None:
        nonlocal reached, steps
        reached, steps = flat.copy(), steps + 1
        if time.monotonic() > until:
            raise _OutOfTime

    options: dict[str, Any] = {"maxiter": STEPS, "ftol": TOLERANCE}
    with contextlib.suppress(_OutOfTime):
        reached = minimize(
            objective, begin, jac=True, method="L-BFGS-B", callback=after, options=options
        ).x
    return Linear(*_unflattened(reached, shape), C, steps)


def _chosen(
    x: Tensor, y: Tensor, w: Tensor | None, n_classes: int, seed: int, until: float
) -> float:
    """The C of CS with the most right answers over the folds, by weight."""
    counts = torch.ones(len(y)) if w is None else w
    right, wrong = np.zeros(len(CS)), np.zeros(len(CS))
    folds = _folds(y.numpy(), seed)
    for learn, ask in folds if len(y) <= ALL_FOLDS else folds[:1]:
        layer = None
        for place, C in enumerate(CS):
            options: dict[str, Any] = {"weights": counts[learn], "start": layer, "until": until}
            layer = solve(x[learn], y[learn], n_classes, C, **options)
            logits = layer(x[ask])
            right[place] += float(counts[ask] @ (logits.argmax(dim=1) == y[ask]).float())
            wrong[place] += float(
                counts[ask] @ functional.cross_entropy(logits, y[ask], reduction="none")
            )
        if time.monotonic() > until:
            break
    best = max(range(len(CS)), key=lambda place: (right[place], -wrong[place]))
    return CS[best]


def _folds(labels: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """(learnt from, asked about) by class; none where a class has one item only."""
    counts = np.bincount(labels)
    fewest = int(counts[counts > 0].min())
    if fewest < 2:
        return []
    splitter = StratifiedKFold(min(FOLDS, fewest), shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(labels)), labels))


def _tensors(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    x = torch.from_numpy(np.ascontiguousarray(features, np.float32))
    w = None if weights is None else torch.from_numpy(weights).float()
    return x, torch.from_numpy(labels), w


def _unflattened(flat: np.ndarray, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    values = torch.from_numpy(np.asarray(flat, np.float32))
    size = shape[0] * shape[1]
    return values[:size].reshape(shape).clone(), values[size:].clone()
