"""YOLO's text files (Redmon et al. 2016): a .txt a picture, a line a box.

    images/train/7.jpg  labels/train/7.txt  data.yaml        Ultralytics
    train/images/7.jpg  train/labels/7.txt  data.yaml        Roboflow
    7.jpg  7.txt  classes.txt                                labelImg, Darknet

A line is "class centre-x centre-y width height", the class a number from 0 and the rest shares of
the picture's width and height; a sixth number (a confidence) is not looked at. An outline, "class
x y x y x y ...", counts as the box round it. An empty or a missing file is a picture with nothing
in it.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from depthwise.data.dataset import Problem
from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import Raw
from depthwise.data.readers.boxes.boxed import Annotated, Box, assemble
from depthwise.data.readers.boxes.yolo_names import MOST_CLASSES, class_names
from depthwise.data.readers.pictures import picture_names
from depthwise.data.readers.trees.split_lists import split_lists
from depthwise.data.readers.trees.texts import lines_of, number, part_in, require_one_spelling, stem
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.errors import DataError

__all__ = ["has_labels", "read"]

_LINE = re.compile(rb"^\s*\d+(\s+-?\d*\.?\d+(e-?\d+)?){4,}\s*$", re.IGNORECASE)
_LOOKED_AT = 64
_LARGEST_SHARE = 2.0  # a box may reach over the edge, but these are pixels


def has_labels(tree: Tree) -> bool:
    """Whether text files with lines as above lie where the pictures' labels belong."""
    if not any(name.lower().endswith(".txt") for name in tree.sizes):
        return False
    files = [n for n in _label_files(picture_names(tree), tree).values() if tree.sizes[n]]
    firsts = [tree.head(name).split(b"\n")[0] for name in files[:_LOOKED_AT]]
    return bool(firsts) and all(_LINE.match(first) for first in firsts)


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for lines that are none, unknown classes, and lists that disagree."""
    pictures = picture_names(tree)
    labels = _label_files(pictures, tree)
    names = class_names(tree)
    found = {picture: list(_boxes(tree, name, names)) for picture, name in labels.items()}
    problems = _stray(tree, labels)
    if names is None:
        most = max((k for rows in found.values() for k, _ in rows), default=-1)
        names = [str(k) for k in range(most + 1)]
        detail = "no data.yaml or classes.txt, so they are called by their numbers"
        problems.append(Problem("no class names", "", detail))
    require_one_spelling(names, "class")
    items = [
        _annotated(picture, labels.get(picture, picture), found.get(picture, ()), names)
        for picture in pictures
    ]
    if all(item.part is None for item in items):
        parts, more = split_lists(tree, [stem(picture) for picture in pictures])
        problems += more
        items = [item for item in items if parts is None or stem(item.picture) in parts]
        for item in items:
            item.part = parts[stem(item.picture)] if parts else None
    return assemble(
        tree,
        items,
        allocate,
        image_size=options.image_size,
        channels=options.channels,
        classes=names,
        in_shares=True,
        problems=problems,
    )


def _annotated(
    picture: str, where: str, rows: Sequence[tuple[int, Box]], names: Sequence[str]
) -> Annotated:
    item = Annotated(picture, where, part_in(picture))
    for k, box in rows:
        item.add(box, names[k])
    return item


def _label_files(pictures: Sequence[str], tree: Tree) -> dict[str, str]:
    """The label file of each picture that has one."""
    found = {}
    for picture in pictures:
        for name in _candidates(picture):
            if name in tree.sizes:
                found[picture] = name
                break
    return found


def _candidates(picture: str) -> Iterator[str]:
    """Where a picture's labels may lie: images/ turned into labels/, or beside it."""
    path = PurePosixPath(picture).with_suffix(".txt")
    folders = list(path.parts)
    for k in range(len(folders) - 2, -1, -1):
        if folders[k].lower() == "images":
            yield "/".join([*folders[:k], "labels", *folders[k + 1 :]])
            break
    yield str(path)


def _stray(tree: Tree, labels: dict[str, str]) -> list[Problem]:
    """Label files whose pictures are not there."""
    folders = {name.rpartition("/")[0] for name in labels.values()}
    stray = [
        name
        for name in sorted(set(tree.sizes) - set(labels.values()))
        if name.endswith(".txt")
        and name.rpartition("/")[0] in folders
        and _LINE.match(tree.head(name).split(b"\n")[0])
    ]
    return left_out("annotation without picture", stray, "left out")


def _boxes(tree: Tree, name: str, names: Sequence[str] | None) -> Iterator[tuple[int, Box]]:
    """Class and box, in shares, of each line."""
    for k, line in enumerate(lines_of(tree, name), 1):
        cells, what = line.split(), f"{name}, line {k}"
        if len(cells) not in (5, 6) and (len(cells) < 7 or len(cells) % 2 == 0):
            raise DataError(
                f"{what} has {len(cells)} numbers; a box is class, x, y, width, height."
            )
        most = MOST_CLASSES if names is None else len(names)
        if not (cells[0].isascii() and cells[0].isdigit()) or int(cells[0][:9]) >= most:
            known = f"0 to {most - 1}" if names else "a number from 0"
            raise DataError(f"{what}: there is no class {cells[0][:20]!r}; classes are {known}.")
        shares = [number(cell, what) for cell in cells[1:]]
        box = _hull(shares) if len(cells) > 6 else _corners(shares[:4])
        if max(map(abs, box)) > _LARGEST_SHARE:
            raise DataError(
                f"{what}: {' '.join(cells[1:5])} are no shares of the picture, 0 to 1; divide "
                "pixels by its width and height."
            )
        yield int(cells[0]), box


def _corners(shares: Sequence[float]) -> Box:
    x, y, width, height = shares
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _hull(shares: Sequence[float]) -> Box:
    return min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2])
