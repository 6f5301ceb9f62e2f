"""A network that stops when it is sure."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from depthwise import CNN, DNN, InputError
from depthwise import load as load_model
from depthwise.reshaping.exits import NEVER, with_all_answers
from depthwise.shrinking.early_exits import add_exits, all_logits, best_thresholds, cuts, exit_macs

Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def stopping(cnn: CNN, parts: Parts) -> tuple[CNN, dict]:
    X, y, X_held, y_held = parts
    return add_exits(cnn, X, y, (X_held, y_held))


def set_thresholds(model: CNN, *values: float) -> CNN:
    model = copy.deepcopy(model)
    model.network_.exits.thresholds.copy_(torch.tensor(values))
    return model


def test_each_item_is_told_by_the_first_head_that_is_sure(
    stopping: tuple[CNN, dict], parts: Parts
) -> None:
    """Against every head's answer for every item, and the rule applied by hand."""
    model, X = set_thresholds(stopping[0], 0.6, 0.8), torch.from_numpy(parts[2])
    with torch.inference_mode():
        every = torch.stack(with_all_answers(model.network_, X))  # (3, N, K)
        told = model.network_(X)
    sure = torch.softmax(every, dim=2).amax(dim=2)
    for item in range(len(X)):
        exit_ = 0 if sure[0, item] >= 0.6 else 1 if sure[1, item] >= 0.8 else 2
        torch.testing.assert_close(told[item], every[exit_, item], rtol=1e-4, atol=1e-4)
    counts = [(sure[0] >= 0.6).sum(), ((sure[0] < 0.6) & (sure[1] >= 0.8)).sum()]
    assert all(0 < n < len(X) for n in counts)  # the test sees every kind


def test_a_batch_is_its_items_one_by_one(stopping: tuple[CNN, dict], parts: Parts) -> None:
    model, X = set_thresholds(stopping[0], 0.6, 0.8), parts[2][:40]
    alone = np.concatenate([model.predict_proba(X[i : i + 1]) for i in range(len(X))])
    np.testing.assert_allclose(model.predict_proba(X), alone, rtol=1e-4, atol=1e-5)


def test_nobody_leaves_over_one_and_all_leave_below_zero(
    cnn: CNN, stopping: tuple[CNN, dict], parts: Parts
) -> None:
    X = parts[2]
    never = set_thresholds(stopping[0], NEVER, NEVER)
    np.testing.assert_allclose(never.predict_proba(X), cnn.predict_proba(X), rtol=1e-4, atol=1e-5)
    at_once = set_thresholds(stopping[0], -1, -1)
    logits = torch.from_numpy(all_logits(at_once.network_, X)[0])
    np.testing.assert_allclose(
        at_once.predict_proba(X), torch.softmax(logits, 1).numpy(), rtol=1e-4, atol=1e-5
    )


def test_products_grow_from_exit_to_exit(stopping: tuple[CNN, dict], cnn: CNN) -> None:
    """By hand, xs on 8 x 8: stem 64 * 9 * 8, a block of stage 1 2 * 64 * 72 * 8, head 128 x 10."""
    one = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    macs = exit_macs(stopping[0].network_, one)
    assert macs[0] == 64 * 9 * 8 + 2 * 64 * 72 * 8 + 8 * 16 * 10
    assert macs == sorted(macs)
    assert stopping[0].network_.exits.thresholds.tolist() == pytest.approx(
        stopping[1]["thresholds"]
    )


def test_it_saves_without_losing_on_validation(
    stopping: tuple[CNN, dict], cnn: CNN, parts: Parts
) -> None:
    model, record = stopping
    truth = cnn.classes_[parts[3]]
    assert model.score(parts[2], truth) == pytest.approx(record["accuracy"])
    assert model.score(parts[2], truth) >= cnn.score(parts[2], truth)
    assert record["saved"] > 0.3 and sum(record["shares"]) == pytest.approx(1)
    costs = [point["average_macs"] for point in record["curve"]]
    right = [point["accuracy"] for point in record["curve"]]
    assert costs == sorted(costs) and right == sorted(right)


def test_thresholds_are_the_cheapest_of_all_combinations() -> None:
    """Brute force over every confidence that occurs, of few items."""
    rng = np.random.default_rng(0)
    logits, labels = 3 * rng.standard_normal((3, 11, 4)), rng.integers(0, 4, 11)
    logits[-1, np.arange(8), labels[:8]] += 9  # the network itself is mostly right
    costs = [1.0, 3.0, 7.0]
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    confidence, right = p.max(axis=2), p.argmax(axis=2) == labels
    cheapest = costs[-1]
    for a, b in itertools.product([*confidence[0], NEVER], [*confidence[1], NEVER]):
        where = np.where(confidence[0] >= a, 0, np.where(confidence[1] >= b, 1, 2))
        if right[where, np.arange(11)].mean() >= right[2].mean() - 0.1:
            cheapest = min(cheapest, np.array(costs)[where].mean())
    found = best_thresholds(logits, labels, costs, tolerance=0.1)[1]
    assert found["accuracy"] >= found["whole_accuracy"] - 0.1
    assert found["average_macs"] == pytest.approx(cheapest, rel=0.05)  # its grid is coarser


def test_exits_come_back_and_learn_on(
    stopping: tuple[CNN, dict], parts: Parts, tmp_path: Path
) -> None:
    model = copy.deepcopy(stopping[0])
    again = load_model(model.save(tmp_path))
    np.testing.assert_array_equal(again.predict_proba(parts[2]), model.predict_proba(parts[2]))
    head = again.network_.exits.heads[0].linear.weight.clone()
    again.partial_fit(parts[0], again.classes_[parts[1]])
    assert not torch.equal(head, again.network_.exits.heads[0].linear.weight)
    assert again.score(parts[2], again.classes_[parts[3]]) > 0.9
    assert again.transform(parts[2][:3]).shape == model.transform(parts[2][:3]).shape
    assert again.fit(parts[0], again.classes_[parts[1]]).shrunk_ == []


def test_trunk_that_learns_with_its_heads(dnn: DNN, parts: Parts) -> None:
    X, y, X_held, y_held = parts
    model, record = add_exits(dnn, X, y, (X_held, y_held), joint_epochs=1.0, tolerance=0.01)
    assert record["places"] == ["hidden.3", "hidden.7"][: len(record["places"])]
    assert model.score(X_held, model.classes_[y_held]) >= record["whole_accuracy"] - 0.0101


def test_places_inside_a_residual_block_are_no_cuts(cnn: CNN, parts: Parts) -> None:
    found = cuts(cnn.network_, torch.from_numpy(parts[2][:4]))
    assert "stages.0" in found and not [path for path in found if "first" in path]
    before = {name: tensor.clone() for name, tensor in cnn.network_.state_dict().items()}
    with pytest.raises(InputError, match=r"after 'stages\.0\.first\.0'"):
        add_exits(cnn, *parts[:2], parts[2:], places=["stages.0.first.0"])
    assert all(torch.equal(before[name], t) for name, t in cnn.network_.state_dict().items())
