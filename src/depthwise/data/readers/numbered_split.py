"""The split of pictures that are numbered in a list, as CUB-200 has it (Wah et al. 2011).

images.txt              1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg
train_test_split.txt    1 0                 number of the picture; 1 to train, 0 to test
"""

from __future__ import annotations

from collections.abc import Sequence

from depthwise.data.raw import TEST, TRAIN
from depthwise.data.readers.trees.small_texts import lines_of
from depthwise.data.readers.trees.tree import Tree

__all__ = ["LISTS", "numbered_split"]

LISTS = ("images.txt", "train_test_split.txt", "image_class_labels.txt", "bounding_boxes.txt")


def numbered_split(tree: Tree, pictures: Sequence[str]) -> list[int] | None:
    """The part of each picture; None where the lists are not there or do not name every one."""
    places = {name.rpartition("/")[2].lower(): name for name in tree.sizes}
    if not {"images.txt", "train_test_split.txt"} <= set(places):
        return None
    names = _pairs(lines_of(tree, places["images.txt"]))
    parts = _pairs(lines_of(tree, places["train_test_split.txt"]))
    if not names or not parts or not set(parts.values()) <= {"0", "1"}:
        return None
    said = {name: parts[number] for number, name in names.items() if number in parts}
    found = [said.get(picture) or said.get(_last_two(picture)) for picture in pictures]
    if None in found or len(set(found)) < 2:
        return None
    return [TRAIN if part == "1" else TEST for part in found]


def _pairs(lines: Sequence[str]) -> dict[str, str] | None:
    """number -> what follows it; None where a line is no such pair."""
    cells = [line.split(maxsplit=1) for line in lines]
    if not all(len(cell) == 2 and cell[0].isdecimal() for cell in cells):
        return None
    return {cell[0]: cell[1] for cell in cells}


def _last_two(picture: str) -> str:
    """The folder and the file, as images.txt has them."""
    return "/".join(picture.split("/")[-2:])
