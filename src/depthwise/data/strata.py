"""What the split has to share out evenly, and what it must not part.

classification, video     the classes; copies of one another stay together
regression                lots of equal size, from the smallest targets to the largest
captions, similarities    nothing; copies stay together
detection, segmentation   each image counts for the rarest of the classes that it shows, or, where
                          fewer than three do, with the largest lot
faces                     people: whoever is asked about has never been seen, so that a person is in
                          one part only
"""

import numpy as np

from depthwise.data.dataset import IGNORE, PARTS, Problem
from depthwise.data.quantities import bins
from depthwise.data.raw import TEST, TRAIN, VALIDATION, Raw
from depthwise.data.targets.box_table import BoxTable

__all__ = ["classes_shown", "missing_classes", "parts_by_people", "strata"]

_FOLDS_NEEDED = 3


def strata(raw: Raw) -> tuple[np.ndarray, np.ndarray | None]:
    """What `splits.split` takes: the class (N,) and the group (N,) of each item."""
    if raw.task_row.asks_about_strangers:
        return np.zeros_like(raw.labels), raw.labels
    if raw.task_row.predicts_numbers:
        return bins(np.asarray(raw.targets)), raw.groups
    if raw.targets is None or not raw.classes:
        return raw.labels, raw.groups
    shown = classes_shown(raw)
    rarity = np.where(shown, shown.sum(axis=0), len(shown) + 1)
    rarest = rarity.argmin(axis=1) if shown.shape[1] else np.zeros(len(shown), np.int64)
    lots = np.where(shown.any(axis=1), rarest, shown.shape[1])
    sizes = np.bincount(lots)
    return np.where(sizes[lots] < len(PARTS), sizes.argmax(), lots), raw.groups


def classes_shown(raw: Raw) -> np.ndarray:
    """bool (N, K): which classes the boxes or the mask of each image show; kept in `raw.shown`."""
    if raw.shown is None:
        raw.shown = _look(raw)
    return raw.shown


def _look(raw: Raw) -> np.ndarray:
    n, k = len(raw.labels), len(raw.classes)
    shown = np.zeros((n, k), bool)
    if isinstance(raw.targets, BoxTable):
        shown[raw.targets.items, raw.targets.labels] = True
    elif isinstance(raw.targets, np.ndarray):
        for i, mask in enumerate(raw.targets):
            shown[i] = np.bincount(mask.reshape(-1), minlength=IGNORE + 1)[:k] > 0
    return shown


def missing_classes(raw: Raw, indices: dict[str, np.ndarray]) -> list[Problem]:
    """Classes of boxes or masks that one part shows and the training part does not, or that the
    training part shows and another does not."""
    if raw.targets is None or not raw.classes:
        return []
    shown = classes_shown(raw)
    by_part = {part: set(np.flatnonzero(shown[indices[part]].any(axis=0))) for part in PARTS}
    present = set().union(*by_part.values())
    return [
        Problem("class missing from a part", name, f"none in {part}")
        for k, name in enumerate(raw.classes)
        for part in PARTS
        if k in present and k not in by_part[part]
    ]


def parts_by_people(raw: Raw) -> np.ndarray | None:
    """int8 (N,): people of the last fold of the pairs for the test, of the last but one for
    validation, all others to train; None where there are too few folds."""
    if raw.pairs is None or raw.pairs.n_folds < _FOLDS_NEEDED:
        return None
    last = raw.pairs.n_folds - 1
    parts = np.full(len(raw.labels), TRAIN, np.int8)
    parts[np.isin(raw.labels, raw.pairs.people(raw.labels, last - 1))] = VALIDATION
    parts[np.isin(raw.labels, raw.pairs.people(raw.labels, last))] = TEST
    return parts
