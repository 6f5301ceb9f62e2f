"""What an autoencoder minimises, held to hand formulas, autograd and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.families.autoencoder.network import AutoencoderNetwork, dense_stack
from depthwise.families.autoencoder.objective import (
    Objective,
    Penalties,
    corrupt,
    cross_entropy,
    jacobian_norm,
    sparsity_divergence,
    squared_error,
)
from depthwise.training.loop import train
from depthwise.training.step import GradientUpdate, Recipe

pytestmark = pytest.mark.numerical


def dense(
    widths: tuple[int, ...], activation: str, last: str = "linear", visible: str = "bernoulli"
) -> AutoencoderNetwork:
    torch.manual_seed(3)
    encoder, decoder = (
        dense_stack(widths, activation, last),
        dense_stack(widths[::-1], activation, "linear"),
    )
    return AutoencoderNetwork((widths[0],), encoder, decoder, widths[-1], visible=visible).double()


def whole_jacobian(network: AutoencoderNetwork, row: Tensor) -> Tensor:
    """(Z, D) of one item (D,), by torch's own functional autograd."""
    jacobian = torch.func.jacrev(lambda v: network.encode(v[None])[0])(row)
    return jacobian.detach()


# -- reconstruction -----------------------------------------------------------------------------


def test_cross_entropy_is_torchs_summed_over_the_values() -> None:
    v, total = torch.rand(3, 5), 4 * torch.randn(3, 5)
    expected = nn.functional.binary_cross_entropy_with_logits(total, v, reduction="none").sum(1)
    torch.testing.assert_close(cross_entropy(v, total), expected)


def test_squared_error_by_hand() -> None:
    v, means = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[0.5, 0.25], [0.5, 0.5]])
    assert squared_error(v, means).tolist() == [0.3125, 0.0]


@pytest.mark.parametrize(
    "penalties",
    [
        Penalties(),
        Penalties(sparsity=0.1, sparsity_weight=0.7),
        Penalties(contractive=0.3),
    ],
)
def test_the_objectives_gradient_is_that_of_finite_differences(penalties: Penalties) -> None:
    network = dense((5, 4, 2), "logistic", "logistic")
    objective, x = Objective(network, "cross_entropy", penalties), torch.rand(3, 5).double()
    weight = network.encoder[0][0].weight  # type: ignore[index]
    objective(x).backward()
    gradient = weight.grad.clone()
    for i, j in ((0, 0), (1, 3), (3, 4)):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[i, j] += sign * 1e-5
            values.append(float(objective(x).detach()))
            with torch.no_grad():
                weight[i, j] -= sign * 1e-5
        assert float(gradient[i, j]) == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-8)


# -- denoising ----------------------------------------------------------------------------------


def test_masking_hides_the_share_asked_for_and_leaves_the_rest() -> None:
    torch.manual_seed(0)
    v = torch.rand(300, 400) + 0.5
    masked = corrupt(v, "masking", 0.3)
    hidden = masked == 0
    # the standard deviation of a share of 120,000 is 0.0013
    assert float(hidden.double().mean()) == pytest.approx(0.3, abs=0.006)
    assert torch.equal(masked[~hidden], v[~hidden])
    assert float(hidden.double().mean(dim=1).min()) > 0.15  # every item, not whole items


def test_gaussian_noise_has_the_deviation_asked_for() -> None:
    torch.manual_seed(0)
    v = torch.rand(300, 400)
    noise = corrupt(v, "gaussian", 0.4) - v
    assert float(noise.mean()) == pytest.approx(0, abs=0.006)
    assert float(noise.std()) == pytest.approx(0.4, abs=0.004)


def test_the_corrupted_are_compared_with_the_clean() -> None:
    """All masked: the loss is that of the code of nothing, against the values as they are."""
    network = dense((5, 4, 2), "gelu")
    x = torch.rand(3, 5).double()
    loss = Objective(network, "squared", Penalties(noise="masking", noise_level=1.0))(x)
    blind = network.decode(network.encode(torch.zeros(3, 5).double()))
    torch.testing.assert_close(loss, (x - blind).square().sum(1).mean())


# -- sparsity -----------------------------------------------------------------------------------


def test_sparsity_divergence_by_hand() -> None:
    activations = torch.tensor([[0.1, 0.9], [0.3, 0.7]], dtype=torch.float64)
    kl = [0.05 * math.log(0.05 / mean) + 0.95 * math.log(0.95 / (1 - mean)) for mean in (0.2, 0.8)]
    assert float(sparsity_divergence(activations, 0.05)) == pytest.approx(sum(kl), rel=1e-5)
    assert float(sparsity_divergence(torch.full((4, 3), 0.05), 0.05)) == pytest.approx(0, abs=1e-6)


def test_units_learn_to_be_as_rarely_on_as_asked() -> None:
    x = torch.rand(400, 12, generator=torch.Generator().manual_seed(1))
    shares = []
    for weight in (0.0, 5.0):
        network = dense((12, 9, 4), "logistic", "logistic").float()
        asked = Penalties(sparsity=0.1, sparsity_weight=weight)
        fit(network, x, asked, Recipe(epochs=25, batch_size=100, lr=0.02))
        shares.append(float(network.representations(x)[0].detach().mean()))
    assert abs(shares[0] - 0.1) > 0.2
    assert shares[1] == pytest.approx(0.1, abs=0.04)


# -- contraction --------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["gelu", "tanh", "logistic"])
def test_the_exact_norm_is_autograds(activation: str) -> None:
    network, v = dense((6, 5, 3), activation), torch.randn(4, 6).double()
    expected = torch.stack([whole_jacobian(network, row).square().sum() for row in v])
    found = jacobian_norm(network.encode, v, exact=True).detach()
    torch.testing.assert_close(found, expected)


def test_of_one_logistic_layer_it_is_rifais_formula() -> None:
    network, v = dense((6, 3), "logistic", "logistic"), torch.randn(4, 6).double()
    z, weight = network.encode(v), network.encoder[0][0].weight  # type: ignore[index]
    expected = (z * (1 - z)).square() @ weight.square().sum(dim=1)
    torch.testing.assert_close(jacobian_norm(network.encode, v, exact=True), expected)


def test_hutchinsons_estimate_has_the_exact_norm_for_its_mean() -> None:
    network, v = dense((6, 5, 3), "tanh"), torch.randn(1, 6).double()
    exact = float(jacobian_norm(network.encode, v, exact=True).detach()[0])
    torch.manual_seed(0)
    estimates = jacobian_norm(network.encode, v.expand(20_000, 6), exact=False).detach()
    error = float(estimates.std()) / math.sqrt(20_000)
    assert float(estimates.mean()) == pytest.approx(exact, abs=4 * error)
    assert error < 0.02 * exact


def test_the_penalty_makes_the_encoder_contract() -> None:
    x = torch.rand(300, 8, generator=torch.Generator().manual_seed(1))
    norms = []
    for weight in (0.0, 1.0):
        network = dense((8, 7, 5), "tanh").float()
        recipe = Recipe(epochs=10, batch_size=50, lr=0.01)
        fit(network, x, Penalties(contractive=weight), recipe)
        norms.append(float(jacobian_norm(network.encode, x, exact=True).detach().mean()))
    assert norms[1] < 0.3 * norms[0]


# -- learning -----------------------------------------------------------------------------------


def fit(network: AutoencoderNetwork, x: Tensor, penalties: Penalties, recipe: Recipe) -> None:
    loss = "cross_entropy" if network.bernoulli else "squared"
    objective = Objective(network, loss, penalties)
    update = GradientUpdate(objective, lambda loss, _: loss, recipe, Compute())
    train(network, update, x, torch.zeros(len(x)), recipe, compute=Compute())


def test_a_linear_autoencoder_finds_the_principal_subspace() -> None:
    """Baldi and Hornik 1989; the referee is scikit-learn's PCA."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 10)) * 2
    X = X + 0.3 * rng.standard_normal((500, 10))
    X = (X - X.mean(0)) / X.std(0)
    pca = PCA(3).fit(X)
    pca_error = ((X - pca.inverse_transform(pca.transform(X))) ** 2).sum(1).mean()

    network = dense((10, 3), "linear", visible="gaussian")
    x = torch.from_numpy(X)
    recipe = Recipe(epochs=1500, batch_size=500, lr=0.02, weight_decay=0, clip_norm=None)
    fit(network, x, Penalties(), recipe)
    with torch.no_grad():
        error = float(squared_error(x, network.reconstruct(x)).mean())
    assert pca_error <= error < 1.001 * pca_error
    # the decoder's columns span the space of the components: all cosines between them are 1
    basis = np.linalg.qr(network.decoder[0][0].weight.detach().numpy())[0]  # type: ignore[index]
    cosines = np.linalg.svd(pca.components_ @ basis, compute_uv=False)
    assert cosines.min() > 0.999
