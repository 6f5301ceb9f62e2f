"""Lists of class names beside the data, for classes that are only numbers in it.

    classes.txt   cat            a name a line, numbered from 0, or from 1 where the data are
                  0 cat          numbered by the file; CUB's from 1
    likewise class_names.txt, classnames.txt, labels.txt, obj.names

A list is used where every class of the data is a number that it has a name for. One whose names are
those of the data already says nothing new. Any other is left alone, and told.
"""

from __future__ import annotations

import re

from depthwise.data.dataset import Problem
from depthwise.data.raw import Raw
from depthwise.data.readers.trees.small_texts import lines_of
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError

__all__ = ["call_classes", "lists_in"]

_FILES = ("classes.txt", "class_names.txt", "classnames.txt", "labels.txt", "obj.names")
_NUMBERED = re.compile(r"^(\d{1,5})[\s,:]+(\S.*)$")


def lists_in(tree: Tree) -> list[str]:
    """The files that are lists of classes, the likeliest first."""
    last = {name: name.rpartition("/")[2].lower() for name in tree.sizes}
    return [name for file in _FILES for name in tree.sizes if last[name] == file]


def call_classes(tree: Tree, raw: Raw) -> None:
    """Replace numeric class names of `raw` by those of a list file; adds a Problem that names the
    list, or says why it does not fit."""
    names = lists_in(tree)
    if not names or not raw.classes:
        return
    try:
        lines = lines_of(tree, names[0])
    except DataError as error:
        raw.problems.append(Problem("class names", names[0], f"not used: {error}"))
        return
    called, reason = _called(raw.classes, lines)
    if called:
        example = f"class {raw.classes[0]} is {called[0]}"
        raw.classes = called
        raw.problems.append(Problem("class names", names[0], example))
    elif reason:
        raw.problems.append(Problem("class names", names[0], f"not used: {reason}"))


def _called(classes: list[str], lines: list[str]) -> tuple[list[str] | None, str]:
    """The names in the order of the classes, or None and why the list is of no use."""
    found = [_NUMBERED.match(line) for line in lines]
    numbered = bool(lines) and all(found)
    listed = [match[2].strip() if numbered and match else line for match, line in zip(found, lines)]
    if set(classes) <= {*listed, *lines}:
        return None, ""
    if not all(name.isascii() and name.isdigit() for name in classes):
        return None, f"it has no {next(name for name in classes if name not in listed)!r}"
    if len(set(listed)) < len(listed):
        return None, "it names a class twice"
    numbers = [int(name) for name in classes]
    if numbered:
        by_number = {int(match[1]): name for match, name in zip(found, listed) if match}
    else:
        from_one = min(numbers) > 0 and max(numbers) == len(listed)
        by_number = dict(enumerate(listed, int(from_one)))
    missing = [number for number in numbers if number not in by_number]
    if missing:
        return None, f"it has no class {missing[0]}"
    return [by_number[number] for number in numbers], ""
