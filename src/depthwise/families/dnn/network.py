"""The network of a DNN: fully connected layers.

    h_0 = dropout(standardise(x))
    h_l = dropout(f(n(W_l h_{l-1} + b_l)))          l = 1 .. L
    z   = W h_L + b,    p(y | x) = softmax(z)

f is the rectifier or the logistic function, n batch normalisation (Ioffe and Szegedy 2015; it has a
bias of its own, so that the layer needs none) or nothing; dropout as Srivastava et al. 2014, what
is left being scaled up, so that means stay. The weights begin as He et al. 2015, N(0, 2 / fan_in),
where f is the rectifier, and as Glorot and Bengio 2010 where it is logistic. Images are flattened.

Shapes: B batch, D features, H_l units of layer l, K classes.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from depthwise.layers import Standardise

__all__ = ["ACTIVATIONS", "DNNNetwork", "limit_norms"]

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "logistic": nn.Sigmoid}


class DNNNetwork(nn.Module):
    """(B, D) or (B, C, H, W) -> logits (B, K)."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_classes: int,
        hidden: tuple[int, ...],
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        activation: str = "relu",
        normalise: bool = True,
    ):
        super().__init__()
        self.standardise = Standardise(input_shape[0], image=len(input_shape) == 3)
        self.input_dropout = nn.Dropout(input_dropout) if input_dropout else nn.Identity()
        widths = (math.prod(input_shape), *hidden)
        self.hidden = nn.Sequential(
            *itertools.chain.from_iterable(
                _layer(a, b, activation, normalise, dropout) for a, b in itertools.pairwise(widths)
            )
        )
        self.output = nn.Linear(widths[-1], n_classes)
        self.activation = ACTIVATIONS[activation]  # a class: every layer has its own
        for linear in self.linears:
            if activation == "relu":
                nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            else:
                nn.init.xavier_normal_(linear.weight)

    @property
    def linears(self) -> list[nn.Linear]:
        """The hidden layers' weights, bottom up."""
        return [module for module in self.hidden if isinstance(module, nn.Linear)]

    def visible(self, x: Tensor) -> Tensor:
        """Raw inputs (B, ...) -> h_0 (B, D), nothing dropped."""
        return torch.flatten(self.standardise(x), 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.hidden(self.input_dropout(self.visible(x))))

    def representations(self, x: Tensor, layers: int | None = None) -> list[Tensor]:
        """What each hidden layer makes of raw inputs, before dropout: (B, H_l), bottom up; of the
        first `layers`, or of all."""
        h: Tensor = self.visible(x)
        shown: list[Tensor] = []
        for module in self.hidden:
            if len(shown) == layers:
                break
            h = module(h)
            if isinstance(module, self.activation):
                shown.append(h)
        return shown


def _layer(
    inputs: int, outputs: int, activation: str, normalise: bool, dropout: float
) -> list[nn.Module]:
    linear = nn.Linear(inputs, outputs, bias=not normalise)
    if not normalise:
        nn.init.zeros_(linear.bias)
    norm = [nn.BatchNorm1d(outputs)] if normalise else []
    return [linear, *norm, ACTIVATIONS[activation](), nn.Dropout(dropout)]


@torch.no_grad()
def limit_norms(linears: list[nn.Linear], largest: float) -> None:
    """Shrink each unit's incoming weights to a length of at most `largest` (max-norm, Srebro and
    Shraibman 2005; Srivastava et al. 2014)."""
    for linear in linears:
        linear.weight.copy_(torch.renorm(linear.weight, 2, 0, largest))
