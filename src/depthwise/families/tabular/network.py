"""A network for tables: embeddings of numbers, then several networks that share their weights.

    e_dt = clip((x_d - b_{d,t-1}) / (b_dt - b_{d,t-1}), 0, 1)   t = 1 .. T      (B, D, T)
    u_d  = E_d e_d + c_d                                                       (B, D, U)

are piecewise-linear embeddings (Gorishniy, Rubachev and Babenko 2022, "On Embeddings for Numerical
Features"): the edges b_d0 <= .. <= b_dT are quantiles of the training items, so that an outlier is
no more than the outermost value, and every column is standardised by its ranks. Then

    h_0j = u                                  for each of M members j
    h_lj = dropout(max(0, s_lj * W_l (r_lj * h_{l-1,j}) + b_lj))         l = 1 .. L
    z_j  = V_j h_Lj + v_j,      p(y | x) = 1/M sum_j softmax(z_j)_y

which is TabM (Gorishniy, Kotelnikov and Babenko 2024): M perceptrons that differ in the vectors r,
s, b and in their heads, with W_l in common (BatchEnsemble: Wen, Tran and Ba 2020), each learning
from its own loss. r_1j begins as random signs, all other r and s as ones. Images are flattened.

Shapes: B batch, D features, T bins of a feature, U units of its embedding, M members, H units of a
layer, K classes.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["PiecewiseLinear", "TabularNetwork", "quantile_edges"]


class PiecewiseLinear(nn.Module):
    """Raw rows (B, D) -> embeddings, flattened (B, D U)."""

    lower: Tensor
    inverse_width: Tensor

    def __init__(self, features: int, bins: int, units: int):
        super().__init__()
        self.register_buffer("lower", torch.zeros(features, bins))
        self.register_buffer("inverse_width", torch.ones(features, bins))
        self.weight = nn.Parameter(torch.empty(features, bins, units))
        self.bias = nn.Parameter(torch.empty(features, 1, units))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -1 / math.sqrt(bins), 1 / math.sqrt(bins))

    @torch.no_grad()
    def set_edges(self, edges: Tensor) -> None:
        """`edges` (D, T + 1), ascending; a bin of no width (a constant column) stays at 0."""
        width = edges.diff(dim=1)
        self.lower.copy_(edges[:, :-1])
        self.inverse_width.copy_(torch.where(width > 0, 1 / width.clamp(min=1e-30), 0.0))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.lower.dtype).unsqueeze(-1)
        within = ((x - self.lower) * self.inverse_width).clamp(0, 1)  # (B, D, T)
        embedded = within.transpose(0, 1) @ self.weight + self.bias  # (D, B, U)
        return embedded.transpose(0, 1).flatten(1)


def quantile_edges(columns: np.ndarray, bins: int) -> Tensor:
    """The edges (D, T + 1) float64 of `bins` bins that hold as many of the items (N, D) each; of a
    column with fewer values the values themselves, the last one repeated."""
    edges = np.empty((columns.shape[1], bins + 1))
    for d, column in enumerate(columns.T):
        values = np.unique(column.astype(np.float64))
        if len(values) > bins + 1:
            shares = np.linspace(0, 1, bins + 1)
            values = np.unique(np.quantile(column.astype(np.float64), shares))
        edges[d] = np.pad(values, (0, bins + 1 - len(values)), mode="edge")
    return torch.from_numpy(edges)


class SharedLinear(nn.Module):
    """Members' rows (B, M, I) -> s * W (r * x) + b, (B, M, O)."""

    def __init__(self, members: int, inputs: int, outputs: int, first: bool):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=False)
        nn.init.kaiming_normal_(self.linear.weight, nonlinearity="relu")
        signs = torch.randint(0, 2, (members, inputs)).float() * 2 - 1
        self.before = nn.Parameter(signs if first else torch.ones(members, inputs))
        self.after = nn.Parameter(torch.ones(members, outputs))
        self.bias = nn.Parameter(torch.zeros(members, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x * self.before) * self.after + self.bias


class TabularNetwork(nn.Module):
    """(B, D) or (B, C, H, W) -> logits (B, K): the logarithm of the members' mean probabilities.
    While it learns, a list of each member's logits."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_classes: int,
        hidden: tuple[int, ...],
        members: int,
        bins: int = 16,
        units: int = 8,
        dropout: float = 0.1,
    ):
        super().__init__()
        features = math.prod(input_shape)
        self.embedding = PiecewiseLinear(features, bins, units)
        widths = (features * units, *hidden)
        self.hidden = nn.ModuleList(
            SharedLinear(members, a, b, first=place == 0)
            for place, (a, b) in enumerate(itertools.pairwise(widths))
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Parameter(torch.empty(members, widths[-1], n_classes))
        self.head_bias = nn.Parameter(torch.zeros(members, 1, n_classes))
        nn.init.uniform_(self.head, -1 / math.sqrt(widths[-1]), 1 / math.sqrt(widths[-1]))

    def representations(self, x: Tensor) -> list[Tensor]:
        """What each layer makes of raw inputs, all members' units side by side: (B, M H_l)."""
        return [torch.flatten(h, 1) for h in self._layers(x)]

    def _layers(self, x: Tensor) -> list[Tensor]:
        """(B, M, H_l), bottom up."""
        h = self.embedding(torch.flatten(x, 1)).unsqueeze(1)  # (B, 1, D U), as all members see it
        shown = []
        for layer in self.hidden:
            h = self.dropout(functional.relu(layer(h)))
            shown.append(h)
        return shown

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        top = self._layers(x)[-1].transpose(0, 1)  # (M, B, H)
        logits = top @ self.head + self.head_bias  # (M, B, K)
        if self.training:
            return list(logits.unbind(0))
        return torch.logsumexp(torch.log_softmax(logits, dim=2), dim=0) - math.log(len(logits))
