"""Faces: a folder of pictures for each person, and optionally a list of pairs to verify.

    Ada_Lovelace/Ada_Lovelace_0001.jpg        person and number of the picture
    pairs.txt                                 LFW's form (Huang et al. 2007), cells apart by tabs:
        10  300                               folds, and pairs of each kind in a fold; may be absent
        Ada_Lovelace  1  3                    the same person: pictures 1 and 3
        Ada_Lovelace  2  Emmy_Noether  1      two people

Without the first line a fold ends where pairs of one person follow pairs of two. Two folders whose
names differ by case or by the form of their Unicode only are refused: one person's pictures would
be taken for two people's, or two people's for one's.
"""

import re
from collections.abc import Sequence

import numpy as np

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import Raw
from depthwise.data.readers import pictures
from depthwise.data.readers.boxes.boxed import told
from depthwise.data.readers.trees.small_texts import lines_of, require_one_spelling, stem
from depthwise.data.readers.trees.tree import Tree
from depthwise.data.targets.face_pairs import Pairs
from depthwise.errors import DataError

__all__ = ["has_pairs", "parse_pairs", "read"]

_LISTS = ("pairs.txt", "pairsdevtest.txt")  # the first that is there
_NUMBER = re.compile(r"(\d+)$")
_PAIR = re.compile(rb"^[^\t\n]+[\t ]+\d+[\t ]+([^\t\n]+[\t ]+)?\d+\s*$")
Line = tuple[tuple[str, int], tuple[str, int]]


def has_pairs(tree: Tree) -> bool:
    """Whether a list of pairs lies beside folders of pictures."""
    name = _list_of(tree)
    lines = tree.head(name).split(b"\n")[:5] if name else []
    return any(map(_PAIR.match, lines)) and bool(pictures.picture_names(tree))


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for people of almost the same name, and for a list that makes no sense."""
    size, channels = options.image_size, options.channels
    lists = [name for name in tree.sizes if _is_list(name)]
    raw = pictures.read(tree, allocate, size, channels, every_class=False, known=lists)
    raw.task = "faces"
    if not raw.classes:
        raise DataError(f"{tree.where} holds no folder of pictures for each person.")
    require_one_spelling(raw.classes, "person")
    if name := _list_of(tree):
        where = {
            (raw.classes[label], int(found[1])): i
            for i, label in enumerate(raw.labels)
            if (found := _NUMBER.search(stem(raw.item_name(i))))
        }
        lines, folds = parse_pairs(lines_of(tree, name), name)
        raw.pairs, absent = _found(lines, folds, where)
        if len(absent) * 2 > len(lines):
            raise DataError(f"{name}: most of its pictures are not there, such as {absent[0]}.")
        raw.problems += told("missing pair", absent, f"no such picture; left out of {name}")
    return raw


def parse_pairs(lines: Sequence[str], where: str) -> tuple[list[Line], np.ndarray]:
    """The two (person, number) of each pair, and its fold int64 (P,)."""
    count = [int(cell) for cell in lines[0].split()] if _is_count(lines) else None
    rows = lines[1:] if count else lines
    found = [_pair(line, f"{where}, line {k + 1 + bool(count)}") for k, line in enumerate(rows)]
    if not count:
        same = np.array([left[0] == right[0] for left, right in found], np.int64)
        return found, np.concatenate([[0], np.cumsum(np.diff(same) == 1)])[: len(found)]
    folds, each = count if len(count) == 2 else (1, count[0])
    if folds < 1 or len(found) != 2 * folds * each:
        raise DataError(
            f"{where} promises {folds} folds of {each} pairs of each kind, {2 * folds * each:,} in "
            f"all, but has {len(found):,}."
        )
    return found, np.repeat(np.arange(folds), 2 * each)


def _is_list(name: str) -> bool:
    last = name.rpartition("/")[2].lower()
    return last.startswith("pairs") and last.endswith(".txt")


def _list_of(tree: Tree) -> str | None:
    names = {
        n.rpartition("/")[2].lower(): n for n in sorted(tree.sizes, reverse=True) if _is_list(n)
    }
    return next((names[name] for name in _LISTS if name in names), None)


def _is_count(lines: Sequence[str]) -> bool:
    cells = lines[0].split() if lines else []
    return len(cells) in (1, 2) and all(cell.isascii() and cell.isdigit() for cell in cells)


def _pair(line: str, where: str) -> Line:
    cells = line.split("\t") if "\t" in line else line.split()
    cells = [cell.strip() for cell in cells]
    numbers = cells[1:] if len(cells) == 3 else cells[1::2]
    if len(cells) not in (3, 4) or not all(n.isascii() and n.isdigit() for n in numbers):
        raise DataError(f"{where}: {line[:60]!r} is no pair; write name, i, j or name, i, name, j.")
    first, second = int(numbers[0]), int(numbers[1])
    return (cells[0], first), (cells[0] if len(cells) == 3 else cells[2], second)


def _found(
    lines: Sequence[Line], folds: np.ndarray, where: dict[tuple[str, int], int]
) -> tuple[Pairs, list[str]]:
    """The pairs by the positions of their pictures, and the pictures that are not there."""
    present = np.array([a in where and b in where for a, b in lines], bool)
    kept = [line for line, there in zip(lines, present) if there]
    absent = [f"{n} {k}" for line in lines for n, k in line if (n, k) not in where]
    left = np.array([where[a] for a, _ in kept], np.int64)
    right = np.array([where[b] for _, b in kept], np.int64)
    same = np.array([a[0] == b[0] for a, b in kept], bool)
    return Pairs(left, right, same, folds[present].astype(np.int64)), list(dict.fromkeys(absent))
