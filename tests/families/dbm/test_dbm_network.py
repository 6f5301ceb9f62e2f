"""The deep Boltzmann machine against enumeration of all its states, in float64."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from depthwise.errors import InputError
from depthwise.families.dbm.network import DBMNetwork, entropy

pytestmark = pytest.mark.numerical

TWO = ((5,), (4, 3))
THREE = ((4,), (3, 4, 2))


def machine(shape: tuple[int, ...], hidden: tuple[int, ...], **how: object) -> DBMNetwork:
    """Random weights and biases of moderate size, float64."""
    torch.manual_seed(sum(hidden))
    network = DBMNetwork(shape, hidden, **how).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for weight in network.weights:
            weight.normal_(0, 0.8)
        for bias in network.biases:
            bias.normal_(0, 0.6)
    return network


def all_states(network: DBMNetwork) -> list[Tensor]:
    """Every joint state of all layers, layer by layer: (2^units, H_l)."""
    units = sum(network.sizes)
    bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=units)), dtype=torch.float64)
    return list(bits.split(network.sizes, dim=1))


def log_likelihoods(network: DBMNetwork) -> tuple[Tensor, Tensor, float]:
    """Every visible state, its exact log-likelihood, and log Z: by listing everything."""
    states = all_states(network)
    minus_energy = -network.energy(states)
    log_z = torch.logsumexp(minus_energy, dim=0)
    by_v = minus_energy.reshape(2**network.n_visible, -1)
    return states[0].reshape(*by_v.shape, -1)[:, 0], by_v.logsumexp(dim=1) - log_z, float(log_z)


@pytest.mark.parametrize("sizes", [TWO, THREE])
@torch.no_grad()
def test_conditionals_are_ratios_of_energies(sizes: tuple) -> None:
    network = machine(*sizes)
    states = [torch.randint(0, 2, (6, size)).double() for size in network.sizes]
    for layer, size in enumerate(network.sizes):
        on, off = list(states), list(states)
        for unit in range(size):
            on[layer], off[layer] = states[layer].clone(), states[layer].clone()
            on[layer][:, unit], off[layer][:, unit] = 1, 0
            expected = torch.sigmoid(network.energy(off) - network.energy(on))
            mean = network.mean_of(layer, network.layer_input(layer, states))[:, unit]
            torch.testing.assert_close(mean, expected)


@torch.no_grad()
def test_gaussian_visible_units_are_normal_with_unit_variance() -> None:
    network = machine((3,), (4, 2), visible="gaussian")
    h = [torch.randint(0, 2, (1, size)).double() for size in network.sizes[1:]]
    mean = network.mean_of(0, network.layer_input(0, [torch.zeros(1, 3).double(), *h]))
    v = mean + torch.tensor([[0.0, 0, 0], [1.3, 0, 0], [0, -0.7, 2.1]]).double()
    rows = [v, *(layer.expand(3, -1) for layer in h)]
    log_density = torch.distributions.Normal(mean, 1.0).log_prob(v).sum(dim=1)
    differences = -network.energy(rows) - log_density
    torch.testing.assert_close(differences, differences[:1].expand(3))


@pytest.mark.parametrize("sizes", [TWO, THREE])
@torch.no_grad()
def test_the_mean_field_is_at_its_fixed_point(sizes: tuple) -> None:
    network = machine(*sizes)
    v = torch.randint(0, 2, (9, network.n_visible)).double()
    means = network.mean_field(v, steps=500, tolerance=1e-14)
    for layer in range(1, network.depth + 1):
        again = torch.sigmoid(network.layer_input(layer, means))
        torch.testing.assert_close(means[layer], again, atol=1e-12, rtol=0)


@pytest.mark.parametrize("sizes", [TWO, THREE])
def test_the_fixed_point_is_stationary_for_the_bound(sizes: tuple) -> None:
    """Central differences of the bound, in every mean."""
    network = machine(*sizes)
    v = torch.randint(0, 2, (5, network.n_visible)).double()
    with torch.no_grad():
        means = network.mean_field(v, steps=500, tolerance=1e-14)
        for layer in range(1, network.depth + 1):
            for unit in range(network.sizes[layer]):
                up, down = list(means), list(means)
                up[layer], down[layer] = means[layer].clone(), means[layer].clone()
                up[layer][:, unit] += 1e-5
                down[layer][:, unit] -= 1e-5
                slope = (network.bound(v, up) - network.bound(v, down)) / 2e-5
                assert float(slope.abs().max()) < 1e-7


@pytest.mark.parametrize("sizes", [TWO, THREE])
@torch.no_grad()
def test_the_bound_is_below_the_log_likelihood_and_near(sizes: tuple) -> None:
    network = machine(*sizes)
    v, exact, log_z = log_likelihoods(network)
    bound = network.bound(v, network.mean_field(v, steps=100)) - log_z
    assert bool((bound <= exact).all())
    assert float((exact - bound).mean()) < 0.5


@torch.no_grad()
def test_each_step_of_inference_raises_the_bound() -> None:
    network = machine(*THREE)
    v = log_likelihoods(network)[0]
    bounds = [network.bound(v, network.mean_field(v, steps=n)) for n in (1, 2, 5, 20)]
    for worse, better in itertools.pairwise(bounds):
        assert bool((better >= worse - 1e-12).all())


@pytest.mark.parametrize("sizes", [((3,), (2, 2)), ((2,), (2, 1, 2))])
@torch.no_grad()
def test_block_gibbs_leaves_the_distribution_as_it_is(sizes: tuple) -> None:
    """States drawn from the exact distribution, then swept: a chi-square test of the outcome."""
    network = machine(*sizes).float()
    states = [layer.float() for layer in all_states(network)]
    p = torch.softmax(-network.energy(states), dim=0)
    torch.manual_seed(1)
    drawn = torch.multinomial(p, 40_000, replacement=True)
    swept = torch.cat(network.gibbs([layer[drawn] for layer in states], sweeps=2), dim=1)
    places = (swept @ 2.0 ** torch.arange(swept.shape[1] - 1, -1, -1.0)).long()
    counts = torch.bincount(places, minlength=len(p)).numpy()
    expected = p.double().numpy()
    frequent = expected * 40_000 > 5
    pooled = [np.append(x[frequent], x[~frequent].sum()) for x in (counts, 40_000 * expected)]
    kept = pooled[1] > 0
    assert chisquare(pooled[0][kept], pooled[1][kept] * 40_000 / pooled[1].sum()).pvalue > 1e-3


@torch.no_grad()
def test_chains_are_completed_by_the_conditionals_of_the_even_layers() -> None:
    network = machine((3,), (2, 4, 3)).float()
    odd = torch.randint(0, 2, (1, 5)).float()
    states = network.completed(odd.expand(20_000, -1))
    torch.testing.assert_close(torch.cat([states[1][0], states[3][0]]), odd[0])
    for layer in (0, 2):
        mean = network.mean_of(layer, network.layer_input(layer, states))[0]
        torch.testing.assert_close(states[layer].mean(dim=0), mean, atol=0.015, rtol=0)


def test_entropy_agrees_with_scipy_and_is_nothing_where_certain() -> None:
    from scipy.stats import entropy as reference

    q = torch.tensor([0.0, 0.2, 0.5, 1.0], dtype=torch.float64)
    expected = reference(np.stack([q.numpy(), 1 - q.numpy()]), axis=0)
    np.testing.assert_allclose(entropy(q).numpy(), expected, atol=1e-15)


def test_reconstructions_and_layers_have_the_shapes_of_their_units() -> None:
    network = DBMNetwork((1, 3, 4), (7, 5, 2))
    x = torch.rand(6, 1, 3, 4)
    assert network(x).shape == (6, 12)
    assert [h.shape for h in network.representations(x)] == [(6, 7), (6, 5), (6, 2)]


def test_a_single_hidden_layer_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match="RBM"):
        DBMNetwork((5,), (4,))
