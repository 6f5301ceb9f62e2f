"""Examples of scikit-learn's user guide, with our estimators in the place of scikit-learn's own.

Each test names the chapter that its example is of; data are the guide's own, or small ones made
like them, and what is asserted is what the guide says about the result.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_regression
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SelectKBest, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    RocCurveDisplay,
    balanced_accuracy_score,
    brier_score_loss,
    make_scorer,
)
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from depthwise import (
    DNN,
    RBM,
    DeepAutoencoder,
    DNNRegressor,
    GradientBoosting,
    LinearRegression,
    LogisticRegression,
)
from depthwise.catalog import FAMILIES, TASKS, find_family

QUICK: dict[str, Any] = {"hidden": (16,), "epochs": 15, "batch_size": 16, "lr": 1e-2}


@pytest.fixture(autouse=True)
def undrawn() -> Iterator[None]:
    """No window, and no figure left open."""
    import matplotlib

    matplotlib.use("Agg")
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture(scope="module")
def iris() -> Any:
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def cancer() -> Any:
    X, y = load_breast_cancer(return_X_y=True)
    return train_test_split(X[:, :10], y, random_state=0, stratify=y)


def travellers(n: int = 240) -> tuple[Any, np.ndarray]:
    """Like the guide's Titanic: numbers with gaps and categories; women and the young survive."""
    pd = pytest.importorskip("pandas")
    source = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": np.where(source.random(n) < 0.1, np.nan, source.integers(1, 80, n)),
            "fare": source.gamma(2, 15, n),
            "embarked": source.choice(["C", "Q", "S"], n),
            "sex": source.choice(["female", "male"], n),
        }
    )
    luck = source.normal(size=n) * 0.4
    return frame, ((frame["sex"] == "female") + luck > 0.5).astype(int).to_numpy()


# -- 3.1 cross-validation -----------------------------------------------------------------------


def test_cross_val_score_and_predict(iris: Any) -> None:
    scores = cross_val_score(DNN(**{**QUICK, "epochs": 40}), *iris, cv=5)
    assert scores.shape == (5,) and scores.mean() > 0.9
    shares = cross_val_predict(LogisticRegression(), *iris, cv=3, method="predict_proba")
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)


def test_cross_validate_with_several_scorers(iris: Any) -> None:
    scoring = {
        "prec_macro": "precision_macro",
        "rec_macro": make_scorer(balanced_accuracy_score),
        "log_loss": "neg_log_loss",
        "auc": "roc_auc_ovr",
    }
    found = cross_validate(
        DNN(**QUICK), *iris, scoring=scoring, cv=3, return_train_score=True, return_estimator=True
    )
    assert {f"{part}_{name}" for part in ("test", "train") for name in scoring} <= set(found)
    assert found["test_auc"].mean() > 0.95
    assert len({id(model.network_) for model in found["estimator"]}) == 3


# -- 3.2 tuning hyper-parameters ------------------------------------------------------------------


def test_grid_search_over_a_pipeline() -> None:
    """6.1.1: chaining a PCA and a logistic regression."""
    X, y = load_digits(return_X_y=True)
    pipe = Pipeline([("scaler", StandardScaler()), ("pca", PCA()), ("last", LogisticRegression())])
    grid = {"pca__n_components": [5, 30], "last__C": [0.01, 1.0]}
    search = GridSearchCV(pipe, grid, cv=3).fit(X[:500], y[:500])
    assert search.best_params_["pca__n_components"] == 30
    assert search.score(X[500:], y[500:]) > 0.8


def test_randomised_and_halving_search(iris: Any) -> None:
    given = {"hidden": [(4,), (16,)], "lr": [1e-3, 1e-2]}
    search = RandomizedSearchCV(DNN(epochs=3), given, n_iter=2, cv=2, random_state=0).fit(*iris)
    assert search.best_params_.keys() == given.keys()
    halving = HalvingGridSearchCV(
        DNN(hidden=(16,)),
        {"lr": [1e-6, 3e-3, 1e-2]},
        resource="epochs",
        min_resources=2,
        max_resources=18,
        cv=2,
        random_state=0,
    ).fit(*iris)
    assert halving.best_params_["lr"] > 1e-4 and halving.n_resources_[0] == 2


# -- 3.3 thresholds, 3.4 curves -------------------------------------------------------------------


def test_a_threshold_is_tuned(cancer: Any) -> None:
    X, X_test, y, y_test = cancer
    tuned = TunedThresholdClassifierCV(LogisticRegression(), scoring="balanced_accuracy", cv=3)
    tuned.fit(X, y)
    assert 0 < tuned.best_threshold_ < 1
    assert balanced_accuracy_score(y_test, tuned.predict(X_test)) > 0.85


def test_learning_and_validation_curves(iris: Any) -> None:
    sizes, train, test = learning_curve(
        LogisticRegression(), *iris, train_sizes=[20, 60, 100], cv=3, shuffle=True, random_state=0
    )
    assert sizes.tolist() == [20, 60, 100] and test[-1].mean() > 0.9
    assert train.shape == test.shape == (3, 3)
    train, test = validation_curve(
        LogisticRegression(), *iris, param_name="C", param_range=[1e-5, 1.0], cv=3
    )
    assert test[1].mean() > test[0].mean()


# -- 1.10 to 1.17: meta-estimators ---------------------------------------------------------------


def test_calibration(cancer: Any) -> None:
    """1.16: probabilities of a fitted model, and by cross-validation, with weights."""
    X, X_test, y, y_test = cancer
    model = make_pipeline(StandardScaler(), DNN(**QUICK)).fit(X[:200], y[:200])
    raw = brier_score_loss(y_test, model.predict_proba(X_test)[:, 1])
    later = CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid").fit(X[200:], y[200:])
    assert brier_score_loss(y_test, later.predict_proba(X_test)[:, 1]) < raw + 0.02
    crossed = CalibratedClassifierCV(LogisticRegression(), cv=3, method="isotonic")
    crossed.fit(X, y, sample_weight=np.where(y == 0, 2.0, 1.0))
    assert crossed.score(X_test, y_test) > 0.85


def test_votes(iris: Any) -> None:
    """1.11.4: hard and soft, with weights of voters and of items."""
    X, y = iris
    voters = [
        ("dnn", DNN(**QUICK)),
        ("line", LogisticRegression()),
        ("trees", GradientBoosting(max_iter=10)),
    ]
    for how, weights in (("hard", None), ("soft", [2, 1, 1])):
        vote = VotingClassifier(voters, voting=how, weights=weights)
        assert vote.fit(X, y, sample_weight=np.ones(len(y))).score(X, y) > 0.9
    A, b = make_regression(80, 4, random_state=0)
    mean = VotingRegressor([("a", LinearRegression()), ("b", DNNRegressor(**QUICK))])
    assert mean.fit(A, b).score(A, b) > 0.7


def test_stacking_bagging_and_boosting(iris: Any) -> None:
    """1.11.5, 1.11.3 and 1.11.7: what weighs items, or draws them."""
    X, y = iris
    stack = StackingClassifier(
        [("dnn", DNN(**QUICK)), ("knn", KNeighborsClassifier())],
        final_estimator=LogisticRegression(),
        cv=3,
    )
    assert stack.fit(X, y).score(X, y) > 0.93
    bag = BaggingClassifier(DNN(**QUICK), n_estimators=3, random_state=0)
    assert bag.fit(X, y).score(X, y) > 0.8
    boosted = AdaBoostClassifier(LogisticRegression(C=10), n_estimators=5, random_state=0)
    assert boosted.fit(X, y).score(X, y) > 0.85 and len(boosted.estimators_) > 1


def test_one_against_the_rest_and_codes(iris: Any) -> None:
    """1.12.2, 1.12.3, 1.12.4."""
    X, y = iris
    for make in (OneVsRestClassifier, OneVsOneClassifier):
        several = make(LogisticRegression(C=10)).fit(X, y)
        assert len(several.estimators_) == 3 and several.score(X, y) > 0.9
    codes = OutputCodeClassifier(LogisticRegression(C=10), code_size=3, random_state=0)
    assert codes.fit(X, y).score(X, y) > 0.7


def test_several_labels_of_an_item(iris: Any) -> None:
    """1.12.3.2 and 1.12.3.3."""
    X, y = iris
    labels = np.stack([y == 0, y == 1], axis=1).astype(int)
    apart = MultiOutputClassifier(LogisticRegression(C=10)).fit(X, labels)
    assert apart.predict(X).shape == labels.shape
    chain = ClassifierChain(DNN(**QUICK), order=[0, 1], random_state=0).fit(X, labels)
    assert (chain.predict(X)[:, 0] == labels[:, 0]).mean() > 0.95


def test_self_training_with_few_labels(iris: Any) -> None:
    """1.14.1: unlabelled items are marked -1."""
    X, y = iris
    hidden = np.where(np.random.default_rng(0).random(len(y)) < 0.7, -1, y)
    model = SelfTrainingClassifier(LogisticRegression(C=10)).fit(X, hidden)
    assert model.score(X, y) > 0.9


# -- 4 inspection -------------------------------------------------------------------------------


def test_permutation_importance_of_a_column_that_says_nothing() -> None:
    X, y = load_wine(return_X_y=True)
    noise = np.random.default_rng(0).normal(size=len(X))
    wider = np.column_stack([X[:, [0, 6, 9, 12]], noise])
    model = LogisticRegression().fit(wider, y)
    found = permutation_importance(model, wider, y, n_repeats=5, random_state=0)
    assert found.importances_mean.argmin() == 4
    assert found.importances_mean.max() > 0.1


def test_partial_dependence_follows_a_straight_line() -> None:
    pd = pytest.importorskip("pandas")
    source = np.random.default_rng(0)
    frame = pd.DataFrame(source.normal(size=(120, 2)), columns=["up", "down"])
    y = 3 * frame["up"] - 2 * frame["down"]
    model = LinearRegression(alpha=0.0).fit(frame, y)
    found = partial_dependence(model, frame, ["up"], kind="both", grid_resolution=7)
    slope = np.diff(found["average"][0]) / np.diff(found["grid_values"][0])
    np.testing.assert_allclose(slope, 3, atol=1e-3)
    assert found["individual"].shape == (1, 120, 7)
    both = partial_dependence(model, frame, ["up", "down"], grid_resolution=4)
    assert both["average"].shape == (1, 4, 4)


def test_displays_of_a_fitted_model(cancer: Any) -> None:
    X, X_test, y, y_test = cancer
    model = LogisticRegression().fit(X, y)
    shown = RocCurveDisplay.from_estimator(model, X_test, y_test)
    assert shown.roc_auc > 0.9
    matrix = ConfusionMatrixDisplay.from_estimator(model, X_test, y_test)
    assert matrix.confusion_matrix.sum() == len(y_test)


# -- 6 dataset transformations --------------------------------------------------------------------


def test_a_column_transformer_of_mixed_types() -> None:
    """6.1.4: numbers imputed and scaled, categories one-hot, and the same columns as they are."""
    frame, survived = travellers()
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    prepared = ColumnTransformer(
        [
            ("num", numbers, make_column_selector(dtype_include=np.number)),
            ("cat", OneHotEncoder(handle_unknown="ignore"), ["embarked", "sex"]),
        ]
    )
    by_hand = Pipeline([("prepare", prepared), ("dnn", DNN(**QUICK))])
    X, X_test, y, y_test = train_test_split(frame, survived, random_state=0)
    assert by_hand.fit(X, y).score(X_test, y_test) > 0.8
    grid = {"prepare__num__simpleimputer__strategy": ["mean", "median"], "dnn__hidden": [(8,)]}
    assert GridSearchCV(by_hand, grid, cv=2).fit(X, y).best_score_ > 0.75
    assert DNN(**QUICK).fit(X, y).score(X_test, y_test) > 0.8  # which prepares them itself


def test_features_of_a_boltzmann_machine_for_digits() -> None:
    """2.9: restricted Boltzmann machine features for digit classification."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    X, X_test, y, y_test = train_test_split(X[:900], y[:900], random_state=0)
    model = Pipeline([("rbm", RBM(n_hidden=64, epochs=10)), ("line", LogisticRegression(C=1.0))])
    assert model.fit(X, y).score(X_test, y_test) > 0.9
    assert model["rbm"].transform(X_test).shape == (len(X_test), 64)


def test_a_union_of_features_with_names(iris: Any) -> None:
    pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True, as_frame=True)
    code = DeepAutoencoder(hidden=(8,), code_size=2, epochs=3)
    union = FeatureUnion([("pca", PCA(2)), ("code", code)]).set_output(transform="pandas")
    made = union.fit(X, y).transform(X)
    assert list(made.columns) == ["pca__pca0", "pca__pca1", *union.get_feature_names_out()[2:]]
    assert made.shape[1] > 3 and list(made.index) == list(X.index)
    model = make_pipeline(SelectKBest(k=2), LogisticRegression(C=10)).fit(X, y)
    assert model.score(X, y) > 0.9


def test_features_are_selected_by_a_model(iris: Any) -> None:
    """1.13.5: sequential selection asks for nothing but a score."""
    chosen = SequentialFeatureSelector(LogisticRegression(), n_features_to_select=1, cv=2)
    assert chosen.fit(*iris).get_support().argmax() in (2, 3)  # the petals


def test_targets_are_transformed() -> None:
    """6.8.1: a regressor of the logarithm."""
    source = np.random.default_rng(0)
    X = source.uniform(-2, 2, (150, 1))
    y = np.exp(2 * X[:, 0])
    plain, logged = LinearRegression(), TransformedTargetRegressor(LinearRegression(), func=np.log)
    logged.set_params(inverse_func=np.exp)
    assert logged.fit(X, y).score(X, y) > 0.99 > plain.fit(X, y).score(X, y)


# -- manners ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", [DNN(**QUICK), LogisticRegression(C=3), GradientBoosting(), RBM(), DNNRegressor()]
)
def test_settings_are_cloned_set_and_shown(model: Any) -> None:
    again = clone(model)
    assert again is not model and again.get_params() == model.get_params()
    assert again.set_params(random_state=7).get_params()["random_state"] == 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = model._repr_html_()
    assert type(model).__name__ in repr(model) and type(model).__name__ in shown
    with pytest.raises(ValueError, match="nonsense"):
        model.set_params(nonsense=1)


@pytest.mark.parametrize("name", [*FAMILIES, *TASKS])
def test_every_estimator_is_shown_in_a_notebook_without_a_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_family(name).__name__ in find_family(name)()._repr_html_()


def test_weights_are_routed_where_they_are_asked_for(cancer: Any) -> None:
    """Metadata routing: a model says what it wants of what a search is given."""
    X, _, y, _ = cancer
    weights = np.where(y == 0, 5.0, 1.0)
    with config_context(enable_metadata_routing=True):
        model = LogisticRegression().set_fit_request(sample_weight=True)
        folds = StratifiedKFold(3)
        routed = cross_val_predict(model, X, y, cv=folds, params={"sample_weight": weights})
        plain = cross_val_predict(LogisticRegression(), X, y, cv=folds)
    assert (routed == 0).sum() > (plain == 0).sum()
