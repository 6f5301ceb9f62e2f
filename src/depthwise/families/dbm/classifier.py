"""A deep Boltzmann machine turned into a feed-forward classifier (Salakhutdinov and Hinton 2009).

Mean-field inference answers q(h2 | v), ..., q(hL | v) for an item; beside v they become inputs of a
network whose layers are the machine's, each hearing its neighbours on both sides as before:

    x_0 = v      x_l = s(W_l'x_{l-1} + W_{l+1} q_{l+1} + b_l)      xL = s(WL'x_{L-1} + bL)
    logits = U_1'x_1 + ... + U_L'xL + d

At the start the two weight matrices of a layer are the machine's, so x_1 is the mean-field mean of
layer 1, and so on; then all learn by gradient descent, apart from the machine and from each other.
In the paper only the last layer speaks to the classes; here all do, so that an upper layer which
the machine has found no use for does not stand between the classes and the items.

Shapes: B batch, D visible units, H_l units of layer l, K classes; F = D + H_2 + ... + H_L features.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["MeanFieldClassifier", "features"]


def features(means: Sequence[Tensor]) -> Tensor:
    """[v, q_1, ..., q_L] -> v, q_2, ..., q_L side by side: (B, F)."""
    return torch.cat([means[0], *means[2:]], dim=1)


class MeanFieldClassifier(nn.Module):
    """Features (B, F) -> logits (B, K). `sizes`: (D, H_1, ..., H_L). `dropout`: share of each
    hidden layer's inputs left out in training, 0 .. 0.5; `input_dropout`: of v, 0 .. 0.3."""

    def __init__(
        self,
        sizes: Sequence[int],
        n_classes: int,
        *,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ):
        super().__init__()
        self.splits = [sizes[0], *sizes[2:]]
        above = [*sizes[2:], 0]
        self.layers = nn.ModuleList(
            nn.Linear(below + extra, size)
            for below, size, extra in zip(sizes[:-1], sizes[1:], above)
        )
        self.output = nn.Linear(sum(sizes[1:]), n_classes)
        self.dropout, self.input_dropout = nn.Dropout(dropout), nn.Dropout(input_dropout)

    @torch.no_grad()
    def take(self, weights: Iterable[Tensor], biases: Iterable[Tensor]) -> None:
        """Begin as the machine with weights W_1 .. W_L and biases b_0 .. b_L."""
        own, other = list(weights), list(biases)
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, nn.Linear)
            both = [own[i].t(), *own[i + 1 : i + 2]]  # (H_l, H_{l-1}), (H_l, H_{l+1})
            layer.weight.copy_(torch.cat(both, dim=1))
            layer.bias.copy_(other[i + 1])
        self.output.weight.normal_(0, 0.01)
        self.output.bias.zero_()

    def forward(self, given: Tensor) -> Tensor:
        v, *above = given.to(self.output.weight.dtype).split(self.splits, dim=1)
        x, hidden = self.input_dropout(v), []
        for i, layer in enumerate(self.layers):
            if i < len(above):
                x = torch.cat([x, self.dropout(above[i])], dim=1)
            x = self.dropout(torch.sigmoid(layer(x)))
            hidden.append(x)
        logits: Tensor = self.output(torch.cat(hidden, dim=1))
        return logits
