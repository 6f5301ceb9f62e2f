"""Missing pixels by a deep Boltzmann machine: what the known ones say about the others.

The unknown visible units are inferred as the hidden ones are. By mean-field, q(v_i) = s(b_0i +
(W_1 q_1)_i) joins the fixed point of network.py, a layer of it like the others: one answer, at
once, near one mode. By Gibbs sampling with the known units clamped: the mean over many states, all
modes that the chain visits. Known units are never changed.

Shapes: B batch, D visible units, H_l units of layer l.
"""

from __future__ import annotations

import torch
from torch import Tensor

from depthwise.families.dbm.network import DBMNetwork

__all__ = ["inpaint_by_gibbs", "inpaint_by_mean_field"]


@torch.no_grad()
def inpaint_by_mean_field(
    network: DBMNetwork, v: Tensor, known: Tensor, steps: int
) -> list[Tensor]:
    """Means of layers 0 .. L after `steps` steps: v (B, D) where known (B, D) bool, inferred
    elsewhere, from what the biases alone say."""
    alone = network.mean_of(0, network.biases[0].expand_as(v))
    means = network.bottom_up(torch.where(known, v, alone))
    for _ in range(steps):
        for parity in (0, 1):
            for layer in range(parity, network.depth + 1, 2):
                means[layer] = network.mean_of(layer, network.layer_input(layer, means))
                if layer == 0:
                    means[0] = torch.where(known, v, means[0])
    return means


@torch.no_grad()
def inpaint_by_gibbs(network: DBMNetwork, v: Tensor, known: Tensor, sweeps: int) -> Tensor:
    """The visible means (B, D) over the second half of `sweeps` sweeps, known units clamped."""
    start = inpaint_by_mean_field(network, v, known, steps=5)
    states = [start[0], *map(torch.bernoulli, start[1:])]
    total, counted = torch.zeros_like(v), 0
    for sweep in range(sweeps):
        for layer in (*range(1, network.depth + 1, 2), *range(0, network.depth + 1, 2)):
            x = network.layer_input(layer, states)
            states[layer] = network.sample_of(layer, x)
            if layer == 0:
                states[0] = torch.where(known, v, states[0])
                if sweep >= sweeps // 2:
                    total, counted = total + network.mean_of(0, x), counted + 1
    return torch.where(known, v, total / counted)
