"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) as published: pickled or binary batches.

    python   data_batch_1..5, test_batch, or train, test: a pickled dict with
             data uint8 (N, 3072), each row 32 x 32 red, then green, then blue,
             and labels, or fine_labels and coarse_labels
    binary   data_batch_1..5.bin, test_batch.bin: N x (label, 3072 pixels);
             train.bin, test.bin: N x (coarse label, fine label, 3072 pixels)

Pickles are read without running anything: see `safe_pickle`.
"""

from pathlib import PurePosixPath
from typing import Any

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.raw import TEST, TRAIN, Raw
from depthwise.data.readers.trees.safe_pickle import loads
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError, InputError

__all__ = ["companions", "has_batches", "parse_binary", "parse_pickle", "read"]

_PIXELS = 3 * 32 * 32
_BATCHES = [f"data_batch_{k}" for k in range(1, 6)]
_PARTS = {**dict.fromkeys([*_BATCHES, "train"], TRAIN), "test_batch": TEST, "test": TEST}
_NAME_FILES = ["batches.meta", "meta", "batches.meta.txt", "fine_label_names.txt"]
_NAME_FILES += ["coarse_label_names.txt"]
_NAME_KEYS = {"labels": "label_names", "fine": "fine_label_names", "coarse": "coarse_label_names"}

Batch = tuple[np.ndarray, dict[str, np.ndarray]]  # pixels (N, 3, 32, 32), labels by kind


def companions(name: str) -> list[str]:
    """Files that may hold the class names of this batch."""
    is_batch = name.removesuffix(".bin") in _PARTS
    return list(_NAME_FILES) if is_batch else []


def has_batches(tree: Tree) -> bool:
    """Whether files are named and begin as CIFAR's batches do."""
    return bool(_batches(tree))


def read(tree: Tree, label: str | None = None) -> Raw:
    """All batches. label: "fine" (default) or "coarse" for CIFAR-100. Raises DataError."""
    found = _batches(tree)
    if not found:
        raise DataError(
            f"{tree.where}: no CIFAR batches (data_batch_1, test_batch, train.bin ...)."
        )
    batches = [_parse(tree, name) for name in found]
    kind = _kind(batches, label, tree.where)
    names, problems = _class_names(tree, kind, batches)
    labels = np.concatenate([kinds[kind] for _, kinds in batches])
    if labels.max(initial=0) >= len(names):
        raise DataError(f"{tree.where}: label {labels.max()} but only {len(names)} class names.")
    parts = np.repeat(
        np.array([_PARTS[_key(name)] for name in found], np.int8), [len(x) for x, _ in batches]
    )
    pixels = np.concatenate([pixels for pixels, _ in batches])
    return Raw("images", pixels, labels, names, parts, [*tree.problems, *problems])


def parse_pickle(data: bytes, where: str) -> Batch:
    """One pickled batch."""
    batch = loads(data, where)
    pixels = batch.get("data") if isinstance(batch, dict) else None
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise DataError(f"{where} is not a CIFAR batch: it has no data array of uint8 rows.")
    if pixels.shape[1] != _PIXELS or not len(pixels):
        raise DataError(f"{where}: data must be (N, {_PIXELS}); got {pixels.shape}.")
    kinds = {"labels": "labels", "fine": "fine_labels", "coarse": "coarse_labels"}
    found = {k: _codes(batch[key], len(pixels), where) for k, key in kinds.items() if key in batch}
    if not found:
        raise DataError(f"{where} has no labels, fine_labels or coarse_labels.")
    return pixels.reshape(-1, 3, 32, 32), found


def parse_binary(data: bytes, kinds: tuple[str, ...], where: str) -> Batch:
    """One binary batch whose rows begin with a label byte for each of `kinds`."""
    width = len(kinds) + _PIXELS
    if not data or len(data) % width:
        raise DataError(
            f"{where}: {len(data):,} bytes are not whole rows of {width:,}; the file is cut off."
        )
    rows = np.frombuffer(data, np.uint8).reshape(-1, width)
    labels = {kind: rows[:, k].astype(np.int64) for k, kind in enumerate(kinds)}
    return rows[:, len(kinds) :].reshape(-1, 3, 32, 32), labels


def _batches(tree: Tree) -> list[str]:
    names = [name for name in tree.sizes if _key(name) in _PARTS and _begins_well(tree, name)]
    return sorted(names, key=lambda name: (_PARTS[_key(name)], name))


def _key(name: str) -> str:
    return PurePosixPath(name).name.removesuffix(".bin")


def _begins_well(tree: Tree, name: str) -> bool:
    if name.endswith(".bin"):
        return tree.sizes[name] > _PIXELS
    head = tree.head(name)
    return head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5")


def _parse(tree: Tree, name: str) -> Batch:
    where, data = f"{tree.where}/{name}", tree.read(name)
    if not name.endswith(".bin"):
        return parse_pickle(data, where)
    hundred = _key(name) in ("train", "test")
    return parse_binary(data, ("coarse", "fine") if hundred else ("labels",), where)


def _codes(values: Any, n: int, where: str) -> np.ndarray:
    try:
        codes = np.asarray(values)
        sound = (
            codes.shape == (n,)
            and codes.dtype.kind in "iu"
            and 0 <= codes.min() <= codes.max() < 10**6
        )
    except (ValueError, TypeError, OverflowError):
        sound = False
    if not sound:
        raise DataError(f"{where}: expected {n:,} labels, whole numbers from 0.")
    return codes.astype(np.int64)


def _kind(batches: list[Batch], label: str | None, where: str) -> str:
    kinds = set.intersection(*(set(labels) for _, labels in batches))
    if not kinds:
        raise DataError(f"{where}: the batches hold different kinds of labels.")
    if label is None:
        return next(kind for kind in ("labels", "fine", "coarse") if kind in kinds)
    if label not in kinds:
        raise InputError(
            f"label is {label!r}; these CIFAR batches have {', '.join(sorted(kinds))}."
        )
    return label


def _class_names(tree: Tree, kind: str, batches: list[Batch]) -> tuple[list[str], list[Problem]]:
    """Class names from the meta file, or numbers without one."""
    for name in tree.sizes:
        base = PurePosixPath(name).name
        if base in ("batches.meta", "meta"):
            meta = loads(tree.read(name), f"{tree.where}/{name}")
            names = meta.get(_NAME_KEYS[kind]) if isinstance(meta, dict) else None
        elif base == ("batches.meta.txt" if kind == "labels" else f"{kind}_label_names.txt"):
            names = tree.read(name).decode("utf-8", "replace").split()
        else:
            continue
        if isinstance(names, list) and names and all(isinstance(n, str) for n in names):
            return names, []
    count = 1 + max(int(labels[kind].max()) for _, labels in batches)
    return [str(k) for k in range(count)], [Problem("no class names", "", "classes are numbered")]
