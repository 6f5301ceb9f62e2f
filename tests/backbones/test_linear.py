"""The output layer on frozen features: solved as scikit-learn solves it, within its time."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from depthwise.backbones.linear import CS, solve, solve_linear


def made(items: int = 90, features: int = 7, classes: int = 3, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    y = np.arange(items) % classes
    centres = rng.normal(size=(classes, features))
    return (centres[y] + rng.normal(size=(items, features))).astype(np.float32), y


@pytest.mark.parametrize(("classes", "C"), [(3, 0.01), (3, 1.0), (5, 0.1)])
def test_it_is_the_minimum_that_scikit_learn_finds(classes: int, C: float) -> None:
    x, y = made(classes=classes)
    peer = LogisticRegression(C=C, max_iter=1000, tol=1e-8).fit(x, y)
    found = solve(torch.from_numpy(x), torch.from_numpy(y), classes, C)
    wanted = torch.from_numpy(peer.predict_log_proba(x)).float()
    got = found(torch.from_numpy(x)).log_softmax(dim=1)
    torch.testing.assert_close(got, wanted, rtol=0.02, atol=0.02)


def test_an_item_of_weight_two_counts_as_two_items() -> None:
    x, y = made(items=31)
    weights = np.where(np.arange(31) < 9, 2.0, 1.0)
    doubled = np.r_[np.arange(31), np.arange(9)]
    # J divides the penalty by the number of items: 2 C N is the same in both
    by_weight = solve(*map(torch.from_numpy, (x, y)), 3, 0.1 * 40 / 31,
                      weights=torch.from_numpy(weights).float())  # fmt: skip
    by_items = solve(*map(torch.from_numpy, (x[doubled], y[doubled])), 3, 0.1)
    torch.testing.assert_close(by_weight.weight, by_items.weight, rtol=0.02, atol=0.01)


def test_noise_is_given_a_stronger_penalty_than_what_can_be_learnt() -> None:
    x, y = made(items=300, features=40)
    noise = np.random.default_rng(1).permutation(y)
    clear = solve_linear(x * 3, y, 3)
    blurred = solve_linear(x * 3, noise, 3)
    assert clear.C in CS and blurred.C in CS
    assert blurred.weight.norm() < clear.weight.norm()


def test_a_class_with_a_single_item_has_no_folds_but_an_answer() -> None:
    x, y = made(items=20)
    y[0] = 3
    assert solve_linear(x, np.minimum(y, 3), 4).weight.shape == (4, 7)


def test_it_stops_in_time() -> None:
    x, y = made(items=4000, features=2000, classes=9)
    begun = time.process_time()
    solve_linear(x, y, 9, seconds=0.0)
    assert time.process_time() - begun < 10
