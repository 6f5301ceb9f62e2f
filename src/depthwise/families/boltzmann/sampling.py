"""Random bits for Boltzmann machines, at the speed of memory.

A unit turns on when u < p, u uniform on [0, 1). 16 random bits a unit are enough (a probability is
off by less than 2^-17), so one 64-bit word of the generator serves four units. In float64, and on
a GPU, u is drawn in full. All draws come from torch's default generator.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sample_bernoulli", "sample_categories"]

HALF = torch.tensor(0.5)


def sample_bernoulli(p: Tensor, out: Tensor | None = None) -> Tensor:
    """0 or 1 for every probability of p, in p's dtype, or into `out` (p's shape, any dtype)."""
    out = torch.empty_like(p) if out is None else out
    if p.device.type != "cpu" or p.dtype != torch.float32:
        return torch.lt(torch.rand_like(p), p, out=out)
    words = torch.empty((p.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    r = words.view(torch.int16)[: p.numel()].view(p.shape).to(torch.float32)
    # u = 1/2 + r / 2^16 lies in [0, 1): never on at p = 0, always at p = 1
    return torch.lt(torch.add(HALF, r, alpha=2.0**-16), p, out=out)


def sample_categories(logits: Tensor) -> Tensor:
    """One-hot rows (B, K) drawn from softmax(logits), by the Gumbel trick."""
    uniform = torch.rand_like(logits).clamp_(min=torch.finfo(logits.dtype).tiny)
    choice = (logits - torch.log(-torch.log(uniform))).argmax(dim=1)
    return torch.nn.functional.one_hot(choice, logits.shape[1]).to(logits.dtype)
