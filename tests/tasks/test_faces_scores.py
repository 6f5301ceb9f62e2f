"""Rates of pairs, held against counting one pair at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthwise.errors import InputError
from depthwise.tasks.faces_scores import (
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
