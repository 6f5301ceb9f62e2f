"""The noun Dataset: items and what is to be said of them, split once into train, validation, test.

Images are pixel matrices, uint8 (N, C, H, W); clips uint8 (N, T, C, H, W); tables float32 (N, D);
texts str (N,), pairs of them (N, 2).
What is to be said of an item is the affair of the `task`:

    classification   which of the K classes: `labels`        faces   the same, a class is a person
    regression       how much: `targets`, float64 (N,) or (N, T)
    video            the same, of a clip                     text         the same, of a text
    pairs            the same, of two sentences, or how alike they are: `targets` (N,)
    unlabelled       nothing                             language     nothing but what follows
    detection        boxes and their classes: `targets`, a BoxTable
    segmentation     a class for each pixel: `targets`, masks uint8 (N, H, W)
    captions         what a person said of it: `targets`, a CaptionTable

`indices` says which part an item is in, `problems` lists all that reading and checking found.
Without labels there are no classes; labels that nobody gave are 0.
N items, T frames, C channels, H W image, D features, K classes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from depthwise.data.item_names import ItemNames
from depthwise.data.problem import Problem
from depthwise.data.summary import PARTS, summary
from depthwise.data.tables.columns import Column, label_of
from depthwise.data.targets.box_table import BoxTable
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.data.targets.face_pairs import Pairs
from depthwise.errors import InputError
from depthwise.task import DATA_TASKS, Task, data_task_named

__all__ = ["IGNORE", "PARTS", "TASKS", "Dataset", "Problem", "Split", "SplitMarks"]

TASKS = tuple(DATA_TASKS)
IGNORE = 255  # in masks: neither learnt nor scored
_HASH_BYTES = 1 << 24
_ABOUT_LABELS = (
    "few items", "uneven classes", "conflicting labels", "class missing from a part",
    "no class names", "numbers to predict", "numbers as classes", "constant target",
    "target far from the others", "nearly gives the label away", "names that differ little",
)  # fmt: skip


class Split(NamedTuple):
    """One part of a dataset: X as its inputs; y int64 (N,), float64 (N,) or (N, T), a
    BoxTable, masks (N, H, W), or a CaptionTable."""

    X: np.ndarray
    y: Any


class SplitMarks(NamedTuple):
    """SHA-256 (hex) of the training and the test part, and the seed that drew them, if known."""

    train: str
    test: str
    seed: int | None


@dataclass
class Dataset:
    """Items, labelled or not, and their split.

    kind: of the inputs, "images", "video", "table" or "text".
    inputs: images uint8 (N, C, H, W), clips uint8 (N, T, C, H, W), both perhaps a read-only memory
        map; tables float32 (N, D); texts an array of objects (N,), each a str.
    labels: int64 (N,), positions in `classes`; all 0 where `targets` say more or there is nothing.
    indices: int64 positions of "train", "validation" and "test" items.
    groups: int64 (N,), equal for items that are copies of one another; None if not looked for.
    columns: what the columns of a table file became; None for images and arrays.
    seed: of the split; None if it was not drawn by `load`.
    task: one of TASKS.
    targets: a BoxTable of N images (detection) or masks uint8 (N, H, W) of classes and IGNORE
        (segmentation), in pixels of `inputs`; a CaptionTable (captions); float64 (N,) or (N, T) of
        regression, (N,) of pairs that have no classes; None for other tasks.
    sizes: int64 (N, 2), H and W of each image before all were brought to one size, if known.
    palette: uint8 (K, 3), the RGB in which the masks' classes are drawn.
    pairs: of faces, if there is a list of them.
    names: of the items, files or rows, if they have any.
    pixel_range: the levels of pictures of more than 8 bits that became 0 and 255; None of others.
    missing: the share of blank cells of each of `columns` that makes features, else 0.
    """

    name: str
    kind: str
    inputs: np.ndarray
    labels: np.ndarray
    classes: list[str]
    indices: dict[str, np.ndarray]
    split_origin: str = ""
    problems: list[Problem] = field(default_factory=list)
    source: str = ""
    groups: np.ndarray | None = field(default=None, repr=False)
    columns: list[Column] | None = field(default=None, repr=False)
    seed: int | None = None
    task: str = "classification"
    targets: BoxTable | CaptionTable | np.ndarray | None = field(default=None, repr=False)
    sizes: np.ndarray | None = field(default=None, repr=False)
    palette: np.ndarray | None = field(default=None, repr=False)
    pairs: Pairs | None = field(default=None, repr=False)
    names: ItemNames | None = field(default=None, repr=False)
    missing: list[float] | None = field(default=None, repr=False)
    pixel_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.task_row.is_labelled and not self.classes:
            self.task = "unlabelled"

    @property
    def task_row(self) -> Task:
        """What the task is: what an answer is, and what it is scored by."""
        return data_task_named(self.task)

    @property
    def train(self) -> Split:
        return self.part("train")

    @property
    def validation(self) -> Split:
        return self.part("validation")

    @property
    def test(self) -> Split:
        return self.part("test")

    def part(self, name: str) -> Split:
        """A copy of the items of one part, "train", "validation" or "test"."""
        chosen = self.indices[name]
        return Split(np.asarray(self.inputs[chosen]), self._answers(chosen))

    def _answers(self, chosen: np.ndarray) -> Any:
        """The labels or targets of these items."""
        if isinstance(self.targets, BoxTable | CaptionTable):
            return self.targets.take(chosen)
        return self.labels[chosen] if self.targets is None else np.asarray(self.targets[chosen])

    def item_name(self, i: int) -> str:
        """What item i is called: its file within the data, "row 12" of a table, "item 7"."""
        return f"item {i:,}" if self.names is None else self.names[i]

    @property
    def ignore_index(self) -> int | None:
        """The mask value that is neither learnt nor scored; None where there are no masks."""
        return IGNORE if self.task_row.answers_with_masks else None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W) of an image, (T, C, H, W) of a clip, (D,) of a row, or () of a text."""
        return tuple(self.inputs.shape[1:])

    def serves(self, task: str) -> bool:
        """Whether these are data for the task: pictures in classes are also people's faces."""
        if data_task_named(task).from_classes and self.task_row.is_labelled:
            return self.kind == "images"
        return self.task == task

    def require_task(self, *tasks: str) -> None:
        """Raises InputError unless these are data for one of the tasks."""
        if not any(map(self.serves, tasks)):
            raise InputError(
                f"{self.name} is data for {self.task}; this is for {' or '.join(tasks)}: give "
                "other data, or load them with task= or labelled=False."
            )

    @property
    def n_classes(self) -> int:
        """0 where the items have no labels."""
        return len(self.classes)

    @property
    def n_outputs(self) -> int:
        """Answers that a network gives an item: a logit a class, or the numbers to predict."""
        if not self.task_row.predicts_numbers:
            return self.n_classes
        targets = np.asarray(self.targets)
        return 1 if targets.ndim == 1 else int(targets.shape[1])

    @property
    def target_name(self) -> str:
        """What the numbers to predict are called in the table; "" where nobody says."""
        return label_of(self.columns or []) or ""

    def without_labels(self) -> Self:
        """A copy of the dataset without labels, in the same split; itself if it has none."""
        if not self.classes and self.targets is None:
            return self
        kept = [problem for problem in self.problems if problem.kind not in _ABOUT_LABELS]
        return replace(
            self,
            labels=np.zeros_like(self.labels),
            classes=[],
            problems=kept,
            task="unlabelled",
            targets=None,
            palette=None,
            pairs=None,
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of inputs, answers, classes and split: equal only for equal data."""
        digest = hashlib.sha256(f"{self.inputs.dtype}{self.inputs.shape}".encode())
        for block in _blocks(self.inputs):
            digest.update(block)
        digest.update(self.labels.astype("<i8").tobytes())
        digest.update("\0".join(self.classes).encode("utf-8", "surrogatepass"))
        for part in PARTS:
            digest.update(part.encode())
            digest.update(self.indices[part].astype("<i8").tobytes())
        for answers in _target_blocks(self.targets):
            digest.update(answers)
        digest.update(self.pairs.tobytes() if self.pairs else b"")
        return digest.hexdigest()

    def counts(self) -> dict[str, np.ndarray]:
        """Items of each class in each part: part -> int64 (K,); boxes of each class where there
        are boxes, images that show it where there are masks."""
        return {part: self._counted(self.indices[part]) for part in PARTS}

    def _counted(self, chosen: np.ndarray) -> np.ndarray:
        k = self.n_classes
        if isinstance(self.targets, BoxTable):
            return self.targets.take(chosen).class_counts(k)
        if not self.classes or not isinstance(self.targets, np.ndarray):
            return np.bincount(self.labels[chosen], minlength=k)[:k]
        counts = np.zeros(k, np.int64)
        for i in chosen:
            counts += np.bincount(self.targets[i].reshape(-1), minlength=IGNORE + 1)[:k] > 0
        return counts

    @cached_property
    def split_marks(self) -> SplitMarks:
        """By which a model recognises the split that it was trained on."""
        return SplitMarks(self._mark("train"), self._mark("test"), self.seed)

    def _mark(self, part: str) -> str:
        """SHA-256 (hex) of the items and answers of one part, read in blocks."""
        chosen = self.indices[part]
        digest = hashlib.sha256(f"{self.inputs.dtype}{self.input_shape}{len(chosen)}".encode())
        rows = max(1, _HASH_BYTES // max(1, self.inputs[:1].nbytes))
        for start in range(0, len(chosen), rows):
            digest.update(_bytes_of(self.inputs[chosen[start : start + rows]]))
        digest.update(self.labels[chosen].astype("<i8").tobytes())
        digest.update("\0".join(self.classes).encode("utf-8", "surrogatepass"))
        for answers in _target_blocks(self.targets, chosen):
            digest.update(answers)
        return digest.hexdigest()

    def summary(self) -> str:
        """What a person wants to know first, in a few lines."""
        return summary(self)

    def __str__(self) -> str:
        return summary(self)


def _blocks(array: np.ndarray) -> Iterable[bytes | memoryview]:
    """C-ordered bytes of an array in pieces, so that a memory map is never held whole."""
    rows = max(1, _HASH_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield _bytes_of(array[start : start + rows])


def _bytes_of(array: np.ndarray) -> bytes | memoryview:
    """C-ordered; of texts what they say, with the length of each before it."""
    if array.dtype != object:
        return np.ascontiguousarray(array).data
    said = [text.encode("utf-8", "surrogatepass") for text in array.reshape(-1)]
    return b"".join(b"%d " % len(each) + each for each in said)


def _target_blocks(
    targets: BoxTable | CaptionTable | np.ndarray | None, chosen: np.ndarray | None = None
) -> Iterable[bytes]:
    """The bytes of the chosen targets, or of all; empty if there are no targets."""
    if isinstance(targets, BoxTable | CaptionTable):
        yield (targets if chosen is None else targets.take(chosen)).tobytes()
    elif targets is not None:
        rows = np.arange(len(targets)) if chosen is None else chosen
        step = max(1, _HASH_BYTES // max(1, targets[:1].nbytes))
        for start in range(0, len(rows), step):
            yield np.ascontiguousarray(targets[rows[start : start + step]]).tobytes()
