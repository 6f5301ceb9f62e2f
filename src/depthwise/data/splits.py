"""One seeded split into train, validation and test.

Stratified: every class is shared out in the same proportions, and a class of three or more items
is in all three parts where its duplicates allow. Grouped: items with equal `groups` are copies of
one another and stay together, or the test would ask what training has shown. A split that the
data brings is kept; only what is missing is carved out of its training part.

Groups of several items go first, each to the part that is furthest below its target for the
group's class; single items then fill every class to its exact numbers.
"""

import numpy as np

from depthwise.data.dataset import PARTS
from depthwise.data.raw import TEST, TRAIN, VALIDATION
from depthwise.errors import DataError

__all__ = ["split"]


def split(
    labels: np.ndarray,
    groups: np.ndarray | None = None,
    parts: np.ndarray | None = None,
    *,
    seed: int = 0,
    test_fraction: float = 0.15,
    validation_fraction: float = 0.15,
) -> tuple[dict[str, np.ndarray], str]:
    """labels int64 (N,), groups int64 (N,), parts int8 (N,) as brought -> indices, origin.

    Fractions are of the items that are shared out: all of them, or the training part of a split
    that was brought. Raises DataError if a part would be empty.
    """
    codes = np.zeros(len(labels), np.int8) if parts is None else parts.copy()
    brought = set(np.unique(codes).tolist())
    if TRAIN not in brought:
        raise DataError("the data brings no training part; name one folder or array train.")
    fractions = np.array(
        [
            0.0,
            0 if VALIDATION in brought else validation_fraction,
            0 if TEST in brought else test_fraction,
        ]
    )
    if fractions.any():
        pool = np.flatnonzero(codes == TRAIN)
        pool_groups = np.arange(len(pool)) if groups is None else groups[pool]
        codes[pool] = _share_out(labels[pool], pool_groups, fractions, seed)
    indices = {name: np.flatnonzero(codes == part) for part, name in enumerate(PARTS)}
    _require_all(indices, len(labels))
    return indices, _origin(brought, seed, test_fraction, validation_fraction)


def _share_out(
    labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, seed: int
) -> np.ndarray:
    """A part, int8, for each item of the pool."""
    rng = np.random.default_rng(seed)
    missing = _targets(np.bincount(labels), fractions)  # (K, 3) items still wanted
    wanted = missing.copy()
    codes = np.full(len(labels), -1, np.int8)
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    together = np.flatnonzero(sizes[group] > 1)
    for members in _groups_in_random_order(group, together, rng):
        k = int(np.bincount(labels[members]).argmax())
        part = _neediest(missing[k], wanted[k], len(members), fractions)
        codes[members] = part
        np.subtract.at(missing, (labels[members], part), 1)
    single = np.flatnonzero(sizes[group] == 1)
    for k in np.unique(labels[single]):
        _fill(codes, rng.permutation(single[labels[single] == k]), missing[k])
    return codes


def _targets(counts: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """(K, 3) items of each class for each part: rounded, but 1 at least where there are 3 items."""
    targets = np.floor(counts[:, None] * fractions + 0.5).astype(np.int64)
    asked = fractions > 0
    targets[:, asked] = np.maximum(targets[:, asked], 1)
    too_few = counts <= asked.sum()
    targets[too_few] = 0
    targets[:, TRAIN] = 0
    over = np.maximum(targets.sum(axis=1) - np.maximum(counts - 1, 0), 0)
    targets[:, TEST] -= np.minimum(over, targets[:, TEST])
    targets[:, TRAIN] = counts - targets.sum(axis=1)
    return targets


def _groups_in_random_order(
    group: np.ndarray, together: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """The members of every group of several items."""
    if not len(together):
        return []
    ordered = together[np.argsort(group[together], kind="stable")]
    cuts = np.flatnonzero(np.diff(group[ordered])) + 1
    members = np.split(ordered, cuts)
    return [members[i] for i in rng.permutation(len(members))]


def _neediest(missing: np.ndarray, wanted: np.ndarray, size: int, fractions: np.ndarray) -> int:
    """The part for a group: that with the largest share missing, unless the group overfills it.

    A part with nothing at all of the class takes a group that is too large rather than none, as
    long as the training part has had its turn.
    """
    share = np.where(wanted > 0, missing / np.maximum(wanted, 1), -np.inf)
    untouched = (missing == wanted) & (wanted > 0)
    allowed = (missing >= size) | (untouched & (missing[TRAIN] < wanted[TRAIN]))
    allowed[TRAIN] = True
    return int(np.argmax(np.where(allowed, share, -np.inf)))


def _fill(codes: np.ndarray, items: np.ndarray, missing: np.ndarray) -> None:
    """Shares single items of one class, already shuffled, into what each part still lacks."""
    start = 0
    for part in (TEST, VALIDATION):
        take = min(max(0, int(missing[part])), len(items) - start)
        codes[items[start : start + take]] = part
        start += take
    codes[items[start:]] = TRAIN


def _require_all(indices: dict[str, np.ndarray], n: int) -> None:
    empty = [name for name in PARTS if not len(indices[name])]
    if empty:
        raise DataError(
            f"{n:,} items are too few for a split: nothing is left for {' and '.join(empty)}; "
            "bring at least 3 different items of some class."
        )


def _origin(brought: set[int], seed: int, test: float, validation: float) -> str:
    if brought == {TRAIN, VALIDATION, TEST}:
        return "split from the data"
    if TEST in brought:
        return f"test from the data, {validation:.0%} of train carved for validation, seed {seed}"
    if VALIDATION in brought:
        return f"validation from the data, {test:.0%} of train carved for test, seed {seed}"
    rest = 1 - test - validation
    return f"seeded split {100 * rest:.0f}/{100 * validation:.0f}/{100 * test:.0f}, seed {seed}"
