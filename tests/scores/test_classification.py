"""Scores of answers in classes. Referees: scikit-learn, brute force, and simulated data whose true
score is known."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from depthwise.errors import InputError
from depthwise.scores.classification import CLASS_SCORES, ClassAnswers, rarer_class
from depthwise.scores.custom import class_score
from depthwise.scores.intervals import class_interval


def answers(n: int, k: int, seed: int = 0, rare: float = 0.1, skill: float = 1.0) -> ClassAnswers:
    """Classes of which the first is rare; probabilities that know something, with ties."""
    random = np.random.default_rng(seed)
    share = np.full(k, (1 - rare) / (k - 1))
    share[0] = rare
    labels = random.choice(k, n, p=share)
    logits = random.normal(size=(n, k)) + skill * np.eye(k)[labels] + np.log(share)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    p = np.round(p, 2) + 1e-3  # ties
    p /= p.sum(axis=1, keepdims=True)
    return ClassAnswers(labels, p.argmax(axis=1), p, rarer_class(np.bincount(labels, minlength=k)))


REFEREES: dict[str, Callable[[ClassAnswers], float]] = {
    "accuracy": lambda a: metrics.accuracy_score(a.labels, a.predicted),
    "balanced_accuracy": lambda a: metrics.balanced_accuracy_score(a.labels, a.predicted),
    "f1": lambda a: (
        metrics.f1_score(a.labels, a.predicted, pos_label=a.rare)
        if a.n_classes == 2
        else metrics.f1_score(a.labels, a.predicted, average="macro")
    ),
    "auroc": lambda a: (
        metrics.roc_auc_score(a.labels, a.probabilities[:, 1])
        if a.n_classes == 2
        else metrics.roc_auc_score(a.labels, a.probabilities, multi_class="ovr")
    ),
    "log_loss": lambda a: metrics.log_loss(a.labels, a.probabilities, labels=range(a.n_classes)),
}


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("name", CLASS_SCORES)
def test_a_score_is_scikit_learns(name: str, k: int) -> None:
    for seed in range(3):
        a = answers(211, k, seed)
        assert CLASS_SCORES[name].value(a) == pytest.approx(REFEREES[name](a), abs=1e-9)


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("name", CLASS_SCORES)
def test_a_resample_is_scored_as_its_repeated_items_are(name: str, k: int) -> None:
    a = answers(97, k)
    random = np.random.default_rng(1)
    drawn = random.integers(0, 97, (5, 97))
    weights = np.stack([np.bincount(row, minlength=97) for row in drawn])
    expected = [
        REFEREES[name](ClassAnswers(a.labels[r], a.predicted[r], a.probabilities[r], a.rare))
        for r in drawn
    ]
    assert CLASS_SCORES[name].resampled(a, weights) == pytest.approx(expected, abs=1e-9)


def test_the_area_counts_every_pair_once() -> None:
    a = answers(23, 2, rare=0.4)
    p, inside = a.probabilities[:, 1], a.labels == 1
    pairs = [(x > y) + (x == y) / 2 for x, y in itertools.product(p[inside], p[~inside])]
    assert CLASS_SCORES["auroc"].value(a) == pytest.approx(np.mean(pairs))


def test_always_answering_the_common_class_is_worth_nothing_to_the_balanced_scores() -> None:
    labels = np.repeat([0, 1], [95, 5])
    a = ClassAnswers(labels, np.zeros(100, int), np.tile([0.95, 0.05], (100, 1)), rare=1)
    told = {name: score.value(a) for name, score in CLASS_SCORES.items()}
    assert (told["accuracy"], told["balanced_accuracy"], told["f1"]) == (0.95, 0.5, 0.0)
    assert told["auroc"] == 0.5


def test_a_class_of_which_there_is_no_item_is_left_out() -> None:
    a = ClassAnswers(np.array([0, 0, 2]), np.array([0, 2, 2]), np.eye(3)[[0, 2, 2]])
    assert CLASS_SCORES["balanced_accuracy"].value(a) == pytest.approx(0.75)
    assert CLASS_SCORES["auroc"].value(a) == pytest.approx(0.75)
    alone = ClassAnswers(np.zeros(3, int), np.zeros(3, int), np.eye(2)[[0, 0, 0]])
    assert np.isnan(CLASS_SCORES["auroc"].value(alone))
    assert class_interval("auroc", alone) is None


@pytest.mark.parametrize(("counts", "rare"), [([9, 1], 1), ([1, 9], 0), ([4, 4], 1)])
def test_the_rarer_class_is_the_one_with_fewer_items(counts: list[int], rare: int) -> None:
    assert rarer_class(np.array(counts)) == rare


# -- intervals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("name", CLASS_SCORES)
def test_an_interval_holds_the_true_score_95_times_in_100(name: str, k: int) -> None:
    truth = CLASS_SCORES[name].value(answers(200_000, k, seed=99, rare=0.2))
    held = 0
    for seed in range(200):
        low, high = class_interval(name, answers(250, k, seed, rare=0.2)) or (1, 0)
        held += low <= truth <= high
    assert 0.90 <= held / 200 <= 0.995  # 4 standard errors of 200 times, and a delta method's bias


@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1", "auroc"])
def test_no_mistake_seen_is_no_certainty(name: str, k: int) -> None:
    labels = np.arange(40) % k
    perfect = ClassAnswers(labels, labels, np.eye(k)[labels])
    low, high = class_interval(name, perfect) or (1, 0)
    assert high == pytest.approx(1)
    assert 0.7 < low < 0.97


def test_the_interval_of_few_items_is_wider() -> None:
    for name in CLASS_SCORES:
        few, many = (class_interval(name, answers(n, 3, rare=0.3)) or (0, 0) for n in (60, 6000))
        assert few[1] - few[0] > 5 * (many[1] - many[0])


# -- a score of one's own ------------------------------------------------------------------------


def test_a_function_is_asked_in_the_manner_of_its_arguments() -> None:
    a = answers(120, 2)
    named = ClassAnswers(a.labels, a.predicted, a.probabilities, a.rare, np.array(["no", "yes"]))

    def share_of_yes(y_true: Any, y_pred: Any) -> float:
        return float((y_pred == "yes").mean())

    def mean_probability(y_true: Any, probabilities: Any) -> float:
        assert probabilities.shape == (len(y_true), 2)
        return float(probabilities[:, 1].mean())

    assert class_score(share_of_yes).value(named) == pytest.approx((a.predicted == 1).mean())
    probability = class_score(mean_probability)
    assert probability.value(named) == pytest.approx(a.probabilities[:, 1].mean())
    assert (probability.name, probability.of_decisions) == ("mean_probability", False)


@pytest.mark.parametrize("k", [2, 3])
def test_scorers_and_functions_of_scikit_learn_are_taken(k: int) -> None:
    a = answers(150, k)
    mcc = metrics.matthews_corrcoef(a.labels, a.predicted)
    assert class_score(metrics.matthews_corrcoef).value(a) == pytest.approx(mcc)
    assert class_score(metrics.make_scorer(metrics.matthews_corrcoef)).value(a) == pytest.approx(
        mcc
    )
    loss = metrics.log_loss(a.labels, a.probabilities)
    scorer = class_score(metrics.get_scorer("neg_log_loss"))
    assert scorer.value(a) == pytest.approx(-loss)
    assert not scorer.of_decisions
    kappa = class_score(metrics.cohen_kappa_score)
    weights = np.random.default_rng(0).integers(0, 3, (4, 150))
    expected = [
        metrics.cohen_kappa_score(np.repeat(a.labels, w), np.repeat(a.predicted, w))
        for w in weights
    ]
    assert kappa.resampled(a, weights) == pytest.approx(expected)


def test_names_are_understood_and_unknown_ones_are_answered_with_the_known() -> None:
    assert class_score("balanced-accuracy") is CLASS_SCORES["balanced_accuracy"]
    assert class_score("roc_auc") is CLASS_SCORES["auroc"]
    assert class_score(None) is CLASS_SCORES["accuracy"]
    with pytest.raises(InputError, match="accuracy, balanced_accuracy, f1, auroc, log_loss"):
        class_score("precision_of_mine")
    with pytest.raises(InputError, match="y_true, y_pred"):
        class_score(lambda y: 1.0)
    with pytest.raises(InputError, match="one number"):
        class_score(lambda y_true, y_pred: None).value(answers(9, 2))
