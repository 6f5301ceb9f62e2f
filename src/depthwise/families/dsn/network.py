"""The stack: every convex module sees the inputs and all predictions made below it.

    z_1 = v                         v the standardised inputs, flattened
    y_m = module_m(z_m)             z_{m+1} = [z_m, y_m]
    logits = output(y_M)            an affine map; a softmax layer when it was trained as one

Deng and Yu 2011, figure 1. The output layer maps predictions of one-hot targets, which lie about
[0, 1], to logits; before it is trained it multiplies by SCALE, and argmax is the module's own.

Shapes: B batch, D visible units, L features of a module, K classes or targets.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from depthwise.families.dsn.module import ConvexModule
from depthwise.layers import VisibleUnits

__all__ = ["DSNNetwork"]

SCALE = 10.0  # e^10: a clean 0-or-1 answer is a sure one


class DSNNetwork(VisibleUnits):
    """Raw inputs (B, *input_shape) -> logits (B, K), or predictions (B, K) of numbers.

    `make_module(n_inputs)` makes each of the `n_modules` modules; `labels`: logits are wanted.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_targets: int,
        n_modules: int,
        make_module: Callable[[int], ConvexModule],
        *,
        labels: bool,
    ):
        super().__init__(input_shape)
        widths = [self.n_visible + m * n_targets for m in range(n_modules)]
        self.stack = nn.ModuleList(make_module(width) for width in widths)
        self.output = nn.Linear(n_targets, n_targets)
        with torch.no_grad():
            self.output.weight.copy_(torch.eye(n_targets) * (SCALE if labels else 1.0))
            self.output.bias.zero_()

    def stacked(self, x: Tensor, modules: int) -> Tensor:
        """[v, y_1 .. y_modules], what module number `modules` (from 0) sees: (B, D + modules K)."""
        z = self.visible(x)
        for module in list(self.stack)[:modules]:
            z = torch.cat([z, module(z)], dim=1)
        return z

    def predictions(self, x: Tensor) -> Tensor:
        """The last module's answers y_M: (B, K)."""
        last = len(self.stack) - 1
        answers: Tensor = self.stack[last](self.stacked(x, last))
        return answers

    def upper_weights(self) -> list[tuple[Tensor, Tensor]]:
        """U (L, K) and c (K,) of each module, bottom up."""
        modules = [module for module in self.stack if isinstance(module, ConvexModule)]
        return [(m.upper.detach(), m.upper_bias.detach()) for m in modules]

    def representations(self, x: Tensor) -> list[Tensor]:
        """Features (B, L) of each module, bottom up."""
        z, shown = self.visible(x), []
        for module in self.stack:
            shown.append(module.features(z))  # type: ignore[operator]
            z = torch.cat([z, module(z)], dim=1)
        return shown

    def forward(self, x: Tensor) -> Tensor:
        answers: Tensor = self.output(self.predictions(x))
        return answers
