"""Checks for inconsistencies in the data, run once before training; each finding is a Problem.

similar names        classes that differ in case or in the form of their Unicode alone
giveaway             a column of a table that alone tells almost every label
few, uneven          a class with under 10 items or boxes; the largest 10 times the smallest
duplicates           the same item twice, exactly or nearly
conflicting labels   the same item under two classes
leakage              the same item in two parts of a split that the data brought
constant             a picture of one single level; a column of one single value
targets              numbers to predict that do not vary, or are far from all others
"""

import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from depthwise.data.dataset import PARTS, Dataset, Problem
from depthwise.data.duplicates import exact_groups, near_groups, same_texts, unite
from depthwise.data.quantities import target_problems
from depthwise.data.raw import Raw
from depthwise.data.readers.trees.tree import listed
from depthwise.data.strata import classes_shown
from depthwise.data.tables.leaks import giveaways
from depthwise.data.targets.box_table import BoxTable
from depthwise.errors import DataError

__all__ = ["check", "examine", "require_usable"]

FEW, UNEVEN = 10, 10
_REPEATS_ARE_NORMAL = 0.5  # share of distinct rows below which a table has few values
_ABOUT_COPIES = ("exact duplicate", "same item in two parts")
_BLOCK_BYTES = 1 << 24


def require_usable(raw: Raw, where: str, wanted: bool = True) -> None:
    """Raises DataError if nothing can be learnt from this: no items, one item, one class where
    labels are wanted."""
    each = " for each of two classes" if raw.classes else ""
    if not len(raw.labels):
        raise DataError(f"{where} holds no items; add some{each}.")
    if len(raw.labels) == 1:
        raise DataError(f"{where} holds one item only; bring several{each}.")
    if (
        raw.task_row.predicts_numbers
        and np.ptp(numbers := np.asarray(raw.targets), axis=0).max() == 0
    ):
        raise DataError(
            f"{where}: all numbers to predict are {numbers.flat[0]:g}; there is nothing to learn. "
            "Give another column with label=."
        )
    if raw.targets is not None:
        return
    present = np.unique(raw.labels)
    if raw.classes and wanted and len(present) < 2:
        raise DataError(
            f"{where} holds one class only ({raw.classes[present[0]]!r}); bring at least two, or "
            "look for strange items among them: --task anomaly (labelled=False)."
        )


def examine(raw: Raw) -> None:
    """Fills in the groups of `raw` and adds what is wrong with it to its problems. Groups that it
    brings stay together too, but are no copies."""
    brought = raw.groups
    exact = same_texts(raw.inputs) if raw.kind == "text" else exact_groups(raw.inputs)
    alike = raw.kind in ("table", "text")
    raw.groups = exact if alike else near_groups(_stills(raw.inputs), exact)
    found = list(_contents(raw, exact))
    if raw.kind == "table" and len(np.unique(exact)) < _REPEATS_ARE_NORMAL * len(exact):
        raw.groups = np.arange(len(exact), dtype=np.int64)
        detail = "repeats are this table's nature; equal rows are spread over all parts"
        repeated = len(exact) - len(np.unique(exact))
        found = [problem for problem in found if problem.kind not in _ABOUT_COPIES]
        found.append(Problem("repeated rows", "", detail, repeated))
    raw.problems = [*raw.problems, *found]
    if brought is not None:
        raw.groups = unite(raw.groups, np.stack([np.arange(len(brought)), brought], axis=1))


def _stills(images_u8: np.ndarray) -> np.ndarray:
    """Images as they are, of clips the middle frame: uint8 (N, C, H, W)."""
    return images_u8 if images_u8.ndim == 4 else images_u8[:, images_u8.shape[1] // 2]


def check(dataset: Dataset) -> list[Problem]:
    """The same checks on a Dataset however it was made, with the split it has now."""
    parts = np.zeros(len(dataset.labels), np.int8)
    for code, part in enumerate(PARTS):
        parts[dataset.indices[part]] = code
    raw = Raw(dataset.kind, dataset.inputs, dataset.labels, dataset.classes, parts)
    raw.task, raw.targets, raw.names = dataset.task, dataset.targets, dataset.names
    raw.columns = dataset.columns
    examine(raw)
    return raw.problems


def _contents(raw: Raw, exact: np.ndarray) -> Iterator[Problem]:
    assert raw.groups is not None
    yield from _class_counts(raw)
    yield from _similar_names(raw.classes)
    if raw.kind == "table" and (raw.classes or raw.task_row.predicts_numbers):
        answers = raw.labels if raw.classes else np.asarray(raw.targets)
        yield from giveaways(raw.columns, raw.inputs, answers, len(raw.classes))
    if raw.task_row.predicts_numbers:
        yield from target_problems(np.asarray(raw.targets), raw.item_name)
    yield from _duplicates(raw, exact)
    yield from _conflicts(raw, raw.groups)
    if raw.parts is not None:
        yield from _leakage(raw, raw.groups, raw.parts)
    if raw.kind != "text":
        yield from _constant(raw)


def _class_counts(raw: Raw) -> Iterator[Problem]:
    if not raw.classes or raw.task_row.asks_about_strangers:  # few pictures of many people
        return
    counts, what = _counts(raw)
    few = [raw.classes[k] for k in np.flatnonzero(counts < FEW)]
    if few:
        yield Problem("few items", listed(few), f"fewer than {FEW} {what} in the class", len(few))
    low, high = int(counts.argmin()), int(counts.argmax())
    if counts[high] >= UNEVEN * max(1, counts[low]):
        yield Problem("uneven classes", "", _uneven(raw.classes, counts, low, high, what))


def _uneven(names: list[str], counts: np.ndarray, low: int, high: int, what: str) -> str:
    """The shares of the most common class and of the rarest."""
    most, fewest = (f"{counts[k] / counts.sum():.1%}" for k in (high, low))
    shares = f"{names[high]} has {counts[high]:,} {what}, {names[low]} {counts[low]:,}"
    return f"{shares} ({most} and {fewest}): accuracy says little" * (what == "items") or shares


def _similar_names(classes: Sequence[str]) -> Iterator[Problem]:
    """Names that differ in case, spaces or the form of their Unicode alone."""
    seen: dict[str, str] = {}
    for name in classes:
        folded = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        other = seen.setdefault(folded, name)
        if other != name:
            detail = "taken as two classes; make them one name if they are one"
            yield Problem("names that differ little", f"{other!r} and {name!r}", detail)


def _counts(raw: Raw) -> tuple[np.ndarray, str]:
    """How much there is of each class (K,), and of what."""
    if isinstance(raw.targets, BoxTable):
        return raw.targets.class_counts(len(raw.classes)), "boxes"
    if raw.targets is not None:
        return classes_shown(raw).sum(axis=0), "images"
    return np.bincount(raw.labels, minlength=len(raw.classes)), "items"


def _duplicates(raw: Raw, exact: np.ndarray) -> Iterator[Problem]:
    assert raw.groups is not None
    everyone = np.arange(len(exact))
    copies = np.flatnonzero(exact != everyone)
    if len(copies):
        yield Problem("exact duplicate", _twins(raw, copies, exact), "the very same", len(copies))
    near = np.flatnonzero((raw.groups != everyone) & (exact == everyone))
    if len(near):
        yield Problem("near duplicate", _twins(raw, near, raw.groups), "almost the same", len(near))


def _conflicts(raw: Raw, groups: np.ndarray) -> Iterator[Problem]:
    mixed = _groups_with_several(groups, raw.labels)
    if len(mixed):
        detail = "one item under several classes"
        yield Problem("conflicting labels", _members(raw, groups, mixed[0]), detail, len(mixed))


def _leakage(raw: Raw, groups: np.ndarray, parts: np.ndarray) -> Iterator[Problem]:
    mixed = _groups_with_several(groups, parts)
    if len(mixed):
        detail = "the data's own split has it on both sides, left as it is"
        where = _members(raw, groups, mixed[0])
        yield Problem("same item in two parts", where, detail, len(mixed))


def _groups_with_several(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The numbers of the groups whose members differ in value."""
    return np.unique(groups[values != values[groups]])


def _constant(raw: Raw) -> Iterator[Problem]:
    if raw.kind == "table":
        with np.errstate(invalid="ignore"):
            columns = np.flatnonzero((raw.inputs == raw.inputs[:1]).all(axis=0))
        of = [column.name for column in raw.columns or () for _ in range(column.width)]
        if of:  # a date may well be of one year
            differ = {name for k, name in enumerate(of) if k not in set(columns.tolist())}
            columns = np.array([k for k in columns if of[k] not in differ], np.int64)
        if len(columns):
            names = dict.fromkeys(of[k] if of else f"feature {k}" for k in columns)
            where = listed([*names])
            yield Problem("constant feature", where, "one value throughout", len(columns))
        return
    flat = np.flatnonzero(np.concatenate([*_flat_pictures(raw.inputs)]))
    if len(flat):
        yield Problem("constant picture", _names(raw, flat), "one single level", len(flat))


def _flat_pictures(images_u8: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, _BLOCK_BYTES // max(1, images_u8[:1].nbytes))
    for start in range(0, len(images_u8), rows):
        block = images_u8[start : start + rows].reshape(len(images_u8[start : start + rows]), -1)
        yield block.min(axis=1) == block.max(axis=1)


def _names(raw: Raw, items: np.ndarray, most: int = 3) -> str:
    names = [raw.item_name(int(i)) for i in items[:most]]
    more = len(items) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")


def _twins(raw: Raw, items: np.ndarray, groups: np.ndarray, most: int = 3) -> str:
    """Items with the first of their group: "b.jpg = a.jpg, d.jpg = c.jpg and 5 more"."""
    shown = [f"{raw.item_name(int(i))} = {raw.item_name(int(groups[i]))}" for i in items[:most]]
    more = len(items) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _members(raw: Raw, groups: np.ndarray, group: int) -> str:
    return _names(raw, np.flatnonzero(groups == group))
