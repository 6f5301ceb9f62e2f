"""What a deep autoencoder is trained to make small: reconstruction, and what is asked besides.

    J = L(v, v^(z(v~)))  +  beta sum_j KL(rho || r_j)  +  lambda |dz/dv|_F^2       mean over a batch

Reconstruction, summed over the visible values, v^ = sigmoid(t) or t:
    cross-entropy  L = sum_i softplus(t_i) - v_i t_i          squared  L = sum_i (v_i - v^_i)^2
Denoising (Vincent et al. 2010, JMLR 11:3371): the encoder sees v~, the loss compares with v.
    masking: each value is 0 with probability `level`        gaussian: v~ = v + level e, e ~ N(0, I)
Sparse (Lee, Ekanadham and Ng 2008): r_j, the mean of logistic unit j over the batch, is drawn to
    rho by KL(rho || r) = rho log(rho / r) + (1 - rho) log((1 - rho) / (1 - r)).
Contractive (Rifai et al. 2011, ICML): the squared Frobenius norm of the code's Jacobian. Exactly,
    one backward pass a code unit, |J|_F^2 = sum_j |J' e_j|^2; or by Hutchinson's estimate with one
    vector of random signs, E |J' u|^2 = |J|_F^2, whatever the depth and the size of the code. For
    one logistic layer it is sum_j (z_j (1 - z_j))^2 sum_i W_ij^2.

Shapes: B batch, D visible values, H units of a layer, Z code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.families.autoencoder.network import AutoencoderNetwork, at_least_single

__all__ = [
    "Objective",
    "Penalties",
    "corrupt",
    "cross_entropy",
    "jacobian_norm",
    "sparsity_divergence",
    "squared_error",
]

EXACT_UP_TO = 4  # code units: beyond, Hutchinson's single backward pass costs less than exactness


@dataclass(frozen=True)
class Penalties:
    """What is asked besides reconstruction.

    | field             | unit, sensible range                                         |
    | ----------------- | ------------------------------------------------------------ |
    | `noise`           | None, "masking" or "gaussian"                                |
    | `noise_level`     | share of masked values, 0.1 .. 0.5; or standard deviation    |
    | `sparsity`        | mean activation wanted of logistic units, 0.01 .. 0.2        |
    | `sparsity_weight` | nats for each nat of divergence, 0.01 .. 3                   |
    | `contractive`     | weight of the squared Jacobian norm, 1e-3 .. 1               |
    """

    noise: str | None = None
    noise_level: float = 0.25
    sparsity: float | None = None
    sparsity_weight: float = 0.1
    contractive: float = 0.0


def cross_entropy(v: Tensor, total: Tensor) -> Tensor:
    """sum_i softplus(t_i) - v_i t_i, (B, D), (B, D) -> (B,) in nats."""
    return (functional.softplus(total) - v * total).sum(dim=1)


def squared_error(v: Tensor, means: Tensor) -> Tensor:
    """sum_i (v_i - v^_i)^2, (B, D), (B, D) -> (B,)."""
    return (v - means).square().sum(dim=1)


def corrupt(v: Tensor, noise: str | None, level: float) -> Tensor:
    """What the encoder is shown for v (B, D): some values masked, or all disturbed."""
    if noise == "masking":
        return v * (torch.rand_like(v) >= level)
    if noise == "gaussian":
        return v + level * torch.randn_like(v)
    return v


def sparsity_divergence(activations: Tensor, target: float) -> Tensor:
    """sum_j KL(rho || mean over the batch of unit j), (B, H) -> scalar in nats."""
    mean = at_least_single(activations).mean(dim=0).clamp(1e-6, 1 - 1e-6)
    on, off = torch.log(target / mean), torch.log((1 - target) / (1 - mean))
    return (target * on + (1 - target) * off).sum()


def jacobian_norm(encode: Callable[[Tensor], Tensor], v: Tensor, *, exact: bool) -> Tensor:
    """|dz/dv|_F^2 of each item, (B, D) -> (B,), with a graph, so that it can be made small.

    `exact`, or Hutchinson's estimate with one vector of random signs.
    """
    v = v.detach().requires_grad_()
    codes = encode(v)
    if exact:
        probes = list(torch.eye(codes.shape[1], dtype=codes.dtype, device=v.device))
    else:
        probes = [torch.randint(0, 2, codes.shape, device=v.device).to(codes.dtype) * 2 - 1]
    norm = torch.zeros(len(v), dtype=v.dtype, device=v.device)
    for probe in probes:
        (rows,) = torch.autograd.grad(codes, v, probe.expand_as(codes), create_graph=True)
        norm = norm + rows.square().sum(dim=1)
    return norm


class Objective(nn.Module):
    """Raw inputs (B, ...) -> J, a scalar: `network`'s loss on the batch. It holds the network."""

    def __init__(self, network: AutoencoderNetwork, loss: str, penalties: Penalties):
        super().__init__()
        self.network, self.squared, self.penalties = network, loss == "squared", penalties

    def forward(self, x: Tensor) -> Tensor:
        v, asked = self.network.visible(x), self.penalties
        layers = self.network.layers(corrupt(v, asked.noise, asked.noise_level))
        loss = self.reconstruction(v, layers[-1]).mean()
        if asked.sparsity is not None:
            loss = loss + asked.sparsity_weight * self._sparsity(layers, asked.sparsity)
        if asked.contractive:
            exact = layers[-1].shape[1] <= EXACT_UP_TO
            norm = jacobian_norm(self.network.encode, v, exact=exact)
            loss = loss + asked.contractive * norm.mean()
        return loss

    def reconstruction(self, v: Tensor, codes: Tensor) -> Tensor:
        """L of each item, (B, D), (B, Z) -> (B,)."""
        if self.squared:
            return squared_error(v, self.network.decode(codes))
        return cross_entropy(v, self.network.decode_input(codes))

    def _sparsity(self, layers: list[Tensor], target: float) -> Tensor:
        logistic = [
            torch.flatten(h, 1)
            for layer, h in zip(self.network.encoder, layers)
            if any(isinstance(part, nn.Sigmoid) for part in layer.modules())
        ]
        return torch.stack([sparsity_divergence(h, target) for h in logistic]).sum()
