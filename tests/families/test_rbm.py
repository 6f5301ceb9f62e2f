"""The RBM estimator: likelihoods, samples and missing pixels against enumeration; its manners."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from depthwise.errors import InputError
from depthwise.families.rbm import RBM
from depthwise.training.loop import Event

Digits = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def bars_and_stripes(side: int = 4) -> np.ndarray:
    """Every bar and every stripe pattern once (2 * 2^side, side^2): all-on and all-off twice."""
    lines = np.array(list(itertools.product([0, 1], repeat=side)), np.float32)
    bars = np.repeat(lines[:, :, None], side, 2).reshape(-1, side**2)
    stripes = np.repeat(lines[:, None, :], side, 1).reshape(-1, side**2)
    return np.concatenate([bars, stripes])


def all_items(d: int) -> np.ndarray:
    return np.array(list(itertools.product([0, 1], repeat=d)), np.float32)


@pytest.fixture(scope="module")
def small() -> RBM:
    """A machine small enough to list, of three patterns with a little noise."""
    draw = np.random.default_rng(0)
    patterns = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]], np.float32)
    X = np.abs(patterns[draw.integers(3, size=300)] - (draw.random((300, 6)) < 0.05))
    return RBM(n_hidden=5, epochs=30, batch_size=20, threads=1).fit(X.astype(np.float32))


# -- likelihoods --------------------------------------------------------------------------------


def test_bars_and_stripes_are_learnt_to_within_a_tenth_of_a_nat_of_their_entropy() -> None:
    X = bars_and_stripes()
    model = RBM(
        n_hidden=16,
        temperatures=8,
        epochs=2000,
        batch_size=32,
        lr=0.5,
        threads=1,
    ).fit(X)
    entropy = -(28 / 32 * math.log(1 / 32) + 4 / 32 * math.log(2 / 32))
    assert entropy == pytest.approx(3.379, abs=1e-3)
    model.log_partition("exact")
    assert -3.50 <= model.score(X) <= -entropy


def test_likelihoods_of_all_items_sum_to_one(small: RBM) -> None:
    small.log_partition("exact")
    assert np.exp(small.score_samples(all_items(6))).sum() == pytest.approx(1, abs=1e-5)


def test_gaussian_likelihoods_integrate_to_one_in_the_datas_own_units() -> None:
    X = np.random.default_rng(0).normal([40.0, -3.0], [7.0, 0.2], size=(300, 2))
    model = RBM(n_hidden=3, epochs=20, threads=1).fit(X)
    assert model.visible_ == "gaussian"
    a, b = np.linspace(-40, 120, 501), np.linspace(-5.5, -0.5, 501)
    grid = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2)
    total = np.exp(model.score_samples(grid)).sum() * (a[1] - a[0]) * (b[1] - b[0])
    assert total == pytest.approx(1, abs=2e-3)


def test_log_partition_by_chains_agrees_with_the_exact_one(small: RBM) -> None:
    exact, none = small.log_partition("exact")
    estimate, error = small.log_partition("ais", chains=200, steps=1000)
    assert none == 0
    assert abs(estimate - exact) < min(0.1, 4 * error)
    assert small.network_.log_z.tolist() == pytest.approx([estimate, error])


def test_learning_on_raises_the_likelihood_and_forgets_the_old_log_z() -> None:
    X = all_items(4)[[3, 3, 12]].repeat(20, 0)
    model = RBM(n_hidden=4, epochs=1, batch_size=20, lr=2.0, threads=1).fit(X)
    before = model.score(X)
    for _ in range(60):
        model.partial_fit(X)
    np.testing.assert_allclose(np.exp(model.score_samples(all_items(4))).sum(), 1, atol=1e-5)
    entropy = -(1 / 3 * math.log(1 / 3) + 2 / 3 * math.log(2 / 3))
    assert before + 0.5 < model.score(X) <= -entropy


def test_centred_learning_does_not_care_which_state_is_called_one() -> None:
    """Rarely-off bits are hard for the plain gradient; centred, data and its negative are alike."""
    X = bars_and_stripes(3)
    X = np.concatenate([X, np.zeros((10, 9), np.float32)])  # mostly off

    def scores(centred: bool) -> list[float]:
        settings = {"n_hidden": 6, "k": 5, "epochs": 250, "batch_size": 26, "lr": 0.2}
        model = RBM(**settings, centred=centred, chains=200, threads=1)
        return [model.fit(side).score(side) for side in (X, 1 - X)]

    centred, plain = scores(True), scores(False)
    assert abs(centred[0] - centred[1]) < 0.1
    assert abs(plain[0] - plain[1]) > 2 * abs(centred[0] - centred[1])
    assert min(centred) > max(plain)


# -- samples and missing pixels -----------------------------------------------------------------


def test_samples_come_as_often_as_they_should(small: RBM) -> None:
    small.log_partition("exact")
    exact = np.exp(small.score_samples(all_items(6)))
    means = small.sample(20_000, random_state=1)  # means given hidden draws
    assert means.shape == (20_000, 6)
    assert means.dtype == np.float32
    by_unit = (exact[:, None] * all_items(6)).sum(0)
    np.testing.assert_allclose(means.mean(0), by_unit, atol=0.02)
    pairs = means.T @ means / len(means)  # <v_i v_j>, i != j: means given h are independent
    exact_pairs = (all_items(6) * exact[:, None]).T @ all_items(6)
    off = ~np.eye(6, dtype=bool)
    np.testing.assert_allclose(pairs[off], exact_pairs[off], atol=0.02)


def test_missing_pixels_are_at_their_conditional_mean(small: RBM) -> None:
    items, known = all_items(6), np.array([True, True, False, True, False, False])
    small.log_partition("exact")
    weights = np.exp(small.score_samples(items))
    X = items[[0, 27, 42, 56]]
    filled = small.inpaint(X, known, sweeps=4000)
    np.testing.assert_array_equal(filled[:, known], X[:, known])
    for row, answer in zip(X, filled):
        alike = weights * (items[:, known] == row[known]).all(1)
        mean = (alike[:, None] * items).sum(0) / alike.sum()
        np.testing.assert_allclose(answer[~known], mean[~known], atol=0.05)


def test_what_is_known_is_kept_in_raw_units(digits: Digits) -> None:
    X = digits[0][:300]
    model = RBM(size="s", epochs=3, threads=1).fit(X)
    known = np.zeros((1, 8, 8), bool)
    known[:, :4] = True
    filled = model.inpaint(X[:5], known)
    assert filled.dtype == np.uint8
    assert filled.shape == (5, 1, 8, 8)
    np.testing.assert_array_equal(filled[..., :4, :], X[:5][..., :4, :])


def test_missing_pixels_are_filled_better_than_by_the_mean_picture(digits: Digits) -> None:
    X, _, X_test, _ = digits
    model = RBM(n_hidden=64, epochs=150, lr=0.4, threads=1).fit(X)
    known = np.ones((1, 8, 8), bool)
    known[:, 3:5] = False
    gap = X_test[:200].astype(float)[:, 0, 3:5]
    filled = model.inpaint(X_test[:200], known).astype(float)[:, 0, 3:5]
    mean_picture = X.astype(float)[:, 0, 3:5].mean(0)
    assert ((filled - gap) ** 2).mean() < 0.7 * ((mean_picture - gap) ** 2).mean()


# -- labels -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labelled(digits: Digits) -> RBM:
    return RBM(n_hidden=100, label_units=True, epochs=150, lr=0.4, threads=1).fit(
        digits[0], digits[1]
    )


def test_labels_among_the_visibles_tell_digits_apart(labelled: RBM, digits: Digits) -> None:
    assert labelled.score(digits[2], digits[3]) > 0.8
    p = labelled.predict_proba(digits[2][:7])
    v = labelled.network_.visible(torch.from_numpy(digits[2][:7]))
    energies = torch.stack(
        [labelled.network_.free_energy(v, torch.full((7,), k)) for k in range(10)], dim=1
    )
    np.testing.assert_allclose(p, (-energies).softmax(1).detach().numpy(), rtol=1e-4, atol=1e-6)


def test_samples_of_a_label_look_like_it(labelled: RBM) -> None:
    wanted = np.arange(10).repeat(10)
    drawn = labelled.sample(100, labels=wanted)
    assert (labelled.predict(drawn) == wanted).mean() > 0.8
    with pytest.raises(InputError, match="11"):
        labelled.sample(2, labels=11)


def test_y_is_ignored_without_label_units(digits: Digits) -> None:
    X, y = digits[0][:100], digits[1][:100]
    with_y = RBM(size="s", epochs=2, threads=1).fit(X, y)
    without = RBM(size="s", epochs=2, threads=1).fit(X)
    assert torch.equal(with_y.network_.weight, without.network_.weight)
    assert not hasattr(with_y, "predict")


def test_hidden_units_serve_a_linear_classifier_in_a_pipeline(digits: Digits) -> None:
    X, X_test = (part.reshape(len(part), -1) / 255 for part in (digits[0], digits[2]))
    pipeline = make_pipeline(
        RBM(n_hidden=100, epochs=150, lr=0.4, threads=1), LogisticRegression(max_iter=500)
    )
    assert pipeline.fit(X, digits[1]).score(X_test, digits[3]) > 0.9


# -- manners ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"persistent": False, "k": 2, "momentum": 0.5},
        {"temperatures": 3},
        {"hidden": "relu", "persistent": False, "centred": False},
        {"visible": "gaussian", "sparsity": 0.1, "weight_decay": 1e-3},
        {"label_units": True},
    ],
)
def test_a_killed_run_goes_on_to_the_same_bits(
    settings: dict[str, object], digits: Digits, tmp_path: Path
) -> None:
    X, y = digits[0][:120], digits[1][:120]
    settings = {"n_hidden": 9, "epochs": 4, "batch_size": 20, "chains": 10, **settings}
    whole = RBM(**settings, threads=1).fit(X, y)

    def torn(event: Event) -> None:
        if event.epoch >= 3:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        RBM(**settings, threads=1).fit(X, y, checkpoint=tmp_path / "run.st", watch=torn)
    again = RBM(**settings, threads=1).fit(X, y, checkpoint=tmp_path / "run.st")
    for name, weight in whole.network_.state_dict().items():
        torch.testing.assert_close(
            again.network_.state_dict()[name], weight, rtol=0, atol=0, equal_nan=True, msg=name
        )


def test_sparsity_steers_hidden_units_to_the_target(digits: Digits) -> None:
    dense = RBM(n_hidden=40, epochs=40, threads=1).fit(digits[0])
    sparse = RBM(n_hidden=40, epochs=40, sparsity=0.05, threads=1).fit(digits[0])
    off_target = [abs(m.transform(digits[0]).mean() - 0.05) for m in (dense, sparse)]
    assert off_target[1] < 0.5 * off_target[0]


def test_weight_decay_shrinks_weights(digits: Digits) -> None:
    norms = [
        float(
            RBM(n_hidden=20, epochs=10, weight_decay=w, threads=1)
            .fit(digits[0])
            .network_.weight.detach()
            .norm()
        )
        for w in (0.0, 0.1)
    ]
    assert norms[1] < 0.9 * norms[0]


def test_gaussian_units_learn_their_variances() -> None:
    """One column is told by the other, so that its variance given h is far below its own."""
    draw = np.random.default_rng(1)
    side = draw.choice([-1.0, 1.0], size=2000)
    X = np.stack([side + 0.2 * draw.normal(size=2000), draw.normal(size=2000)], axis=1)
    model = RBM(n_hidden=3, visible="gaussian", epochs=60, threads=1).fit(X)
    told, alone = model.network_.log_variance.exp().tolist()
    assert told == pytest.approx(0.04 / 1.04, rel=0.5)
    assert alone == pytest.approx(1, rel=0.1)
    both = np.log(np.exp(-((X[:, :1] - [-1, 1]) ** 2) / 0.08).sum(1) / 2 / 0.2) - X[:, 1] ** 2 / 2
    true = float(both.mean()) - math.log(2 * math.pi)
    independent = -0.5 * (math.log(2 * math.pi * 1.04) + math.log(2 * math.pi)) - 1
    assert model.score(X) == pytest.approx(true, abs=0.2 * (true - independent))


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"n_hidden": 0}, "n_hidden"),
        ({"size": "huge"}, "size"),
        ({"k": 0}, "k"),
        ({"lr": -1.0}, "lr"),
        ({"epochs": "many"}, "epochs"),
        ({"momentum": 1.0}, "momentum"),
        ({"sparsity": 2.0}, "sparsity"),
        ({"hidden": "relu", "temperatures": 3}, "temperatures"),
        ({"visible": "poisson"}, "visible"),
        ({"hidden": "tanh"}, "hidden"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], word: str, digits: Digits) -> None:
    with pytest.raises(InputError, match=word):
        RBM(**settings).fit(digits[0][:50])  # type: ignore[arg-type]


def test_values_out_of_range_are_refused_with_a_remedy() -> None:
    X = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(InputError, match="gaussian"):
        RBM(visible="bernoulli").fit(X)


def test_wrong_masks_are_refused(small: RBM) -> None:
    with pytest.raises(InputError, match="bool"):
        small.inpaint(all_items(6)[:2], np.ones(6))
    with pytest.raises(InputError, match="shape"):
        small.inpaint(all_items(6)[:2], np.ones(5, bool))


@pytest.mark.parametrize("persistent", [False, True])
def test_rectified_units_learn_to_reconstruct(persistent: bool, digits: Digits) -> None:
    X = digits[0]
    settings = {"hidden": "relu", "persistent": persistent, "lr": 0.2}
    model = RBM(n_hidden=40, epochs=40, threads=1, **settings).fit(X)
    error = ((model.reconstruct(X).astype(float) - X) ** 2).mean()
    assert error < 0.4 * X.astype(float).var(axis=0).mean()


def test_other_chains_in_partial_fit_start_afresh() -> None:
    X = all_items(4)[[3, 3, 12]].repeat(20, 0)
    model = RBM(n_hidden=4, epochs=1, threads=1).fit(X)
    model.set_params(chains=7).partial_fit(X)
    assert np.isfinite(model.score(X))


def test_rectified_machines_have_no_likelihood() -> None:
    model = RBM(n_hidden=3, hidden="relu", epochs=1).fit(all_items(4))
    assert np.isfinite(model.anomaly_score(all_items(4))).all()
    with pytest.raises(InputError, match="bernoulli"):
        model.score_samples(all_items(4))
