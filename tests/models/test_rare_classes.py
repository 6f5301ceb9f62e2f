"""Class weights, the pass that a metric chooses, and where two classes are cut. Referees: items
that are there several times, scikit-learn's weights and scores, and every possible cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight

from depthwise import CNN, DBN, DNN, DSN, GradientBoosting, LogisticRegression, load
from depthwise.data.inputs import weights_of_classes
from depthwise.errors import InputError
from depthwise.scores.classification import ClassAnswers
from depthwise.scores.custom import class_score
from depthwise.scores.thresholds import best_cut, cut


def rare(items: int = 300, seed: int = 0, rate: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Three columns; one item in ten is "yes", and hard to tell."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(items, 3)).astype(np.float32)
    z = X[:, 0] + random.normal(size=items)
    return X, np.where(z > np.quantile(z, 1 - rate), "yes", "no")


# -- weights of classes ---------------------------------------------------------------------------


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.repeat([0, 1, 2], [7, 2, 11])
    each = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert weights_of_classes("balanced", labels, [0, 1, 2]) == pytest.approx(each[labels])
    assert weights_of_classes({1: 3}, labels, [0, 1, 2]) == pytest.approx(
        np.where(labels == 1, 3, 1)
    )


def test_a_class_that_weighs_three_is_one_whose_items_are_there_three_times() -> None:
    X, y = rare()
    heavy = LogisticRegression(class_weight={"yes": 3.0}).fit(X, y)
    times = np.where(y == "yes", 3, 1)
    often = LogisticRegression().fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    assert heavy.predict_proba(X) == pytest.approx(often.predict_proba(X), abs=1e-3)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(class_weight="balanced"),
        GradientBoosting(size="s", class_weight="balanced"),
        DNN(size="xxs", epochs=6, class_weight="balanced"),
        DSN(size="s", class_weight="balanced"),
    ],
    ids=lambda model: model.family,
)
def test_balanced_weights_find_more_of_the_rare_class(model: Any) -> None:
    X, y = rare()
    unseen = rare(600, seed=3)[0]
    weighted = (model.fit(X, y).predict(unseen) == "yes").sum()
    plain = (model.set_params(class_weight=None).fit(X, y).predict(unseen) == "yes").sum()
    assert weighted > 1.5 * plain


def test_class_weights_multiply_the_weights_of_items() -> None:
    X, y = rare()
    own = np.random.default_rng(1).uniform(0.5, 2, len(y))
    both = LogisticRegression(class_weight={"yes": 4.0}).fit(X, y, own)
    once = LogisticRegression().fit(X, y, own * np.where(y == "yes", 4, 1))
    assert both.predict_proba(X) == pytest.approx(once.predict_proba(X))


@pytest.mark.parametrize("wrong", ["even", {"maybe": 2}, {"yes": 0}, {"yes": -1.0}, 3])
def test_what_are_no_weights_is_named(wrong: Any) -> None:
    with pytest.raises(InputError, match="class_weight"):
        LogisticRegression(class_weight=wrong).fit(*rare(40))


# -- where two classes are cut --------------------------------------------------------------------


def scored_at(answers: ClassAnswers, threshold: float, name: str) -> float:
    said = cut(answers, threshold).predicted
    if name == "f1":
        return float(metrics.f1_score(answers.labels, said, pos_label=answers.rare))
    return float(metrics.balanced_accuracy_score(answers.labels, said))


@pytest.mark.parametrize("rare_class", [0, 1])
@pytest.mark.parametrize("name", ["balanced_accuracy", "f1"])
def test_the_best_cut_is_the_best_of_all_cuts(name: str, rare_class: int) -> None:
    for seed in range(5):
        random = np.random.default_rng(seed)
        labels = (random.random(83) < (0.2 if rare_class else 0.8)).astype(np.int64)
        second = np.round(np.clip(0.3 * labels + random.random(83) * 0.7, 0, 1), 1)  # ties
        p = np.stack([1 - second, second], axis=1)
        answers = ClassAnswers(labels, p.argmax(axis=1), p, rare_class)
        threshold, value = best_cut(answers, class_score(name))
        assert scored_at(answers, threshold, name) == pytest.approx(value)
        every = [scored_at(answers, t, name) for t in np.linspace(-0.05, 1.05, 23)]
        assert value == pytest.approx(max(every))


def test_a_function_of_ones_own_is_cut_at_its_best_too() -> None:
    labels = np.repeat([0, 1], [90, 10])
    second = np.linspace(0, 0.4, 100)
    p = np.stack([1 - second, second], axis=1)
    mcc = class_score(metrics.matthews_corrcoef)
    threshold, value = best_cut(ClassAnswers(labels, p.argmax(axis=1), p, 1), mcc)
    assert value == pytest.approx(1.0, abs=0.1)
    assert threshold == pytest.approx(0.36, abs=0.02)


def test_a_tuned_threshold_decides_and_is_saved(tmp_path: Path) -> None:
    X, y = rare(600)
    model = LogisticRegression().fit(X[:400], y[:400])
    plain = model.predict(X)
    assert model.tune_threshold(X[:400], y[:400], metric="f1") is model
    mark = model.decision_threshold_
    assert mark is not None
    assert mark < 0.5
    assert (model.predict(X) == "yes").sum() > (plain == "yes").sum()
    assert ((model.predict_proba(X)[:, 1] >= mark) == (model.predict(X) == "yes")).all()
    again = load(model.save(tmp_path / "m"))
    assert again.decision_threshold_ == mark
    assert (again.predict(X) == model.predict(X)).all()
    assert model.fit(X, y).decision_threshold_ is None  # another fit, another threshold


@pytest.mark.parametrize("metric", ["accuracy", "auroc", "log_loss"])
def test_no_threshold_is_set_where_half_is_right(metric: str) -> None:
    X, y = rare()
    model = LogisticRegression().fit(X, y).tune_threshold(X, y, metric=metric)
    assert model.decision_threshold_ is None


def test_more_than_two_classes_have_no_threshold() -> None:
    X, _ = rare()
    y = np.arange(len(X)) % 3
    model = LogisticRegression().fit(X, y).tune_threshold(X, y, metric="f1")
    assert model.decision_threshold_ is None


# -- the best pass --------------------------------------------------------------------------------


def test_the_metric_chooses_the_best_pass() -> None:
    X, y = rare(400)
    held = rare(200, seed=1)
    options: dict[str, Any] = {"size": "xxs", "epochs": 8, "threads": 1}
    for name in ("auroc", "balanced_accuracy"):
        model = DNN(metric=name, **options).fit(X, y, validation=held)
        scores = [epoch["score"] for epoch in model.history_["epochs"]]
        p = model.predict_proba(held[0])[:, 1]
        truth = held[1] == "yes"
        if name == "auroc":
            assert metrics.roc_auc_score(truth, p) == pytest.approx(max(scores), abs=1e-6)
        else:
            cuts = [metrics.balanced_accuracy_score(truth, p >= t) for t in [*p, 2.0]]
            assert max(cuts) == pytest.approx(max(scores), abs=1e-6)


def test_an_unknown_metric_is_named_before_anything_is_learnt() -> None:
    with pytest.raises(InputError, match="one of accuracy, balanced_accuracy"):
        DNN(metric="precision").fit(*rare(40))


def test_every_classifier_has_the_two_settings() -> None:
    for family in (CNN, DBN, DNN, DSN, GradientBoosting, LogisticRegression):
        assert {"class_weight", "metric"} <= set(family().get_params())


def test_a_metric_of_ones_own_is_not_saved_with_the_model(tmp_path: Path) -> None:
    X, y = rare(80)
    model = DNN(size="xxs", epochs=1, metric=metrics.matthews_corrcoef)
    again = load(model.fit(X, y, validation=(X, y)).save(tmp_path / "m"))
    assert again.metric is None
    assert (again.predict(X) == model.predict(X)).all()
