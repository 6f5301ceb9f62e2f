"""YOLO's text files (Redmon et al. 2016): a .txt a picture, a line a box.

    images/train/7.jpg  labels/train/7.txt  data.yaml        Ultralytics
    train/images/7.jpg  train/labels/7.txt  data.yaml        Roboflow
    7.jpg  7.txt  classes.txt                                labelImg, Darknet

What a line says: see `yolo_lines`. An outline counts as the box round it, keypoints are passed
over. An empty or a missing file is a picture with nothing in it, but where every file is empty the
export has lost its boxes.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from depthwise.data.dataset import Problem
from depthwise.data.options import Options, other_reading
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import Raw
from depthwise.data.readers.boxes.boxed import Annotated, assemble
from depthwise.data.readers.boxes.yolo_lines import (
    Line,
    Long,
    classes_of,
    has_line,
    long_lines,
    named,
    read_lines,
)
from depthwise.data.readers.boxes.yolo_names import class_names, keypoint_shape
from depthwise.data.readers.pictures import picture_names
from depthwise.data.readers.trees.small_texts import part_in, require_one_spelling
from depthwise.data.readers.trees.split_lists import split_lists
from depthwise.data.readers.trees.tree import Tree, left_out

__all__ = ["has_labels", "label_files", "read"]

_LOOKED_AT = 64


def has_labels(tree: Tree) -> bool:
    """Whether a text file with lines of boxes lies where a picture's labels belong: one will do, so
    that an odd file among others is an error about that file."""
    if not any(name.lower().endswith(".txt") for name in tree.sizes):
        return False
    files = [n for n in label_files(picture_names(tree), tree).values() if tree.sizes[n]]
    return any(has_line(tree.head(name)) for name in files[:_LOOKED_AT])


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Read a YOLO data set. Raises DataError for malformed lines, unknown classes and lists that
    disagree."""
    pictures = picture_names(tree)
    labels = label_files(pictures, tree)
    found = {picture: read_lines(tree, name) for picture, name in labels.items()}
    listed = class_names(tree)
    names = classes_of(found, listed)
    problems = _stray(tree, labels)
    if listed is None and all(name.isdigit() for name in names):
        detail = "no data.yaml or classes.txt, so they are called by their numbers"
        problems.append(Problem("no class names", "", detail))
    require_one_spelling(names, "class")
    long = long_lines(found, keypoint_shape(tree), options.readings)
    problems += _told(long)
    items = [
        _annotated(picture, labels.get(picture, picture), found.get(picture, ()), names, long)
        for picture in pictures
    ]
    items, more = _in_parts(tree, items)
    return assemble(
        tree,
        items,
        allocate,
        options,
        "yolo",
        classes=names,
        in_shares=True,
        problems=[*problems, *more],
    )


def _told(long: Long | None) -> list[Problem]:
    """What was made of lines that are longer than a box."""
    if long is None:
        return []
    taken = (
        "a box and keypoints, which are passed over"
        if long.keypoints
        else "outlines; the box round each was taken"
    )
    detail = taken
    if long.open:
        other = ("outlines", "takes the box round all points")
        if not long.keypoints:
            other = ("keypoints", "takes the first four numbers as the box")
        detail = other_reading(f"{taken}, as far as can be seen", "yolo", *other)
    return [Problem("lines longer than a box", "", detail, long.count)]


def _in_parts(tree: Tree, items: list[Annotated]) -> tuple[list[Annotated], list[Problem]]:
    """The pictures with the parts that lists beside them say, where their folders say none."""
    if any(item.part is not None for item in items):
        return items, []
    parts, problems = split_lists(tree, [item.picture for item in items])
    if parts is None:
        return items, problems
    kept = [item for item in items if item.picture in parts]
    for item in kept:
        item.part = parts[item.picture]
    return kept, problems


def _annotated(
    picture: str, where: str, lines: Sequence[Line], names: Sequence[str], long: Long | None
) -> Annotated:
    item = Annotated(picture, where, part_in(picture))
    for line, name in named(lines, names):
        item.add(line.box(long is not None and long.keypoints), name)
    return item


def label_files(pictures: Sequence[str], tree: Tree) -> dict[str, str]:
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


def _stray(tree: Tree, labels: Mapping[str, str]) -> list[Problem]:
    """Label files whose pictures are not there."""
    folders = {name.rpartition("/")[0] for name in labels.values()}
    stray = [
        name
        for name in sorted(set(tree.sizes) - set(labels.values()))
        if name.endswith(".txt")
        and name.rpartition("/")[0] in folders
        and has_line(tree.head(name))
    ]
    return left_out("annotation without picture", stray, "left out")
