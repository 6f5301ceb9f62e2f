"""Rates of pairs, held against counting one pair at a time."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthwise.errors import InputError
from depthwise.tasks.faces.scores import (
    assessment,
    best_threshold,
    equal_error_rate,
    fold_accuracies,
    pair_similarities,
    threshold_at,
    true_accept_rate,
)

cosines = st.lists(st.integers(-20, 20).map(lambda n: n / 20), min_size=1, max_size=30)


def test_all_pairs_are_made_once() -> None:
    embeddings = np.random.default_rng(0).standard_normal((7, 3))
    people = np.array([0, 1, 0, 2, 1, 0, 3])
    same, different = pair_similarities(embeddings, people)
    by_hand: dict[bool, list[float]] = {True: [], False: []}
    for i in range(7):
        for j in range(i + 1, 7):
            by_hand[bool(people[i] == people[j])].append(float(embeddings[i] @ embeddings[j]))
    np.testing.assert_allclose(np.sort(same), np.sort(by_hand[True]))
    np.testing.assert_allclose(np.sort(different), np.sort(by_hand[False]))


@given(cosines, st.floats(0.001, 0.999))
def test_the_threshold_keeps_the_rate_and_a_lower_one_does_not(
    values: list[float], rate: float
) -> None:
    different = np.array(values)
    threshold = threshold_at(rate, different)
    assert (different > threshold).mean() <= rate
    lower = different[different < threshold]
    if len(lower):
        assert (different > lower.max()).mean() > rate


def test_the_true_accept_rate_by_hand() -> None:
    different = np.array([0.1, 0.2, 0.3, 0.4])  # a quarter above 0.3
    same = np.array([0.25, 0.35, 0.5])
    assert threshold_at(0.25, different) == pytest.approx(0.3)
    assert true_accept_rate(0.25, same, different) == pytest.approx(2 / 3)
    assert np.isnan(true_accept_rate(0.25, same[:0], different))


@given(cosines, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_no_threshold_is_right_for_more_pairs_than_the_best(values: list[float], draw: Any) -> None:
    similarities = np.array(values)
    same = np.array([draw.random() < 0.5 for _ in values])
    told = (similarities > best_threshold(similarities, same)) == same
    tries = [-2.0, *np.unique(similarities)]
    assert told.sum() == max(((similarities > t) == same).sum() for t in tries)


def test_a_fold_is_judged_by_the_threshold_of_the_others() -> None:
    """Fold 1's own best threshold would make it perfect; the others' one does not."""
    similarities = np.array([0.1, 0.9, 0.1, 0.9, 0.6, 0.7])
    same = np.array([False, True, False, True, False, True])
    folds = np.array([0, 0, 2, 2, 1, 1])
    # folds 0 and 2: halfway between 0.1 and 0.9 -> both of fold 1 are accepted
    np.testing.assert_allclose(fold_accuracies(similarities, same, folds), [1.0, 0.5, 1.0])


def test_the_equal_error_rate_by_hand() -> None:
    same, different = np.array([0.2, 0.6, 0.7, 0.8]), np.array([0.1, 0.3, 0.4, 0.65])
    # above 0.4 and up to 0.6: one of four missed, one of four let in
    assert equal_error_rate(same, different) == pytest.approx(0.25)
    assert equal_error_rate(different + 1, different) == 0


def test_rates_need_pairs_of_two_people() -> None:
    with pytest.raises(InputError, match="pairs of two people"):
        threshold_at(0.01, np.array([]))


# -- an assessment --------------------------------------------------------------------------------


def faces_of(people: int, each: int, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings (M, 8) round one direction a person; the smaller `apart` the more alike."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((people, 8))
    embedded = apart * np.repeat(centres, each, axis=0) + rng.standard_normal((people * each, 8))
    names = np.repeat([f"p{k}" for k in range(people)], each)
    return embedded / np.linalg.norm(embedded, axis=1, keepdims=True), names


def test_an_assessment_is_that_of_all_pairs_by_brute_force() -> None:
    embedded, names = faces_of(9, 4, 1.0)
    told = assessment(embedded, names, threshold=0.3, rate=0.1)
    same, different, own = [], [], {name: [[], []] for name in set(names)}
    for i in range(len(names)):
        for j in range(i):
            similar, one = float(embedded[i] @ embedded[j]), names[i] == names[j]
            (same if one else different).append(similar)
            for name in {names[i], names[j]}:
                own[name][0 if one else 1].append((similar > 0.3) == one)
    assert told["value"] == pytest.approx(1 - equal_error_rate(np.array(same), np.array(different)))
    assert told["true_accepts_at_threshold"] == pytest.approx(np.mean(np.array(same) > 0.3))
    assert told["false_accepts_at_threshold"] == pytest.approx(np.mean(np.array(different) > 0.3))
    assert (told["pairs_of_one"], told["pairs_of_two"]) == (len(same), len(different))
    assert told["items"] == 36
    for name, value in told["per_class"].items():
        assert value == pytest.approx((np.mean(own[name][0]) + np.mean(own[name][1])) / 2)


def test_the_interval_holds_the_value_and_narrows_with_people() -> None:
    few, many = (assessment(*faces_of(n, 3, 1.5), threshold=0.5, rate=0.01) for n in (6, 60))
    for told in (few, many):
        assert told["low"] <= told["value"] <= told["high"]
        assert json.loads(json.dumps(told)) == told
    assert many["high"] - many["low"] < few["high"] - few["low"]


def test_faces_told_apart_without_a_mistake_are_told_so() -> None:
    embedded, names = np.repeat(np.eye(5, 8), 2, axis=0), np.repeat(list("abcde"), 2)
    told = assessment(embedded, names, threshold=0.5, rate=0.01)
    assert told["value"] == told["true_accept_rate"] == 1
    assert set(told["per_class"].values()) == {1.0}


def test_a_person_with_one_image_has_no_value_of_their_own() -> None:
    embedded, names = np.eye(3)[[0, 0, 1]], np.array(["a", "a", "b"])
    assert assessment(embedded, names, threshold=0.5, rate=0.1)["per_class"] == {
        "a": 1.0,
        "b": None,
    }


@pytest.mark.parametrize("names", [["a", "a", "a"], ["a", "b", "c"]])
def test_faces_that_make_no_pairs_are_refused(names: list[str]) -> None:
    with pytest.raises(InputError, match="two people, and two images of one"):
        assessment(np.eye(3), np.array(names), threshold=0.5, rate=0.1)
