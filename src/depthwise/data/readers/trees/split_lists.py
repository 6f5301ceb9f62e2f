"""Lists of pictures in text files, which say what part each is in.

train.txt  val.txt  test.txt            a name a line, with or without folders and suffix
ImageSets/Main/{train,val,test}.txt     Pascal VOC's, for boxes
ImageSets/Segmentation/...              and for masks; trainval counts where there is no train
"""

from collections.abc import Sequence
from pathlib import PurePosixPath

from depthwise.data.dataset import Problem
from depthwise.data.raw import TRAIN, part_of
from depthwise.data.readers.trees.path_finder import Asked, PathFinder
from depthwise.data.readers.trees.small_texts import lines_of, stem
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.errors import DataError

__all__ = ["split_lists"]

_BOTH = "trainval"


def split_lists(
    tree: Tree, pictures: Sequence[str], of: str = "Main"
) -> tuple[dict[str, int] | None, list[Problem]]:
    """The part of each picture that a list names, or None if there are no lists, and what is wrong.

    pictures: their names in the tree. of: which of VOC's folders of lists.
    Raises DataError if a picture is in two lists, or if an entry fits two pictures.
    """
    known, finder = set(pictures), PathFinder(pictures)
    lists = {name: _entries(tree, name, finder) for name in _list_files(tree, of)}
    lists = {name: found for name, found in lists.items() if known.intersection(found)}
    if not lists:
        return None, []
    if any(part_of(stem(name)) == TRAIN for name in lists):
        lists = {name: found for name, found in lists.items() if stem(name).lower() != _BOTH}
    parts: dict[str, int] = {}
    said: dict[str, str] = {}
    for name, found in lists.items():
        part = part_of(stem(name))
        for entry in found:
            if said.setdefault(entry, name) != name:
                raise DataError(
                    f"{entry} is in {said[entry]} and in {name}; a picture has one part only."
                )
            parts[entry] = TRAIN if part is None else part
    return parts, _problems(known, parts)


def _list_files(tree: Tree, of: str) -> list[str]:
    """Text files named after a part; those in the folder asked for, if there are some there."""
    files = [
        name
        for name in tree.sizes
        if name.lower().endswith(".txt")
        and (part_of(stem(name)) is not None or stem(name).lower() == _BOTH)
    ]
    there = [name for name in files if PurePosixPath(name).parent.name == of]
    others = ("main", "segmentation", "layout", "action")
    return there or [n for n in files if PurePosixPath(n).parent.name.lower() not in others]


def _entries(tree: Tree, name: str, finder: PathFinder) -> list[str]:
    """The pictures that a list names, and its entries without a picture: whole lines where they
    match (names may hold spaces), else the first word, with or without suffix."""
    lines = list(dict.fromkeys(lines_of(tree, name)))
    found: dict[str, str] = {}
    for way in (str, _first_word, _without_suffix, lambda line: _without_suffix(_first_word(line))):
        asked = {line: Asked(way(line), name) for line in lines if line not in found}
        meant = finder.find(asked.values())
        found |= {line: picture for line, one in asked.items() if (picture := meant[one])}
    entries = [found.get(line) or stem(_first_word(line)) for line in lines]
    return list(dict.fromkeys(entries))


def _first_word(line: str) -> str:
    return line.split()[0]


def _without_suffix(line: str) -> str:
    return str(PurePosixPath(line.replace("\\", "/")).with_suffix(""))


def _problems(known: set[str], parts: dict[str, int]) -> list[Problem]:
    absent, unlisted = sorted(set(parts) - known), sorted(known - set(parts))
    no_picture = "in a list of the split, but there is no such picture"
    return [
        *left_out("missing picture", absent, no_picture),
        *left_out("unlisted picture", unlisted, "in no list of the split, left out"),
    ]
