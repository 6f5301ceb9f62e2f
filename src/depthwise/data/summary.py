"""A Dataset in a few lines: what it is, where from, how split, its classes, what was noticed.

Names come from files: no line break and no terminal code of theirs is passed on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from depthwise.data.problem import Problem
from depthwise.data.tables.column_summary import column_table, label_line
from depthwise.data.tables.columns import Column, label_of
from depthwise.data.targets.face_pairs import Pairs
from depthwise.task import Task

__all__ = ["PARTS", "Summarised", "summary"]

PARTS = ("train", "validation", "test")
_CLASSES_LISTED = 20
_COUNTED = {"boxes": " (boxes)", "mask": " (images with it)"}  # by what an answer is


class Summarised(Protocol):
    """The fields of a Dataset that are read here; dataset.py explains each."""

    inputs: np.ndarray
    columns: list[Column] | None
    missing: list[float] | None
    name: str
    source: str
    kind: str
    task: str
    targets: Any
    classes: list[str]
    indices: dict[str, np.ndarray]
    split_origin: str
    problems: list[Problem]
    pairs: Pairs | None

    @property
    def task_row(self) -> Task: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def n_classes(self) -> int: ...
    @property
    def n_outputs(self) -> int: ...
    @property
    def target_name(self) -> str: ...
    def counts(self) -> dict[str, np.ndarray]: ...
    def part(self, name: str) -> Any: ...


def summary(data: Summarised) -> str:
    """A Dataset in a few lines, the most important first."""
    lines = [f"{data.name}: {_what(data)}"]
    if data.source and data.source != data.name:
        lines.append(f"  source  {data.source}")
    if data.task_row.data:
        lines.append(f"  task    {data.task}")
    if label := label_line(data):
        lines.append(f"  label   {label}")
    sizes = ", ".join(f"{p} {_size(data, p)}" for p in PARTS)
    lines.append(f"  split   {sizes}" + (f" ({data.split_origin})" if data.split_origin else ""))
    if data.classes and not _only_names(data):
        lines += ["", *_class_table(data)]
    if data.task_row.predicts_numbers:
        lines += ["", *_target_table(data)]
    if columns := column_table(data):
        lines += ["", *columns]
    if data.problems:
        lines += ["", "  noticed", *_told(data.problems)]
    return "\n".join(lines)


def _only_names(data: Summarised) -> bool:
    """Whether its classes are many people, of whom a table would say little."""
    return data.task_row.asks_about_strangers and data.n_classes > _CLASSES_LISTED


def _size(data: Summarised, part: str) -> str:
    """Items of a part; of prose its characters."""
    chosen = data.indices[part]
    if data.task_row.continues_text:
        return f"{sum(len(data.inputs[i]) for i in chosen):,}"
    return f"{len(chosen):,}"


def _what(data: Summarised) -> str:
    n, shape = f"{len(data.inputs):,}", data.input_shape
    if data.task_row.continues_text:
        return f"{sum(map(len, data.inputs)):,} characters of text"
    if data.kind == "text":
        return f"{n} {'pairs of sentences' if shape else 'texts'}, {_answers(data)}"
    if data.kind == "table":
        return f"{n} rows of {_plural(shape[0], 'feature')}, {_answers(data)}"
    *frames, c, h, w = shape
    colour = {1: "grey", 3: "RGB"}.get(c, f"{c} channels")
    items = f"clips of {frames[0]} frames" if frames else "images"
    return f"{n} {items} of {h} x {w} pixels, {colour}, {_answers(data)}"


def _answers(data: Summarised) -> str:
    tell = _ANSWERS.get(data.task_row.answer)
    if tell:
        return tell(data)
    if data.classes:
        return _in_classes(data)
    label = label_of(data.columns or [])
    return f"unlabelled (column {_one_line(label)} left out)" if label else "unlabelled"


def _boxes(data: Summarised) -> str:
    boxes = sum(int(counts.sum()) for counts in data.counts().values())
    return f"{boxes:,} boxes in {_plural(data.n_classes, 'class', 'classes')}"


def _masks(data: Summarised) -> str:
    return f"with masks of {_plural(data.n_classes, 'class', 'classes')}"


def _captions(data: Summarised) -> str:
    targets: Any = data.targets
    return f"with {_plural(len(targets.texts), 'caption')}"


def _people(data: Summarised) -> str:
    pairs = data.pairs
    told = f", {len(pairs):,} pairs in {_plural(pairs.n_folds, 'fold')}" if pairs else ""
    return f"of {data.n_classes:,} people{told}"


def _in_classes(data: Summarised) -> str:
    return f"in {_plural(data.n_classes, 'class', 'classes')}"


def _alike(data: Summarised) -> str:
    if data.classes:
        return _in_classes(data)
    scores: Any = data.targets
    return f"how alike they are, {scores.min():g} to {scores.max():g}"


def _numbers(data: Summarised) -> str:
    several = f"{data.n_outputs} numbers" if data.n_outputs > 1 else "a number"
    targets: Any = data.targets
    name = f" ({_one_line(data.target_name)})" if data.target_name else ""
    return f"{several} to predict of each{name}, {targets.min():g} to {targets.max():g}"


_ANSWERS = {  # by what an answer is
    "numbers": _numbers,
    "boxes": _boxes,
    "mask": _masks,
    "person": _people,
    "similarity": _alike,
    "caption": _captions,
}


def _class_table(data: Summarised) -> list[str]:
    counts = data.counts()
    rows: list[tuple[str, ...]] = [("class" + _COUNTED.get(data.task_row.answer, ""), *PARTS)]
    rows += [
        (_one_line(name), *(f"{counts[p][k]:,}" for p in PARTS))
        for k, name in enumerate(data.classes[:_CLASSES_LISTED])
    ]
    lines = ["  " + line for line in _columns(rows)]
    if data.n_classes > _CLASSES_LISTED:
        lines.append(f"  ... and {data.n_classes - _CLASSES_LISTED:,} more classes")
    return lines


def _target_table(data: Summarised) -> Iterable[str]:
    """A line a part, of each target in it: mean, spread and extremes."""
    rows: list[tuple[str, ...]] = [("target", "mean", "std", "smallest", "median", "largest")]
    for part in PARTS:
        columns = data.part(part).y.reshape(len(data.indices[part]), -1).T
        for t, column in enumerate(columns[:_CLASSES_LISTED]):
            name = part if len(columns) == 1 else f"{part} {t + 1}"
            figures = column.mean(), column.std(), column.min(), np.median(column), column.max()
            rows.append((name, *(f"{figure:.5g}" for figure in figures)))
    return ["  " + line for line in _columns(rows)]


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


def _one_line(text: str, width: int = 40) -> str:
    clean = _printable(text)
    return clean if len(clean) <= width else clean[: width - 3] + "..."


def _printable(text: str) -> str:
    return "".join(ch if ch.isprintable() else "?" for ch in text)


def _plural(n: int, word: str, words: str = "") -> str:
    return f"{n:,} {word}" if n == 1 else f"{n:,} {words or word + 's'}"
