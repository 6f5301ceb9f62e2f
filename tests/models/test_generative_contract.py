"""One contract for every family that models the data itself: on images, on tables, with labels
and without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import depthwise
from depthwise.catalog import FAMILIES
from depthwise.errors import InputError
from depthwise.families.autoencoder import autoencoder, head
from depthwise.models.generative import Generative
from depthwise.training.schedules import Passes
from scikit_checks import failed_checks

GENERATIVE = [name for name, make in FAMILIES.items() if "generate" in make.tasks]

# little training, but enough to learn what digits look like
SETTINGS: dict[str, dict[str, Any]] = {
    "rbm": {"n_hidden": 40, "epochs": 40, "batch_size": 20},
    "dbn": {"hidden": (60, 80), "epochs": 15, "finetune_epochs": 8, "batch_size": 20, "lr": 0.1},
    "dbm": {
        "hidden": (60, 50),
        "epochs": 12,
        "pretrain_epochs": 8,
        "finetune_epochs": 8,
        "batch_size": 20,
        "lr": 0.1,
    },
    "autoencoder": {"hidden": (60,), "code_size": 8, "epochs": 25},
}


def make(family: str, **changes: Any) -> Generative:
    model = FAMILIES[family](**{**SETTINGS[family], **changes})
    assert isinstance(model, Generative)
    return model


@pytest.fixture(params=GENERATIVE)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fitted(digits: Any) -> dict[str, Generative]:
    return {name: make(name).fit(digits[0]) for name in GENERATIVE}


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    """Two clusters in 5 columns of very different scales."""
    noise = np.random.default_rng(0)
    centres = np.where(noise.random((301, 1)) < 0.5, -2.0, 2.0)
    columns = centres * [1, -1, 1, 0, 0] + 0.5 * noise.standard_normal((301, 5))
    return columns * [1, 100, 0.01, 3, 1] + [0, 5, 0, -7, 1000]


def test_every_generative_family_has_settings_here() -> None:
    assert set(SETTINGS) == set(GENERATIVE)


def test_layers_are_shown_one_by_one(family: str, fitted: Any, digits: Any) -> None:
    model, X = fitted[family], digits[2][:7]
    last = model.transform(X)
    assert last.shape[0] == 7
    layers = 0
    while layers < 9:
        try:
            shown = model.transform(X, layer=layers + 1)
        except InputError:
            break
        layers += 1
    assert layers >= 1
    assert np.array_equal(shown, last)
    with pytest.raises(InputError, match=f"layer must be 1 to {layers}"):
        model.transform(X, layer=0)


def test_samples_are_items_like_the_data(family: str, fitted: Any, digits: Any) -> None:
    samples = fitted[family].sample(13)
    assert samples.shape == (13, 1, 8, 8)
    assert samples.dtype == np.uint8
    assert 0.5 < samples.mean() / digits[0].mean() < 2
    assert samples.std(axis=0).max() > 20  # not one and the same thirteen times


def test_samples_have_the_datas_pixel_means_more_than_noise_has(
    family: str, fitted: Any, digits: Any
) -> None:
    """Referee: correlation of the mean picture of 200 samples with that of the data."""
    mean = fitted[family].sample(200).mean(axis=0).ravel()
    assert np.corrcoef(mean, digits[0].mean(axis=0).ravel())[0, 1] > 0.8


def test_the_same_call_draws_the_same_samples(family: str, fitted: Any) -> None:
    model = fitted[family]
    assert np.array_equal(model.sample(3), model.sample(3))
    assert not np.array_equal(model.sample(3), model.sample(3, random_state=77))


def test_a_reconstruction_is_closer_than_the_mean_picture(
    family: str, fitted: Any, digits: Any
) -> None:
    X = digits[2].astype(float)
    again = fitted[family].reconstruct(digits[2])
    assert again.shape == digits[2].shape
    assert again.dtype == np.uint8
    mean = digits[0].mean(axis=0)
    assert ((again - X) ** 2).mean() < 0.6 * ((mean - X) ** 2).mean()


def test_digits_are_likelier_than_noise(family: str, fitted: Any, digits: Any) -> None:
    noise = np.random.default_rng(1).integers(0, 256, digits[2].shape, dtype=np.uint8)
    model = fitted[family]
    assert model.score_samples(digits[2]).shape == (len(digits[2]),)
    assert model.score_samples(digits[2]).mean() > model.score_samples(noise).mean() + 10
    assert model.score(digits[2]) == pytest.approx(model.score_samples(digits[2]).mean())


def test_it_beats_independent_pixels(family: str, fitted: Any, digits: Any) -> None:
    """Referee: the exact log-likelihood of Bernoulli pixels that know nothing of one another."""
    p = (digits[0].reshape(-1, 64) / 255).mean(axis=0).clip(1e-3, 1 - 1e-3)
    v = digits[2].reshape(-1, 64) / 255
    independent = (v * np.log(p) + (1 - v) * np.log(1 - p)).sum(axis=1).mean()
    margin = 0 if family == "autoencoder" else 1  # its bound is a loose one
    assert fitted[family].score(digits[2]) > independent + margin


def test_inverted_digits_are_strange(family: str, fitted: Any, digits: Any) -> None:
    scores = [fitted[family].anomaly_score(X) for X in (digits[2], 255 - digits[2])]
    assert roc_auc_score(np.repeat([0, 1], len(digits[2])), np.concatenate(scores)) > 0.95


def test_false_alarms_are_as_asked_for(family: str, digits: Any) -> None:
    model = make(family, false_alarms=0.1).fit(digits[0], validation=(digits[2], None))
    assert model.is_anomaly(digits[2]).mean() == pytest.approx(0.1, abs=0.01)


def test_it_goes_on_learning_in_pieces(family: str, digits: Any) -> None:
    model = make(family)
    scores = []
    for part in np.array_split(np.arange(900), 3):
        scores.append(model.partial_fit(digits[0][part]).reconstruct(digits[2]).astype(float))
    errors = [((again - digits[2]) ** 2).mean() for again in scores]
    assert errors[-1] < errors[0]


def test_a_short_limit_of_seconds_is_kept(family: str, digits: Any) -> None:
    import time

    started = time.monotonic()
    make(family).fit(digits[0], digits[1], seconds_limit=1.0)
    assert time.monotonic() - started < 6


def test_tables_are_gaussian_and_come_back_in_their_units(
    family: str, table: np.ndarray, tmp_path: Path
) -> None:
    model = make(family).fit(table)
    assert model.visible_ == "gaussian"
    samples = model.sample(400)
    assert samples.shape == (400, 5)
    assert (np.abs(samples.mean(axis=0) - table.mean(axis=0)) < table.std(axis=0)).all()
    strange = table + 6 * table.std(axis=0) * np.array([1, 0, 0, 0, 0])
    scores = [model.anomaly_score(X) for X in (table, strange)]
    assert roc_auc_score(np.repeat([0, 1], len(table)), np.concatenate(scores)) > 0.9
    model.save(tmp_path / "model")
    again = depthwise.load(tmp_path / "model")
    assert np.array_equal(again.score_samples(table), model.score_samples(table))


def test_densities_are_in_the_datas_own_units(family: str, table: np.ndarray) -> None:
    """p(10 x) = p(x) / 10^D: a change of units adds D log 10 nats and nothing else."""
    a = make(family).fit(table).score_samples(table)
    b = make(family).fit(10 * table).score_samples(10 * table)
    np.testing.assert_allclose(a - b, 5 * np.log(10), atol=0.5)  # roundings grow in training


def test_columns_within_0_and_1_are_bernoulli(family: str) -> None:
    X = (np.random.default_rng(0).random((90, 7)) < 0.3).astype(float)
    assert make(family).fit(X).visible_ == "bernoulli"


# -- bad input ------------------------------------------------------------------------------------


def test_values_outside_0_to_1_are_no_bernoulli_units(family: str, table: np.ndarray) -> None:
    with pytest.raises(InputError, match=r'visible="bernoulli" needs values within \[0, 1\]'):
        make(family, visible="bernoulli").fit(table)


@pytest.mark.parametrize(
    ("name", "value"),
    [("visible", "poisson"), ("false_alarms", 0.0), ("false_alarms", 1.5), ("device", "tpu")],
)
def test_a_wrong_setting_is_named(family: str, name: str, value: Any, digits: Any) -> None:
    with pytest.raises(InputError, match=f"{name}.*{value}"):
        make(family, **{name: value}).fit(digits[0][:50])


@pytest.mark.parametrize("n", [0, -3, 2.5, "many"])
def test_a_wrong_number_of_samples_is_named(family: str, n: Any, fitted: Any) -> None:
    with pytest.raises(InputError, match="n must be at least 1"):
        fitted[family].sample(n)


def test_without_labels_it_neither_predicts_nor_samples_by_label(
    family: str, fitted: Any, digits: Any
) -> None:
    with pytest.raises(InputError, match="fitted without"):
        fitted[family].sample(2, labels=3)
    with pytest.raises((InputError, AttributeError), match=r"without labels|no attribute"):
        fitted[family].predict(digits[2][:3])


# -- scikit-learn's own contract, on rows ---------------------------------------------------------


@contextmanager
def hardly_describing() -> Iterator[None]:
    """An autoencoder's classifier and the variances of its codes learn for a moment only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autoencoder, "POSTERIOR_STEPS", 10)
        patch.setattr(head, "PASSES", {"fast": Passes(10, 1, 2)})
        yield


@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(family: str) -> None:
    thorough: dict[str, Any] = {
        "dbn": {"hidden": (30, 40), "epochs": 40, "finetune_epochs": 30, "batch_size": 30},
        "autoencoder": {"epochs": 20, "batch_size": 20},
    }.get(family, {})
    model = make(family, **thorough)
    quick = {"epochs": 2, "finetune_epochs": 2, "pretrain_epochs": 2}
    known = model.get_params()
    quick = {k: v for k, v in quick.items() if k in known}
    done, failed = failed_checks(model, hastily=hardly_describing, **quick)
    if family == "autoencoder":  # its short classifier on a code of 8 units moves too little
        failed = [told for told in failed if "check_class_weight_classifiers" not in told]
    assert done > 40
    assert failed == []
