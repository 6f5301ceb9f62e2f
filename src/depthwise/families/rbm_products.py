"""The matrix products of a learning step, in float32 or, where the processor has it, in bfloat16.

Sampled states are 0 or 1, exact in bfloat16; weights are rounded for the products only, and learn
in float32. The values of Gaussian units are never rounded.

Shapes: R rows, D visible units, H hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from depthwise.compute import Compute
from depthwise.families.rbm_network import RBMNetwork

__all__ = ["Products"]


class Products:
    """Up, down and outer products with one machine's weights, `up` and `down` times as strong."""

    def __init__(self, rbm: RBMNetwork, compute: Compute, up: float, down: float):
        self.rbm, self.up_factor, self.down_factor = rbm, up, down
        exact = rbm.weight.dtype
        rounds = compute.precision == "bfloat16" and not rbm.gaussian
        self.dtype = torch.bfloat16 if rounds else exact
        self.rounded = None if self.dtype == exact else rbm.weight.detach().to(self.dtype)

    def refresh(self) -> None:
        """To be called when the weights have changed."""
        if self.rounded is not None:
            self.rounded.copy_(self.rbm.weight)

    def up(self, v: Tensor) -> Tensor:
        """b + up v'W of rows v (R, D) -> (R, H), in the weights' precision."""
        bias = self.rbm.hidden_bias
        if self.rounded is None:
            return torch.addmm(bias, v, self.rbm.weight, alpha=self.up_factor)
        return torch.mm(v, self.rounded).to(bias.dtype).mul_(self.up_factor).add_(bias)

    def down(self, h: Tensor) -> Tensor:
        """a + down W h of rows h (R, H) -> (R, D), in the weights' precision."""
        bias = self.rbm.visible_bias
        if self.rounded is None:
            return torch.addmm(bias, h, self.rbm.weight.t(), alpha=self.down_factor)
        x = torch.mm(h.to(self.dtype), self.rounded.t())
        return x.to(bias.dtype).mul_(self.down_factor).add_(bias)

    def add_outer(self, target: Tensor, v: Tensor, h: Tensor, keep: float = 1.0) -> None:
        """target <- keep target + v'h. (D, H), (R, D), (R, H)."""
        if v.dtype == target.dtype:
            target.addmm_(v.t(), h, beta=keep)
            return
        if keep != 1:
            target.mul_(keep)
        target.add_(torch.mm(v.t(), h.to(v.dtype)))
