"""The noun Dataset: items, labelled or not, split once into train, validation and test.

Images are pixel matrices, uint8 (N, C, H, W); tables are float32 (N, D). `labels[i]` says which
of the K `classes` item i belongs to, `indices` says which part it is in, and `problems` lists all
that reading and checking found. Without labels there are no classes, and all labels are 0.
N items, C channels, H W image, D features, K classes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from depthwise.data.columns import Column, label_of

__all__ = ["PARTS", "Dataset", "Problem", "Split", "SplitMarks"]

PARTS = ("train", "validation", "test")
_CLASSES_LISTED = 20
_HASH_BYTES = 1 << 24
_ABOUT_LABELS = (
    "few items", "uneven classes", "conflicting labels", "class missing from a part",
    "no class names",
)  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """Something found in the data: what `kind`, `where`, the `detail`, and how many times."""

    kind: str
    where: str
    detail: str
    count: int = 1

    def __str__(self) -> str:
        times = f" ({self.count:,})" if self.count > 1 else ""
        where = f"{self.where}: " if self.where else ""
        return f"{self.kind}{times}: {where}{self.detail}"


class Split(NamedTuple):
    """One part of a dataset: X uint8 (N, C, H, W) or float32 (N, D), y int64 (N,)."""

    X: np.ndarray
    y: np.ndarray


class SplitMarks(NamedTuple):
    """SHA-256 (hex) of the training and the test part, and the seed that drew them, if known."""

    train: str
    test: str
    seed: int | None


@dataclass
class Dataset:
    """Items, labelled or not, and their split.

    inputs: images uint8 (N, C, H, W), perhaps a read-only memory map; tables float32 (N, D).
    labels: int64 (N,), positions in `classes`; all 0 where there are no classes.
    indices: int64 positions of "train", "validation" and "test" items.
    groups: int64 (N,), equal for items that are copies of one another; None if not looked for.
    columns: what the columns of a table file became; None for images and arrays.
    seed: of the split; None if it was not drawn by `load`.
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
        return Split(np.asarray(self.inputs[chosen]), self.labels[chosen])

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W) of an image or (D,) of a row."""
        return tuple(self.inputs.shape[1:])

    @property
    def n_classes(self) -> int:
        """0 where the items have no labels."""
        return len(self.classes)

    def without_labels(self) -> Self:
        """The same items in the same split, labels forgotten; itself where there are none."""
        if not self.classes:
            return self
        kept = [problem for problem in self.problems if problem.kind not in _ABOUT_LABELS]
        return replace(self, labels=np.zeros_like(self.labels), classes=[], problems=kept)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of inputs, labels, classes and split: equal only for equal data."""
        digest = hashlib.sha256(f"{self.inputs.dtype}{self.inputs.shape}".encode())
        for block in _blocks(self.inputs):
            digest.update(block.data)
        digest.update(self.labels.astype("<i8").tobytes())
        digest.update("\0".join(self.classes).encode("utf-8", "surrogatepass"))
        for part in PARTS:
            digest.update(part.encode())
            digest.update(self.indices[part].astype("<i8").tobytes())
        return digest.hexdigest()

    def counts(self) -> dict[str, np.ndarray]:
        """Items of each class in each part: part -> int64 (K,)."""
        k = self.n_classes
        return {p: np.bincount(self.labels[self.indices[p]], minlength=k)[:k] for p in PARTS}

    @cached_property
    def split_marks(self) -> SplitMarks:
        """By which a model recognises the split that it was trained on."""
        return SplitMarks(self._mark("train"), self._mark("test"), self.seed)

    def _mark(self, part: str) -> str:
        """SHA-256 (hex) of the items and labels of one part, read in blocks."""
        chosen = self.indices[part]
        digest = hashlib.sha256(f"{self.inputs.dtype}{self.input_shape}{len(chosen)}".encode())
        rows = max(1, _HASH_BYTES // max(1, self.inputs[:1].nbytes))
        for start in range(0, len(chosen), rows):
            block = self.inputs[chosen[start : start + rows]]
            digest.update(np.ascontiguousarray(block).data)
        digest.update(self.labels[chosen].astype("<i8").tobytes())
        digest.update("\0".join(self.classes).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def summary(self) -> str:
        """What a person wants to know first, in a few lines."""
        lines = [f"{self.name}: {self._what()}"]
        if self.source and self.source != self.name:
            lines.append(f"  source  {self.source}")
        sizes = ", ".join(f"{p} {len(self.indices[p]):,}" for p in PARTS)
        lines.append(
            f"  split   {sizes}" + (f" ({self.split_origin})" if self.split_origin else "")
        )
        if self.classes:
            lines += ["", *self._class_table()]
        if self.problems:
            lines += ["", "  noticed", *_told(self.problems)]
        return "\n".join(lines)

    __str__ = summary

    def _what(self) -> str:
        n = f"{len(self.inputs):,}"
        if self.kind == "images":
            c, h, w = self.input_shape
            colour = {1: "grey", 3: "RGB"}.get(c, f"{c} channels")
            return f"{n} images of {h} x {w} pixels, {colour}, {self._in_classes()}"
        return f"{n} rows of {_plural(self.input_shape[0], 'feature')}, {self._in_classes()}"

    def _in_classes(self) -> str:
        if self.classes:
            return f"in {self.n_classes} classes"
        label = label_of(self.columns or [])
        return f"unlabelled (column {_one_line(label)} left out)" if label else "unlabelled"

    def _class_table(self) -> list[str]:
        counts = self.counts()
        rows: list[tuple[str, ...]] = [("class", *PARTS)]
        rows += [
            (_one_line(name), *(f"{counts[p][k]:,}" for p in PARTS))
            for k, name in enumerate(self.classes[:_CLASSES_LISTED])
        ]
        lines = ["  " + line for line in _columns(rows)]
        if self.n_classes > _CLASSES_LISTED:
            lines.append(f"  ... and {self.n_classes - _CLASSES_LISTED:,} more classes")
        return lines


def _told(problems: list[Problem], most: int = 3) -> Iterable[str]:
    """A line for each kind of problem, with its first few places."""
    for kind in dict.fromkeys(problem.kind for problem in problems):
        same = [problem for problem in problems if problem.kind == kind]
        count = sum(problem.count for problem in same)
        places = [f"{p.where}: {p.detail}" if p.where else p.detail for p in same[:most]]
        rest = f" and {len(same) - most:,} more" if len(same) > most else ""
        times = f" ({count:,})" if count > 1 else ""
        yield f"  - {kind}{times}: {_printable('; '.join(places))}{rest}"


def _columns(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for name, *numbers in rows:
        cells = [number.rjust(width) for number, width in zip(numbers, widths[1:])]
        yield "  ".join([name.ljust(widths[0]), *cells])


def _blocks(array: np.ndarray) -> Iterable[np.ndarray]:
    """C-ordered bytes of an array in pieces, so that a memory map is never held whole."""
    rows = max(1, _HASH_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield np.ascontiguousarray(array[start : start + rows])


def _one_line(text: str, width: int = 40) -> str:
    clean = _printable(text)
    return clean if len(clean) <= width else clean[: width - 3] + "..."


def _printable(text: str) -> str:
    """Names come from files: no line break and no terminal code of theirs is passed on."""
    return "".join(ch if ch.isprintable() else "?" for ch in text)


def _plural(n: int, word: str) -> str:
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"
