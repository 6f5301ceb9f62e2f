"""Which files a command is asked about: folders are searched, patterns that the shell left are
expanded, and each file stands once for itself.

    a.jpg                the file
    photos/              all files below it of the kind that the model takes; the rest is told of
    "photos/**/*.jpg"    what matches it, where the shell did not expand it

A folder of frames is itself an item of a model of clips. What cannot be had (a folder without
such files, a pattern that nothing matches) is an error in its place, so that the others are
answered.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from depthwise.data.readers.clips.videos import VIDEO_SUFFIXES
from depthwise.data.readers.pictures import picture_names
from depthwise.data.readers.trees.folder import FolderTree
from depthwise.data.readers.trees.tree import listed
from depthwise.errors import DataError, InputError
from depthwise.models.estimator import Estimator

__all__ = ["expanded"]

Tell = Callable[[str], None]
_ARRAYS = frozenset({".npy", ".npz"})
_TABLES = frozenset({".csv", ".tsv"})
_TEXTS = frozenset({".txt", ".csv", ".tsv", ".jsonl"})
_SHOWN = 3  # files that are left out, named


def expanded(
    names: Sequence[str], model: Estimator, tell: Tell = lambda line: None
) -> list[str | InputError]:
    """The files that `names` mean to a model, in their order; an error in the place of a name that
    means none. `tell` is told of what a folder holds beside them."""
    return [file for name in names for file in _meant(name, model, tell)]


def _meant(name: str, model: Estimator, tell: Tell) -> Iterator[str | InputError]:
    if not _is_there(name) and glob.has_magic(name):
        matching = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute one)
        if not matching:
            yield DataError(f"no file matches {name}.")
        for file in matching:
            yield from _of_folder(file, model, tell) if Path(file).is_dir() else [file]
    elif _is_there(name) and Path(name).is_dir():
        yield from _of_folder(name, model, tell)
    else:
        yield name


def _is_there(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long, or with a character that no name has
        return False


def _of_folder(folder: str, model: Estimator, tell: Tell) -> Iterator[str | InputError]:
    """The files below a folder of the first kind that it holds; logs what is left out."""
    try:
        tree = FolderTree(Path(folder))
    except InputError as error:
        yield error
        return
    what, kinds = _kinds(model)
    found = next((names for kind in kinds if (names := kind(tree))), [])
    if not found:
        held = listed(list(tree.sizes), _SHOWN) or "no file"
        yield DataError(f"{folder} holds nothing that {model.family} takes: {what}; only {held}.")
        return
    taken = tuple(found)
    others = [n for n in tree.sizes if n not in set(taken) and not n.startswith(_below(taken))]
    if others:
        files = "1 other file" if len(others) == 1 else f"{len(others):,} other files"
        tell(f"left out of {folder}: {files} ({listed(others, _SHOWN)})")
    for name in taken:
        yield folder if name == "." else str(Path(folder) / name)


def _below(names: Sequence[str]) -> tuple[str, ...]:
    return tuple("" if name == "." else f"{name}/" for name in names)


def _kinds(model: Estimator) -> tuple[str, list[Callable[[FolderTree], list[str]]]]:
    """What the model takes in words, and the kinds of files that are looked for, in this order."""
    axes = len(model.input_shape_)
    if model.input_dtype_ == "int64":
        return "texts, one a line, or tables of them", [partial(_by_suffix, _TEXTS)]
    arrays = partial(_by_suffix, _ARRAYS)
    if axes == 4:
        return "videos, folders of frames, or arrays", [_clips, arrays]
    if axes == 3:
        return "pictures, or arrays", [picture_names, arrays]
    return "tables, or arrays", [partial(_by_suffix, _TABLES), arrays]


def _by_suffix(suffixes: frozenset[str], tree: FolderTree) -> list[str]:
    return [name for name in tree.sizes if PurePosixPath(name).suffix.lower() in suffixes]


def _clips(tree: FolderTree) -> list[str]:
    """Videos, and folders that hold pictures, each a clip; "." is the folder itself."""
    clips = _by_suffix(VIDEO_SUFFIXES, tree)
    frames = {str(PurePosixPath(name).parent) for name in picture_names(tree)}
    return sorted({*clips, *frames})
