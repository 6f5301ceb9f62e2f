"""The convex modules of a deep stacking network: features below, a ridge regression above.

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

__all__ = [
    "ConvexModule",
    "KernelModule",
    "SigmoidModule",
    "TensorModule",
    "feature_gradient",
    "row_kronecker",
]

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


class TensorModule(ConvexModule):
    """The tensor module: two hidden layers side by side whose every pair of units is a feature.

        H1 = s(Z W1 + 1 b1')    H2 = s(Z W2 + 1 b2')
        P = H1 * H2, the row-wise Kronecker product: P[n, i L2 + j] = H1[n, i] H2[n, j]
        Y = P U + 1 c'

    (Hutchinson, Deng and Yu 2013, the T-DSN: prediction is bilinear in two hidden
    representations.) With G = dJ/dP folded to (B, L1, L2), the product rule gives

        dJ/dH1[n, i] = sum_j G[n, i, j] H2[n, j]       dJ/dH2[n, j] = sum_i G[n, i, j] H1[n, i]

    and from there the logistic units' as in SigmoidModule. L1 = n_left and L2 = n_right hidden
    units make L = L1 L2 features: 50 and 50 make 2,500.
    """

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


def row_kronecker(left: Tensor, right: Tensor) -> Tensor:
    """(B, L1), (B, L2) -> (B, L1 L2): all products of one row's values."""
    return (left[:, :, None] * right[:, None, :]).flatten(1)


class KernelModule(ConvexModule):
    """The kernel module: Gaussian kernel ridge regression, through L random features.

        k(z, z') = exp(-gamma |z - z'|^2)
        P = sqrt(2 / L) cos(Z W + 1 b')       W ~ N(0, 2 gamma), b ~ uniform on [0, 2 pi)
        E[P P'] = k,   Y = P U + 1 c'

    (Deng, Tur, He and Hakkani-Tur 2012, the K-DCN, whose module solves (K + ridge I) a = T with
    the N x N kernel matrix K; random features by Rahimi and Recht 2007 make that the ridge
    regression of gram.py on L columns, whatever N, with an error of order 1 / sqrt(L).) The
    features are drawn once and stay: a kernel module has no lower weights to learn. gamma is 1
    until `set_width`.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, n_inputs: int, n_features: int, n_targets: int):
        super().__init__(n_features, n_targets)
        self.register_buffer("weight", math.sqrt(2) * torch.randn(n_inputs, n_features))
        self.register_buffer("bias", 2 * math.pi * torch.rand(n_features))

    def set_width(self, gamma: float) -> None:
        """Scale the features of gamma = 1 to another gamma > 0; to be called once."""
        self.weight.mul_(math.sqrt(gamma))

    def features(self, z: Tensor) -> Tensor:
        scale = math.sqrt(2 / self.n_features)
        return scale * torch.cos(torch.addmm(self.bias, z, self.weight))


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
