"""The deep belief network's bound, classes and passes, against enumeration of every state."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.partition import exact_log_partition
from depthwise.families.dbn.network import DBNNetwork, entropy, latin_hypercube

pytestmark = pytest.mark.numerical


def states(n: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


def random_dbn(shape: tuple[int, ...], hidden: tuple[int, ...], **kinds: Any) -> DBNNetwork:
    torch.manual_seed(sum(hidden))
    network = DBNNetwork(shape, hidden, **kinds).double()
    for parameter in network.parameters():
        parameter.data = torch.randn_like(parameter)
    return network.eval().requires_grad_(False)


def exact_log_likelihood(network: DBNNetwork, v: Tensor) -> Tensor:
    """log p(v) of a two-layered network: the sum over every h_1 of p(v | h_1) p_top(h_1)."""
    (layer,) = network.directed
    h = states(network.top.n_visible)
    prior = -network.top.free_energy(h) - exact_log_partition(network.top).log_z
    terms = [layer.log_likelihood(v, row.expand(len(v), -1)) + p for row, p in zip(h, prior)]
    return torch.logsumexp(torch.stack(terms), dim=0)


def exact_bound(network: DBNNetwork, v: Tensor) -> Tensor:
    """The bound with its expectation over q(h_1 | v) as a sum over every h_1."""
    (layer,) = network.directed
    q = layer.up_mean(v)
    total = torch.zeros(len(v), dtype=v.dtype)
    for row in states(network.top.n_visible):
        h = row.expand(len(v), -1)
        share = torch.where(h == 1, q, 1 - q).prod(dim=1)
        gain = layer.log_likelihood(v, h) - network.top.free_energy(h) - torch.log(share)
        total += share * gain
    return total - exact_log_partition(network.top).log_z


def drawn_bound(network: DBNNetwork, v: Tensor, draws: int) -> Tensor:
    torch.manual_seed(0)
    return network.bound(v, draws=draws) - exact_log_partition(network.top).log_z


def test_top_upside_down_makes_the_bound_the_first_machines_likelihood() -> None:
    torch.manual_seed(3)
    first = RBMNetwork(7, 5).double().requires_grad_(False)
    for parameter in first.parameters():
        parameter.data = torch.randn_like(parameter)
    network = random_dbn((7,), (5, 7))
    network.directed[0].copy_machine(first)
    with torch.no_grad():
        network.top.weight.copy_(first.weight.t())
        network.top.visible_bias.copy_(first.hidden_bias)
        network.top.hidden_bias.copy_(first.visible_bias)
    v = states(7)
    exact = -first.free_energy(v) - exact_log_partition(first).log_z
    torch.testing.assert_close(exact_bound(network, v), exact)
    # q is the exact posterior here, so that every single draw gives the same
    torch.testing.assert_close(drawn_bound(network, v, draws=1), exact)


def test_probabilities_of_all_visible_states_sum_to_one() -> None:
    network = random_dbn((4,), (3, 6))
    total = torch.logsumexp(exact_log_likelihood(network, states(4)), dim=0)
    assert float(total) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("labels", [0, 3])
def test_the_bound_never_exceeds_the_likelihood(labels: int) -> None:
    network = random_dbn((5,), (4, 6), n_labels=labels)
    exact = exact_log_likelihood(network, states(5))
    assert (exact_bound(network, states(5)) <= exact + 1e-9).all()
    assert (exact_log_likelihood(network, states(5)) - exact_bound(network, states(5))).max() > 0.1


def test_the_drawn_bound_agrees_with_the_summed_one() -> None:
    network = random_dbn((5,), (4, 6))
    v = states(5)
    torch.testing.assert_close(
        drawn_bound(network, v, draws=1000), exact_bound(network, v), atol=0.12, rtol=0
    )


def test_a_three_layered_bound_lies_below_the_likelihood_and_is_an_average_over_both() -> None:
    network = random_dbn((3,), (3, 2, 4))
    v, h1, h2 = states(3), states(3), states(2)
    low, high = network.directed
    log_z = exact_log_partition(network.top).log_z
    likelihood, bound = [], []
    for item in v:
        terms, gains = [], []
        for a, b in itertools.product(h1, h2):
            joint = (
                low.log_likelihood(item[None], a[None])
                + high.log_likelihood(a[None], b[None])
                - network.top.free_energy(b[None])
                - log_z
            )
            q1, q2 = low.up_mean(item[None])[0], high.up_mean(a[None])[0]
            q = torch.where(a == 1, q1, 1 - q1).prod() * torch.where(b == 1, q2, 1 - q2).prod()
            terms.append(joint)
            gains.append(q * (joint - torch.log(q)))
        likelihood.append(torch.logsumexp(torch.stack(terms), dim=0))
        bound.append(torch.stack(gains).sum())
    assert (torch.stack(bound) <= torch.cat(likelihood) + 1e-9).all()
    drawn = drawn_bound(network, v, draws=1000)
    torch.testing.assert_close(drawn, torch.stack(bound), atol=0.12, rtol=0)


def test_gaussian_likelihood_is_torchs_normal_density() -> None:
    network = random_dbn((3,), (4, 5), visible="gaussian")
    layer = network.directed[0]
    layer.log_variance.copy_(torch.randn(3))
    x, h = torch.randn(6, 3).double(), states(4)[:6]
    normal = torch.distributions.Normal(layer.down_mean(h), torch.exp(0.5 * layer.log_variance))
    torch.testing.assert_close(layer.log_likelihood(x, h), normal.log_prob(x).sum(dim=1))


def test_a_gaussian_machine_becomes_a_layer_with_the_same_conditionals() -> None:
    torch.manual_seed(0)
    machine = RBMNetwork(3, 4, visible="gaussian").double().requires_grad_(False)
    for parameter in machine.parameters():
        parameter.data = torch.randn_like(parameter)
    layer = random_dbn((3,), (4, 5), visible="gaussian").directed[0]
    layer.copy_machine(machine)
    v, h = torch.randn(6, 3).double(), states(4)
    torch.testing.assert_close(layer.up_mean(v), machine.hidden_mean(v))
    torch.testing.assert_close(layer.down_mean(h), machine.visible_mean(h))


def test_logits_are_joint_log_probabilities_summed_over_hidden_states() -> None:
    network = random_dbn((5,), (4, 3), n_labels=6)
    x = torch.rand(7, 5, dtype=torch.float64)
    features = network.features(network.visible(x))
    top, h = network.top, states(3)
    for label in range(6):
        inputs = features @ top.weight + top.hidden_bias + top.label_weight[label]
        energies = (inputs[:, None] * h).sum(dim=2) + (features @ top.visible_bias)[:, None]
        expected = torch.logsumexp(energies, dim=1) + top.label_bias[label]
        torch.testing.assert_close(network(x)[:, label], expected)


def test_clamped_samples_follow_the_conditional_distribution() -> None:
    network = random_dbn((3,), (3, 4), n_labels=2)
    torch.manual_seed(1)
    means = network.sample(20_000, torch.ones(20_000, dtype=torch.int64), sweeps=30).mean(dim=0)
    h = states(3)
    ones = torch.ones(len(h), dtype=torch.int64)
    prior = torch.softmax(-network.top.free_energy(h, ones), dim=0)
    expected = prior @ network.directed[0].down_mean(h)
    torch.testing.assert_close(means, expected, atol=0.02, rtol=0)


def test_one_layer_is_a_machine_alone() -> None:
    network = random_dbn((4,), (3,))
    v = states(4)
    torch.testing.assert_close(network.bound(v), -network.top.free_energy(v))
    torch.testing.assert_close(network.strangeness(v), network.top.free_energy(v))
    assert network.sample(5, sweeps=3).shape == (5, 4)


def test_raw_items_come_back_from_their_visible_units() -> None:
    network = random_dbn((2, 3, 5), (4, 3))
    network.standardise.set_statistics(torch.tensor([3.0, -1.0]), torch.tensor([2.0, 0.5]))
    x = torch.randn(6, 2, 3, 5, dtype=torch.float64)
    torch.testing.assert_close(network.raw(network.visible(x)), x)


def test_an_items_bound_does_not_depend_on_its_neighbours() -> None:
    network = random_dbn((6,), (5, 4, 3))
    v = states(6)
    torch.testing.assert_close(drawn_bound(network, v, 8)[9:12], drawn_bound(network, v[9:12], 8))


def test_a_latin_hypercube_has_one_number_in_every_part() -> None:
    u = latin_hypercube(7, torch.zeros(3))
    assert (torch.floor(u * 7).sort(dim=0).values == torch.arange(7.0)[:, None]).all()


def test_entropy_agrees_with_torch() -> None:
    x = torch.randn(5, 3, dtype=torch.float64)
    expected = torch.distributions.Bernoulli(logits=x).entropy().sum(dim=1)
    torch.testing.assert_close(entropy(x), expected)
    assert math.isclose(float(entropy(torch.zeros(1, 2))), 2 * math.log(2), rel_tol=1e-6)
