"""Clips as strips: each a tall picture with its frames stacked from top to bottom, and a table.

    clips.tsv   clip, label, and perhaps split (train, val, test) and source
    clips/fi001.jpg

How tall a frame is nothing says, so it is looked for: a strip resembles itself most when moved by
one frame. Of all heights f that divide the strip and are 0.4 to 2.5 times its width, with x its
rows, the smallest counts whose

    mean |x[r + f] - x[r]|

is within a tenth of the least. Clips of one source video stay together in a split drawn here.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.pictures.images import (
    Unreadable,
    is_grey,
    open_picture,
    to_pixels,
    upright_size,
)
from depthwise.data.pictures.resize import resized
from depthwise.data.raw import Raw, part_of
from depthwise.data.readers.clips.clips import assemble, evenly
from depthwise.data.readers.pictures import Placed, picture_names, picture_reader
from depthwise.data.readers.trees.path_finder import Asked, PathFinder
from depthwise.data.readers.trees.small_texts import text_of
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.errors import DataError

__all__ = ["frame_height", "has_strips", "read"]

_CLIP, _LABEL, _SPLIT, _SOURCE = "clip", ("label", "class"), ("split", "part"), ("source", "group")
_TALL, _LOOKED_AT, _MOST_FRAMES = 3.0, 16, 1024
_FLATTEST, _STEEPEST = 0.4, 2.5  # height of a frame by its width
_NEAR, _LEVEL = 1.1, 0.5  # as good as the best: a tenth worse, or half a grey level
Shape = tuple[int, int, int]
Row = dict[str, str]


def has_strips(tree: Tree) -> bool:
    """Whether there is a table with clips and labels, and the clips are tall pictures."""
    table = _table(tree)
    if table is None:
        return False
    names = list(_strips(tree, _rows(tree, table), table).values())
    read_one, sizes = picture_reader(tree, names), []
    for i in range(min(_LOOKED_AT, len(names))):
        with suppress(Unreadable):
            sizes.append(upright_size(open_picture(read_one(i))))
    return sum(height >= _TALL * width for height, width in sizes) > len(sizes) / 2


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for strips that are not all of one height and frames that are not found."""
    table = _table(tree)
    if table is None:
        raise DataError(f"{tree.where} holds no table with the columns clip and label.")
    rows = _rows(tree, table)
    strips = _strips(tree, rows, table)
    clips = [_clip(clip, rows[clip], table) for clip in strips]
    names = list(strips.values())
    read_one = picture_reader(tree, names)
    tall, frame = _heights(read_one, len(names), tree.where)

    def look(i: int) -> tuple[tuple[int, int], bool]:
        image = open_picture(read_one(i))
        return (frame, upright_size(image)[1]), is_grey(image)

    def take(i: int, t: int, shape: Shape) -> np.ndarray:
        image = open_picture(read_one(i))
        height, width = upright_size(image)
        if height != tall:
            raise Unreadable(f"{height} pixels tall, the others {tall}")
        strip = to_pixels(image, (shape[0], height, width))  # (C, T h, w)
        frames = strip.reshape(shape[0], height // frame, frame, width).transpose(1, 0, 2, 3)
        return resized(frames[evenly(len(frames), t)], shape[1], shape[2])

    problems = _problems(tree, rows, strips)
    detail = f"each cut into {tall // frame} frames of {frame} pixels' height"
    problems.append(Problem("strips of frames", table, detail, len(strips)))
    raw = assemble(tree, clips, look, take, allocate, options, problems)
    sources = [rows[raw.item_name(i)].get("source", "") for i in range(len(raw.labels))]
    raw.groups = _groups(sources)
    return raw


def frame_height(strips: Sequence[np.ndarray], tall: int) -> int:
    """The height of a frame in grey strips (tall, W), by the rule at the top; `tall` itself where
    nothing fits."""
    width = strips[0].shape[1]
    heights = [tall // t for t in range(_MOST_FRAMES, 1, -1) if tall % t == 0]
    heights = [f for f in heights if _FLATTEST * width <= f <= _STEEPEST * width]
    if not heights:
        return tall
    moved = [float(np.mean([np.abs(x[f:] - x[:-f]).mean() for x in strips])) for f in heights]
    best = min(moved)
    return next(f for f, change in zip(heights, moved) if change <= _NEAR * best + _LEVEL)


def _heights(read_one: Callable[[int], bytes], n: int, where: str) -> tuple[int, int]:
    """The height of the strips and of a frame in them, going by a sample."""
    strips = []
    for i in range(0, n, max(1, n // _LOOKED_AT)):
        try:
            image = open_picture(read_one(i))
            height, width = upright_size(image)
            strips.append(to_pixels(image, (1, height, width))[0].astype(np.float32))
        except Unreadable:
            continue
    shapes = Counter(strip.shape for strip in strips).most_common(1)
    if not shapes:
        raise DataError(f"{where}: none of the first strips can be read; mend or remove them.")
    shape = shapes[0][0]
    same = [strip for strip in strips if strip.shape == shape]
    return shape[0], frame_height(same, shape[0])


def _table(tree: Tree) -> str | None:
    """The table that has a column of clips and one of labels."""
    for name in tree.sizes:
        if name.lower().endswith((".tsv", ".csv")):
            first = tree.head(name).decode("utf-8-sig", "replace").split("\n")[0].lower()
            cells = [cell.strip() for cell in first.split("\t" if "\t" in first else ",")]
            if _CLIP in cells and any(label in cells for label in _LABEL):
                return name
    return None


def _rows(tree: Tree, table: str) -> dict[str, Row]:
    """Clip -> what the table says of it: label, split, source."""
    text = text_of(tree, table)
    separator = "\t" if "\t" in text.split("\n", 1)[0] else ","
    reader = csv.DictReader(
        io.StringIO(text, newline=""), delimiter=separator, quoting=csv.QUOTE_NONE
    )
    reader.fieldnames = [name.strip().lower() for name in reader.fieldnames or []]
    found: dict[str, Row] = {}
    for row in reader:
        if None in row or None in row.values():
            raise DataError(f"{table}, line {reader.line_num} has not as many cells as the first.")
        clip, label = row[_CLIP].strip(), _cell(row, _LABEL)
        if not clip or not label or clip in found:
            raise DataError(f"{table}, line {reader.line_num}: a clip twice, or without a label.")
        found[clip] = {"label": label, "split": _cell(row, _SPLIT), "source": _cell(row, _SOURCE)}
    return found


def _cell(row: Row, names: Sequence[str]) -> str:
    return next((row[name].strip() for name in names if name in row), "")


def _strips(tree: Tree, rows: dict[str, Row], table: str) -> dict[str, str]:
    """Clip -> its picture, for those that have one."""
    finder, asked = PathFinder(picture_names(tree)), {clip: Asked(clip, table) for clip in rows}
    found = finder.find(asked.values())
    return {clip: picture for clip, one in asked.items() if (picture := found[one])}


def _clip(clip: str, row: Row, table: str) -> Placed:
    part = part_of(row["split"]) if row["split"] else None
    if row["split"] and part is None:
        raise DataError(f"{table}: {clip} is in split {row['split']!r}; write train, val or test.")
    return Placed(clip, row["label"], part)


def _groups(sources: Sequence[str]) -> np.ndarray | None:
    """int64 (N,): the first clip of the same source; None if no clip has a source."""
    first: dict[str, int] = {}
    if not any(sources):
        return None
    return np.array([first.setdefault(s, i) if s else i for i, s in enumerate(sources)], np.int64)


def _problems(tree: Tree, rows: dict[str, Row], strips: dict[str, str]) -> list[Problem]:
    absent = sorted(set(rows) - set(strips))
    stray = sorted(set(picture_names(tree)) - set(strips.values()))
    no_picture = "in the table, but there is no such picture; left out"
    return [
        *left_out("missing clip", absent, no_picture),
        *left_out("stray picture", stray, "not in the table, left out"),
    ]
