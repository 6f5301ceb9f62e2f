"""log Z of deep machines: annealed importance sampling against enumeration, that against a list."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from depthwise.errors import InputError
from depthwise.families.boltzmann.partition import UntrustedEstimateWarning
from depthwise.families.dbm.log_partition import (
    annealed_log_partition,
    base_biases,
    enumerated_log_partition,
)
from depthwise.families.dbm.network import DBMNetwork


def machine(
    shape: tuple[int, ...], hidden: tuple[int, ...], visible: str = "bernoulli", scale: float = 0.8
) -> DBMNetwork:
    torch.manual_seed(len(hidden))
    network = DBMNetwork(shape, hidden, visible=visible, chains=64)
    with torch.no_grad():
        for weight in network.weights:
            weight.normal_(0, scale)
        for bias in network.biases:
            bias.normal_(0, 0.5)
        network.chains.random_(0, 2)
        for _ in range(3):  # a burnt-in start for the base rates
            states = network.gibbs(network.chain_states(), 10)
            network.chains.copy_(torch.cat(states[1::2], dim=1))
    return network


@pytest.mark.parametrize(
    ("shape", "hidden"), [((5,), (4, 3)), ((3,), (4, 2, 3)), ((6,), (2, 3, 1, 2))]
)
@torch.no_grad()
def test_summing_layers_out_equals_listing_every_state(shape: tuple, hidden: tuple) -> None:
    network = machine(shape, hidden)
    bits = list(itertools.product((0.0, 1.0), repeat=sum(network.sizes)))
    states = torch.tensor(bits, dtype=torch.float64).split(network.sizes, dim=1)
    listed = torch.logsumexp(-network.double().energy(states), dim=0)
    assert enumerated_log_partition(network).log_z == pytest.approx(float(listed), abs=1e-9)


@torch.no_grad()
def test_gaussian_units_are_integrated_out_as_a_grid_says() -> None:
    network = machine((1,), (3, 2), "gaussian").double()
    grid = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    total = torch.tensor(-math.inf, dtype=torch.float64)
    for bits in itertools.product((0.0, 1.0), repeat=5):
        h = torch.tensor(bits, dtype=torch.float64).expand(len(grid), -1).split((3, 2), dim=1)
        density = torch.exp(-network.energy([grid, *h]))
        total = torch.logaddexp(total, torch.log(torch.trapezoid(density, grid[:, 0])))
    assert enumerated_log_partition(network).log_z == pytest.approx(float(total), abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "hidden", "visible"),
    [
        ((12,), (8, 6), "bernoulli"),
        ((7,), (5, 4, 3), "bernoulli"),
        ((4,), (5, 3), "gaussian"),
    ],
)
def test_ais_agrees_with_enumeration(shape: tuple, hidden: tuple, visible: str) -> None:
    network = machine(shape, hidden, visible, scale=0.5)
    exact = enumerated_log_partition(network).log_z
    estimate = annealed_log_partition(network, chains=500, steps=1500)
    assert abs(estimate.log_z - exact) < 0.02
    assert abs(estimate.log_z - exact) < 4 * estimate.stderr
    assert estimate.trouble == ""


def test_any_base_gives_the_same_answer_given_time() -> None:
    network = machine((6,), (5, 4))
    exact = enumerated_log_partition(network).log_z
    for base in (base_biases(network), [torch.zeros(size) for size in network.sizes]):
        estimate = annealed_log_partition(network, chains=300, steps=1000, base=base)
        assert estimate.log_z == pytest.approx(exact, abs=0.05)


def test_an_estimate_that_cannot_be_trusted_is_told() -> None:
    network = machine((12,), (9, 8), scale=3.0)
    far = [torch.zeros(size) for size in network.sizes]
    with pytest.warns(UntrustedEstimateWarning, match="more steps"):
        assert annealed_log_partition(network, chains=100, steps=3, base=far).trouble


def test_the_same_seed_gives_the_same_estimate_and_leaves_the_generator_alone() -> None:
    network = machine((6,), (5, 4))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second = (annealed_log_partition(network, steps=50, seed=7).log_z for _ in range(2))
    assert first == second
    assert torch.rand(1) == expected


def test_a_machine_too_large_to_list_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match="ais"):
        enumerated_log_partition(DBMNetwork((30,), (26, 9)))
    with pytest.raises(InputError, match="chains=1"):
        annealed_log_partition(DBMNetwork((3,), (2, 2)), chains=1)
