"""Lines of YOLO's label files, and which of three things their numbers are.

    class  x y w h [confidence]     a box, centre and sides
    class  x y x y x y ...          an outline: 3 points or more round the object
    class  x y w h  x y [v] ...     a box and then keypoints, v their visibility (0, 1 or 2)

The class is a number from 0, also written 0.0, or a name; commas or semicolons may stand between
the numbers. With a `kpt_shape` in data.yaml longer lines are boxes with keypoints. Else they are
where every third number of a keypoint is 0, 1 or 2, or where in all lines, equally long, the points
lie in the box; and outlines otherwise.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from depthwise.data.readers.boxes.boxed import Box
from depthwise.data.readers.boxes.yolo_names import MOST_CLASSES
from depthwise.data.readers.trees.small_texts import number, numbered_lines
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError

__all__ = ["Line", "Long", "classes_of", "has_line", "long_lines", "named", "read_lines"]

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_CLASS = re.compile(r"(\d+)(\.0*)?")
_LARGEST_SHARE = 2.0  # a box may reach over the edge, but these are pixels
_NEAR = 0.02  # by which a box or a point may lie outside, where it is asked whether they fit
_ENOUGH = 5  # lines whose points lie in their boxes, before that is taken for more than chance


@dataclass
class Line:
    """what: file and line, for messages; label: the class as written; numbers: all that follow."""

    what: str
    label: str
    numbers: list[float]

    @property
    def is_long(self) -> bool:
        return len(self.numbers) > 5

    def box(self, keypoints: bool) -> Box:
        """Edges in shares of the picture: of the box, or round the outline."""
        if not self.is_long or keypoints:
            x, y, width, height = self.numbers[:4]
            return x - width / 2, y - height / 2, x + width / 2, y + height / 2
        xs, ys = self.numbers[::2], self.numbers[1::2]
        return min(xs), min(ys), max(xs), max(ys)


@dataclass
class Long:
    """What the longer lines are, how many there are, and whether they may be the other too."""

    keypoints: bool
    count: int
    open: bool


def has_line(head: bytes) -> bool:
    """Whether the first line of a file that begins so is one of these."""
    text = head.decode("utf-8-sig", "replace")
    whole, lines = len(head) < 512, text.split("\n")
    first = next((k for k, line in enumerate(lines) if line.strip()), None)
    if first is None:
        return False
    cells = _cells(lines[first])
    if not whole and first == len(lines) - 1:  # cut off in the middle of a number
        cells = cells[:-1]
    return len(cells) > 4 and all(_NUMBER.fullmatch(cell) for cell in cells[-4:])


def read_lines(tree: Tree, name: str) -> list[Line]:
    """The parsed lines of a label file. Raises DataError with file and line for a malformed one."""
    return [_line(line, f"{name}, line {k}") for k, line in numbered_lines(tree, name)]


def _cells(line: str) -> list[str]:
    """Apart by white space, else by commas or semicolons; "0 0,5 0,5 0,1 0,1" keeps its commas."""
    cells = [cell.rstrip(",;") for cell in line.split()]
    return cells if len(cells) > 4 else [c for c in re.split(r"[\s,;]+", line.strip()) if c]


def _line(line: str, what: str) -> Line:
    cells = _cells(line)
    first = next((k for k, c in enumerate(cells) if k and _NUMBER.fullmatch(c)), len(cells))
    numbered = _CLASS.fullmatch(cells[0])
    label = numbered[1] if numbered else " ".join(cells[: max(1, first)])
    rest = cells[1:] if numbered else cells[max(1, first) :]
    if len(rest) < 4:
        raise DataError(
            f"{what} has {len(rest) + 1} numbers ({line.strip()[:40]!r}); a box is class, x, y, "
            "width, height."
        )
    numbers = [number(cell, what) for cell in rest]
    if max(map(abs, numbers[:4])) > _LARGEST_SHARE:
        raise DataError(
            f"{what}: {' '.join(rest[:4])} are no shares of the picture, 0 to 1; divide pixels by "
            "its width and height."
        )
    return Line(what, label, numbers)


def long_lines(
    found: Mapping[str, Sequence[Line]],
    shape: tuple[int, int] | None,
    asked: Sequence[str] = (),
) -> Long | None:
    """Whether longer lines are keypoints or outlines (see the top); None without longer lines.

    shape: kpt_shape, keypoints and numbers of each. asked: readings that the caller asked for.
    Raises DataError for lines that are neither.
    """
    lines = [line for some in found.values() for line in some if line.is_long]
    if not lines:
        return None
    outlines = all(len(line.numbers) % 2 == 0 for line in lines)
    if "outlines" in asked or "keypoints" in asked:
        keypoints, both = "keypoints" in asked, False
    elif shape is not None:
        keypoints, both = True, False
    else:
        within = all(map(_points_in_box, lines)) and len({len(e.numbers) for e in lines}) == 1
        keypoints = all(map(_has_visibility, lines)) or (within and len(lines) >= _ENOUGH)
        both = outlines and (within or keypoints)
    for line in lines:
        _require_length(line, keypoints, shape)
    return Long(keypoints, len(lines), both)


def _require_length(line: Line, keypoints: bool, shape: tuple[int, int] | None) -> None:
    count = len(line.numbers)
    if keypoints and shape is not None and count != 4 + shape[0] * shape[1]:
        raise DataError(
            f"{line.what} has {count + 1} numbers; kpt_shape {[*shape]} makes "
            f"{5 + shape[0] * shape[1]}: class, box, keypoints."
        )
    if not keypoints and count % 2:
        raise DataError(
            f"{line.what} has {count + 1} numbers; an outline is class and pairs x, y; a box "
            "is class, x, y, width, height."
        )


def _has_visibility(line: Line) -> bool:
    """Whether every third number after the box is a visibility."""
    rest = line.numbers[4:]
    return len(rest) % 3 == 0 and {*rest[2::3]} <= {0.0, 1.0, 2.0}


def _points_in_box(line: Line) -> bool:
    """Whether the box is in the picture and all points, missing ones (0, 0) aside, are in it."""
    left, top, right, bottom = line.box(keypoints=True)
    if len(line.numbers) % 2 or min(left, top) < -_NEAR or max(right, bottom) > 1 + _NEAR:
        return False
    points = [*zip(line.numbers[4::2], line.numbers[5::2])]
    return all(
        (x, y) == (0, 0)
        or (left - _NEAR <= x <= right + _NEAR and top - _NEAR <= y <= bottom + _NEAR)
        for x, y in points
    )


def classes_of(found: Mapping[str, Sequence[Line]], names: Sequence[str] | None) -> list[str]:
    """The class names in order: as listed, else as written or by their numbers.

    Raises DataError for a class that no list knows, and for names and numbers without a list.
    """
    if names is not None:
        return list(names)
    labels = {line.label: line.what for some in found.values() for line in some}
    words = sorted(label for label in labels if not label.isdigit())
    numbers = [int(label[:9]) for label in labels if label.isdigit()]
    if words and numbers:
        what = labels[words[0]]
        raise DataError(
            f"{what} names its class {words[0]!r}, other lines number theirs; add a classes.txt."
        )
    _require_few(labels, numbers)
    return words or [str(k) for k in range(max(numbers, default=-1) + 1)]


def _require_few(labels: Mapping[str, str], numbers: Sequence[int]) -> None:
    if max(numbers, default=0) >= MOST_CLASSES:
        most = next(label for label in labels if int(label[:9]) >= MOST_CLASSES)
        raise DataError(
            f"{labels[most]}: there is no class {most[:20]!r}; classes are a number from 0."
        )


def named(lines: Sequence[Line], names: Sequence[str]) -> Iterator[tuple[Line, str]]:
    """Each line with the name of its class. Raises DataError for a class that is not known."""
    position = {name: name for name in names}
    for line in lines:
        if line.label.isdigit() and int(line.label[:9]) < len(names) and len(line.label) < 10:
            yield line, names[int(line.label)]
        elif line.label in position:
            yield line, line.label
        else:
            raise DataError(
                f"{line.what}: there is no class {line.label[:20]!r}; classes are 0 to "
                f"{len(names) - 1}."
            )
