"""The matrix products of a learning step, in float32 or, where the processor has it, in bfloat16.

Sampled states are 0 or 1, exact in bfloat16; weights are rounded for the products only, and learn
in float32. The values of Gaussian units are never rounded.

In float32, torch's products come from MKL, which uses half of the vector width on some processors.
oneDNN uses all of it, and torch turns to oneDNN once it may round to bfloat16 inside of a product.
Where the processor cannot gain by that, oneDNN does not round (measured here: 2.1 times as fast,
with errors of 2e-7), and `full_speed` says so; where it would, the products stay as they were.

Shapes: R rows, D visible units, H hidden units.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from depthwise.compute import Compute
from depthwise.families.boltzmann.network import RBMNetwork

__all__ = ["Products", "full_speed"]


@contextlib.contextmanager
def full_speed() -> Iterator[None]:
    """Products of float32 matrices as fast as they go without losing a bit to rounding."""
    settings = _settings()
    if settings is None or not _rounds_nothing():
        yield
        return
    before = settings.fp32_precision
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


def _settings() -> Any:
    """Where torch keeps what oneDNN's products may do; None in versions without it."""
    return getattr(torch.backends.mkldnn, "matmul", None)


@functools.cache
def _rounds_nothing() -> bool:
    """Whether oneDNN, allowed to round, does not: bfloat16's error would be above 1e-3."""
    settings, source = _settings(), torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 96, 96, generator=source)
    before = settings.fp32_precision
    try:
        settings.fp32_precision = "bf16"
        relative = torch.mm(a, b).double() / torch.mm(a.double(), b.double()) - 1
    except RuntimeError:
        return False
    finally:
        settings.fp32_precision = before
    return float(relative.abs().max()) < 1e-5


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

    def up(self, v: Tensor, out: Tensor) -> Tensor:
        """b + up v'W of rows v (R, D) into `out` (R, H), which is in the weights' precision."""
        bias = self.rbm.hidden_bias
        if self.rounded is None:
            return torch.addmm(bias, v, self.rbm.weight, alpha=self.up_factor, out=out)
        out.copy_(torch.mm(v, self.rounded))
        return torch.add(bias, out, alpha=self.up_factor, out=out)

    def down(self, h: Tensor) -> Tensor:
        """a + down W h of rows h (R, H) -> (R, D), in the weights' precision."""
        bias = self.rbm.visible_bias
        if self.rounded is None:
            return torch.addmm(bias, h, self.rbm.weight.t(), alpha=self.down_factor)
        x = torch.mm(h.to(self.dtype), self.rounded.t()).to(bias.dtype)
        return torch.add(bias, x, alpha=self.down_factor, out=x)

    def add_outer(
        self, target: Tensor, v: Tensor, h: Tensor, *, rate: float = 1.0, keep: float = 1.0
    ) -> None:
        """target <- keep target + rate v'h. (D, H), (R, D), (R, H)."""
        if v.dtype == target.dtype:
            target.addmm_(v.t(), h, beta=keep, alpha=rate)
            return
        if keep != 1:
            target.mul_(keep)
        target.add_(torch.mm(v.t(), h.to(v.dtype)), alpha=rate)
