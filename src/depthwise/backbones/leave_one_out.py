"""Ridge regression on frozen features with exact leave-one-out predictions.

    min over W, b of  |X W + 1 b' - T|^2 + a |W|^2

With rows and targets centred, X'X = V diag(s) V' and Z = X V, the fitted values are

    f_i = mean T + sum_j z_ij c_j / (s_j + a),      c = Z' T
    h_i = 1/N + sum_j z_ij^2 / (s_j + a)            the leverage of item i

and the model that was fitted to all other items predicts for item i (PRESS: Allen 1974)

    p_i = (f_i - h_i t_i) / (1 - h_i)

Items of a group G, such as copies of one picture, are left out together:

    p_G = t_G - (I - H_G)^-1 (t_G - f_G),           H_G = 1/N + Z_G diag(1 / (s + a)) Z_G'

One eigendecomposition, of X'X or of XX' where there are fewer items than features, serves every a.

Shapes: N items, F features, K targets, R = min(N, F) components, A penalties.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["LeaveOneOutRidge", "one_hot"]

SHARES = np.logspace(-6, 1, 22)  # penalties that are tried, as shares of the largest eigenvalue
LEAST = 1e-9  # of the largest eigenvalue: components below it carry rounding errors only
_BLOCK = 4096  # rows


@dataclass
class LeaveOneOutRidge:
    """The decomposed features (N, F); `fit` it to targets.

    components: Z (N, R) float32; values: s (R,) float64; axes: V (F, R); mean: of X (F,).
    """

    components: np.ndarray
    values: np.ndarray
    axes: np.ndarray
    mean: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> LeaveOneOutRidge:
        """Decompose features (N, F), finite, N at least 2."""
        x = np.ascontiguousarray(features, np.float32)
        mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
        x = x - mean
        if x.shape[0] >= x.shape[1]:
            values, axes = np.linalg.eigh(_gram(x))
            large = values > LEAST * max(values[-1], np.finfo(np.float32).tiny)
            values, axes = values[large], axes[:, large].astype(np.float32)
            return cls(x @ axes, values, axes, mean)
        values, left = np.linalg.eigh(_gram(x.T))
        large = values > LEAST * max(values[-1], np.finfo(np.float32).tiny)
        values, left = values[large], left[:, large]
        axes = (x.T @ (left / np.sqrt(values)).astype(np.float32)).astype(np.float32)
        return cls((left * np.sqrt(values)).astype(np.float32), values, axes, mean)

    def penalties(self) -> np.ndarray:
        """(A,): the penalties to try."""
        return SHARES * (self.values[-1] if len(self.values) else 1.0)

    def left_out(
        self, targets: np.ndarray, penalty: float, groups: np.ndarray | None = None
    ) -> np.ndarray:
        """Leave-one-out predictions (N, K) of targets (N, K); `groups` (N,): items with the same
        number are left out together."""
        t = np.asarray(targets, np.float64)
        fitted, leverage = self._fitted(t, penalty)
        gap = np.maximum(1 - leverage, 1e-9)[:, None]
        predicted: np.ndarray = t - (t - fitted) / gap
        for members in _several(groups):
            predicted[members] = self._group_left_out(t, fitted, members, penalty)
        return predicted

    def choose(self, targets: np.ndarray, groups: np.ndarray | None = None) -> float:
        """The penalty with the least leave-one-out squared error on targets (N, K)."""
        t = np.asarray(targets, np.float64)
        errors = [
            np.square(self.left_out(t, penalty, groups) - t).mean() for penalty in self.penalties()
        ]
        return float(self.penalties()[int(np.argmin(errors))])

    def weights(self, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """W (F, K) and b (K,) fitted to all items: X W + b predicts."""
        t = np.asarray(targets, np.float64)
        shares = self._projected(t) / (self.values + penalty)[:, None]
        weight = self.axes @ shares.astype(np.float32)
        return weight, (t.mean(axis=0) - self.mean @ weight).astype(np.float32)

    def _projected(self, t: np.ndarray) -> np.ndarray:
        """c = Z' T: (R, K)."""
        centred = (t - t.mean(axis=0)).astype(np.float32)
        return (self.components.T @ centred).astype(np.float64)

    def _fitted(self, t: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """f (N, K) and the leverages h (N,)."""
        scale = 1 / (self.values + penalty)
        shares = (self._projected(t) * scale[:, None]).astype(np.float32)
        fitted = (self.components @ shares).astype(np.float64) + t.mean(axis=0)
        leverage = np.empty(len(t))
        for start in range(0, len(t), _BLOCK):
            z = self.components[start : start + _BLOCK].astype(np.float64)
            leverage[start : start + _BLOCK] = np.square(z) @ scale
        return fitted, leverage + 1 / len(t)

    def _group_left_out(
        self, t: np.ndarray, fitted: np.ndarray, members: np.ndarray, penalty: float
    ) -> np.ndarray:
        """(M, K) of M items that are left out together."""
        z = self.components[members].astype(np.float64)
        hat = 1 / len(t) + (z / (self.values + penalty)) @ z.T
        rest = np.eye(len(members)) - hat
        return np.asarray(t[members] - np.linalg.lstsq(rest, t[members] - fitted[members])[0])


def one_hot(labels: np.ndarray, n_classes: int) -> np.ndarray:
    """Class indices (N,) -> float32 (N, K)."""
    return np.eye(n_classes, dtype=np.float32)[labels]


def _gram(x: np.ndarray) -> np.ndarray:
    """x' x (F, F) in float64, summed over blocks of rows."""
    total = np.zeros((x.shape[1], x.shape[1]))
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        total += block.T @ block
    return total


def _several(groups: np.ndarray | None) -> list[np.ndarray]:
    """Positions of the members of each group of two and more."""
    if groups is None:
        return []
    order = np.argsort(groups, kind="stable")
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    return [order[a : a + n] for a, n in zip(starts, counts) if n > 1]
