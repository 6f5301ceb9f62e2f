"""Layer-by-layer pretraining of a deep Boltzmann machine (Salakhutdinov and Hinton 2009).

Layer l's machine, a restricted one, learns to model what the layers below make of the data. In the
deep machine each hidden layer hears its neighbours on both sides; alone, a restricted machine hears
one. So where a neighbour is absent, the other one speaks twice as loud:

    first machine     p(h1 | v)  = s(b1 + 2 W1'v)      p(v | h1)  = s(b0 + W1 h1)
    those between     p(h_l | h_{l-1}) = s(b_l + 2 W_l'h_{l-1}),   p(h_{l-1} | h_l) the same way, 2
    last machine      p(hL | h_{L-1}) = s(bL + WL'h_{L-1})    p(h_{L-1} | hL) = s(c + 2 WL hL)

The doubling is in the conditionals, not in the weights: W_l is composed as it was learnt. (Learnt
as an ordinary machine, a layer between would have its weights halved afterwards: the same.) Without
it every layer would count the evidence twice once both neighbours speak. A hidden layer that two
machines share keeps the bias of the lower one; c is dropped.

So far each machine has been looked after alone. When they are joined, W_l'h_{l-1}, heard twice, is
heard once, and W_{l+1} h_{l+1} for the other half. The two agree where a layer began as the one two
below it upside down; elsewhere they can differ by so much that whole layers freeze, on in all their
units or off, and learning does not wake them (measured with 500-500-1000). So the biases take over
the difference of the two at the layers' mean activities (`balance`).

Shapes: B batch, D visible units, H_l units of layer l.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from depthwise.compute import Compute, own_randomness
from depthwise.families.boltzmann.contrastive import ContrastiveUpdate
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.dbm.network import DBMNetwork
from depthwise.training.step import Recipe

__all__ = ["balance", "compose", "layer_machine", "layer_update", "turn_upside_down"]


def layer_machine(network: DBMNetwork, layer: int) -> RBMNetwork:
    """The restricted machine of a layer (1 .. L), with the deep machine's present weights."""
    kind = "gaussian" if network.gaussian and layer == 1 else "bernoulli"
    with own_randomness():  # its own random weights are not used
        rbm = RBMNetwork(network.sizes[layer - 1], network.sizes[layer], visible=kind)
    rbm.to(network.biases[0].device)
    with torch.no_grad():
        rbm.weight.copy_(network.weights[layer - 1])
        rbm.visible_bias.copy_(network.biases[layer - 1])
        rbm.hidden_bias.copy_(network.biases[layer])
    if kind == "gaussian":
        rbm.log_variance.requires_grad_(False)
    return rbm


def layer_update(
    network: DBMNetwork, rbm: RBMNetwork, layer: int, recipe: Recipe, compute: Compute, **how: Any
) -> ContrastiveUpdate:
    """How a layer's machine learns from raw items, `how` being ContrastiveUpdate's settings."""
    return ContrastiveUpdate(
        rbm,
        recipe,
        prepare=_below(network, layer),
        up=1.0 if layer == network.depth else 2.0,
        down=1.0 if layer == 1 else 2.0,
        compute=compute,
        **how,
    )


@torch.no_grad()
def compose(network: DBMNetwork, rbm: RBMNetwork, layer: int) -> None:
    """The layer's machine takes its place in the deep one."""
    network.weights[layer - 1].copy_(rbm.weight)
    network.biases[layer].copy_(rbm.hidden_bias)
    if layer == 1:
        network.biases[0].copy_(rbm.visible_bias)


@torch.no_grad()
def balance(network: DBMNetwork, v: Tensor) -> None:
    """b_l += W_l'm_{l-1} - W_{l+1} m_{l+1}, m the mean activities that v (N, D) calls up by one
    pass bottom-up: what a unit between two others hears stays, on average, what it heard alone."""
    means = [layer.mean(dim=0) for layer in network.bottom_up(v)]
    for layer in range(1, network.depth):
        below, above = network.weights[layer - 1], network.weights[layer]
        network.biases[layer] += means[layer - 1] @ below - above @ means[layer + 1]


@torch.no_grad()
def turn_upside_down(network: DBMNetwork, layer: int) -> None:
    """W_l begins as W_{l-1}' as far as the layer is wide enough, and b_l as the biases two layers
    below: the states above a layer begin as a copy of those below it."""
    width = network.sizes[layer - 2]
    if network.sizes[layer] < width or (network.gaussian and layer == 2):
        return
    network.weights[layer - 1][:, :width] = network.weights[layer - 2].t()
    network.biases[layer][:width] = network.biases[layer - 2]


def _below(network: DBMNetwork, layer: int) -> Callable[[Tensor], Tensor]:
    """Raw items -> draws of layer - 1, by one pass bottom-up."""

    def prepare(inputs: Tensor) -> Tensor:
        v = network.visible(inputs)
        state = v if network.gaussian else sample_bernoulli(v)
        for below in range(1, layer):
            bias, weight = network.biases[below], network.weights[below - 1]
            x = torch.addmm(bias, state, weight, alpha=2)
            state = sample_bernoulli(x.sigmoid_())
        return state

    return prepare
