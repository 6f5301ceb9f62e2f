"""Network bricks with two or more users.

Shapes: B batch, C channels, H W image, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Standardise", "parameter_count"]


class Standardise(nn.Module):
    """y = (x - mean) / std, by channel of an image or by column of a table.

    The first layer of every network here: a model takes raw pixels or raw columns, so its
    preprocessing travels with its weights and cannot be forgotten or done twice.

    Input (B, C, H, W) or (B, D), any dtype; output the same shape, floating point.
    """

    mean: Tensor
    inverse_std: Tensor

    def __init__(self, channels: int, image: bool):
        super().__init__()
        shape = (channels, 1, 1) if image else (channels,)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("inverse_std", torch.ones(shape))

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Constant columns (std 0, but for rounding) become zero, not infinity."""
        rounding = 1e-12 * mean.abs().clamp(min=1)
        safe = torch.where(std > rounding, std, torch.ones_like(std))
        self.mean.copy_(mean.reshape(self.mean.shape))
        self.inverse_std.copy_(safe.reciprocal().reshape(self.mean.shape))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(self.mean.dtype) - self.mean) * self.inverse_std


def parameter_count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
