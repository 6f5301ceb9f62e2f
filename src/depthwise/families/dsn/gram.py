"""The sums over rows that a ridge regression needs, gathered in parts and added up.

    A = R'R     C = R'T     r = R'1     t = T'1     q = the squared norms of T's columns     n rows

of rows R (n, L) and targets T (n, K); where rows have weights w, sums of w_i times the same, and
n = sum w: a row of weight 2 is one twice. From them alone, with the rows long forgotten:

    min over U, c of   |R U + 1 c' - T|^2 + ridge |U|^2 + d sum_i A_ii |U_i|^2
    (A - r r'/n + ridge I + d diag(A)) U = C - r t'/n           c = (t - U'r) / n

The intercept c is not penalised: with d = 0 this is scikit-learn's Ridge. d = p / (1 - p) is what
dropout with probability p on the rows amounts to on average (Srivastava et al. 2014, section 9.1:
E|(M o R) U - T|^2 over masks M of mean one), here in closed form instead of by drawing masks.

Sums of parts are sums of the whole: a Gram is gathered over blocks of rows, over shards of a file,
over machines, then merged. Products of float32 rows are accumulated in float32 over at most
BLOCK_ROWS rows and added in float64; only the upper triangle of A is kept. The system is solved in
float64 by Cholesky; where it is singular, by the least U of all that solve it (pseudo-inverse).

Shapes: B rows of a block, n rows in all, L features, K targets.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from depthwise.compute import Compute
from depthwise.errors import InputError

__all__ = ["Gram", "fast_products"]

BLOCK_ROWS = 4096
PANELS = 6  # of columns; the triangle costs (PANELS + 1) / (2 PANELS) of the square
LEAST_RIDGE = 1e-5
SUMS = ("rows_rows", "rows_targets", "rows", "targets", "squares")


class Gram:
    """Sums over rows of L features and K targets; everything in float64, on `device`."""

    def __init__(self, n_features: int, n_targets: int, *, device: Any = "cpu"):
        place: dict[str, Any] = {"dtype": torch.float64, "device": device}
        self.items = 0.0
        self.rows_rows = torch.zeros(n_features, n_features, **place)  # upper triangle, by panels
        self.rows_targets = torch.zeros(n_features, n_targets, **place)
        self.rows = torch.zeros(n_features, **place)
        self.targets = torch.zeros(n_targets, **place)
        self.squares = torch.zeros(n_targets, **place)

    # -- gathering ------------------------------------------------------------------------------

    def add(self, rows: Tensor, targets: Tensor, weights: Tensor | None = None) -> Gram:
        """Take in rows (B, L) and their targets (B, K), of one floating type, each as often as its
        weight (B,) says."""
        for k, (r, t) in enumerate(zip(rows.split(BLOCK_ROWS), targets.split(BLOCK_ROWS))):
            w = None if weights is None else weights[k * BLOCK_ROWS : (k + 1) * BLOCK_ROWS]
            self._add_block(r, t, w)
        return self

    def _add_block(self, rows: Tensor, targets: Tensor, weights: Tensor | None) -> None:
        weighed = rows if weights is None else rows * weights.to(rows.dtype)[:, None]
        counted = targets if weights is None else targets * weights.to(targets.dtype)[:, None]
        for start, end in self._panels():
            self.rows_rows[:end, start:end] += rows[:, :end].t() @ weighed[:, start:end]
        self.rows_targets += weighed.t() @ targets
        self.rows += weighed.sum(dim=0)
        self.targets += counted.sum(dim=0)
        self.squares += (targets * counted).sum(dim=0)
        self.items += len(rows) if weights is None else float(weights.sum())

    def _panels(self) -> Iterator[tuple[int, int]]:
        width = max(64, -(-len(self.rows) // PANELS))
        for start in range(0, len(self.rows), width):
            yield start, min(start + width, len(self.rows))

    def merge(self, other: Gram) -> Gram:
        """Take in all that `other` has gathered."""
        for name in SUMS:
            getattr(self, name).add_(getattr(other, name))
        self.items += other.items
        return self

    def fade(self, keep: float) -> Gram:
        """Let everything so far count `keep` times as much: 0 forgets it."""
        for name in SUMS:
            getattr(self, name).mul_(keep)
        self.items *= keep
        return self

    def to(self, device: Any) -> Gram:
        """Move the sums to another device."""
        for name in SUMS:
            setattr(self, name, getattr(self, name).to(device))
        return self

    # -- solving --------------------------------------------------------------------------------

    def solve(self, ridge: float, dropout: float = 0.0) -> tuple[Tensor, Tensor]:
        """U (L, K) and c (K,), float64. `ridge` >= 0; `dropout`: probability, 0 <= p < 1.

        Raises InputError where nothing was gathered.
        """
        if self.items <= 0:
            raise InputError("there are no rows to solve for: add some first.")
        system = self._system(ridge, dropout)
        wanted = self.rows_targets - torch.outer(self.rows, self.targets) / self.items
        factor, failed = torch.linalg.cholesky_ex(system, upper=True)
        if int(failed) or _is_singular(factor):
            upper = _least_solution(system, wanted)
        else:
            upper = torch.cholesky_solve(wanted, factor, upper=True)
        return upper, (self.targets - self.rows @ upper) / self.items

    def choose_ridge(self) -> float:
        """The ridge of the least generalised cross-validation, n SSE / (n - df)^2 with df the
        degrees of freedom (Golub, Heath and Wahba 1979), from the sums alone. It is at least
        LEAST_RIDGE of the largest eigenvalue: below, U grows until float32 answers lose digits."""
        values, vectors = torch.linalg.eigh(self._system(0.0, 0.0))
        values = values.clamp(min=0)
        wanted = self.rows_targets - torch.outer(self.rows, self.targets) / self.items
        power = (vectors.t() @ wanted).square().sum(dim=1)  # (L,)
        total = (self.squares - self.targets.square() / self.items).sum()
        best, chosen = math.inf, 0.0
        for share in torch.logspace(math.log10(LEAST_RIDGE), 0, 41, dtype=torch.float64).tolist():
            ridge = share * float(values[-1].clamp(min=1e-12))
            error = total - (power * (values + 2 * ridge) / (values + ridge).square()).sum()
            free = self.items - 1 - float((values / (values + ridge)).sum())
            if free > 0.01 * self.items and float(error) / free**2 < best:
                best, chosen = float(error) / free**2, ridge
        return chosen

    def _system(self, ridge: float, dropout: float) -> Tensor:
        square = self.rows_rows.triu()
        system = square + square.triu(1).t()
        system.addr_(self.rows, self.rows, alpha=-1 / self.items)
        system.diagonal().add_(ridge + dropout / (1 - dropout) * square.diagonal())
        return system

    # -- what a solution is worth ---------------------------------------------------------------

    def squared_error(self, upper: Tensor, bias: Tensor) -> float:
        """|R U + 1 c' - T|^2 over all rows gathered, in the targets' squared units."""
        square = self.rows_rows.triu()
        upper, bias = upper.double(), bias.double()
        inner = 2 * square @ upper - square.diagonal()[:, None] * upper  # u'Au = u'(2 A_upper - D)u
        quadratic = (upper * (inner - 2 * self.rows_targets)).sum()
        offset = 2 * bias @ (self.rows @ upper - self.targets) + self.items * bias @ bias
        return float(quadratic + offset + self.squares.sum())

    def objective(self, upper: Tensor, bias: Tensor, ridge: float, dropout: float = 0.0) -> float:
        """J, the penalised squared error that `solve` makes least."""
        weights = ridge + dropout / (1 - dropout) * self.rows_rows.diagonal()
        penalty = (weights[:, None] * upper.double().square()).sum()
        return self.squared_error(upper, bias) + float(penalty)

    # -- keeping --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"items": self.items, **{name: getattr(self, name) for name in SUMS}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.items = float(state["items"])
        for name in SUMS:
            getattr(self, name).copy_(state[name])


def _is_singular(factor: Tensor) -> bool:
    """By the pivots: the smallest is rounding beside the largest."""
    pivots = factor.diagonal()
    return bool(pivots.min() <= 1e-7 * pivots.max())


def _least_solution(system: Tensor, wanted: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(system)
    cut = len(values) * torch.finfo(values.dtype).eps * values[-1].clamp(min=1e-300)
    inverse = torch.where(values > cut, 1 / values.clamp(min=cut), torch.zeros_like(values))
    return vectors @ (inverse[:, None] * (vectors.t() @ wanted))


@contextlib.contextmanager
def fast_products(compute: Compute) -> Iterator[None]:
    """Under precision "bfloat16", float32 products may be rounded inside (sums stay float32) or
    take a faster route of the same precision: on processors without bfloat16 tiles, oneDNN's
    float32 kernels, twice as fast as the default ones on some of them."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if compute.precision == "bfloat16" else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
