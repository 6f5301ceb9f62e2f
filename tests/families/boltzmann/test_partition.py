"""log Z: enumeration against the plain sum over all states, sampling against enumeration."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch
from torch import Tensor

from depthwise.errors import InputError
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.partition import (
    UntrustedEstimateWarning,
    ais_log_partition,
    base_rates,
    estimate_from_weights,
    exact_log_partition,
    inverse_temperatures,
    log_mean_exp,
    log_partition,
)
from depthwise.families.boltzmann.tempering import Base

pytestmark = pytest.mark.numerical


def random_rbm(d: int, h: int, scale: float, seed: int = 0, **kinds: object) -> RBMNetwork:
    torch.manual_seed(seed)
    rbm = RBMNetwork(d, h, **kinds)  # type: ignore[arg-type]
    for parameter in rbm.parameters():
        parameter.data = torch.randn_like(parameter) * scale
    return rbm


def energies(rbm: RBMNetwork) -> Tensor:
    """-E(v, h, y) of every state, written out from the definition, in float64."""
    rbm = rbm.double()
    v = torch.tensor(list(itertools.product([0.0, 1.0], repeat=rbm.n_visible))).double()
    h = torch.tensor(list(itertools.product([0.0, 1.0], repeat=rbm.n_hidden))).double()
    terms = (v @ rbm.visible_bias)[:, None] + h @ rbm.hidden_bias + v @ rbm.weight @ h.t()
    if not rbm.n_labels:
        return terms.detach().flatten()
    label_terms = rbm.label_bias[:, None] + rbm.label_weight @ h.t()  # (K, 2^H)
    return (terms[:, None, :] + label_terms).detach().flatten()


@pytest.mark.parametrize(("d", "h"), [(7, 4), (3, 9)])
@pytest.mark.parametrize("n_labels", [0, 3])
def test_enumeration_agrees_with_the_sum_over_all_states(d: int, h: int, n_labels: int) -> None:
    rbm = random_rbm(d, h, 1.5, n_labels=n_labels)
    exact = exact_log_partition(rbm)
    assert exact.log_z == pytest.approx(float(torch.logsumexp(energies(rbm), 0)), abs=1e-5)
    assert exact.stderr == 0


def test_enumeration_of_many_blocks_agrees_with_independent_units() -> None:
    """Without weights, Z is a product: a check of 2^14 states, four blocks."""
    rbm = random_rbm(20, 14, 1.0)
    rbm.weight.data.zero_()
    product = torch.nn.functional.softplus(torch.cat([rbm.visible_bias, rbm.hidden_bias])).detach()
    assert exact_log_partition(rbm).log_z == pytest.approx(float(product.sum()), abs=1e-4)


def test_gaussian_enumeration_agrees_with_numeric_integration() -> None:
    rbm = random_rbm(2, 3, 0.7, visible="gaussian").double()
    side = torch.linspace(-14, 14, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    with torch.no_grad():
        density = -rbm.free_energy(grid)
    integral = torch.logsumexp(density, 0) + 2 * math.log(float(side[1] - side[0]))
    assert exact_log_partition(rbm).log_z == pytest.approx(float(integral), abs=1e-6)


@pytest.mark.parametrize(
    ("d", "h", "scale", "kinds"),
    [
        (30, 20, 0.4, {}),
        (11, 8, 1.0, {}),
        (12, 10, 0.6, {"n_labels": 4}),
        (9, 7, 0.5, {"visible": "gaussian"}),
        (5, 6, 0.5, {"visible": "gaussian", "n_labels": 3}),
    ],
)
def test_ais_agrees_with_enumeration(
    d: int, h: int, scale: float, kinds: dict[str, object]
) -> None:
    rbm = random_rbm(d, h, scale, **kinds)
    hidden = torch.zeros(500, h)
    labels = None
    for _ in range(100):  # data: the machine's own samples
        v, labels = rbm.sample_visible(hidden), rbm.sample_labels(hidden) if rbm.n_labels else None
        hidden = rbm.sample_hidden(v, labels)
    estimate = ais_log_partition(rbm, base_rates(rbm, v, labels), chains=200, steps=1000)
    exact = exact_log_partition(rbm).log_z
    assert estimate.trouble == ""
    assert abs(estimate.log_z - exact) < 0.1
    assert abs(estimate.log_z - exact) < 4 * estimate.stderr + 1e-3


def test_ais_is_exact_where_there_are_no_weights() -> None:
    rbm = random_rbm(6, 5, 1.0)
    rbm.weight.data.zero_()
    base = Base(rbm.visible_bias.detach())
    estimate = ais_log_partition(rbm, base, chains=20, steps=10)
    total = torch.nn.functional.softplus(torch.cat([rbm.visible_bias, rbm.hidden_bias])).sum()
    assert estimate.log_z == pytest.approx(total.item(), abs=1e-4)
    assert estimate.stderr < 1e-5


def test_a_uniform_base_is_warned_of() -> None:
    with pytest.warns(UntrustedEstimateWarning, match="base rates"):
        ais_log_partition(random_rbm(4, 3, 0.1), None, chains=20, steps=10)


def test_heavy_tailed_weights_are_warned_of() -> None:
    rbm = random_rbm(20, 15, 4.0)
    with pytest.warns(UntrustedEstimateWarning) as warned:
        estimate = ais_log_partition(rbm, Base(rbm.visible_bias.detach()), chains=100, steps=2)
    assert "equal ones" in str(warned[0].message)
    assert "equal ones" in estimate.trouble
    assert estimate.effective_chains < 10


def test_rates_far_from_where_the_chains_end_are_warned_of() -> None:
    rbm = random_rbm(30, 5, 0.1)
    rbm.visible_bias.data.fill_(-4)
    with pytest.warns(UntrustedEstimateWarning, match="base rates"):
        estimate = ais_log_partition(rbm, Base(torch.zeros(30)), chains=100, steps=2000)
    assert "base rates" in estimate.trouble
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ais_log_partition(rbm, Base(rbm.visible_bias.detach()), chains=100, steps=10)


def test_weights_are_averaged_as_by_hand() -> None:
    log_weights = torch.log(torch.tensor([1.0, 2.0, 3.0] * 20))
    estimate = estimate_from_weights(log_weights, 5.0)
    assert estimate.log_z == pytest.approx(5 + math.log(2))
    variance = (20 + 20) / 59  # of 1, 2, 3 around 2
    assert estimate.stderr == pytest.approx(math.sqrt(variance / 60) / 2)
    assert estimate.effective_chains == pytest.approx(120**2 / (20 * 14))
    assert log_mean_exp(torch.tensor([1000.0, 1000.0])) == pytest.approx(1000)


def test_temperatures_are_spaced_as_published() -> None:
    betas = inverse_temperatures()
    assert len(betas) == 14_501
    assert betas[[0, 500, 4500, 14500]].tolist() == pytest.approx([0, 0.5, 0.9, 1])
    assert (betas[1:501] - betas[:500]).tolist() == pytest.approx([1e-3] * 500)
    assert (betas[501:4501] - betas[500:4500]).tolist() == pytest.approx([1e-4] * 4000)
    assert (betas[4501:] - betas[4500:-1]).tolist() == pytest.approx([1e-5] * 10000)
    assert inverse_temperatures(3).tolist()[0] == 0
    assert inverse_temperatures(3).tolist()[-1] == 1


def test_what_cannot_be_listed_is_refused() -> None:
    with pytest.raises(InputError, match="ais"):
        exact_log_partition(RBMNetwork(40, 30))
    with pytest.raises(InputError, match="relu"):
        exact_log_partition(RBMNetwork(4, 3, hidden="relu"))
    with pytest.raises(InputError, match="method"):
        log_partition(RBMNetwork(4, 3), "guess", None)
