"""Boosting round by round, against scikit-learn's own histogram boosting; categories as such; the
clock."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

import depthwise
from depthwise.choosing.ladder import Candidate
from depthwise.data.dataset import Dataset
from depthwise.data.tables.columns import NUMBER, TEXT, Column, category_slices
from depthwise.errors import InputError
from depthwise.families.boosting import sizes
from depthwise.families.boosting.boosting_losses import ClassLoss, NumberLoss
from depthwise.families.boosting.rounds import Growth, Plan
from depthwise.families.boosting.tree_ensemble import as_ensemble
from depthwise.families.shallow.shallow import GradientBoosting

PLAN = Plan(7, 0.2, leaves=6, depth=4, least_items=5, l2=0.5)
SAME = {
    "max_iter": 7,
    "learning_rate": 0.2,
    "max_leaf_nodes": 6,
    "max_depth": 4,
    "min_samples_leaf": 5,
    "l2_regularization": 0.5,
    "early_stopping": False,
}


def numbers(items: int = 303, columns: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(items, columns)).astype(np.float32)


def labels(X: np.ndarray, classes: int) -> np.ndarray:
    scores = np.stack([X[:, k % X.shape[1]] * (1 + k) for k in range(classes)], axis=1)
    found: np.ndarray = (scores + np.random.default_rng(1).normal(size=scores.shape)).argmax(axis=1)
    return found


def answers(grown: Any, X: np.ndarray) -> np.ndarray:
    """F (N, K), each tree walked node by node."""
    raw = np.tile(grown.baseline, (len(X), 1))
    for row in grown.rounds:
        for k, tree in enumerate(row):
            for i, x in enumerate(X):
                node = 0
                while not tree.nodes["is_leaf"][node]:
                    right = x[tree.nodes["feature_idx"][node]] > tree.nodes["num_threshold"][node]
                    node = tree.nodes["right" if right else "left"][node]
                raw[i, k] += tree.nodes["value"][node]
    return raw


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_rounds_are_those_of_scikit_learn(classes: int, weighted: bool) -> None:
    X = numbers(203)  # as few values as bins, whose edges scikit-learn weighs too
    y = labels(X, classes)
    weights = np.random.default_rng(2).uniform(0.5, 2, len(X)) if weighted else None
    grown = Growth(PLAN, ClassLoss(classes)).grow(X, y, weights)
    forest = HistGradientBoostingClassifier(**SAME).fit(X, y, weights)
    raw = answers(grown, X[:40])
    expected = forest.decision_function(X[:40]).reshape(40, -1)
    np.testing.assert_allclose(raw, expected, atol=1e-5)


def test_numbers_are_learnt_as_scikit_learn_does() -> None:
    X = numbers()
    y = X[:, :2] @ np.array([[1.0, 2.0], [-3.0, 0.5]]) + 7
    grown = Growth(PLAN, NumberLoss()).grow(X, y)
    for k in range(2):
        forest = HistGradientBoostingRegressor(**SAME).fit(X, y[:, k])
        np.testing.assert_allclose(answers(grown, X[:20])[:, k], forest.predict(X[:20]), atol=1e-4)


# -- categories ---------------------------------------------------------------------------------

COLUMNS = [
    Column("a", NUMBER),
    Column("colour", TEXT, values=("blue", "green", "red", "white")),
    Column("sex", TEXT, values=("f", "m")),
    Column("town", TEXT, values=("A", "B", "C")),
]


def mixed(items: int = 411) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, 10), codes (N, 4) with NaN for a blank, and labels that need sets of values."""
    rng = np.random.default_rng(3)
    a, sex = rng.normal(size=items), rng.integers(0, 2, items)
    colour, town = rng.integers(-1, 4, items), rng.integers(0, 3, items)
    one_hot = [c[:, None] == np.arange(n) for c, n in ((colour, 4), (sex, 2), (town, 3))]
    features = np.concatenate([a[:, None], *one_hot], axis=1).astype(np.float32)
    codes = np.stack([a, np.where(colour < 0, np.nan, colour), sex, town], axis=1)
    y = np.where(np.isin(colour, [0, 2]) ^ (a > 0.3), 2, np.where(town == 1, 1, 0))
    return features, codes, y


def made(features: np.ndarray, y: np.ndarray) -> Dataset:
    parts = np.split(np.arange(len(y)), [300, 360])
    indices = dict(zip(("train", "validation", "test"), parts))
    return Dataset("made", "table", features, y, ["p", "q", "r"], indices, columns=COLUMNS)


def test_a_category_of_three_values_or_more_is_one_feature() -> None:
    assert category_slices(COLUMNS) == [slice(1, 5), slice(7, 10)]
    assert category_slices(None) == []


def test_categories_are_parted_as_scikit_learn_does() -> None:
    features, codes, y = mixed()
    model = GradientBoosting(max_iter=9, learning_rate=0.2, size="s", patience=None)
    data = made(features, y)
    data.indices["train"], data.indices["validation"] = np.arange(360), np.arange(0)
    model.fit(data)
    forest = HistGradientBoostingClassifier(
        max_iter=9,
        learning_rate=0.2,
        max_depth=8,
        early_stopping=False,
        categorical_features=[1, 3],
    ).fit(codes[:360], y[:360])
    expected = forest.predict_proba(codes)
    np.testing.assert_allclose(model.predict_proba(features), expected, atol=1e-5)
    assert model.network_.has_sets


def test_sets_are_saved_and_an_unknown_value_goes_the_way_of_a_blank(tmp_path: Path) -> None:
    features, _, y = mixed()
    model = GradientBoosting(size="s").fit(made(features, y))
    again = depthwise.load(model.save(tmp_path / "m"))
    assert np.array_equal(model.predict_proba(features), again.predict_proba(features))
    blank = features[:1].copy()
    blank[:, 1:5] = 0
    assert np.isfinite(model.predict_proba(blank)).all()
    more = model.partial_fit(features, np.array(["p", "q", "r"])[y])
    assert more.score(features, np.array(["p", "q", "r"])[y]) > 0.9


def test_where_minutes_are_short_the_largest_trees_come_first_on_tables() -> None:
    ranks = {size: Candidate("", GradientBoosting, size, 0).rank("table") for size in "sml"}
    assert ranks["l"] == 0 < ranks["m"] < ranks["s"]


# -- when to stop -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["xs", "l"])
def test_the_rounds_that_are_best_on_held_out_items_are_kept(size: str) -> None:
    X = numbers(500)
    y = labels(X, 3)
    held = (X[300:], y[300:])
    seen: list[float] = []

    class Listening(ClassLoss):
        def score(self, targets: np.ndarray, raw: np.ndarray) -> float:
            seen.append(super().score(targets, raw))
            return seen[-1]

    grown = Growth(Plan(60, 0.3, patience=4), Listening(3)).grow(X[:300], y[:300], held_out=held)
    assert grown.stopped == "patience" and len(seen) < 60
    assert len(grown.rounds) == 1 + int(np.argmax(seen)) == len(seen) - 4
    model = GradientBoosting(size=size).fit(X[:300], y[:300], validation=held)
    p = model.predict_proba(held[0])[np.arange(200), held[1]]
    longer = GradientBoosting(size=size, max_iter=model.n_iter_ + 8, patience=None)
    q = longer.fit(X[:300], y[:300]).predict_proba(held[0])[np.arange(200), held[1]]
    assert np.log(p).mean() >= np.log(q).mean()


@pytest.mark.parametrize("limit", [0.0, 0.7])
def test_a_limit_of_seconds_holds_however_large_the_data_are(limit: float) -> None:
    X = numbers(30_000, 150)
    y = labels(X, 4)
    started = time.monotonic()
    model = GradientBoosting(size="l").fit(X, y, seconds_limit=limit)
    assert time.monotonic() - started < 1.1 * limit + 8  # a busy machine beside it
    assert model.history_["stopped"] == "time" and 1 <= model.n_iter_ < 500
    if limit == 0:
        assert model.history_["rows"] < len(X)


def test_an_interrupted_fit_keeps_its_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    X = numbers()

    def interrupt(event: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sizes, "EVERY", 0.0)
    model = GradientBoosting(size="s").fit(X, labels(X, 3), watch=interrupt)
    assert model.history_["stopped"] == "interrupted" and model.n_iter_ >= 1
    assert model.predict_proba(X).shape == (303, 3)


def test_wrong_settings_are_named() -> None:
    X = numbers()
    for settings, told in (
        (
            {"learning_rate": 0},
            "learning_rate must be a number above 0, usually 0.03 .. 0.3, or 'auto'",
        ),
        ({"learning_rate": "fast"}, "learning_rate must be"),
        ({"patience": 0}, "patience must be a whole number, at least 1"),
        ({"size": "xxl"}, "size must be one of 'xs', 's', 'm' or 'l'"),
    ):
        with pytest.raises(InputError, match=told):
            GradientBoosting(**settings).fit(X, labels(X, 3))


def test_the_trees_walked_together_are_the_trees_walked_one_by_one() -> None:
    X = numbers(120)
    y = labels(X, 3)
    grown = Growth(PLAN, ClassLoss(3)).grow(X, y)
    model = GradientBoosting(size="xs", max_iter=3).fit(X, y)
    assert model.network_(torch.from_numpy(X[:1])).shape == (1, 3)
    network = as_ensemble(grown, 3, X.shape[1])
    np.testing.assert_allclose(network(torch.from_numpy(X)), answers(grown, X), atol=1e-5)
