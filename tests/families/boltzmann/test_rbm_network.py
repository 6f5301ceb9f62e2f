"""Energies, conditionals and samplers of the restricted Boltzmann machine, against enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor

from depthwise.errors import InputError
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.partition import exact_log_partition
from depthwise.families.boltzmann.sampling import sample_bernoulli, sample_categories
from depthwise.families.boltzmann.tempering import Base, Path, exchange

pytestmark = pytest.mark.numerical

SURE = 1e-4  # how rarely a right sampler may fail a chi-square test; the seeds are fixed


def states(n: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


def random_rbm(d: int, h: int, scale: float = 1.0, **kinds: object) -> RBMNetwork:
    torch.manual_seed(d * 100 + h)
    rbm = RBMNetwork(d, h, **kinds).double()  # type: ignore[arg-type]
    for parameter in rbm.parameters():
        parameter.data = torch.randn_like(parameter) * scale
    return rbm


def number_of(v: Tensor) -> Tensor:
    """Rows of bits (B, D) as integers (B,)."""
    return (v.long() * 2 ** torch.arange(v.shape[1]).flip(0)).sum(dim=1)


def assert_drawn_from(counts: Tensor, probabilities: Tensor) -> None:
    expected = probabilities * counts.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    assert statistic < chi2.ppf(1 - SURE, len(counts) - 1)


# -- energies -----------------------------------------------------------------------------------


def test_free_energy_sums_out_the_hidden_units() -> None:
    rbm, v, h = random_rbm(5, 3), states(5), states(3)
    energy = -(v @ rbm.visible_bias)[:, None] - h @ rbm.hidden_bias - v @ rbm.weight @ h.t()
    torch.testing.assert_close(rbm.free_energy(v), -torch.logsumexp(-energy, dim=1))


def test_gaussian_free_energy_sums_out_the_hidden_units() -> None:
    rbm, h = random_rbm(4, 3, visible="gaussian"), states(3)
    v = torch.randn(7, 4, dtype=torch.float64)
    variance = rbm.log_variance.exp()
    quadratic = ((v - rbm.visible_bias) ** 2 / (2 * variance)).sum(1)
    energy = quadratic[:, None] - h @ rbm.hidden_bias - (v / variance) @ rbm.weight @ h.t()
    torch.testing.assert_close(rbm.free_energy(v), -torch.logsumexp(-energy, dim=1))


def test_free_energies_of_labels_add_up_to_the_one_without() -> None:
    rbm, v = random_rbm(5, 3, n_labels=4), states(5)
    by_label = torch.stack([rbm.free_energy(v, torch.full((32,), k)) for k in range(4)], dim=1)
    torch.testing.assert_close(rbm.class_energies(v), by_label)
    torch.testing.assert_close(rbm.free_energy(v), -torch.logsumexp(-by_label, dim=1))
    joint = torch.cat([v, torch.eye(4).double()[1].expand(32, -1)], dim=1)  # label 1 as bits
    plain = RBMNetwork(9, 3).double()
    plain.weight.data = torch.cat([rbm.weight, rbm.label_weight]).detach()
    plain.visible_bias.data = torch.cat([rbm.visible_bias, rbm.label_bias]).detach()
    plain.hidden_bias.data = rbm.hidden_bias.data
    torch.testing.assert_close(by_label[:, 1], plain.free_energy(joint))


def test_conditionals_follow_from_the_energy() -> None:
    """p(h | v) and p(v | h) by summing the joint distribution of a 3-2 machine."""
    rbm, v, h = random_rbm(3, 2), states(3), states(2)
    weights = (v @ rbm.visible_bias)[:, None] + h @ rbm.hidden_bias + v @ rbm.weight @ h.t()
    joint = weights.exp()
    torch.testing.assert_close(rbm.hidden_mean(v), (joint @ h) / joint.sum(1, keepdim=True))
    torch.testing.assert_close(rbm.visible_mean(h), (joint.t() @ v) / joint.sum(0)[:, None])


def test_rectified_free_energy_is_that_of_shifted_copies() -> None:
    rbm = random_rbm(3, 1, hidden="relu")
    v = states(3)
    x = rbm.hidden_input(v)
    copies = sum(torch.nn.functional.softplus(x - n - 0.5).sum(1) for n in range(200))
    torch.testing.assert_close(rbm.free_energy(v), -(v @ rbm.visible_bias) - copies)


def test_rectified_mean_is_the_mean_of_its_draws() -> None:
    rbm = RBMNetwork(3, 4, hidden="relu").double()
    x = torch.tensor([[-3.0, -0.4, 0.7, 5.0]], dtype=torch.float64)
    torch.manual_seed(0)
    draws = rbm.sample_hidden_of(x.expand(200_000, -1))
    torch.testing.assert_close(draws.mean(0), rbm.hidden_mean_of(x)[0], atol=0.01, rtol=0)


@pytest.mark.parametrize(
    "kinds", [{}, {"n_labels": 3}, {"visible": "gaussian"}, {"visible": "gaussian", "n_labels": 2}]
)
def test_likelihood_gradient_agrees_with_finite_differences(kinds: dict[str, object]) -> None:
    rbm = random_rbm(4, 3, 0.5, **kinds)
    torch.manual_seed(1)
    v = torch.rand(6, 4).round().double()

    def log_likelihood() -> float:
        with torch.no_grad():
            return float(-rbm.free_energy(v).mean()) - exact_log_partition(rbm).log_z

    likelihood = -rbm.free_energy(v).mean() - by_enumeration(rbm)
    gradients = torch.autograd.grad(likelihood, list(rbm.parameters()))
    for parameter, gradient in zip(rbm.parameters(), gradients):
        for place in list(itertools.product(*map(range, parameter.shape)))[::3]:
            kept = parameter.data[place].item()
            sides = []
            for step in (1e-5, -1e-5):
                parameter.data[place] = kept + step
                sides.append(log_likelihood())
            parameter.data[place] = kept
            assert float(gradient[place]) == pytest.approx((sides[0] - sides[1]) / 2e-5, abs=1e-6)


def by_enumeration(rbm: RBMNetwork) -> Tensor:
    """log Z, differentiable, written out over hidden states."""
    h = states(rbm.n_hidden)
    x = rbm.visible_bias + h @ rbm.weight.t()
    if rbm.gaussian:
        variance = rbm.log_variance.exp()
        squares = (x**2 - rbm.visible_bias**2) / variance + (2 * math.pi * variance).log()
        terms = 0.5 * squares.sum(1)
    else:
        terms = torch.log(1 + x.exp()).sum(1)
    if rbm.n_labels:
        terms = terms + torch.log((rbm.label_bias + h @ rbm.label_weight.t()).exp().sum(1))
    return torch.logsumexp(terms + h @ rbm.hidden_bias, 0)


def test_exact_gradient_ascent_raises_the_likelihood_at_every_step() -> None:
    rbm = random_rbm(6, 4, 0.1)
    v = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]]).double()
    before = -math.inf
    for _ in range(400):
        likelihood = -rbm.free_energy(v).mean() - by_enumeration(rbm)
        assert likelihood.item() > before
        before = likelihood.item()
        for p, gradient in zip(rbm.parameters(), torch.autograd.grad(likelihood, rbm.parameters())):
            p.data += 0.5 * gradient
    assert before > -1.3  # three items: -log 3 = -1.099 at best


# -- samplers -----------------------------------------------------------------------------------


def test_gibbs_sweeps_leave_the_distribution_and_are_reversible() -> None:
    rbm, v = random_rbm(3, 2), states(3)
    exact = torch.softmax(-rbm.free_energy(v), 0).detach()
    torch.manual_seed(0)
    start = v[torch.multinomial(exact, 200_000, replacement=True)]
    rbm, start = rbm.float(), start.float()  # the fast sampler is the float32 one
    end = rbm.sample_visible(rbm.sample_hidden(start))
    assert_drawn_from(torch.bincount(number_of(end), minlength=8).double(), exact)
    pairs = torch.bincount(number_of(start) * 8 + number_of(end), minlength=64).view(8, 8).double()
    moves = torch.triu_indices(8, 8, 1)
    there, back = pairs[moves[0], moves[1]], pairs.t()[moves[0], moves[1]]
    statistic = float(((there - back) ** 2 / (there + back)).sum())
    assert statistic < chi2.ppf(1 - SURE, len(there))


def test_chains_from_anywhere_come_to_the_distribution() -> None:
    rbm, v = random_rbm(3, 2).float(), states(3).float()
    torch.manual_seed(1)
    state = torch.zeros(100_000, 3)
    for _ in range(60):
        state = rbm.sample_visible(rbm.sample_hidden(state))
    exact = torch.softmax(-rbm.free_energy(v), 0).detach()
    assert_drawn_from(torch.bincount(number_of(state), minlength=8).double(), exact.double())


def test_exchanges_leave_the_distribution_at_every_temperature() -> None:
    rbm, v = random_rbm(3, 2, 2.0), states(3)
    path = Path(rbm, Base(torch.tensor([0.3, -1.0, 0.5]).double()))
    betas, chains = torch.tensor([1.0, 0.6, 0.0]).double(), 50_000
    with torch.no_grad():
        x = rbm.hidden_input(v)
        log_f = [
            v @ path.base.visible_bias
            + beta * path.gain(v, None)
            + torch.nn.functional.softplus(beta * x).sum(1)
            for beta in betas
        ]
        torch.testing.assert_close(
            torch.log_softmax(-rbm.free_energy(v), 0), log_f[0].log_softmax(0)
        )
        exact = [f.softmax(0) for f in log_f]
        torch.manual_seed(3)
        state = torch.cat([v[torch.multinomial(p, chains, replacement=True)] for p in exact])
        for _ in range(4):
            before = state
            state, inputs, _ = exchange(path, betas, state, rbm.hidden_input(state), None)
            torch.testing.assert_close(inputs, rbm.hidden_input(state))
            assert not torch.equal(before, state)
            for p, block in zip(exact, state.split(chains)):
                assert_drawn_from(torch.bincount(number_of(block), minlength=8).double(), p)


def test_tempered_sweeps_leave_the_distribution() -> None:
    rbm, v = random_rbm(3, 2), states(3)
    path = Path(rbm, Base(torch.tensor([0.3, -1.0, 0.5]).double()))
    with torch.no_grad():
        beta = 0.4
        log_f = v @ path.base.visible_bias + beta * path.gain(v, None)
        log_f += torch.nn.functional.softplus(beta * rbm.hidden_input(v)).sum(1)
        exact = log_f.softmax(0)
        torch.manual_seed(4)
        start = v[torch.multinomial(exact, 100_000, replacement=True)]
        h = rbm.sample_hidden_of(beta * rbm.hidden_input(start))
        end = path.sample_visible(rbm.visible_input(h), beta)
    assert_drawn_from(torch.bincount(number_of(end), minlength=8).double(), exact)


def test_tempered_gaussian_units_have_the_products_precision() -> None:
    """exp of (1 - beta) log f_0 + beta log g is a Gaussian; its mean and variance by a grid."""
    rbm = random_rbm(1, 2, 0.5, visible="gaussian")
    base = Base(torch.tensor([1.5]).double(), torch.tensor([0.7]).double())
    path, beta, h = Path(rbm, base), 0.3, torch.tensor([[1.0, 0.0]]).double()
    with torch.no_grad():
        x = rbm.visible_input(h)
        grid = torch.linspace(-15, 15, 4001).double()
        log_base = -((grid - 1.5) ** 2) / (2 * math.exp(0.7))
        log_machine = -((grid - x[0, 0]) ** 2) / (2 * rbm.log_variance.exp())
        density = ((1 - beta) * log_base + beta * log_machine).softmax(0)
        mean = (density * grid).sum()
        variance = (density * (grid - mean) ** 2).sum()
        torch.manual_seed(5)
        drawn = path.sample_visible(x.expand(200_000, -1), beta)
    assert float(drawn.mean()) == pytest.approx(float(mean), abs=0.02)
    assert float(drawn.var()) == pytest.approx(float(variance), rel=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_are_on_as_often_as_they_should(dtype: torch.dtype) -> None:
    p = torch.tensor([0.0, 1.0, 0.5, 1e-3, 0.999, 0.3], dtype=dtype).expand(300_000, -1)
    torch.manual_seed(6)
    bits = sample_bernoulli(p.contiguous())
    assert bits.dtype == dtype
    assert set(bits.unique().tolist()) == {0.0, 1.0}
    share, expected = bits.double().mean(0), p[0].double()
    assert share[0] == 0
    assert share[1] == 1
    deviation = (expected * (1 - expected) / len(p)).sqrt()
    assert ((share - expected).abs() <= 4.5 * deviation + 2**-17).all()
    assert sample_bernoulli(p[:7], out=torch.empty(7, 6, dtype=torch.bfloat16)).dtype == (
        torch.bfloat16
    )


def test_categories_are_drawn_from_the_softmax() -> None:
    logits = torch.tensor([0.0, 1.0, -2.0, 0.5]).double()
    torch.manual_seed(7)
    drawn = sample_categories(logits.expand(100_000, -1))
    assert (drawn.sum(1) == 1).all()
    assert_drawn_from(drawn.sum(0), logits.softmax(0))


def test_unknown_kinds_of_units_are_refused() -> None:
    with pytest.raises(InputError, match="gaussian"):
        RBMNetwork(3, 2, visible="poisson")
    with pytest.raises(InputError, match="relu"):
        RBMNetwork(3, 2, hidden="tanh")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_gpu_agrees_with_the_processor_in_float64() -> None:
    rbm, v = random_rbm(9, 5), states(9)
    here = [rbm.free_energy(v), rbm.hidden_mean(v), rbm.visible_mean(rbm.hidden_mean(v))]
    rbm.cuda()
    v = v.cuda()
    there = [rbm.free_energy(v), rbm.hidden_mean(v), rbm.visible_mean(rbm.hidden_mean(v))]
    for a, b in zip(here, there):
        torch.testing.assert_close(a, b.cpu(), rtol=1e-12, atol=1e-12)
