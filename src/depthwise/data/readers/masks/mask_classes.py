"""What the values and the colours of masks mean: a list of classes beside them.

    classes.txt   "Sky"          a name a line, numbered from 0
                  "0 Sky"        numbered by the file, gaps allowed
                  "128 128 128 Sky"  or  "Sky 128 128 128"  or  "Sky,128,128,128"  with its colour
    likewise class_dict.csv, label_colors.txt, labelmap.txt ("Sky:128,128,128::"), labels.txt

A class called void, unlabelled, ignore and the like is no class: its pixels become IGNORE, as do
those of value 255 where no class has that number. The classes that stay are numbered anew, from 0.
"""

import re
from dataclasses import dataclass

import numpy as np

from depthwise.data.dataset import IGNORE
from depthwise.data.readers.trees.small_texts import lines_of, require_one_spelling
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError

__all__ = ["MaskClasses", "colour_wheel", "find_classes"]

_FILES = (
    *("classes.txt", "class_dict.csv", "label_colors.txt", "labelmap.txt", "class_names.txt"),
    *("labels.txt", "classes.csv"),
)
_IGNORED = ("void", "unlabelled", "unlabeled", "ignore", "ignored", "dontcare", "unknown")
_RGB = r"(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})"
_COLOUR_FIRST = re.compile(rf"^{_RGB}[\s,:]+(\D.*)$")
_COLOUR_LAST = re.compile(rf"^(.*\D)[\s,:]+{_RGB}(?:[\s,:].*)?$|^(.*\D):{_RGB}:.*$")
_NUMBERED = re.compile(r"^(\d{1,5})\s*[\s:,]\s*(\S.*)$")
Colour = tuple[int, int, int]


@dataclass
class MaskClasses:
    """The value in the files, the name and perhaps the colour of each class, ignored ones too."""

    where: str
    values: list[int]
    names: list[str]
    colours: list[Colour] | None

    @property
    def kept(self) -> list[int]:
        """Positions of the classes that count."""
        return [k for k, name in enumerate(self.names) if _folded(name) not in _IGNORED]

    def codes(self) -> np.ndarray:
        """int16 (256,): the class, or IGNORE, of each value; -1 of values that mean nothing."""
        codes = np.full(256, -1, np.int16)
        codes[255] = IGNORE
        codes[self.values] = IGNORE
        codes[[self.values[k] for k in self.kept]] = np.arange(len(self.kept))
        return codes


def find_classes(tree: Tree) -> MaskClasses | None:
    """The list of classes of a tree, or None; raises DataError for one that makes no sense."""
    for file in _FILES:
        for name in tree.sizes:
            if name.rpartition("/")[2].lower() == file:
                return _parsed(lines_of(tree, name), name)
    return None


def colour_wheel(k: int) -> np.ndarray:
    """uint8 (K, 3): Pascal VOC's colours, whose bits come from the class's number."""
    numbers, colours = np.arange(k), np.zeros((k, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((numbers >> channel & 1) << (7 - bit)).astype(np.uint8)
        numbers = numbers >> 3
    return colours


def _parsed(lines: list[str], where: str) -> MaskClasses:
    lines = [line for line in lines if not line.startswith("#")]
    if lines and re.fullmatch(r"(name|class)[\s,]+r[\s,]+g[\s,]+b", lines[0].lower()):
        lines = lines[1:]
    rows = [_row(line) for line in lines]
    coloured = [colour for _, _, colour in rows if colour is not None]
    numbered = all(number is not None for number, _, _ in rows)
    if coloured and len(coloured) < len(rows):
        raise DataError(f"{where}: some classes have a colour and some have none; give one to all.")
    values = [
        number if numbered and number is not None else k for k, (number, _, _) in enumerate(rows)
    ]
    names = [name for _, name, _ in rows]
    _require_sound(values, names, coloured, where)
    return MaskClasses(where, values, names, coloured or None)


def _row(line: str) -> tuple[int | None, str, Colour | None]:
    """Number, name and colour of a class, as far as the line says them."""
    colour = None
    if found := _COLOUR_FIRST.match(line):
        colour, line = found.groups()[:3], found[4]
    elif found := _COLOUR_LAST.match(line):
        parts = [part for part in found.groups() if part is not None]
        colour, line = tuple(parts[1:]), parts[0]
    number = None
    if found := _NUMBERED.match(line.strip()):
        number, line = int(found[1]), found[2]
    rgb = (int(colour[0]), int(colour[1]), int(colour[2])) if colour else None
    return number, line.strip(" \t,:"), rgb


def _require_sound(values: list[int], names: list[str], colours: list[Colour], where: str) -> None:
    if not names or not all(names):
        raise DataError(f"{where} names no classes; write one a line.")
    if max(values) > 255 or len(set(values)) < len(values):
        raise DataError(f"{where}: the numbers of the classes must differ and be 0 to 255.")
    if len(set(colours)) < len(colours) or any(max(colour) > 255 for colour in colours):
        raise DataError(f"{where}: the colours of the classes must differ and be 0 to 255.")
    if twice := next((n for k, n in enumerate(names) if n in names[:k]), None):
        raise DataError(f"{where} names class {twice!r} twice; mend the list.")
    require_one_spelling(names, "class")


def _folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())
