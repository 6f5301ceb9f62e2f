"""Exact leave-one-out, against fitting again without each item."""

import numpy as np
import pytest

from depthwise.backbones.leave_one_out import LeaveOneOutRidge, one_hot


def fitted(X, T, penalty):
    """W and b by the normal equations, in float64."""
    x, t = X - X.mean(axis=0), T - T.mean(axis=0)
    W = np.linalg.solve(x.T @ x + penalty * np.eye(X.shape[1]), x.T @ t)
    return W, T.mean(axis=0) - X.mean(axis=0) @ W


@pytest.fixture(params=[(31, 7), (13, 19)], ids=["more items", "more features"])
def problem(request):
    rng = np.random.default_rng(0)
    items, features = request.param
    X = rng.normal(size=(items, features)) + rng.normal(size=features)
    return X, rng.normal(size=(items, 3))


@pytest.mark.parametrize("penalty", [0.3, 20.0])
def test_each_prediction_is_of_a_model_that_never_saw_the_item(problem, penalty):
    X, T = problem
    left_out = LeaveOneOutRidge.of(X).left_out(T, penalty)
    for i in range(len(X)):
        rest = np.arange(len(X)) != i
        W, b = fitted(X[rest], T[rest], penalty)
        np.testing.assert_allclose(left_out[i], X[i] @ W + b, atol=2e-4)


def test_a_group_is_left_out_together(problem):
    X, T = problem
    groups = np.arange(len(X))
    groups[[2, 5, 11]] = 2
    left_out = LeaveOneOutRidge.of(X).left_out(T, 0.7, groups)
    rest = groups != 2
    W, b = fitted(X[rest], T[rest], 0.7)
    np.testing.assert_allclose(left_out[~rest], X[~rest] @ W + b, atol=2e-4)


def test_the_weights_are_ridge_regressions(problem):
    X, T = problem
    W, b = LeaveOneOutRidge.of(X).weights(T, 0.7)
    expected = fitted(X, T, 0.7)
    np.testing.assert_allclose(W, expected[0], atol=1e-4)
    np.testing.assert_allclose(b, expected[1], atol=1e-4)


def test_noise_gets_the_largest_penalty_and_a_line_a_small_one():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 5))
    ridge = LeaveOneOutRidge.of(X)
    assert ridge.choose(X @ rng.normal(size=(5, 2))) == ridge.penalties()[0]
    assert ridge.choose(rng.normal(size=(200, 2))) > 0.1 * ridge.values[-1]


def test_constant_features_and_two_items_are_no_trouble():
    ridge = LeaveOneOutRidge.of(np.ones((2, 3)))
    assert np.isfinite(ridge.left_out(one_hot(np.array([0, 1]), 2), 1.0)).all()
