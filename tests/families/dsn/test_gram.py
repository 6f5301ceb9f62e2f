"""Sums of rows and what is solved from them, against numpy, scikit-learn and enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from depthwise.compute import Compute
from depthwise.errors import InputError
from depthwise.families.dsn.gram import BLOCK_ROWS, Gram, fast_products
from depthwise.families.dsn.module import KernelModule

pytestmark = pytest.mark.numerical


def problem(n: int = 37, features: int = 7, targets: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(5)
    options = {"generator": source, "dtype": torch.float64}
    return torch.randn(n, features, **options) + 0.5, torch.randn(n, targets, **options) - 2


def gathered(rows: torch.Tensor, targets: torch.Tensor) -> Gram:
    return Gram(rows.shape[1], targets.shape[1]).add(rows, targets)


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 50.0])
def test_upper_weights_equal_scikit_learns_ridge(ridge: float) -> None:
    R, T = problem()
    upper, bias = gathered(R, T).solve(ridge)
    referee = Ridge(alpha=ridge, solver="svd").fit(R.numpy(), T.numpy())
    np.testing.assert_allclose(upper.numpy().T, referee.coef_, rtol=1e-9)
    np.testing.assert_allclose(bias, referee.intercept_, rtol=1e-9)


def test_upper_weights_satisfy_the_normal_equations() -> None:
    R, T = problem()
    upper, bias = gathered(R, T).solve(0.7)
    wide = np.column_stack([R.numpy(), np.ones(len(R))])
    penalty = np.diag([0.7] * R.shape[1] + [0.0])
    solution = np.linalg.solve(wide.T @ wide + penalty, wide.T @ T.numpy())
    np.testing.assert_allclose(upper, solution[:-1], rtol=1e-10)
    np.testing.assert_allclose(bias, solution[-1], rtol=1e-10)


def test_more_features_than_rows_give_the_least_solution() -> None:
    R, T = problem(n=5, features=11)
    upper, _ = gathered(R, T).solve(0.0)
    centred, wanted = R - R.mean(dim=0), T - T.mean(dim=0)
    np.testing.assert_allclose(upper, np.linalg.pinv(centred.numpy()) @ wanted.numpy(), atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=5), st.randoms(use_true_random=False))
def test_sharded_equals_whole(cuts: list[int], order: object) -> None:
    R, T = problem(n=40)
    whole = gathered(R, T)
    marks = sorted({0, 40, *cuts})
    shards = [gathered(R[a:b], T[a:b]) for a, b in itertools.pairwise(marks)]
    order.shuffle(shards)  # type: ignore[attr-defined]
    total = Gram(7, 3)
    for shard in shards:
        total.merge(shard)
    for a, b in zip(whole.solve(0.3), total.solve(0.3)):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert total.items == 40


def test_panels_of_columns_make_the_whole_square() -> None:
    R, T = problem(n=50, features=150)
    square = gathered(R, T).rows_rows.triu()
    np.testing.assert_allclose(square, np.triu(R.numpy().T @ R.numpy()), rtol=1e-12)


def test_many_float32_rows_lose_no_precision_in_their_sum() -> None:
    rows = torch.rand(3 * BLOCK_ROWS + 11, 5)
    exact = rows.double()
    gram = gathered(rows, rows[:, :2])
    np.testing.assert_allclose(gram.rows_rows.triu(), (exact.t() @ exact).triu(), rtol=2e-6)
    assert gram.rows_rows.dtype == torch.float64


def test_faded_rows_count_less() -> None:
    R, T = problem()
    faded = gathered(R[:20], T[:20]).fade(0.25).add(R[20:], T[20:])
    weights = np.r_[np.full(20, 0.25), np.ones(17)]
    referee = Ridge(alpha=2.0, solver="svd").fit(R.numpy(), T.numpy(), sample_weight=weights)
    np.testing.assert_allclose(faded.solve(2.0)[0].numpy().T, referee.coef_, rtol=1e-9)


def test_the_squared_error_comes_from_the_sums_alone() -> None:
    R, T = problem()
    gram = gathered(R, T)
    upper, bias = gram.solve(0.5)
    error = float(((R @ upper + bias - T) ** 2).sum())
    assert gram.squared_error(upper, bias) == pytest.approx(error, rel=1e-10)
    penalised = error + 0.5 * float((upper**2).sum())
    assert gram.objective(upper, bias, 0.5) == pytest.approx(penalised, rel=1e-10)


def test_dropout_in_closed_form_is_the_average_over_all_masks() -> None:
    R, T = problem(n=9, features=4, targets=2)
    p, gram = 0.3, gathered(R, T)
    upper, bias = gram.solve(0.2, dropout=p)
    mean = 0.0
    for mask in itertools.product((0.0, 1.0), repeat=4):
        chance = np.prod([1 - p if on else p for on in mask])
        seen = R * torch.tensor(mask) / (1 - p)
        mean += chance * float(((seen @ upper + bias - T) ** 2).sum())
    penalty = 0.2 * float((upper**2).sum())
    assert gram.objective(upper, bias, 0.2, p) == pytest.approx(mean + penalty, rel=1e-10)


def test_no_other_upper_weights_do_better_under_dropout() -> None:
    gram = gathered(*problem())
    upper, bias = gram.solve(0.2, dropout=0.4)
    least = gram.objective(upper, bias, 0.2, 0.4)
    for step in torch.randn(20, *upper.shape, dtype=torch.float64) * 1e-3:
        assert gram.objective(upper + step, bias, 0.2, 0.4) > least
        assert gram.objective(upper, bias + step[0], 0.2, 0.4) > least


def test_the_chosen_ridge_is_best_by_generalised_cross_validation() -> None:
    R, T = problem(n=30, features=12)
    T[:, 0] += R @ torch.linspace(-1, 1, 12, dtype=torch.float64)
    chosen = gathered(R, T).choose_ridge()

    def validation(ridge: float) -> float:
        wide = R.numpy() - R.numpy().mean(axis=0)
        hat = wide @ np.linalg.solve(wide.T @ wide + ridge * np.eye(12), wide.T) + 1 / 30
        left = T.numpy() - hat @ T.numpy()
        return float((left**2).sum() / (30 - np.trace(hat)) ** 2)

    others = [chosen * 2.0**power for power in (-6, -3, -1, 1, 3, 6)]
    assert all(validation(chosen) <= validation(other) for other in others)


def test_nothing_gathered_is_told() -> None:
    with pytest.raises(InputError, match="no rows"):
        Gram(3, 2).solve(1.0)


def test_a_gram_is_kept_and_taken_up() -> None:
    R, T = problem()
    gram, again = gathered(R, T), Gram(7, 3)
    again.load_state_dict(gram.state_dict())
    assert torch.equal(gram.solve(0.1)[0], again.solve(0.1)[0])


def test_fast_products_leave_the_setting_as_it_was() -> None:
    before = torch.get_float32_matmul_precision()
    with fast_products(Compute(precision="bfloat16")):
        assert torch.get_float32_matmul_precision() == "medium"
    with fast_products(Compute()):
        assert torch.get_float32_matmul_precision() == before
    assert torch.get_float32_matmul_precision() == before


def test_random_features_approach_exact_kernel_ridge() -> None:
    noise = np.random.default_rng(3)
    X, X_new = noise.normal(size=(60, 3)), noise.normal(size=(50, 3))
    y = np.sin(2 * X[:, :1]) + X[:, 1:2]
    y -= y.mean()
    exact = KernelRidge(alpha=0.5, kernel="rbf", gamma=0.3).fit(X, y).predict(X_new)
    errors = []
    for features in (15, 120, 1200):
        torch.manual_seed(0)
        module = KernelModule(3, features, 1).double()
        module.set_width(0.3)
        P = module.features(torch.from_numpy(X))
        centred = Gram(features, 1).add(  # no intercept: rows and their negatives cancel its sums
            torch.cat([P, -P]), torch.cat([torch.from_numpy(y), -torch.from_numpy(y)])
        )
        upper, _ = centred.solve(2 * 0.5)
        shown = module.features(torch.from_numpy(X_new)) @ upper
        errors.append(float(np.sqrt(np.mean((shown.numpy() - exact) ** 2))))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.06 * float(np.std(exact))
