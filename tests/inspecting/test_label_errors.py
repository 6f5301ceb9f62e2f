"""Planted label errors are found; hard but right labels are not called wrong."""

import numpy as np

from depthwise.inspecting.label_errors import find_label_errors

CLASSES = 5


def clouds(items=1500, spread=1.0, seed=0):
    """Rows (N, 12) around five centres, and which: `spread` says how much they overlap."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, items)
    return rng.normal(size=(CLASSES, 12))[labels] + spread * rng.normal(size=(items, 12)), labels


def planted(labels, share, seed=1):
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(labels)) < share
    given = np.where(wrong, (labels + rng.integers(1, CLASSES, len(labels))) % CLASSES, labels)
    return given, wrong


def test_planted_errors_are_found_and_their_share_is_estimated():
    rows, labels = clouds(spread=0.6)
    given, wrong = planted(labels, 0.05)
    found = find_label_errors(rows.astype(np.float32), given, CLASSES)
    assert wrong[found.flagged].mean() > 0.75
    assert np.isin(np.flatnonzero(wrong), found.flagged).mean() > 0.6
    assert abs(found.rate - wrong.mean()) < 0.02
    right = found.flagged[wrong[found.flagged]]
    assert (found.likely[right] == labels[right]).mean() > 0.9


def test_right_labels_of_classes_that_overlap_are_left_alone():
    rows, labels = clouds(spread=1.5)
    found = find_label_errors(rows.astype(np.float32), labels, CLASSES)
    assert len(found.flagged) <= 0.005 * len(labels)


def test_copies_do_not_vouch_for_one_another():
    rows, labels = clouds(items=400, spread=0.6)
    given = labels.copy()
    given[:8] = (labels[:8] + 1) % CLASSES  # each of them twice
    rows, given = np.concatenate([rows, rows[:8]]), np.concatenate([given, given[:8]])
    groups = np.arange(len(rows))
    groups[400:] = np.arange(8)
    together = find_label_errors(rows.astype(np.float32), given, CLASSES, groups)
    apart = find_label_errors(rows.astype(np.float32), given, CLASSES)
    copies = np.r_[0:8, 400:408]
    assert together.wrong[copies].mean() > apart.wrong[copies].mean() + 0.1


def test_of_too_few_items_or_one_class_nothing_is_said():
    rows, labels = clouds(items=12)
    assert find_label_errors(rows, labels, CLASSES) is None
    rows, labels = clouds(items=60)
    assert find_label_errors(rows, np.zeros_like(labels), CLASSES) is None
