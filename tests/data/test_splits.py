"""Laws of the split, on sizes nobody would choose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthwise.data.dataset import PARTS
from depthwise.data.raw import TEST, TRAIN, VALIDATION
from depthwise.data.splits import split
from depthwise.errors import DataError


def covers_once(indices, n):
    return np.array_equal(np.sort(np.concatenate([indices[p] for p in PARTS])), np.arange(n))


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(3, 40), min_size=2, max_size=7),
    seed=st.integers(0, 99),
    test=st.floats(0.05, 0.4),
    validation=st.floats(0.05, 0.4),
)
def test_parts_are_disjoint_cover_all_and_hold_every_class(counts, seed, test, validation):
    labels = np.repeat(np.arange(len(counts)), counts)
    indices, _ = split(labels, seed=seed, test_fraction=test, validation_fraction=validation)
    assert covers_once(indices, len(labels))
    for part in PARTS:
        assert set(labels[indices[part]]) == set(range(len(counts)))


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=12, max_size=80),
    sizes=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_groups_are_never_on_both_sides(labels, sizes, seed):
    labels = np.array(labels)
    groups = np.random.default_rng(seed).integers(0, max(6, len(labels) // sizes), len(labels))
    try:
        indices, _ = split(labels, groups, seed=seed)
    except DataError as error:
        assert "too few" in str(error)
        return
    assert covers_once(indices, len(labels))
    seen = [set(groups[indices[part]]) for part in PARTS]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


def test_counts_are_exact_for_single_items():
    labels = np.repeat([0, 1], [100, 40])
    indices, origin = split(labels, test_fraction=0.2, validation_fraction=0.1)
    counts = {p: np.bincount(labels[indices[p]]).tolist() for p in PARTS}
    assert counts == {"train": [70, 28], "validation": [10, 4], "test": [20, 8]}
    assert origin == "seeded split 70/10/20, seed 0"


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    labels = np.repeat(np.arange(5), 23)
    one, two, other = (split(labels, seed=s)[0] for s in (4, 4, 5))
    assert all(np.array_equal(one[p], two[p]) for p in PARTS)
    assert not np.array_equal(one["test"], other["test"])


def test_pairs_of_copies_are_shared_out_in_proportion():
    labels, groups = np.zeros(400, int), np.arange(400) // 2
    labels[200:] = 1
    indices, _ = split(labels, groups)
    assert abs(len(indices["test"]) - 60) <= 4 and abs(len(indices["validation"]) - 60) <= 4


def test_a_class_of_three_pairs_is_in_all_three_parts():
    labels = np.concatenate([np.zeros(6, int), np.ones(50, int)])
    groups = np.concatenate([[0, 0, 1, 1, 2, 2], np.arange(10, 60)])
    indices, _ = split(labels, groups)
    assert all((labels[indices[part]] == 0).sum() == 2 for part in PARTS)


def test_a_split_the_data_brings_is_kept():
    labels = np.tile([0, 1], 10)
    parts = np.repeat([TRAIN, VALIDATION, TEST], [12, 3, 5]).astype(np.int8)
    indices, origin = split(labels, None, parts)
    assert [len(indices[p]) for p in PARTS] == [12, 3, 5] and origin == "split from the data"
    assert indices["test"].tolist() == [15, 16, 17, 18, 19]


def test_validation_is_carved_from_train_when_only_test_is_given():
    labels = np.tile([0, 1], 60)
    parts = np.repeat([TRAIN, TEST], [100, 20]).astype(np.int8)
    indices, origin = split(labels, None, parts, validation_fraction=0.2)
    assert np.array_equal(indices["test"], np.arange(100, 120))
    assert np.bincount(labels[indices["validation"]]).tolist() == [10, 10]
    assert origin == "test from the data, 20% of train carved for validation, seed 0"


def test_copies_of_test_items_do_not_stop_the_carving():
    labels = np.tile([0, 1], 60)
    groups = np.arange(120)
    groups[:4] = [100, 101, 102, 103]  # the data's own leak
    parts = np.repeat([TRAIN, TEST], [100, 20]).astype(np.int8)
    indices, _ = split(labels, groups, parts)
    assert covers_once(indices, 120) and len(indices["test"]) == 20


def test_no_training_part_is_refused():
    with pytest.raises(DataError, match="no training part"):
        split(np.array([0, 1, 0]), None, np.full(3, TEST, np.int8))


def test_too_few_items_are_refused():
    with pytest.raises(DataError, match="2 items are too few"):
        split(np.array([0, 1]))
