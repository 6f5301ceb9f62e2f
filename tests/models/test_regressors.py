"""One contract for every family of numbers, on tables and pictures, with scikit-learn's as the
referee where it has the same model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import depthwise
from depthwise.catalog import FAMILIES as ALL_FAMILIES
from depthwise.errors import InputError, ModelFileError
from depthwise.families.shallow.ridge import choose_ridge, solve_ridge

FAMILIES = {name: make for name, make in ALL_FAMILIES.items() if "regression" in make.tasks}
SETTINGS: dict[str, dict[str, Any]] = {
    "mean": {},
    "linear": {},
    "boosting_regressor": {"max_iter": 20},
    "dnn_regressor": {"size": "xs", "epochs": 12},
    "cnn_regressor": {"size": "xxs", "epochs": 8},
    "dsn_regressor": {"n_hidden": 60, "n_modules": 1, "epochs": 1},
}
OF_TABLES = [name for name in FAMILIES if name != "cnn_regressor"]
ONCE = ("mean",)  # has nothing to learn in pieces


def make(family: str, **changes: Any) -> Any:
    return FAMILIES[family](**{**SETTINGS[family], **changes})


@pytest.fixture(scope="module")
def diabetes() -> Any:
    X, y = load_diabetes(return_X_y=True, scaled=False)
    return train_test_split(X.astype(np.float32), y, random_state=0)


@pytest.fixture(scope="module")
def several(diabetes: Any) -> Any:
    """Two targets of very different sizes."""
    X, X_test, y, y_test = diabetes
    return X, X_test, np.stack([y, -1e-3 * y], axis=1), np.stack([y_test, -1e-3 * y_test], axis=1)


@pytest.fixture(scope="module")
def fitted(diabetes: Any) -> dict[str, Any]:
    return {name: make(name).fit(diabetes[0], diabetes[2]) for name in OF_TABLES}


@pytest.fixture(params=OF_TABLES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_family_has_settings_here() -> None:
    assert set(SETTINGS) == set(FAMILIES)


def test_it_learns_more_than_the_mean(family: str, fitted: Any, diabetes: Any) -> None:
    _, X_test, _, y_test = diabetes
    share = fitted[family].score(X_test, y_test)
    assert share == pytest.approx(r2_score(y_test, fitted[family].predict(X_test)))
    assert share > 0.2 if family != "mean" else -0.05 < share <= 0
    report = fitted[family].assess(X_test, y_test)
    assert report["value"] == pytest.approx(share) and report["low"] < share < report["high"]


def test_several_targets_are_learnt_each_in_its_own_units(family: str, several: Any) -> None:
    X, X_test, y, y_test = several
    model = make(family).fit(X, y)
    answers = model.predict(X_test)
    assert answers.shape == y_test.shape
    first, second = (r2_score(y_test[:, t], answers[:, t]) for t in (0, 1))
    assert min(first, second) > (0.25 if family != "mean" else -0.05)
    assert len(model.assess(X_test, y_test)["per_target"]) == 2


@pytest.mark.parametrize("family", [name for name in OF_TABLES if name not in ONCE])
def test_partial_fit_learns_in_pieces(family: str, diabetes: Any) -> None:
    X, X_test, y, y_test = diabetes
    model = make(family)
    for _ in range(2 if family == "boosting_regressor" else 30):
        for part in np.array_split(np.arange(len(X)), 2):
            model.partial_fit(X[part], y[part])
    assert model.score(X_test, y_test) > 0.1


def test_it_learns_from_a_dataset(family: str, diabetes: Any) -> None:
    X, _, y, _ = diabetes
    data = depthwise.load_data(X, labels=y)
    model = make(family).fit(data)
    assert model.n_targets_ == 1 and "score" in model.history_["epochs"][-1]
    with pytest.raises(InputError, match="is data for classification; this is for regression"):
        make(family).fit(depthwise.load_data(X, labels=y > 100))


def test_pictures_are_flattened_or_seen(digits: Any) -> None:
    X, y, X_test, y_test = digits
    for name in FAMILIES:
        model = make(name).fit(X[:400], y[:400].astype(float))
        share = model.score(X_test, y_test)
        assert share > (-0.05 if name == "mean" else 0.3), name


# -- the referees ---------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_the_baseline_is_scikit_learns(statistic: str, several: Any) -> None:
    X, X_test, y, _ = several
    wanted = DummyRegressor(strategy=statistic).fit(X, y).predict(X_test)
    found = make("mean", statistic=statistic).fit(X, y).predict(X_test)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 300.0])
def test_linear_regression_is_scikit_learns_ridge(alpha: float, diabetes: Any) -> None:
    X, X_test, y, _ = diabetes
    spread = y.std()  # targets are learnt standardised, inputs too
    wanted = make_pipeline(StandardScaler(), Ridge(alpha)).fit(X, y / spread).predict(X_test)
    found = make("linear", alpha=alpha).fit(X, y).predict(X_test)
    np.testing.assert_allclose(found, wanted * spread, rtol=2e-4)


@pytest.mark.parametrize(("items", "features"), [(60, 7), (23, 61), (9, 9)])
def test_the_penalty_is_that_of_generalised_cross_validation(items: int, features: int) -> None:
    """By brute force: the hat matrix of every penalty on the grid."""
    random = np.random.default_rng(items)
    rows = random.standard_normal((items, features))
    targets = rows[:, :2] @ [[1.0], [2.0]] + 2 * random.standard_normal((items, 1))
    found = choose_ridge(torch.from_numpy(rows), torch.from_numpy(targets))
    centred = rows - rows.mean(axis=0)
    wanted = targets - targets.mean(axis=0)

    def gcv(ridge: float) -> float:
        inner = np.linalg.inv(centred.T @ centred + ridge * np.eye(features))
        hat = centred @ inner @ centred.T
        free = items - 1 - np.trace(hat)
        far = free > 0.01 * items
        return float(((wanted - hat @ wanted) ** 2).sum() / free**2) if far else np.inf

    largest = np.linalg.eigvalsh(centred.T @ centred)[-1]
    tried = [ridge for ridge in largest * np.logspace(-5, 1, 49) if np.isfinite(gcv(ridge))]
    assert gcv(found) <= 1.001 * min(map(gcv, tried))


@pytest.mark.parametrize("small", [3000, 5])
@pytest.mark.parametrize(("items", "features"), [(40, 11), (11, 40)])
def test_every_way_to_solve_is_scikit_learns(
    monkeypatch: pytest.MonkeyPatch, small: int, items: int, features: int
) -> None:
    monkeypatch.setattr("depthwise.families.shallow.ridge.SMALL", small)  # 5: conjugate gradients
    random = np.random.default_rng(features)
    rows = random.standard_normal((items, features)).astype(np.float32) + 3
    targets = random.standard_normal((items, 2)).astype(np.float32)
    weights, bias = solve_ridge(torch.from_numpy(rows), torch.from_numpy(targets), 2.0)
    wanted = Ridge(2.0).fit(rows.astype(np.float64), targets)
    np.testing.assert_allclose(weights.T, wanted.coef_, atol=2e-4)
    np.testing.assert_allclose(bias, wanted.intercept_, atol=2e-3)


def test_its_own_penalty_is_as_good_as_scikit_learns(diabetes: Any) -> None:
    X, X_test, y, y_test = diabetes
    rival = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 30))).fit(X, y)
    assert make("linear").fit(X, y).score(X_test, y_test) > rival.score(X_test, y_test) - 0.01


def test_the_trees_are_scikit_learns(diabetes: Any) -> None:
    X, X_test, y, _ = diabetes
    options = {"max_iter": 20, "learning_rate": 0.15, "max_depth": 8, "early_stopping": False}
    wanted = HistGradientBoostingRegressor(**options, random_state=0).fit(X, y).predict(X_test)
    found = make("boosting_regressor").fit(X, y).predict(X_test)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_trees_deeper_than_their_nodes_are_refused(fitted: Any, tmp_path: Path) -> None:
    folder = fitted["boosting_regressor"].save(tmp_path / "model")
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text.replace('"depth": ', '"depth": 9999'))
    with pytest.raises(ModelFileError, match="depth"):
        depthwise.load(folder)


@pytest.mark.parametrize(
    ("family", "setting", "value"),
    [
        ("mean", "statistic", "mode"),
        ("linear", "alpha", -1),
        ("linear", "alpha", "best"),
        ("boosting_regressor", "size", "xl"),
        ("boosting_regressor", "max_iter", 0),
        ("boosting_regressor", "learning_rate", 0.0),
    ],
)
def test_a_wrong_setting_is_named(family: str, setting: str, value: Any, diabetes: Any) -> None:
    with pytest.raises(InputError, match=f"{setting} must be .*{value}"):
        FAMILIES[family](**{setting: value}).fit(diabetes[0][:40], diabetes[2][:40])


@pytest.mark.parametrize(
    "model",
    [make("mean"), make("linear"), make("boosting_regressor", max_iter=4)],
    ids=lambda model: model.family,
)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_check_estimator(model: Any) -> None:
    results = check_estimator(model, on_fail=None)
    failed = [r["check_name"] for r in results if r["status"] in ("failed", "xfail")]
    assert len(results) > 40
    assert failed == []


def test_a_model_of_numbers_has_no_use_for_classes() -> None:
    X, y = np.eye(4, dtype=np.float32), np.arange(4.0)
    with pytest.raises(InputError, match="learns no class labels: leave out classes"):
        depthwise.DNNRegressor().partial_fit(X, y, classes=[0, 1])
