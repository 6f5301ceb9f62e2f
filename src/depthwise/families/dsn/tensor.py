"""The tensor module: two hidden layers side by side whose every pair of units is a feature.

    H1 = s(Z W1 + 1 b1')    H2 = s(Z W2 + 1 b2')
    P = H1 * H2, the row-wise Kronecker product: P[n, i L2 + j] = H1[n, i] H2[n, j]
    Y = P U + 1 c'

(Hutchinson, Deng and Yu 2013, the T-DSN: prediction is bilinear in two hidden representations.) U
is closed form as in module.py; with G = dJ/dP folded to (B, L1, L2), the product rule gives

    dJ/dH1[n, i] = sum_j G[n, i, j] H2[n, j]         dJ/dH2[n, j] = sum_i G[n, i, j] H1[n, i]

and from there the logistic units' as before. L1 = L2 = 50 hidden units make 2,500 features.

Shapes: B batch, D inputs of the module, L1, L2 hidden units, L = L1 L2 features, K targets.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depthwise.families.dsn.module import ConvexModule, SigmoidModule

__all__ = ["TensorModule", "row_kronecker"]


def row_kronecker(left: Tensor, right: Tensor) -> Tensor:
    """(B, L1), (B, L2) -> (B, L1 L2): all products of one row's values."""
    return (left[:, :, None] * right[:, None, :]).flatten(1)


class TensorModule(ConvexModule):
    """Two logistic hidden layers of `n_left` and `n_right` units; L = n_left n_right features."""

    def __init__(self, n_inputs: int, n_left: int, n_right: int, n_targets: int):
        super().__init__(n_left * n_right, n_targets)
        self.left = SigmoidModule(n_inputs, n_left, 0)
        self.right = SigmoidModule(n_inputs, n_right, 0)

    def features(self, z: Tensor) -> Tensor:
        return row_kronecker(self.left.features(z), self.right.features(z))

    def pull_back(self, z: Tensor, features: Tensor, gradient: Tensor) -> None:
        left, right = self.left.features(z), self.right.features(z)
        folded = gradient.unflatten(1, (left.shape[1], right.shape[1]))  # (B, L1, L2)
        self.left.pull_back(z, left, torch.einsum("bij,bj->bi", folded, right))
        self.right.pull_back(z, right, torch.einsum("bij,bi->bj", folded, left))

    def lower(self) -> list[nn.Parameter]:
        return [*self.left.lower(), *self.right.lower()]

    def spread_over(self, z: Tensor, weights: Tensor | None = None) -> None:
        """As SigmoidModule's, both layers."""
        self.left.spread_over(z, weights)
        self.right.spread_over(z, weights)

    def begin_from_below(self, below: TensorModule) -> None:
        """Both layers begin as those of the module below."""
        self.left.begin_from(below.left.weight, below.left.bias)
        self.right.begin_from(below.right.weight, below.right.bias)
