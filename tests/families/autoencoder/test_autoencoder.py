"""DeepAutoencoder as an estimator, on scikit-learn's digits and on made tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.svm import SVC

import depthwise.training.loop as training
from depthwise.errors import InputError
from depthwise.families.autoencoder import autoencoder
from depthwise.families.autoencoder.autoencoder import DeepAutoencoder
from depthwise.models.modelfile import read_model

QUICK: dict[str, Any] = {"hidden": (64, 32), "code_size": 8, "epochs": 6, "threads": 1}


def make(**changes: Any) -> DeepAutoencoder:
    return DeepAutoencoder(**{**QUICK, **changes})


@pytest.fixture(autouse=True)
def _quick_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound's variances are test_autoencoder_density.py's affair."""
    monkeypatch.setattr(autoencoder, "POSTERIOR_STEPS", 10)


@pytest.fixture(scope="module")
def fitted(digits: Any) -> DeepAutoencoder:
    return make(epochs=16, lr=6e-3).fit(*digits[:2])


def squared_error(X: np.ndarray, back: np.ndarray) -> float:
    """Per image, pixels in [0, 1]."""
    return float((((X.astype(float) - back.astype(float)) / 255) ** 2).sum(axis=(1, 2, 3)).mean())


def test_it_loses_less_than_as_many_principal_components(
    fitted: DeepAutoencoder, digits: Any
) -> None:
    X, X_test = (digits[i].reshape(len(digits[i]), -1) for i in (0, 2))
    pca = PCA(8).fit(X)
    by_pca = pca.inverse_transform(pca.transform(X_test)).reshape(digits[2].shape)
    reconstructed = fitted.reconstruct(digits[2])
    assert reconstructed.dtype == np.uint8
    assert squared_error(digits[2], reconstructed) < 0.8 * squared_error(digits[2], by_pca)
    expected = squared_error(digits[2], reconstructed)  # whose pixels are rounded
    assert fitted.anomaly_score(digits[2]).mean() == pytest.approx(expected, rel=1e-3)


def test_codes_of_digits_tell_them_apart(fitted: DeepAutoencoder, digits: Any) -> None:
    assert fitted.score(*digits[2:]) > 0.93
    assert fitted.network_(torch.from_numpy(digits[2][:3])).shape == (3, 10)


def test_labels_leave_the_autoencoder_as_it_is(digits: Any) -> None:
    X, y = digits[0][:90], digits[1][:90]
    without, with_labels = make(epochs=1).fit(X), make(epochs=1).fit(X, y)
    assert np.array_equal(without.transform(X), with_labels.transform(X))
    assert np.array_equal(without.anomaly_score(X), with_labels.anomaly_score(X))
    assert without.network_(torch.from_numpy(X[:3])).shape == (3, 64)
    assert without.score(X) == pytest.approx(without.score_samples(X).mean())


def test_a_reconstruction_is_the_decoded_code(fitted: DeepAutoencoder, digits: Any) -> None:
    X = digits[2][:9]
    assert np.array_equal(fitted.inverse_transform(fitted.transform(X)), fitted.reconstruct(X))
    assert [fitted.transform(X, layer=i).shape[1] for i in (1, 2, 3)] == [64, 32, 8]
    with pytest.raises(InputError, match=r"codes must be \(N, 8\)"):
        fitted.inverse_transform(np.zeros((2, 7)))


def test_a_batch_is_scored_as_its_items_are(fitted: DeepAutoencoder, digits: Any) -> None:
    X = (digits[2][:6] > 127).astype(np.uint8) * 255  # black and white: nothing is drawn
    for method in (fitted.score_samples, fitted.anomaly_score, fitted.transform):
        singles = np.concatenate([method(X[i : i + 1]) for i in range(6)])
        np.testing.assert_allclose(method(X), singles, rtol=1e-4, atol=1e-4)


def test_samples_of_a_class_look_like_it_to_another_classifier(
    fitted: DeepAutoencoder, digits: Any
) -> None:
    judge = SVC().fit(digits[0].reshape(-1, 64), digits[1])
    labels = np.arange(10).repeat(20)
    samples = fitted.sample(200, labels=labels)
    assert samples.shape == (200, 1, 8, 8) and samples.dtype == np.uint8
    assert (judge.predict(samples.reshape(-1, 64)) == labels).mean() > 0.7
    assert not np.array_equal(samples[:20], samples[20:40])


def test_what_was_saved_comes_back_whole(
    fitted: DeepAutoencoder, digits: Any, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "model")
    again = read_model(tmp_path / "model", {"autoencoder": DeepAutoencoder})
    X = digits[2][:20]
    assert again.threshold_ == fitted.threshold_
    for name in ("predict_proba", "transform", "reconstruct", "score_samples", "is_anomaly"):
        assert np.array_equal(getattr(again, name)(X), getattr(fitted, name)(X)), name
    assert np.array_equal(again.sample(5, labels=3), fitted.sample(5, labels=3))


@pytest.mark.parametrize(
    "changes",
    [
        {"convolutional": True},
        {"convolutional": True, "normalise": True},
        {"normalise": True, "activation": "relu"},
        {"noise": "masking", "noise_level": 0.3},
        {"noise": "gaussian", "noise_level": 0.1},
        {"activation": "logistic", "sparsity": 0.2, "lr": 0.01},
        {"contractive": 0.01},
        {"code_size": 2, "contractive": 0.01},
        {"loss": "squared"},
        {"visible": "gaussian"},
        {"precision": "bfloat16"},
        {"optimizer": "sgd", "lr": 0.02},
    ],
    ids=str,
)
def test_each_way_of_training_improves_on_the_mean_image(
    changes: dict[str, Any], digits: Any
) -> None:
    X = digits[0][:300]
    model = make(**{"epochs": 10, **changes}).fit(X)
    mean = X.mean(axis=0, keepdims=True).repeat(len(X), axis=0)
    assert squared_error(X, model.reconstruct(X)) < 0.85 * squared_error(X, mean)


def test_pretraining_alone_nears_the_digits_and_fine_tuning_goes_on_from_there(digits: Any) -> None:
    """Hinton and Salakhutdinov 2006, where the mean image is what deep logistic layers find."""
    settings = {"hidden": (64, 48), "pretrain": "rbm", "pretrain_epochs": 25, "lr": 4e-3}
    X, X_test = digits[0][:600], digits[2]
    mean = X.mean(axis=0, keepdims=True).repeat(len(X_test), axis=0)
    # a hundredth of an epoch is a single step
    errors = [
        squared_error(X_test, make(epochs=epochs, **settings).fit(X).reconstruct(X_test))
        for epochs in (0.01, 10)
    ]
    assert errors[0] < 0.85 * squared_error(X_test, mean)
    assert errors[1] < 0.85 * errors[0]


def test_machines_are_learnt_one_after_the_other(digits: Any) -> None:
    model = make(pretrain="rbm", pretrain_epochs=1, epochs=1).fit(digits[0][:60])
    stages = [record["stage"] for record in model.history_["epochs"]]
    assert stages == ["rbm-1", "rbm-2", "rbm-3", "autoencoder"]


@pytest.mark.parametrize("stage", ["rbm-1", "rbm-3", "autoencoder", "head"])
def test_a_fit_killed_in_any_stage_resumes_bit_for_bit(
    stage: str, digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = digits[0][:70], digits[1][:70]
    settings = {"pretrain": "rbm", "pretrain_epochs": 2, "epochs": 3}
    whole = make(**settings).fit(X, y)
    before = training.train.__kwdefaults__["checkpoint_seconds"]
    monkeypatch.setitem(training.train.__kwdefaults__, "checkpoint_seconds", 0.0)
    # epochs before the stage, and half of its own
    reached = {"rbm-1": 1, "rbm-3": 5, "autoencoder": 7, "head": 12}[stage]

    class Killed(Exception):
        pass

    def kill(event: Any) -> None:
        if event.epoch >= reached:
            raise Killed

    with pytest.raises(Killed):
        make(**settings).fit(X, y, checkpoint=tmp_path / "run", watch=kill)
    assert any(stage in path.name for path in tmp_path.iterdir())
    monkeypatch.setitem(training.train.__kwdefaults__, "checkpoint_seconds", before)
    resumed = make(**settings).fit(X, y, checkpoint=tmp_path / "run")
    for a, b in zip(whole.network_.state_dict().values(), resumed.network_.state_dict().values()):
        assert torch.equal(a, b)
    assert whole.threshold_ == resumed.threshold_


@pytest.mark.parametrize("pretrain", [None, "rbm"])
def test_partial_fit_goes_on_learning(pretrain: str | None, digits: Any) -> None:
    X, y = digits[:2]
    model, errors = make(pretrain=pretrain, batch_size=20, pretrain_epochs=15), []
    for _ in range(5):
        model.partial_fit(X, y, classes=np.arange(10))
        errors.append(squared_error(digits[2], model.reconstruct(digits[2])))
    assert errors[-1] < 0.95 * errors[0]
    assert model.score(*digits[2:]) > 0.5


def test_the_threshold_gives_the_false_alarms_asked_for() -> None:
    rng = np.random.default_rng(3)
    mixing = rng.standard_normal((3, 9))

    def rows(n: int) -> np.ndarray:
        X = np.tanh(rng.standard_normal((n, 3))) @ mixing + 0.2 * rng.standard_normal((n, 9))
        return X.astype(np.float32)

    model = make(code_size=3, false_alarms=0.05).fit(rows(1000), validation=(rows(2000), None))
    rate = model.is_anomaly(rows(4000)).mean()
    # four standard deviations of a share, of the 2,000 that set it and of the 4,000
    assert rate == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 * (1 / 2000 + 1 / 4000)))
    assert model.is_anomaly(3 * rng.standard_normal((300, 9)).astype(np.float32)).mean() > 0.9


def test_without_a_validation_part_items_are_held_out_for_the_threshold(digits: Any) -> None:
    asked = {
        "epochs": 30,
        "false_alarms": 0.1,
        "lr": 5e-3,
    }  # long enough to learn the items by heart
    held, none = (make(validation_fraction=f, **asked).fit(digits[0][:300]) for f in (0.3, 0.0))
    alarms = [model.is_anomaly(digits[2]).mean() for model in (held, none)]
    assert alarms[0] == pytest.approx(0.1, abs=0.09)  # 90 items set it: a deviation of 0.03
    assert alarms[1] > alarms[0] + 0.1


def test_tables_have_a_density_in_their_own_units() -> None:
    """Doubling the unit of each of D columns takes D log 2 from a log-density."""
    X = np.random.default_rng(0).standard_normal((300, 4)) @ np.diag([1.0, 2.0, 3.0, 4.0])
    a, b = (make(code_size=2, epochs=3).fit(rows) for rows in (X, 2 * X))
    difference = a.score_samples(X[:50]) - b.score_samples(2 * X[:50])
    np.testing.assert_allclose(difference, 4 * np.log(2), atol=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "xxl"},
        {"hidden": (0,)},
        {"code_size": 0},
        {"activation": "step"},
        {"code_activation": "gelu"},
        {"pretrain": "dbn"},
        {"loss": "hinge"},
        {"noise": "salt"},
        {"noise_level": -1},
        {"sparsity": 2.0},
        {"sparsity": 0.1},
        {"contractive": -1},
        {"epochs": 0},
        {"batch_size": 0},
        {"validation_fraction": 1.0},
        {"visible": "gaussian", "loss": "cross_entropy"},
        {"pretrain": "rbm", "convolutional": True},
        {"pretrain": "rbm", "activation": "gelu"},
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], digits: Any) -> None:
    with pytest.raises(InputError, match=next(reversed(changes))):
        make(**changes).fit(digits[0][:50])


def test_convolutions_need_images() -> None:
    with pytest.raises(InputError, match="convolutional"):
        make(convolutional=True).fit(np.random.default_rng(0).random((30, 12)))
