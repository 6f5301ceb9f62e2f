"""Class names of a YOLO data set: data.yaml in its usual forms, classes.txt, obj.names.

Of YAML only what such files use is understood, and anything else about `names` is refused rather
than guessed:

    names: ['cat', "dog", hen]         names:              names:            names: {0: cat, 1: dog}
    nc: 3                                - cat               0: cat
                                         - dog               1: dog
"""

import re
from collections.abc import Iterator, Sequence

from depthwise.data.readers.trees.small_texts import lines_of, text_of
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError

__all__ = ["MOST_CLASSES", "class_names", "keypoint_shape", "names_in_yaml"]

MOST_CLASSES = 10_000
_LISTS = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt")
_KEYPOINTS = re.compile(r"^kpt_shape\s*:\s*\[\s*(\d{1,4})\s*,\s*([23])\s*\]", re.MULTILINE)
_KEY = re.compile(r"^([A-Za-z_]\w*)\s*:\s*(.*)$")
_ENTRY = re.compile(r"^\s+(\d+)\s*:\s*(.+)$")
_ITEM = re.compile(r"^\s*-\s+(.+)$")
_CELL = re.compile(r"""\s*("[^"]*"|'[^']*'|[^,'"\[\]{}]+?)\s*(?:,|$)""")


def class_names(tree: Tree) -> list[str] | None:
    """The names in order, or None if no file says them.

    Raises DataError if two files disagree, or if a data.yaml is not of the forms above.
    """
    said: dict[str, list[str]] = {}
    for name in tree.sizes:
        last = name.rpartition("/")[2].lower()
        if last in _LISTS:
            said[name] = lines_of(tree, name)
        elif last.endswith((".yaml", ".yml")):
            found = names_in_yaml(text_of(tree, name), name)
            said |= {name: found} if found else {}
    if not said:
        return None
    first = next(iter(said))
    for name, names in said.items():
        if names != said[first]:
            k = next((k for k, (a, b) in enumerate(zip(names, said[first])) if a != b), -1)
            what = (
                f"class {k} is {said[first][k]!r} and {names[k]!r}"
                if k >= 0
                else _lengths(said[first], names)
            )
            raise DataError(f"{first} and {name} disagree on the classes ({what}); mend one.")
    _require_sound(said[first], first)
    return said[first]


def keypoint_shape(tree: Tree) -> tuple[int, int] | None:
    """What `kpt_shape` of a data.yaml says: keypoints of a box, and numbers of each (2 or 3)."""
    for name in tree.sizes:
        if name.lower().endswith((".yaml", ".yml")):
            found = _KEYPOINTS.search(text_of(tree, name))
            if found:
                return int(found[1]), int(found[2])
    return None


def names_in_yaml(text: str, where: str) -> list[str] | None:
    """What `names` says, in order; None where there is no such key."""
    lines = [re.sub(r"(^|\s)#.*$", "", line).rstrip() for line in text.splitlines()]
    names, count = None, None
    for k, line in enumerate(lines):
        found = _KEY.match(line)
        if found and found[1] == "names":
            names = _flow(found[2], where) if found[2] else list(_block(lines[k + 1 :], where))
        elif found and found[1] == "nc":
            count = found[2]
    if names is not None and count is not None and count != str(len(names)):
        raise DataError(f"{where} says nc: {count} but has {len(names)} names; mend one.")
    return names


def _block(lines: Sequence[str], where: str) -> Iterator[str]:
    """The entries below `names:`, as far as they go."""
    for k, line in enumerate(line for line in lines if line):
        if _KEY.match(line):
            return
        item, entry = _ITEM.match(line), _ENTRY.match(line)
        if entry and int(entry[1]) == k:
            yield _plain(entry[2], where)
        elif item and not entry:
            yield _plain(item[1], where)
        else:
            raise _odd(line, where)


def _flow(text: str, where: str) -> list[str]:
    """["a", "b"] or {0: a, 1: b}, on one line."""
    inner = text[1:-1].strip().removesuffix(",")
    if text[0] + text[-1] not in ("[]", "{}"):
        raise _odd(text, where)
    cells, at = [], 0
    while at < len(inner):
        found = _CELL.match(inner, at)
        if not found:
            raise _odd(text, where)
        cells.append(found[1])
        at = found.end()
    if text[0] == "[":
        return [_plain(cell, where) for cell in cells]
    pairs = [cell.partition(":") for cell in cells]
    if [key.strip() for key, _, _ in pairs] != [str(k) for k in range(len(pairs))]:
        raise _odd(text, where)
    return [_plain(value.strip(), where) for _, _, value in pairs]


def _plain(value: str, where: str) -> str:
    """A word, perhaps in quotes."""
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    if not value or value[0] in "&*!|>'\"%@`[]{}":
        raise _odd(value, where)
    return value


def _odd(text: str, where: str) -> DataError:
    return DataError(
        f"{where}: names is written as {text.strip()[:40]!r}, which is not understood; write "
        "names: ['a', 'b'], or a line '  0: a' for each class in order."
    )


def _lengths(first: Sequence[str], second: Sequence[str]) -> str:
    return f"{len(first)} classes and {len(second)}"


def _require_sound(names: Sequence[str], where: str) -> None:
    twice = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if len(names) > MOST_CLASSES or twice is not None:
        what = f"class {twice!r} twice" if twice is not None else f"{len(names):,} classes"
        raise DataError(f"{where} names {what}; mend the list.")
