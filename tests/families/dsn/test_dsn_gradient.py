"""The gradient through the closed form, against finite differences and the paper's own formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from depthwise.families.dsn.gram import Gram
from depthwise.families.dsn.module import (
    ConvexModule,
    SigmoidModule,
    TensorModule,
    row_kronecker,
)
from depthwise.families.dsn.update import ClosedFormUpdate
from depthwise.training.step import Recipe

pytestmark = pytest.mark.numerical

N, D, K = 23, 5, 3
MODULES = {"sigmoid": lambda: SigmoidModule(D, 4, K), "tensor": lambda: TensorModule(D, 2, 3, K)}


@pytest.fixture(params=list(MODULES))
def module(request: pytest.FixtureRequest) -> ConvexModule:
    torch.manual_seed(2)
    made: ConvexModule = MODULES[request.param]().double()
    return made


def problem() -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(1)
    z = torch.randn(N, D, generator=source, dtype=torch.float64)
    t = torch.nn.functional.one_hot(torch.arange(N) % K, K).double()
    return z, t


@torch.no_grad()
def objective(module: ConvexModule, z: Tensor, t: Tensor, ridge: float, dropout: float) -> float:
    """J with the upper weights solved for anew, from its definition."""
    h = module.features(z)
    upper, c = Gram(h.shape[1], K).add(h, t).solve(ridge, dropout)
    lost = dropout / (1 - dropout) * (h.square().sum(dim=0)[:, None] * upper.square()).sum()
    return float((h @ upper + c - t).square().sum() + ridge * upper.square().sum() + lost)


def gradients(module: ConvexModule, ridge: float, dropout: float) -> list[Tensor]:
    z, t = problem()
    update = ClosedFormUpdate(
        module, lambda x: (x, t, None), Recipe(), n_items=N, ridge=ridge, dropout=dropout
    )
    update.set_gradient(z, t)
    return [N * weight.grad for weight in module.lower()]  # type: ignore[operator]


@pytest.mark.parametrize(("ridge", "dropout"), [(0.0, 0.0), (0.5, 0.0), (0.1, 0.3)])
def test_the_lower_gradient_equals_finite_differences_through_the_closed_form(
    module: ConvexModule, ridge: float, dropout: float
) -> None:
    found = gradients(module, ridge, dropout)
    z, t = problem()
    step = 1e-5
    for weight, gradient in zip(module.lower(), found):
        flat = weight.data.view(-1)
        for i in range(len(flat)):
            kept = flat[i].clone()
            flat[i] = kept + step
            above = objective(module, z, t, ridge, dropout)
            flat[i] = kept - step
            below = objective(module, z, t, ridge, dropout)
            flat[i] = kept
            slope = (above - below) / (2 * step)
            assert float(gradient.view(-1)[i]) == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_the_lower_gradient_is_the_papers() -> None:
    """Deng and Yu 2011, with items as columns: dE/dW = 2 X [H' o (1 - H') o (H+ (H T')(T H+)
    - T'(T H+))], H+ the pseudo-inverse; a row of ones in H is the intercept."""
    torch.manual_seed(2)
    module = SigmoidModule(D, 4, K).double()
    z, t = problem()
    found = gradients(module, 0.0, 0.0)[0].numpy()
    X, T = z.numpy().T, t.numpy().T
    H = np.vstack([module.features(z).detach().numpy().T, np.ones(N)])
    pinv = np.linalg.pinv(H)  # N x (L + 1)
    inner = pinv @ (H @ T.T) @ (T @ pinv) - T.T @ (T @ pinv)
    paper = 2 * X @ ((H.T * (1 - H.T) * inner)[:, :-1])
    np.testing.assert_allclose(found, paper, rtol=1e-8, atol=1e-10)


def test_a_step_downhill_lowers_the_objective(module: ConvexModule) -> None:
    z, t = problem()
    before = objective(module, z, t, 0.1, 0.0)
    found = gradients(module, 0.1, 0.0)
    for weight, gradient in zip(module.lower(), found):
        weight.data -= 1e-3 * gradient
    assert objective(module, z, t, 0.1, 0.0) < before


def test_kronecker_rows_equal_numpys() -> None:
    left, right = torch.randn(7, 2), torch.randn(7, 5)
    folded = np.einsum("ni,nj->nij", left.numpy(), right.numpy()).reshape(7, 10)
    np.testing.assert_allclose(row_kronecker(left, right), folded, rtol=1e-6)
    np.testing.assert_allclose(row_kronecker(left, right)[3], np.kron(left[3], right[3]), rtol=1e-6)


def test_a_batch_takes_its_share_of_the_ridge() -> None:
    z, t = problem()
    module = SigmoidModule(D, 4, K).double()
    half = ClosedFormUpdate(module, lambda x: (x, t, None), Recipe(), n_items=2 * N, ridge=3.0)
    half.set_gradient(z, t)
    upper, bias = Gram(4, K).add(module.features(z).detach(), t).solve(1.5)
    torch.testing.assert_close(module.upper.data, upper)
    torch.testing.assert_close(module.upper_bias.data, bias)


def test_memory_counts_the_last_batch_less() -> None:
    z, t = problem()
    module = SigmoidModule(D, 4, K).double()
    update = ClosedFormUpdate(
        module, lambda x: (x, t, None), Recipe(), n_items=N, ridge=1.0, memory=0.5
    )
    update.set_gradient(z[:10], t[:10])
    update.set_gradient(z[10:], t[10:])
    h = module.features(z).detach()
    both = Gram(4, K).add(h[:10], t[:10]).fade(0.5).add(h[10:], t[10:])
    torch.testing.assert_close(module.upper.data, both.solve(18 / N)[0])


def test_hidden_inputs_are_as_many_as_asked_and_the_rest_is_scaled_up() -> None:
    update = ClosedFormUpdate(
        SigmoidModule(1000, 2, K),
        lambda x: (x, x, None),
        Recipe(),
        n_items=N,
        ridge=1.0,
        noise=0.25,
    )
    torch.manual_seed(0)
    seen = update._hide(torch.ones(50, 1000))
    assert float((seen == 0).double().mean()) == pytest.approx(0.25, abs=0.01)
    assert seen.unique().tolist() == [0.0, pytest.approx(4 / 3)]
