"""What every reader hands over, whatever the format: arrays, labels, and the split it brought."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.item_names import ItemNames
from depthwise.data.tables.columns import Column
from depthwise.data.targets.box_table import BoxTable
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.data.targets.face_pairs import Pairs
from depthwise.errors import DataError
from depthwise.task import Task, data_task_named

__all__ = ["TEST", "TRAIN", "VALIDATION", "Raw", "encode_labels", "part_hinted_at", "part_of"]
__all__ += ["sort_classes", "without_part"]

TRAIN, VALIDATION, TEST = 0, 1, 2
_PART_WORDS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "dev": VALIDATION,
    "trial": VALIDATION,
    "test": TEST,
    "testing": TEST,
    "t10k": TEST,
}
_SAYS_NOTHING = re.compile(r"\d+|(set|data|dataset|split|folder|seg|images?|imgs?|pictures?)\d*$")


@dataclass
class Raw:
    """Items as read, before the split.

    inputs: images uint8 (N, C, H, W), clips uint8 (N, T, C, H, W) or table float32 (N, D), NaN
        only for a blank cell.
    labels: int64 (N,), all 0 and no classes where there are none.
    parts: int8 (N,) of TRAIN, VALIDATION, TEST, or None if none was brought.
    names: of the items ("cats/7.jpg", "row 12"), as a list or as `item_names` keeps them; None
        where they have none, as those of arrays.
    groups: int64 (N,), equal for copies of one another; filled in by the checks.
    columns: what the columns of a table file became, medians still 0; None for all else.
    task, targets, sizes, palette, pairs, pixel_range: as a Dataset has them.
    shown: bool (N, K), which classes the boxes or the mask of an image show; filled in by `strata`.
    """

    kind: str
    inputs: np.ndarray
    labels: np.ndarray
    classes: list[str]
    parts: np.ndarray | None = None
    problems: list[Problem] = field(default_factory=list)
    names: Sequence[str] | ItemNames | None = None
    groups: np.ndarray | None = None
    columns: list[Column] | None = None
    task: str = "classification"
    targets: BoxTable | CaptionTable | np.ndarray | None = None
    sizes: np.ndarray | None = None
    palette: np.ndarray | None = None
    pairs: Pairs | None = None
    shown: np.ndarray | None = None
    pixel_range: tuple[float, float] | None = None

    @property
    def task_row(self) -> Task:
        """As a Dataset has it."""
        return data_task_named(self.task)

    def item_name(self, i: int) -> str:
        """How a message names item i."""
        return f"item {i:,}" if self.names is None else self.names[i]


def part_of(word: str) -> int | None:
    """TRAIN, VALIDATION or TEST for a folder or array name that means one, else None; numbers and
    words that say nothing more ("training_set", "Test Images", "seg_train", "test1") do not matter.
    """
    found = _PART_WORDS.get(word.lower())
    return _part_among(word) if found is None else found


@lru_cache(4096)
def _part_among(word: str) -> int | None:
    tokens = re.findall(r"[a-z0-9]+", word.lower())
    tokens = [_SAYS_NOTHING.sub("", token) or token for token in tokens]
    left = [token for token in tokens if not _SAYS_NOTHING.fullmatch(token)]
    return _PART_WORDS.get(left[0]) if len(left) == 1 else None


def part_hinted_at(word: str) -> int | None:
    """The part whose word is one of those in a name ("flowers_train"); None of none, or several."""
    tokens = re.findall(r"[a-z]+|10k", word.lower())
    parts = {part for token in tokens if (part := part_of(token)) is not None}
    return parts.pop() if len(parts) == 1 else None


def without_part(word: str) -> str:
    """A name without words for parts: "flowers_" of "flowers_train"."""
    pieces = re.split(r"([A-Za-z]+)", word)
    return "".join(piece for piece in pieces if part_of(piece) is None)


def sort_classes(names: Sequence[str]) -> list[str]:
    """Class names in order: by value when all are whole numbers, else alphabetically."""
    distinct = set(names)
    if all(name.isascii() and name.isdigit() for name in distinct):
        return sorted(distinct, key=lambda name: (int(name), name))
    return sorted(distinct)


def encode_labels(values: Any, where: str) -> tuple[np.ndarray, list[str]]:
    """Labels of any kind to int64 (N,) positions in the sorted class names.

    Accepts whole numbers, strings, booleans, a column (N, 1), or one-hot rows (N, K).
    Raises DataError for anything else, for NaN, and for fractions that are no class numbers.
    """
    array = _flat_labels(np.asarray(values), where)
    if array.dtype.kind == "f":
        array = _whole(array, where)
    if array.dtype.kind not in "iubUS":
        raise DataError(f"{where}: labels must be numbers or text; got dtype {array.dtype}.")
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    distinct, labels = np.unique(array, return_inverse=True)
    names = [str(value) for value in distinct.tolist()]
    classes = sort_classes(names)
    position = {name: k for k, name in enumerate(classes)}
    order = np.array([position[name] for name in names], dtype=np.int64)
    return order[labels.reshape(-1)] if len(order) else np.zeros(0, np.int64), classes


def _flat_labels(array: np.ndarray, where: str) -> np.ndarray:
    if array.dtype.kind == "O" and all(isinstance(v, str) for v in array.flat):
        array = array.astype(str)
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "iubf" and array.shape[1] > 1:
        if ((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all():
            return array.argmax(axis=1)
        raise DataError(f"{where}: labels of shape {array.shape} are not one-hot rows; give (N,).")
    if array.ndim != 1:
        raise DataError(f"{where}: labels must be (N,), one for each item; got {array.shape}.")
    return array


def _whole(array: np.ndarray, where: str) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise DataError(
            f"{where}: the label of item {bad[0]:,} is {array[bad[0]]} ({len(bad):,} such labels); "
            "give every item a class or leave the item out."
        )
    if (array == np.round(array)).all():
        if np.abs(array).max(initial=0) > 2**53:
            raise DataError(f"{where}: labels are too large to be class numbers.")
        return array.astype(np.int64)
    raise DataError(
        f"{where}: labels such as {array[array != np.round(array)][0]} are fractions, a quantity "
        "and not a class; leave out task='classification' to predict it, or bin them first."
    )
