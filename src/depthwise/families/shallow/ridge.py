"""Ridge regression of any shape: many rows, or many columns.

    min over W, b of  |R W + 1 b' - T|^2 + a |W|^2      rows R (N, D), targets T (N, K)

Centred rows and targets first, so that b is not penalised. Where D is small, by the sums over rows
(families/dsn/gram.py); where N is, by the kernel K = R R', W = R'(K + a I)^-1 T; where both are
large, by conjugate gradients on R'R + a I, which never is formed (Hestenes and Stiefel 1952).

The ridge a has the least generalised cross-validation N SSE / (N - df)^2 (Golub, Heath and Wahba
1979), df the degrees of freedom; where both sides are large, on some of the rows.

Shapes: N rows, D features, K targets.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from depthwise.families.dsn.gram import Gram

__all__ = ["choose_ridge", "solve_ridge"]

SMALL = 3000  # rows or features, of which a square matrix is decomposed
SHARES = (-5.0, 1.0, 49)  # of the largest eigenvalue: logarithms of the ends, how many
STEPS, CLOSE = 200, 1e-5  # of conjugate gradients, and how far the residual is to fall


def choose_ridge(
    rows: Tensor, targets: Tensor, seed: int = 0, weights: Tensor | None = None
) -> float:
    """a for rows (N, D) and targets (N, K), each as often as its weight (N,) says."""
    if len(rows) > SMALL and rows.shape[1] > SMALL:
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(rows), generator=generator)[:SMALL]
        rows, targets = rows[chosen], targets[chosen]
        weights = None if weights is None else weights[chosen]
    items = len(rows) if weights is None else float(weights.sum())
    targets = _centred(targets, weights)
    if rows.shape[1] <= len(rows):
        inputs = _centred(rows, weights)
        values, vectors = torch.linalg.eigh(inputs.t() @ inputs)
        power = (vectors.t() @ (inputs.t() @ targets)).square().sum(dim=1)
        power /= values.clamp(min=1e-12)
    else:
        values, vectors = torch.linalg.eigh(_kernel(rows, weights))
        power = (vectors.t() @ targets).square().sum(dim=1)
    return _least_gcv(values.clamp(min=0), power, targets.square().sum(), items)


def _least_gcv(values: Tensor, power: Tensor, total: Tensor, items: float) -> float:
    """values: eigenvalues l_i of the rows' squares; power: of the targets in each direction u_i,
    |u_i' T|^2; with s_i = l_i / (l_i + a), SSE = |T|^2 - sum (2 s_i - s_i^2) power_i."""
    largest = float(values.max().clamp(min=1e-12))
    inside = values > 1e-9 * largest
    values, power = values[inside], power[inside]
    best, chosen = math.inf, largest
    low, high, steps = SHARES
    for share in torch.logspace(low, high, steps, dtype=torch.float64).tolist():
        kept = values / (values + share * largest)
        error = float(total - (power * (2 * kept - kept.square())).sum())
        free = items - 1 - float(kept.sum())
        if free > 0.01 * items and error / free**2 < best:
            best, chosen = error / free**2, share * largest
    return chosen


def solve_ridge(
    rows: Tensor, targets: Tensor, ridge: float, weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """W (D, K) and b (K,), float64; each row as often as its weight (N,) says."""
    items, features = rows.shape
    if features <= SMALL:
        gram = Gram(features, targets.shape[1]).add(rows.double(), targets.double(), weights)
        return gram.solve(ridge)
    mean, centre = _mean(rows, weights), _mean(targets, weights)
    wanted = _centred(targets, weights)
    if items <= SMALL:
        system = _kernel(rows, weights)
        system.diagonal().add_(max(ridge, 1e-9 * float(system.diagonal().mean())))
        dual = torch.linalg.solve(system, wanted)  # (N, K)
        slopes = _shifted(rows, weights).t() @ dual.to(rows.dtype)
    else:
        slopes = _by_conjugate_gradients(_shifted(rows, weights), wanted.float(), ridge)
    return slopes.double(), centre - mean @ slopes.double()


def _by_conjugate_gradients(rows: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """W (D, K), all columns at once, each with steps of its own."""
    weights = torch.zeros(rows.shape[1], targets.shape[1])
    residual = rows.t() @ targets  # of the normal equations
    direction, power = residual.clone(), residual.square().sum(dim=0)
    least = CLOSE**2 * power
    for _ in range(STEPS):
        if bool((power <= least).all()):
            break
        image = rows.t() @ (rows @ direction) + ridge * direction
        step = power / (direction * image).sum(dim=0).clamp(min=1e-30)
        weights += step * direction
        residual -= step * image
        power, before = residual.square().sum(dim=0), power
        direction = residual + power / before.clamp(min=1e-30) * direction
    return weights


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """float64, of each column."""
    if weights is None:
        return values.mean(dim=0, dtype=torch.float64)
    share = weights.double() / weights.double().sum()
    return share @ values.double()


def _shifted(values: Tensor, weights: Tensor | None) -> Tensor:
    """Less the mean of each column, in their own precision; rows times the root of their weight,
    so that a sum of their squares is the weighted one."""
    centred = values - _mean(values, weights).to(values.dtype)
    return centred if weights is None else centred * weights.sqrt().to(values.dtype)[:, None]


def _centred(values: Tensor, weights: Tensor | None) -> Tensor:
    """The same in float64."""
    return _shifted(values.double(), weights)


def _kernel(rows: Tensor, weights: Tensor | None) -> Tensor:
    """R R' of centred rows (N, D), float64 (N, N); the product in the rows' own precision."""
    centred = _shifted(rows, weights)
    return (centred @ centred.t()).double()
