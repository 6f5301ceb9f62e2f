"""numpy's .npz and .npy, never with pickles inside.

An archive's arrays are paired by their names: one that says inputs (x, data, images, features)
with one that says labels (y, labels, targets), each perhaps with train, val or test in it, as in
`x_train`, `test_labels`, `valY`. The same names work for a dict of arrays and a folder of .npy.
Inputs without a name that says labels are items without labels; so is a single array.

The .npy header (numpy.lib.format) is only believed once the bytes it promises are there.
"""

import io
import math
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from depthwise.data.raw import TRAIN, Raw, part_of
from depthwise.data.readers import arrays
from depthwise.data.readers.trees.tree import Tree, listed
from depthwise.errors import DataError

__all__ = ["is_npy", "pair", "parse", "read", "read_arrays"]

_MAGIC = b"\x93NUMPY"
_INPUTS = {"x", "xs", "data", "image", "images", "input", "inputs", "features", "pixels", "arr_0"}
_LABELS = {"y", "ys", "label", "labels", "target", "targets", "class", "classes", "arr_1"}
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|t10k|\d+")


def is_npy(head: bytes) -> bool:
    return head.startswith(_MAGIC)


def parse(data: bytes, where: str) -> np.ndarray:
    """The array in a .npy file's bytes, without a copy; raises DataError for objects and lies."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read_header(stream)
    except Exception as error:  # numpy parses a Python literal here; hostile ones raise anything
        reason = str(error).split("\n")[0]
        raise DataError(f"{where} is not a sound npy file ({reason}); save it again.") from None
    if dtype.hasobject or dtype.names or dtype.kind not in "biufUS":
        raise DataError(
            f"{where} holds {dtype}, not plain numbers or text; save it as one numeric dtype "
            "(pickled objects are never opened)."
        )
    start = stream.tell()
    promised, present = math.prod(shape) * dtype.itemsize, len(data) - start
    if promised != present or any(axis < 0 for axis in shape):
        raise DataError(
            f"{where}: the header promises shape {shape}, {promised:,} bytes, but {present:,} "
            "bytes follow; the file is cut off."
        )
    if not promised:
        raise DataError(f"{where} is empty: its shape is {shape}.")
    array = np.frombuffer(data, dtype, offset=start)
    return array.reshape(shape, order="F" if fortran else "C")


def read(tree: Tree, task: str | None = None) -> Raw:
    """All pairs of arrays in the tree; `task` as `arrays.read` has it. Raises DataError when no
    names pair."""
    names = [name for name in tree.sizes if is_npy(tree.head(name))]
    _require_sound(tree, names)
    wanted = {n for pair_ in pair([_stem(n) for n in names], tree.where) for n in pair_[1:] if n}
    found = {
        _stem(n): parse(tree.read(n), f"{tree.where}/{n}") for n in names if _stem(n) in wanted
    }
    raw = read_arrays(found, tree.where, task)
    raw.problems = [*tree.problems, *raw.problems]
    return raw


def _require_sound(tree: Tree, names: list[str]) -> None:
    """That no .npy is damaged in its first bytes: left out it might be the labels."""
    for name in tree.sizes:
        if name.endswith(".npy") and name not in names:
            begin = tree.head(name)[:6].hex(" ") or "nothing"
            raise DataError(
                f"{tree.where}/{name} is not a sound npy file (it begins with {begin}); save it "
                "again, or take it out of the folder."
            )


def read_arrays(named: Mapping[str, Any], where: str, task: str | None = None) -> Raw:
    """A dict of arrays, paired by name; `task` as `arrays.read` has it."""
    pairs = sorted(pair(list(named), where), key=lambda p: (p[0] is not None, p[0] or 0))
    inputs = [arrays.as_array(named[x], f"{where} {x}") for _, x, _ in pairs]
    labels = [arrays.as_array(named[y], f"{where} {y}") for _, _, y in pairs if y is not None]
    for (_, x, y), xs, ys in zip(pairs, inputs, labels):
        arrays.check_labels(ys, f"{where} {y}", task)
        if xs.ndim:
            arrays.require_lengths(len(xs), len(ys), f"{where} {x}")
    if len({(a.shape[1:], a.dtype) for a in inputs}) > 1:
        shapes = ", ".join(f"{x} {a.shape} {a.dtype}" for (_, x, _), a in zip(pairs, inputs))
        raise DataError(f"{where}: the parts disagree about item shape or dtype ({shapes}).")
    codes = _join([_column(y) for y in labels]) if labels else None
    raw = arrays.read(_join(inputs), codes, where, task)
    if len(pairs) > 1 or pairs[0][0] is not None:
        parts = np.array([TRAIN if part is None else part for part, _, _ in pairs], np.int8)
        raw.parts = np.repeat(parts, [len(x) for x in inputs])
    return raw


def pair(names: list[str], where: str) -> list[tuple[int | None, str, str | None]]:
    """(part, name of inputs, name of labels) for all names that pair; of labels None, where no
    name speaks of labels."""
    inputs = {part: name for name in names if (part := _role(name, _INPUTS)) != -1}
    labels = {part: name for name in names if (part := _role(name, _LABELS)) != -1}
    alone = not labels and (bool(inputs) or len(names) == 1)
    if alone and not inputs:
        inputs = {None: names[0]}
    both = [part for part in inputs if alone or part in labels]
    if not both:
        have = listed(names, 8) or "nothing"
        raise DataError(
            f"{where}: no inputs and labels among the arrays ({have}); name them X and y, or "
            "x_train, y_train, x_test, y_test; X alone holds items without labels."
        )
    if None in both and len(both) > 1:
        both.remove(None)
    return [(part, inputs[part], labels.get(part)) for part in both]


def _role(name: str, roles: set[str]) -> int | None:
    """The part (or None) that a name in this role speaks of; -1 if it is not in this role."""
    if name.lower() in roles:
        return None
    words = [word.lower() for word in _WORD.findall(name)]
    parts = [part for word in words if (part := part_of(word)) is not None]
    rest = [word for word in words if part_of(word) is None]
    if len(rest) == 1 and rest[0] in roles and len(parts) <= 1:
        return parts[0] if parts else None
    compact = re.fullmatch(r"(x|y)(train|val|valid|validation|test)", name.lower())
    return part_of(compact[2]) if compact and compact[1] in roles else -1


def _stem(name: str) -> str:
    return PurePosixPath(name).name.removesuffix(".npy")


def _column(labels: np.ndarray) -> np.ndarray:
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _join(pieces: list[np.ndarray]) -> np.ndarray:
    if len({piece.ndim for piece in pieces}) > 1:
        raise DataError("the parts' labels have different numbers of axes; give (N,) in each.")
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
