"""The deep Boltzmann machine as users meet it: digits, tables, missing pixels, kills, files."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from depthwise.errors import InputError
from depthwise.families.dbm.dbm import DBM
from depthwise.models.modelfile import read_model

QUICK: dict[str, Any] = {
    "hidden": (48, 40),
    "epochs": 8,
    "pretrain_epochs": 8,
    "finetune_epochs": 20,
    "batch_size": 20,
    "lr": 0.1,
    "pretrain_lr": 0.1,
    "finetune_lr": 1e-2,
    "dropout": 0.0,
    "input_dropout": 0.0,
    "sample_sweeps": 100,
    "threads": 1,
}


def bits(n: int) -> np.ndarray:
    """Every state of n binary columns, float32 (2^n, n)."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)), dtype=np.float32)


@pytest.fixture(scope="module")
def fitted(digits: Any) -> DBM:
    return DBM(**QUICK).fit(digits[0], digits[1])


# -- what it learns -------------------------------------------------------------------------------


def test_digits_are_told_apart(fitted: DBM, digits: Any) -> None:
    assert fitted.score(digits[2], digits[3]) > 0.85
    assert fitted.predict_proba(digits[2][:5]).sum(axis=1) == pytest.approx(np.ones(5))


def test_the_likelihood_beats_independent_pixels(fitted: DBM, digits: Any) -> None:
    """Both on the test images as drawn by score_samples; the pixels' own entropy is the referee."""
    rates = np.clip(digits[0].mean(axis=0) / 255, 1e-3, 1 - 1e-3)
    grey = digits[2] / 255
    independent = (grey * np.log(rates) + (1 - grey) * np.log(1 - rates)).sum(axis=(1, 2, 3))
    fitted.log_partition(chains=50, steps=500)
    assert fitted.score_samples(digits[2]).mean() > independent.mean() + 1.5


def test_samples_have_the_data_s_means(fitted: DBM, digits: Any) -> None:
    samples = fitted.sample(300)
    assert samples.shape == (300, 1, 8, 8)
    assert samples.dtype == np.uint8
    means = samples.mean(axis=0).ravel(), digits[0].mean(axis=0).ravel()
    assert np.corrcoef(*means)[0, 1] > 0.95


def test_noise_is_stranger_than_digits(fitted: DBM, digits: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 1, 8, 8), dtype=np.uint8)
    assert fitted.is_anomaly(noise).mean() > 0.9
    assert fitted.is_anomaly(digits[2]).mean() < 0.1


def test_reconstructions_are_nearer_than_the_mean_image(fitted: DBM, digits: Any) -> None:
    X = digits[2].astype(float)
    mean = digits[0].mean(axis=0)
    error = ((fitted.reconstruct(digits[2]) - X) ** 2).mean()
    assert error < 0.6 * ((X - mean) ** 2).mean()


def test_layers_are_shown_one_by_one(fitted: DBM, digits: Any) -> None:
    assert fitted.transform(digits[2][:7], layer=1).shape == (7, 48)
    assert fitted.transform(digits[2][:7]).shape == (7, 40)


# -- tables ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_table() -> np.ndarray:
    """Six binary columns, the last three copies of the first three with an error in ten."""
    source = np.random.default_rng(0)
    left = source.integers(0, 2, (400, 3))
    right = np.where(source.random((400, 3)) < 0.1, 1 - left, left)
    return np.concatenate([left, right], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def small(small_table: np.ndarray) -> DBM:
    settings = {**QUICK, "hidden": (8, 4), "epochs": 60, "lr": 0.3, "batch_size": 40}
    return DBM(**settings).fit(small_table)


def test_bounds_of_all_states_sum_to_hardly_less_than_one(small: DBM) -> None:
    small.log_partition("exact")
    total = np.exp(small.score_samples(bits(6))).sum()
    assert 0.7 < total <= 1 + 1e-5


def test_ais_and_enumeration_give_the_same_scores(small: DBM) -> None:
    exact, none = small.log_partition("exact")
    assert none == 0
    estimate, stderr = small.log_partition("ais", chains=200, steps=500)
    assert abs(estimate - exact) < max(0.02, 4 * stderr)
    assert small.network_.log_z.tolist() == pytest.approx([estimate, stderr])


def test_dependent_columns_are_learnt(small: DBM, small_table: np.ndarray) -> None:
    """Independent columns give -6 log 2 nats; the truth is -3 log 2 less three entropies of 0.1."""
    small.log_partition("exact")
    truth = -3 * np.log(2) + 3 * (0.1 * np.log(0.1) + 0.9 * np.log(0.9))
    found = small.score_samples(small_table).mean()
    assert -6 * np.log(2) + 0.2 < found < truth + 0.15


def test_a_missing_column_is_read_off_its_copy(small: DBM) -> None:
    X = np.zeros((2, 6), np.float32)
    X[1, 3:] = 1
    known = np.array([False, False, False, True, True, True])
    for sweeps in (0, 300):
        filled = small.inpaint(X, known, sweeps=sweeps)
        assert (filled[0, :3] < 0.5).all()
        assert (filled[1, :3] > 0.5).all()


def test_densities_of_gaussian_columns_integrate_to_hardly_less_than_one() -> None:
    source = np.random.default_rng(0)
    X = np.concatenate([source.normal(20, 3, (150, 1)), source.normal(35, 4, (150, 1))])
    model = DBM(**{**QUICK, "hidden": (4, 3), "lr": 0.5}).fit(X)
    assert model.visible_ == "gaussian"
    model.log_partition("exact")
    grid = np.linspace(-40, 100, 2801)[:, None]
    total = np.trapezoid(np.exp(model.score_samples(grid)), grid[:, 0])
    assert 0.8 < total <= 1 + 1e-4


# -- missing pixels -------------------------------------------------------------------------------


@pytest.mark.parametrize("sweeps", [0, 40])
def test_inpainting_never_changes_known_pixels(fitted: DBM, digits: Any, sweeps: int) -> None:
    X = digits[2][:20]
    known = np.random.default_rng(0).random(X.shape) < 0.5
    filled = fitted.inpaint(X, known, sweeps=sweeps)
    assert filled.dtype == np.uint8
    assert (filled[known] == X[known]).all()
    hidden = X.copy()
    hidden[~known] = 200  # what is not known is not looked at
    assert (fitted.inpaint(hidden, known, sweeps=sweeps) == filled).all()


def test_the_rows_left_out_are_guessed_better_than_by_the_mean_image(
    fitted: DBM, digits: Any
) -> None:
    X = digits[2][:200]
    known = np.ones((1, 8, 8), bool)
    known[:, 3:5] = False
    filled = fitted.inpaint(X, known, sweeps=60)
    mean = np.broadcast_to(digits[0].mean(axis=0), X.shape)
    gap = np.broadcast_to(~known, X.shape)
    error, worst = ((guess[gap] - X[gap].astype(float)) ** 2 for guess in (filled, mean))
    assert error.mean() < 0.8 * worst.mean()


@pytest.mark.parametrize("known", [np.ones((1, 8, 7), bool), np.ones((1, 8, 8), int)])
def test_a_wrong_mask_is_refused_with_its_shape(fitted: DBM, digits: Any, known: Any) -> None:
    with pytest.raises(InputError, match=r"known must be bool.*got"):
        fitted.inpaint(digits[2][:3], known)


# -- going on, and files --------------------------------------------------------------------------


class _Killed(Exception):
    pass


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_run_killed_in_any_stage_goes_on_bit_for_bit(
    stage: int, digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from depthwise.training import loop as training

    settings = {**QUICK, "hidden": (9, 7), "epochs": 2, "pretrain_epochs": 2, "finetune_epochs": 2}
    X, y = digits[0][:120], digits[1][:120]
    whole = DBM(**settings).fit(X, y)
    saved = []

    def save_and_die(loop: Any) -> None:
        loop._save()
        saved.append(loop.step)
        if len(saved) == 12 * stage + 5:  # a stage is two passes in six steps
            raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(training._Loop, "_save_now_and_then", save_and_die)
        with pytest.raises(_Killed):
            DBM(**settings).fit(X, y, checkpoint=tmp_path / "run.safetensors")
    resumed = DBM(**settings).fit(X, y, checkpoint=tmp_path / "run.safetensors")
    for name, tensor in whole.network_.state_dict().items():
        assert torch.equal(tensor.nan_to_num(), resumed.network_.state_dict()[name].nan_to_num())


def test_a_saved_machine_is_the_same_one(fitted: DBM, digits: Any, tmp_path: Path) -> None:
    again = read_model(fitted.save(tmp_path / "model"), {"dbm": DBM})
    assert (again.predict(digits[2]) == fitted.predict(digits[2])).all()
    assert (again.sample(3) == fitted.sample(3)).all()
    np.testing.assert_allclose(again.score_samples(digits[2]), fitted.score_samples(digits[2]))


def test_labels_learnt_afterwards_leave_the_machine_as_it_was(digits: Any) -> None:
    settings = {**QUICK, "hidden": (20, 15), "epochs": 2, "pretrain_epochs": 4}
    model = DBM(**settings).fit(digits[0])
    strange, samples = model.anomaly_score(digits[2]), model.sample(2)
    assert not hasattr(model, "classes_")
    model.fine_tune(digits[0][:600], digits[1][:600])
    assert model.score(digits[2], digits[3]) > 0.7
    np.testing.assert_allclose(model.anomaly_score(digits[2]), strange)
    assert (model.sample(2) == samples).all()


def test_learning_goes_on_by_pieces(digits: Any) -> None:
    model = DBM(**QUICK)
    for _ in range(12):
        model.partial_fit(digits[0][:400], digits[1][:400], classes=np.arange(10))
    assert model.score(digits[2], digits[3]) > 0.5


def test_learning_more_forgets_the_old_log_z(digits: Any) -> None:
    model = DBM(**{**QUICK, "hidden": (6, 5), "epochs": 1}).fit(digits[0][:100])
    model.log_partition(chains=40, steps=60)
    assert not model.network_.log_z.isnan().any()
    model.partial_fit(digits[0][:100])
    assert model.network_.log_z.isnan().all()


def test_three_layers_learn_too(digits: Any) -> None:
    model = DBM(**{**QUICK, "hidden": (30, 20, 10)}).fit(digits[0][:500], digits[1][:500])
    assert model.score(digits[2], digits[3]) > 0.6
    assert model.transform(digits[2][:4], layer=3).shape == (4, 10)


# -- bad input ------------------------------------------------------------------------------------


def test_samples_of_a_class_are_refused_with_the_remedy(fitted: DBM) -> None:
    with pytest.raises(InputError, match="DBN"):
        fitted.sample(3, labels=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", (30,)),
        ("size", "xxl"),
        ("epochs", 0),
        ("lr", -0.1),
        ("pretrain_lr", 0),
        ("chains", 0),
        ("sweeps", 1.5),
        ("mean_field_steps", 0),
        ("dropout", 1.0),
        ("sparsity", 2.0),
        ("visible", "poisson"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any, digits: Any) -> None:
    with pytest.raises(InputError) as caught:
        DBM(**{**QUICK, "hidden": None, name: value}).fit(digits[0][:40], digits[1][:40])
    assert name in str(caught.value)
    assert str(value) in str(caught.value)


def test_a_wrong_method_is_named(fitted: DBM) -> None:
    with pytest.raises(InputError, match="guess"):
        fitted.log_partition("guess")
