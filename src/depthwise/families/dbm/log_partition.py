"""log Z of a deep Boltzmann machine, by annealed importance sampling or by enumeration.

The odd layers are independent given the even ones. So the even layers (v, h2, h4, ...) can be
summed out exactly, and what is left is a distribution of the odd ones alone:

    log f(h1, h3, ...) = sum_odd b_l'h_l + sum_even log sum_{h_l} exp(h_l'(b_l + neighbours' say))

With two layers only h1 is sampled, as Salakhutdinov and Hinton (2009) do. The path from independent
units with the rates r_l (log-odds c_l) to the machine, 0 <= beta <= 1:

    biases (1 - beta) c_l + beta b_l of every layer, weights beta W_l

An AIS chain's weight is the sum of log f_beta' - log f_beta along the way
(families/boltzmann/partition.py). The rates are those of the persistent chains, which after
learning are the machine's own, or of given data.

Enumeration lists the odd states or the even ones, whichever are fewer units, the rest summed out.

Shapes: M chains, S states, H_l units of layer l.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from depthwise.compute import own_randomness
from depthwise.errors import InputError
from depthwise.families.boltzmann.partition import (
    LogPartition,
    estimate_from_weights,
    inverse_temperatures,
)
from depthwise.families.boltzmann.sampling import sample_bernoulli
from depthwise.families.dbm.network import DBMNetwork

__all__ = [
    "ais_log_weights",
    "annealed_log_partition",
    "base_biases",
    "enumerated_log_partition",
    "listed_units",
]

ENUMERABLE = 24  # units: 2^24 states
BLOCK = 4096  # states listed at once
BASE_SHARE = 0.05  # of a half-and-half unit in the base, so that no unit is stuck


# -- annealed importance sampling ---------------------------------------------------------------


@torch.no_grad()
def annealed_log_partition(
    network: DBMNetwork,
    *,
    chains: int = 100,
    steps: int = 10_000,
    seed: int = 0,
    base: list[Tensor] | None = None,
) -> LogPartition:
    """log Z from `chains` independent chains of `steps` temperatures each; its standard error
    shrinks with either. Warns (UntrustedEstimateWarning) when the chains do not agree.

    `base`: log-odds (H_l,) of every layer at beta = 0, by default `base_biases(network)`.
    """
    if chains < 2 or steps < 1:
        raise InputError(
            f"chains must be 2 or more and steps 1 or more; got chains={chains}, steps={steps}."
        )
    device = network.biases[0].device
    with own_randomness(seed, device):
        base = base_biases(network) if base is None else base
        betas = inverse_temperatures(steps).tolist()
        weights = ais_log_weights(network, base, betas, chains)
    return estimate_from_weights(weights, _log_z_of_base(network, base))


def base_biases(network: DBMNetwork, states: list[Tensor] | None = None) -> list[Tensor]:
    """Log-odds of each layer's mean rates in `states` (layers 0 .. L, rows of any number), by
    default the persistent chains; of Gaussian visible units their means."""
    if states is None:
        states = network.chain_states()
        for layer in range(0, network.depth + 1, 2):
            states[layer] = network.mean_of(layer, network.layer_input(layer, states))
    biases = [_log_odds(state.mean(dim=0)) for state in states]
    if network.gaussian:
        biases[0] = states[0].mean(dim=0)
    return biases


def ais_log_weights(
    network: DBMNetwork, base: list[Tensor], betas: list[float], chains: int
) -> Tensor:
    """(M,) log weights, float64, of chains carried along `betas` from 0 to 1."""
    rates = [torch.sigmoid(bias) for bias in base[1::2]]
    odd = torch.cat([sample_bernoulli(r.expand(chains, -1).contiguous()) for r in rates], dim=1)
    gain = torch.cat([b - c for b, c in zip(network.biases[1::2], base[1::2])]).double()
    log_weights = torch.zeros(chains, dtype=torch.float64, device=odd.device)
    for before, beta in pairwise(betas):
        states, own = _spread(network, odd), {}
        for layer in range(0, network.depth + 1, 2):
            own[layer] = network.layer_input(layer, states) - base[layer]
            after = torch.add(base[layer], own[layer], alpha=beta)
            log_weights += network.log_sum_of(layer, after)
            log_weights -= network.log_sum_of(
                layer, torch.add(base[layer], own[layer], alpha=before)
            )
            own[layer] = after
        log_weights += (beta - before) * (odd.double() @ gain)
        for layer, after in own.items():
            states[layer] = network.sample_of(layer, after)
        drawn = []
        for layer in range(1, network.depth + 1, 2):
            x = network.layer_input(layer, states).sub_(base[layer]).mul_(beta).add_(base[layer])
            drawn.append(network.sample_of(layer, x))
        odd = torch.cat(drawn, dim=1)
    return log_weights


def _spread(network: DBMNetwork, odd: Tensor) -> list[Tensor]:
    """The odd layers' states in their places, of layers 0 .. L."""
    states = [odd] * (network.depth + 1)
    states[1::2] = odd.split(network.sizes[1::2], dim=1)
    return states


def _log_z_of_base(network: DBMNetwork, base: list[Tensor]) -> float:
    return sum(
        float(network.log_sum_of(layer, bias.double()[None])) for layer, bias in enumerate(base)
    )


def _log_odds(rates: Tensor) -> Tensor:
    return torch.logit((1 - BASE_SHARE) * rates + BASE_SHARE / 2)


# -- enumeration --------------------------------------------------------------------------------


@torch.no_grad()
def enumerated_log_partition(network: DBMNetwork) -> LogPartition:
    """log Z as a sum over all states of the odd layers or of the even ones, float64; InputError
    where both are too many units. Gaussian visible units cannot be listed, so the odd ones are."""
    parity, units = listed_units(network)
    if units > ENUMERABLE:
        raise InputError(
            f"2^{units} states are too many to list: exact needs at most {ENUMERABLE} units in the "
            'odd or in the even layers. Use method="ais".'
        )
    exact = _in_double(network)
    total = torch.tensor(-math.inf, dtype=torch.float64)
    places = torch.arange(units)
    for numbers in torch.arange(2**units).split(BLOCK):
        bits = (numbers[:, None] >> places & 1).double()
        total = torch.logaddexp(total, torch.logsumexp(_summed_out(exact, bits, parity), dim=0))
    return LogPartition(float(total), 0.0)


def listed_units(network: DBMNetwork) -> tuple[int, int]:
    """Which layers enumeration lists, 1 the odd ones, 0 the even ones, and their units."""
    odd, even = sum(network.sizes[1::2]), sum(network.sizes[0::2])
    return (1, odd) if network.gaussian or odd <= even else (0, even)


def _summed_out(network: DBMNetwork, listed: Tensor, parity: int) -> Tensor:
    """log of the sum of exp(-E) over the layers of the other parity. (S, units) -> (S,)."""
    states = [listed] * (network.depth + 1)
    states[parity::2] = listed.split(network.sizes[parity::2], dim=1)
    total = listed @ torch.cat(list(network.biases[parity::2]))
    for layer in range(1 - parity, network.depth + 1, 2):
        total = total + network.log_sum_of(layer, network.layer_input(layer, states))
    return total


def _in_double(network: DBMNetwork) -> DBMNetwork:
    """A copy on the processor, in float64."""
    kind = "gaussian" if network.gaussian else "bernoulli"
    copy = DBMNetwork((network.n_visible,), network.sizes[1:], visible=kind, chains=0).double()
    for own, given in zip(copy.weights, network.weights):
        own.copy_(given)
    for own, given in zip(copy.biases, network.biases):
        own.copy_(given)
    return copy
