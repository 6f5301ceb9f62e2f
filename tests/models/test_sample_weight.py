"""Weights of items: of a loss, of a closed form, of visits; and functions that look on."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.linear_model import Ridge
from sklearn.utils.estimator_checks import estimator_checks_generator

from depthwise.catalog import FAMILIES, TASKS, find_family
from depthwise.errors import InputError
from depthwise.families.dsn.gram import Gram
from depthwise.families.shallow import ridge
from depthwise.families.shallow.regressors import _median
from depthwise.losses import Weighted, smoothed_cross_entropy, squared_error
from depthwise.training.loop import Event
from depthwise.training.visits import drawn_by_visits

X, Y = make_classification(71, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=3)
X = X.astype(np.float32)
WEIGHTS = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)

QUICK: dict[str, dict[str, Any]] = {
    "logistic": {"max_iter": 500},
    "boosting": {"max_iter": 3},
    "tabular": {"hidden": 8, "members": 2, "bins": 4, "epochs": 2},
    "dnn": {"hidden": (8,), "epochs": 2},
    "cnn": {"size": "xxs", "epochs": 2},
    "dsn": {"n_hidden": 12, "epochs": 0, "init": "random"},
    "dbn": {"hidden": (4, 4), "epochs": 1, "finetune_epochs": 1, "sweeps": (1,)},
    "dbm": {"hidden": (4, 3), "epochs": 1, "pretrain_epochs": 1, "finetune_epochs": 1},
    "autoencoder": {"hidden": (6,), "code_size": 2, "epochs": 1},
    "rbm": {"n_hidden": 4, "epochs": 1},
    "mean": {"statistic": "median"},
    "linear": {},
    "boosting_regressor": {"max_iter": 3},
    "dnn_regressor": {"hidden": (8,), "epochs": 2},
    "cnn_regressor": {"size": "xxs", "epochs": 2},
    "dsn_regressor": {"n_hidden": 12, "epochs": 0, "init": "random"},
}


def rows_of(name: str) -> np.ndarray:
    """Rows, or for a family of images the same as images."""
    images = np.repeat(np.repeat(X[:, None, None], 6, axis=2), 2, axis=3)
    return images if find_family(name).image_only else X


def answers(model: Any, inputs: np.ndarray) -> np.ndarray:
    ask = getattr(model, "predict_proba", None) or getattr(model, "predict", None)
    return np.asarray((ask or model.score_samples)(inputs))


def test_every_family_has_settings_here() -> None:
    assert set(QUICK) == set(FAMILIES)


# -- the loss --------------------------------------------------------------------


def test_a_weighted_loss_is_the_mean_of_items_by_hand() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 1.0, 1.0]])
    labels, weights = torch.tensor([0, 2, 1]), torch.tensor([0.5, 2.0, 0.5])
    log_p = torch.log_softmax(logits, dim=1)
    by_hand = -(0.5 * log_p[0, 0] + 2.0 * log_p[1, 2] + 0.5 * log_p[2, 1]) / 3
    found = smoothed_cross_entropy(logits, Weighted(labels, weights))
    torch.testing.assert_close(found, by_hand)


def test_weights_of_one_change_no_loss() -> None:
    answers, targets = torch.randn(7, 2), torch.randn(7, 2)
    scale = torch.tensor([0.5, 3.0])
    alike = Weighted(targets, torch.ones(7))
    torch.testing.assert_close(
        squared_error(answers, alike, scale), squared_error(answers, targets, scale)
    )


def test_the_gradient_of_weights_is_that_of_items_told_as_often() -> None:
    often = torch.tensor([0, 1, 1, 2, 2, 2])
    logits = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    labels, counts = torch.tensor([3, 0, 2]), torch.tensor([1.0, 2.0, 3.0])
    smoothed_cross_entropy(logits[often], labels[often], 0.1).backward()
    told_often, logits.grad = logits.grad, None
    smoothed_cross_entropy(logits, Weighted(labels, counts / counts.mean()), 0.1).backward()
    torch.testing.assert_close(logits.grad, told_often)


# -- the closed form ----------------------------------------------------------------------------


def test_weighted_sums_are_those_of_rows_repeated() -> None:
    source = np.random.default_rng(1)
    rows, targets = source.standard_normal((23, 3)), source.standard_normal((23, 2))
    counts = source.integers(0, 4, 23)
    weighted = Gram(3, 2).add(*map(torch.from_numpy, (rows, targets, counts.astype(float))))
    twice = Gram(3, 2).add(
        torch.from_numpy(rows.repeat(counts, axis=0)),
        torch.from_numpy(targets.repeat(counts, axis=0)),
    )
    for name, value in twice.state_dict().items():
        torch.testing.assert_close(weighted.state_dict()[name], value)
    referee = Ridge(alpha=0.7).fit(rows, targets, sample_weight=counts)
    np.testing.assert_allclose(weighted.solve(0.7)[0].numpy().T, referee.coef_, atol=1e-10)
    assert weighted.choose_ridge() == pytest.approx(twice.choose_ridge())


@pytest.mark.parametrize("name", ["logistic", "dsn", "dsn_regressor", "linear", "mean"])
def test_an_item_of_weight_two_is_one_twice(name: str) -> None:
    weighted = find_family(name)(**QUICK[name]).fit(X, Y, sample_weight=WEIGHTS)
    counts = WEIGHTS.astype(int)
    repeated = find_family(name)(**QUICK[name]).fit(X.repeat(counts, axis=0), Y.repeat(counts))
    np.testing.assert_allclose(answers(weighted, X), answers(repeated, X), atol=2e-3)
    plain = find_family(name)(**QUICK[name]).fit(X, Y)
    assert name == "mean" or abs(answers(weighted, X) - answers(plain, X)).max() > 0.01


@pytest.mark.parametrize("shape", [(9, 23), (23, 9)])
@pytest.mark.parametrize("small", [3000, 3])
def test_a_ridge_of_any_shape_is_scikit_learns(
    shape: tuple[int, int], small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ridge, "SMALL", small)
    source = np.random.default_rng(1)
    rows, targets = source.standard_normal(shape), source.standard_normal((shape[0], 2))
    counts = source.uniform(0.1, 4, shape[0])
    given = [torch.from_numpy(array).float() for array in (rows, targets)]
    found = ridge.solve_ridge(*given, 0.7, torch.from_numpy(counts))
    referee = Ridge(alpha=0.7).fit(rows, targets, sample_weight=counts)
    np.testing.assert_allclose(found[0].numpy().T, referee.coef_, atol=1e-4)
    np.testing.assert_allclose(found[1].numpy(), referee.intercept_, atol=1e-4)


def test_the_ridge_chosen_for_weights_is_that_of_rows_repeated() -> None:
    source = np.random.default_rng(1)
    rows, counts = source.standard_normal((23, 3)), source.integers(1, 4, 23)
    targets = rows @ source.standard_normal((3, 2)) + source.standard_normal((23, 2))
    given = [torch.from_numpy(array) for array in (rows, targets)]
    weighted = ridge.choose_ridge(*given, 0, torch.from_numpy(counts * 1.0))
    repeated = ridge.choose_ridge(
        *[g.repeat_interleave(torch.from_numpy(counts), 0) for g in given]
    )
    assert weighted == pytest.approx(repeated)


def test_a_median_of_weights_is_that_of_items_repeated() -> None:
    source = np.random.default_rng(2)
    for items in range(1, 12):
        targets, counts = source.integers(0, 5, (items, 3)) * 1.0, source.integers(1, 4, items)
        by_hand = np.median(targets.repeat(counts, axis=0), axis=0)
        np.testing.assert_array_equal(_median(targets, counts * 1.0), by_hand)


def test_the_weighted_gradient_of_lower_weights_is_that_of_items_repeated() -> None:
    model = {"n_hidden": 9, "n_modules": 1, "epochs": 2, "batch_size": 5000, "init": "random"}
    counts = WEIGHTS.astype(int)
    weighted = find_family("dsn")(**model).fit(X, Y, sample_weight=WEIGHTS)
    repeated = find_family("dsn")(**model).fit(X.repeat(counts, axis=0), Y.repeat(counts))
    np.testing.assert_allclose(answers(weighted, X), answers(repeated, X), atol=2e-3)


# -- every family -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in FAMILIES if "boosting" not in name])
def test_an_item_of_no_weight_is_one_left_out(name: str) -> None:
    """But for rounding, and for the order in which a model of the data visits its items."""
    inputs, kept = rows_of(name), np.arange(len(X)) % 3 > 0
    target = None if name == "rbm" else Y
    left = None if name == "rbm" else Y[kept]
    weighted = find_family(name)(**QUICK[name]).fit(inputs, target, sample_weight=kept * 1.0)
    without = find_family(name)(**QUICK[name]).fit(inputs[kept], left)
    exact = name not in ("dbn", "dbm", "autoencoder", "rbm")
    if exact:
        np.testing.assert_allclose(answers(weighted, inputs), answers(without, inputs), atol=1e-4)
    assert answers(weighted, inputs).shape == answers(without, inputs).shape


def test_trees_do_not_look_at_the_labels_of_items_of_no_weight() -> None:
    kept = np.arange(len(X)) % 3 > 0
    fits = [
        find_family("boosting")(max_iter=9).fit(X, np.where(kept, Y, other), kept * 1.0)
        for other in ((Y + 1) % 3, (Y + 2) % 3)
    ]
    assert np.array_equal(*[answers(fit, X) for fit in fits])


LEARNING: dict[str, dict[str, Any]] = {
    "tabular": {"epochs": 15, "lr": 0.01},
    "dnn": {"epochs": 15},
    "cnn": {"epochs": 15, "lr": 0.01},
    "dbn": {"hidden": (8, 16), "epochs": 40, "finetune_epochs": 10, "lr": 0.2},
    "dbm": {"hidden": (8, 6), "epochs": 10, "finetune_epochs": 40, "finetune_lr": 0.02},
    "autoencoder": {"epochs": 30},
    "rbm": {"epochs": 60, "lr": 0.2},
    "dnn_regressor": {"epochs": 40},
    "cnn_regressor": {"epochs": 15, "lr": 0.01},
}


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "mean"])
def test_heavy_items_are_what_a_model_goes_by(name: str) -> None:
    """Labels that contradict each other: those of the heavier half win. Of a model of the data
    alone: the heavier items are likelier."""
    source = np.random.default_rng(5)
    labels = np.arange(60) % 2
    pattern = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])[labels]
    inputs = (abs(pattern - (source.random((60, 6)) < 0.1))).astype(np.float32)
    model = find_family(name)(**{**QUICK[name], **LEARNING.get(name, {})})
    if name == "rbm":
        model.fit(inputs, sample_weight=np.where(labels, 9.0, 1.0))
        assert model.score(inputs[labels == 1]) > model.score(inputs[labels == 0]) + 0.5
        return
    if model.image_only:
        inputs = np.repeat(np.repeat(inputs[:, None, None], 6, axis=2), 2, axis=3)
    both = np.concatenate([inputs, inputs])
    model.fit(both, np.concatenate([labels, 1 - labels]), np.repeat([9.0, 1.0], 60))
    assert (np.rint(model.predict(inputs)) == labels).mean() > 0.8


def test_weights_of_any_scale_are_the_same_to_a_network() -> None:
    fits = [find_family("dnn")(**QUICK["dnn"]).fit(X, Y, WEIGHTS * scale) for scale in (1, 7.5)]
    np.testing.assert_allclose(*[answers(fit, X) for fit in fits], atol=1e-5)
    alike = [find_family("dnn")(**QUICK["dnn"]).fit(X, Y, w) for w in (None, np.full(len(X), 3))]
    assert np.array_equal(*[answers(fit, X) for fit in alike])


def test_a_held_out_share_keeps_weights_with_their_items() -> None:
    settings = {**QUICK["dnn"], "epochs": 30, "validation_fraction": 0.3}
    both, labels = np.concatenate([X, X]), np.concatenate([Y, (Y + 1) % 3])
    model = find_family("dnn")(**settings).fit(both, labels, np.repeat([19.0, 1.0], len(X)))
    assert model.score(X, Y) > 0.6


def test_pretrained_layers_are_fine_tuned_by_weights() -> None:
    settings = {**QUICK["dnn"], "pretrain": "dbn", "pretrain_epochs": 1, "epochs": 30}
    both, labels = np.concatenate([X, X]), np.concatenate([Y, (Y + 1) % 3])
    model = find_family("dnn")(**settings).fit(both, labels, np.repeat([19.0, 1.0], len(X)))
    assert model.score(X, Y) > 0.6


@pytest.mark.parametrize("weights", [np.array([0.3, 0, 2.0, 1.7, 0, 5.0, 1.0]), np.ones(5)])
def test_visits_are_as_many_as_weights_say(weights: np.ndarray) -> None:
    visits, total = torch.from_numpy(weights), np.zeros(len(weights))
    generator = torch.Generator().manual_seed(4)
    share = weights * len(weights) / weights.sum()
    for _ in range(400):
        counts = np.bincount(drawn_by_visits(visits, generator), minlength=len(weights))
        assert (counts >= np.floor(share - 1e-9)).all() and (counts <= np.ceil(share + 1e-9)).all()
        assert counts.sum() == len(weights)
        total += counts
    np.testing.assert_allclose(total / 400, share, atol=0.1)


# -- bad weights --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        (np.ones(3), r"\(71,\)"),
        (np.ones((71, 2)), r"\(71,\)"),
        (np.r_[-1.0, np.ones(70)], "item 0 has -1"),
        (np.r_[np.ones(70), np.nan], "item 70 has nan"),
        (np.zeros(71), "zero for every item"),
        (["heavy"] * 71, "71 numbers"),
        ((Y == 1) * 1.0, "one class"),
    ],
)
@pytest.mark.parametrize("name", ["dnn", "logistic", "boosting", "dsn", "autoencoder"])
def test_wrong_weights_are_named(name: str, weights: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        find_family(name)(**QUICK[name]).fit(X, Y, sample_weight=weights)


@pytest.mark.parametrize("name", ["faces", "captioner", "detector", "segmenter"])
def test_a_task_without_weights_says_so(name: str) -> None:
    model = TASKS[name]
    assert not model.weighs_items  # type: ignore[attr-defined]
    if name != "faces":
        return
    faces = np.random.default_rng(0).integers(0, 255, (8, 1, 16, 16), np.uint8)
    with pytest.raises(InputError, match="gives all items the same weight"):
        model(size="xs", epochs=1).fit(faces, np.arange(8) % 2, sample_weight=np.ones(8))


@pytest.mark.parametrize("name", [*FAMILIES, *TASKS])
def test_every_fit_takes_weights_or_says_why_not_and_callbacks(name: str) -> None:
    told = inspect.signature(find_family(name).fit).parameters
    assert {"sample_weight", "callbacks", "watch"} <= set(told)


def test_prose_has_no_weights() -> None:
    with pytest.raises(InputError, match="Leave out sample_weight"):
        find_family("language")(epochs=1).fit("abc" * 99, sample_weight=[1.0])


# -- looking on ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(FAMILIES))
def test_callbacks_are_called_with_events(name: str) -> None:
    events: list[Event] = []
    others: list[Event] = []
    target = None if name == "rbm" else Y
    find_family(name)(**QUICK[name] | ({"epochs": 1} if "dsn" in name else {})).fit(
        rows_of(name), target, callbacks=[events.append], watch=others.append
    )
    assert events and events == others
    assert all(isinstance(event, Event) for event in events)
    assert events[-1].seconds >= 0 and events[-1].step > 0


def test_a_callback_that_raises_ends_the_fit() -> None:
    def stop(event: Event) -> None:
        raise KeyError(event.step)

    with pytest.raises(KeyError):
        find_family("dnn")(**QUICK["dnn"]).fit(X, Y, callbacks=[stop])


def test_a_callback_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match="callbacks must be functions"):
        find_family("dnn")(**QUICK["dnn"]).fit(X, Y, callbacks=["loud"])


def test_other_weights_do_not_take_up_a_checkpoint(tmp_path: Path) -> None:
    def fit(weights: np.ndarray) -> None:
        find_family("dnn")(**QUICK["dnn"]).fit(X, Y, weights, checkpoint=tmp_path / "run")

    fit(WEIGHTS)
    fit(WEIGHTS)
    with pytest.raises(InputError, match="other data or settings"):
        fit(WEIGHTS + 1)


# -- scikit-learn's own checks ------------------------------------------------------------------

INEXACT = "check_sample_weight_equivalence"  # batches, bins, float32: tested above


@pytest.mark.parametrize("name", ["logistic", "boosting", "dnn", "dsn", "dnn_regressor", "linear"])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_checks_of_weights(name: str) -> None:
    checks = [
        (model, check)
        for model, check in estimator_checks_generator(find_family(name)(**QUICK[name]))
        if "sample_weight" in str(check) and INEXACT not in str(check)
    ]
    assert len(checks) >= 5
    for model, check in checks:
        check(model)
