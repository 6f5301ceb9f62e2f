"""The autoencoder as a density: its Gaussians, its bound, and what the bound lies below."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from depthwise.families.autoencoder.density import (
    SMALLEST_VARIANCE,
    CodeDensity,
    antithetic_noise,
    elbo,
    fit_posterior,
    shrunk_covariance,
)
from depthwise.families.autoencoder.network import AutoencoderNetwork, dense_stack


def tiny(code: int, visible: str) -> AutoencoderNetwork:
    """5 visible values, all tensors far from their beginning."""
    torch.manual_seed(8)
    encoder, decoder = (
        dense_stack((5, 4, code), "tanh", "linear"),
        dense_stack((code, 4, 5), "tanh", "linear"),
    )
    network = AutoencoderNetwork((5,), encoder, decoder, code, visible=visible).double()
    density = network.density
    with torch.no_grad():
        density.mean.normal_()
        density.factor.copy_(torch.tril(0.4 * torch.randn(1, code, code)) + torch.eye(code))
        density.log_visible_variance.fill_(-1.0)
    return network


def exact_log_likelihood(network: AutoencoderNetwork, v: Tensor) -> Tensor:
    """log of the integral of p(v | z) p(z) over codes of 1 or 2 units, on a fine grid."""
    size = network.density.mean.shape[1]
    axis = torch.linspace(-9, 9, 1201 if size == 1 else 181, dtype=torch.float64)
    step = float(axis[1] - axis[0])
    noise = torch.cartesian_prod(*[axis] * size).reshape(-1, size)
    codes = network.density.mean[0] + noise @ network.density.factor[0].T
    log_prior = -0.5 * noise.square().sum(1) - 0.5 * size * math.log(2 * math.pi)
    total = network.decode_input(codes)
    rows = [
        torch.logsumexp(network.log_density(row.expand(len(total), 5), total) + log_prior, 0)
        for row in v
    ]
    return torch.stack(rows) + size * math.log(step)


@pytest.mark.parametrize("code", [1, 2])
@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@torch.no_grad()
def test_the_bound_lies_below_the_exact_log_likelihood(code: int, visible: str) -> None:
    network = tiny(code, visible)
    v = torch.rand(20, 5).double()
    v = (v > 0.5).double() if visible == "bernoulli" else 2 * v
    exact = exact_log_likelihood(network, v)
    assert (elbo(network, v, samples=500) < exact).all()
    with torch.enable_grad():
        fit_posterior(network, v)
    if visible == "gaussian":  # the variances of the visible values were chosen too
        exact = exact_log_likelihood(network, v)
    assert (elbo(network, v, samples=500) < exact).all()


@torch.no_grad()
def test_the_bound_is_exact_where_the_encoder_is_the_posterior() -> None:
    """A linear decoder with Gaussian values: p(z | v) is Gaussian, here with one code unit."""
    encoder, decoder = (dense_stack(widths, "linear", "linear") for widths in ((5, 1), (1, 5)))
    network = AutoencoderNetwork((5,), encoder, decoder, 1, visible="gaussian").double()
    network.density.log_visible_variance.fill_(-0.7)
    w = network.decoder[0][0].weight[:, 0]  # type: ignore[index,union-attr]
    precision = 1 + w.square().sum() * math.exp(0.7)
    network.encoder[0][0].weight.copy_(w[None] * math.exp(0.7) / precision)  # type: ignore[index,union-attr,operator]
    network.density.log_code_variance.copy_(-torch.log(precision))
    v = torch.randn(6, 5).double()
    # v ~ N(0, w w' + s^2 I)
    covariance = w[:, None] @ w[None] + math.exp(-0.7) * torch.eye(5).double()
    expected = torch.distributions.MultivariateNormal(torch.zeros(5).double(), covariance)
    found = elbo(network, v, samples=4000)
    torch.testing.assert_close(found, expected.log_prob(v), atol=0.05, rtol=0)


@torch.no_grad()
def test_fitting_the_posterior_raises_the_bound_and_leaves_the_weights() -> None:
    network = tiny(2, "bernoulli")
    v = (torch.rand(300, 5) > 0.4).double()
    weights = [p.clone() for p in network.parameters()]
    before = float(elbo(network, v).mean())
    with torch.enable_grad():
        fit_posterior(network, v)
    assert float(elbo(network, v).mean()) > before
    assert all(torch.equal(a, b) for a, b in zip(weights, network.parameters()))


def test_the_divergence_is_torchs() -> None:
    torch.manual_seed(1)
    density = CodeDensity(3, 1).double()
    density.mean.normal_()
    density.factor.copy_(torch.tril(torch.randn(1, 3, 3)) + 2 * torch.eye(3))
    density.log_code_variance.normal_()
    codes = torch.randn(4, 3).double()
    normal = torch.distributions.MultivariateNormal
    variances = torch.diag(torch.exp(density.log_code_variance))
    expected = torch.distributions.kl_divergence(
        normal(codes, variances), normal(density.mean[0], scale_tril=density.factor[0])
    )
    torch.testing.assert_close(density.divergence(codes), expected)


@pytest.mark.parametrize("items", [3, 40])
def test_covariances_are_shrunk_as_scikit_learn_does(items: int) -> None:
    codes = np.random.default_rng(0).standard_normal((items, 6)) @ np.diag([1, 2, 3, 1, 1, 0.1])
    expected = ledoit_wolf(codes)[0]
    np.testing.assert_allclose(shrunk_covariance(torch.from_numpy(codes)), expected, rtol=1e-9)


def test_each_class_has_its_gaussian_and_draws_follow_it() -> None:
    torch.manual_seed(2)
    centres = torch.tensor([[0.0, 0.0], [5.0, -5.0], [9.0, 3.0]])
    labels = torch.arange(6000) % 2  # class 2 has no item
    codes = centres[labels] + torch.randn(6000, 2) @ torch.tensor([[1.0, 0.8], [0.0, 0.6]])
    density = CodeDensity(2, 1, n_classes=3)
    density.fit_prior(codes, labels)
    for k in (0, 1):
        drawn = density.draw(20_000, torch.full((20_000,), k))
        assert drawn.mean(0).tolist() == pytest.approx(centres[k].tolist(), abs=0.07)
        # the covariance is A'A of the matrix A above
        assert torch.cov(drawn.T).flatten().tolist() == pytest.approx([1, 0.8, 0.8, 1], abs=0.08)
    assert torch.equal(density.factor[3], torch.eye(2))
    everybody = density.draw(20_000)
    assert everybody.mean(0).tolist() == pytest.approx([2.5, -2.5], abs=0.1)


def test_a_dead_code_unit_and_a_single_item_leave_the_gaussian_proper() -> None:
    density = CodeDensity(3, 1)
    density.fit_prior(torch.tensor([[1.0, 2.0, 3.0]]))
    assert torch.isfinite(density.draw(10)).all()
    codes = torch.randn(50, 3) * torch.tensor([1.0, 0.0, 1.0])
    density.fit_prior(codes)
    assert torch.isfinite(density.divergence(codes)).all()


def test_a_constant_column_is_not_infinitely_sure() -> None:
    network = tiny(2, "gaussian")
    v = torch.randn(200, 5).double()
    v[:, 2] = 0
    with torch.no_grad():
        network.decoder[-1][0].weight[2] = 0  # type: ignore[index,union-attr,operator]
        network.decoder[-1][0].bias[2] = 0  # type: ignore[index,union-attr,operator]
    fit_posterior(network, v, steps=250)
    least = math.log(SMALLEST_VARIANCE) - 1e-6
    assert float(network.density.log_visible_variance[2]) >= least
    assert float(network.density.log_visible_variance[2]) < -4


def test_noise_is_the_same_each_time_and_without_mean() -> None:
    noise = antithetic_noise(8, 3)
    assert torch.equal(noise, antithetic_noise(8, 3))
    assert noise.shape == (8, 3)
    torch.testing.assert_close(noise.mean(0), torch.zeros(3).double())
