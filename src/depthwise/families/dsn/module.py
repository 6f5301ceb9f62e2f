"""One convex module of a deep stacking network: hidden units below, a ridge regression above.

    H = s(Z W + 1 b')            s the logistic function; lower weights W, b
    Y = H U + 1 c'               upper weights U, c: the least squares answer for this H (gram.py)

    J(W) = min over U, c of |H U + 1 c' - T|^2 + ridge |U|^2 + d sum_i |h_i|^2 |U_i|^2

The gradient goes *through* the closed form (Deng and Yu 2011, equation 8). At the best U, c the
derivative of J by them is zero, so that they may be held where they are while H moves (the envelope
theorem; Golub and Pereyra 1973 call it variable projection):

    dJ/dH = 2 [(H U + 1 c' - T) U' + d H diag(|U_i|^2)]        `feature_gradient`
    dJ/dW = 2 Z'[dJ/dH / 2 o H o (1 - H)]                      `pull_back`

which is the paper's 2 X [H' o (1 - H') o (H+ (H T')(T H+) - T'(T H+))] without its N x N product.
It is the gradient of J, penalty and all: for the squared error alone it would be wrong by what
ridge does to U. Every module here answers to the same four names: `n_features`, `features`,
`pull_back` and `lower`.

Our names: W weight, b bias, U upper, c upper_bias, Z z: the inputs and all earlier predictions.
Shapes: B batch, D inputs of the module, L features (hidden units), K targets.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["ConvexModule", "SigmoidModule", "feature_gradient"]

SPREAD = 1.5
PREDICTION_SPREAD = 0.3


class ConvexModule(nn.Module):
    """Inputs (B, D) -> predictions (B, K), linear in features that a kind of module defines."""

    def __init__(self, n_features: int, n_targets: int):
        super().__init__()
        self.n_features = n_features
        self.upper = nn.Parameter(torch.zeros(n_features, n_targets), requires_grad=False)
        self.upper_bias = nn.Parameter(torch.zeros(n_targets), requires_grad=False)

    def features(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, L)."""
        raise AssertionError("a kind of module says what its features are")

    def pull_back(self, z: Tensor, features: Tensor, gradient: Tensor) -> None:
        """Set the lower weights' `.grad`, given dJ/d features (B, L)."""

    def lower(self) -> list[nn.Parameter]:
        """The weights that learn by gradient; none where features are fixed."""
        return []

    @torch.no_grad()
    def set_upper(self, upper: Tensor, bias: Tensor) -> None:
        self.upper.copy_(upper)
        self.upper_bias.copy_(bias)

    def forward(self, z: Tensor) -> Tensor:
        return torch.addmm(self.upper_bias, self.features(z), self.upper)


class SigmoidModule(ConvexModule):
    """The module of Deng and Yu: L logistic hidden units, random until `spread_over` or
    `begin_from` makes them fit the data."""

    def __init__(self, n_inputs: int, n_hidden: int, n_targets: int):
        super().__init__(n_hidden, n_targets)
        self.weight = nn.Parameter(torch.randn(n_inputs, n_hidden) / math.sqrt(n_inputs))
        self.bias = nn.Parameter(torch.randn(n_hidden))

    def features(self, z: Tensor) -> Tensor:
        return torch.sigmoid(torch.addmm(self.bias, z, self.weight))

    def pull_back(self, z: Tensor, features: Tensor, gradient: Tensor) -> None:
        delta = gradient * features * (1 - features)  # (B, L)
        self.weight.grad = z.t() @ delta
        self.bias.grad = delta.sum(dim=0)

    def lower(self) -> list[nn.Parameter]:
        return [self.weight, self.bias]

    @torch.no_grad()
    def spread_over(self, z: Tensor, weights: Tensor | None = None) -> None:
        """Random weights that see items z (B, D), of these weights (B,): each unit's input gets the
        standard deviation SPREAD and the mean its random bias says."""
        self.weight.mul_(SPREAD / _moments(z @ self.weight, weights)[1].clamp(min=1e-6))
        self.bias.sub_(_moments(z @ self.weight, weights)[0])

    @torch.no_grad()
    def begin_from(self, weight: Tensor, bias: Tensor) -> None:
        """Take over lower weights (D0, L), D0 <= D, of an RBM or of the module below; those of the
        predictions that it did not see stay random, with standard deviation PREDICTION_SPREAD."""
        self.weight.mul_(PREDICTION_SPREAD * math.sqrt(len(self.weight)))
        self.weight[: len(weight)] = weight
        self.bias.copy_(bias)


def _moments(x: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the columns of x (B, L), whose rows have these weights."""
    if weights is None:
        return x.mean(dim=0), x.std(dim=0, correction=0)
    share = (weights / weights.sum()).to(x.dtype)
    mean = share @ x
    return mean, (share @ (x - mean).square()).sqrt()


def feature_gradient(
    features: Tensor, residual: Tensor, upper: Tensor, dropout: float = 0.0
) -> Tensor:
    """dJ/dH (B, L) from H (B, L), the residual H U + 1 c' - T (B, K) and U (L, K)."""
    gradient = 2 * residual @ upper.t()
    if dropout:
        weight = 2 * dropout / (1 - dropout) * upper.square().sum(dim=1)
        gradient.addcmul_(features, weight.expand_as(features))
    return gradient
