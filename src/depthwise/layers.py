"""Layers shared by several families.

Shapes: B batch, C channels, H W image, D features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["ManyPasses", "Rescaled", "Standardise", "VisibleUnits", "parameter_count", "spreads"]


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


class ManyPasses(nn.Module):
    """A network that answers an item by many passes of another. one_answer: what an answer is, such
    as "a caption of 24 tokens"."""

    one_answer: str


class VisibleUnits(nn.Module):
    """Raw items to rows of visible units of a generative network, and back.

        v = flatten(standardise(x)),    x = v / inverse_std + mean

    Bernoulli units take pixels 0..255 divided by 255, or columns that lie within [0, 1] as they
    are; Gaussian units take standardised values.
    """

    def __init__(self, input_shape: tuple[int, ...]):
        super().__init__()
        self.input_shape = tuple(input_shape)
        self.n_visible = math.prod(input_shape)
        self.standardise = Standardise(input_shape[0], image=len(input_shape) == 3)

    def visible(self, x: Tensor) -> Tensor:
        """Raw items (B, *input_shape) -> visible units (B, D)."""
        return torch.flatten(self.standardise(x), 1)

    def raw(self, v: Tensor) -> Tensor:
        """Visible units (B, D) -> items (B, *input_shape) in raw units, floating point."""
        shaped = v.reshape(-1, *self.input_shape)
        return shaped / self.standardise.inverse_std + self.standardise.mean


class Rescaled(nn.Module):
    """Raw inputs (B, ...) -> targets in their own units (B, T): network(x) * scale + mean."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, n_targets: int):
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.zeros(n_targets))
        self.register_buffer("scale", torch.ones(n_targets))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) * self.scale + self.mean

    def representations(self, x: Tensor) -> list[Tensor]:
        hidden: list[Tensor] = self.network.representations(x)  # type: ignore[operator]
        return hidden


def spreads(network: nn.Module) -> Tensor:
    """The scale in which answers (B, T) are compared: each target's standard deviation (T,) where
    the network knows it, else 1."""
    return network.scale if isinstance(network, Rescaled) else torch.ones(())


def parameter_count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())
