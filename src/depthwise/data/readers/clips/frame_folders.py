"""Clips as folders of frames: run/clip_03/frame_0001.jpg, perhaps below train/ and test/.

Recognised where every picture lies in a folder with a number below a class folder, the pictures of
each such folder are numbered without a gap, and they do look like a film: the first two of a folder
differ by less than half of what those of two folders do. Else `task="video"` says that they are
clips.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.pictures.images import (
    Unreadable,
    is_grey,
    open_picture,
    to_pixels,
    upright_size,
)
from depthwise.data.raw import Raw, part_of
from depthwise.data.readers.clips.clips import assemble, evenly
from depthwise.data.readers.pictures import picture_names, picture_reader, placed, without_wrapper
from depthwise.data.readers.trees.small_texts import stem
from depthwise.data.readers.trees.tree import Tree

__all__ = ["clip_of", "has_frames", "may_be_frames", "read"]

_LOOKED_AT = 8  # clips
_FEWEST = 4  # frames, or a folder of pictures is hardly a clip
_NUMBER = re.compile(r"^(.*?)(\d+)\D*$")
Shape = tuple[int, int, int]


def has_frames(tree: Tree) -> bool:
    """Whether all pictures are numbered frames, in folders below class folders, and look alike."""
    places = {name.rpartition("/")[0] for name in tree.sizes}
    if not any(re.search(r"/.*\d", place) for place in places):
        return False
    folders = _folders(tree)
    return (
        may_be_frames(tree)
        and all(re.search(r"\d", folder.rpartition("/")[2]) for folder in folders)
        and all(_is_numbered(names) for names in folders.values())
        and _looks_like_film(tree, [sorted(names, key=_in_order)[:2] for names in folders.values()])
    )


def may_be_frames(tree: Tree) -> bool:
    """Whether pictures lie in folders below class folders, several in each."""
    folders = _folders(tree)
    paths = without_wrapper([[*folder.split("/"), ""] for folder in folders])
    depths = {len(path) - 1 - (part_of(path[0]) is not None) for path in paths}
    return len(folders) > 1 and min(depths) > 1 and all(len(n) > 1 for n in folders.values())


def _looks_like_film(tree: Tree, beginnings: Sequence[Sequence[str]]) -> bool:
    """Whether the two pictures of each beginning are more alike than those of two beginnings."""
    seen = []
    for two in beginnings[:: max(1, len(beginnings) // _LOOKED_AT)]:
        with suppress(Unreadable):
            seen.append([_thumbnail(tree, name) for name in two])
    if len(seen) < 2:
        return False
    small = np.stack(seen)
    within = np.abs(small[:, 0] - small[:, 1]).mean()
    return bool(within < 0.5 * np.abs(small[1:, 0] - small[:-1, 0]).mean())


def _thumbnail(tree: Tree, name: str) -> np.ndarray:
    """float64 (16, 16) grey"""
    image = open_picture(picture_reader(tree, [name])(0))
    return to_pixels(image, (1, 16, 16))[0].astype(float)


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """A broken frame makes its clip unreadable: what it showed is not known."""
    folders = _folders(tree)
    clips, problems = placed(list(folders))
    frames = [sorted(folders[clip.name], key=_in_order) for clip in clips]

    def look(i: int) -> tuple[tuple[int, int], bool]:
        image = open_picture(picture_reader(tree, frames[i])(0))
        return upright_size(image), is_grey(image)

    def take(i: int, t: int, shape: Shape) -> np.ndarray:
        return _taken(tree, frames[i], t, shape)

    return assemble(tree, clips, look, take, allocate, options, problems)


def clip_of(tree: Tree, t: int, shape: Shape) -> np.ndarray:
    """The pictures of one folder, in the order of their numbers, to uint8 (T, C, H, W), exactly as
    a Dataset has it. Raises Unreadable for a broken frame, or where there are none."""
    names = sorted(picture_names(tree), key=_in_order)
    if not names:
        raise Unreadable("no frames")
    return _taken(tree, names, t, shape)


def _taken(tree: Tree, names: Sequence[str], t: int, shape: Shape) -> np.ndarray:
    """uint8 (T, C, H, W) of these pictures, evenly spaced."""
    read_one, chosen = picture_reader(tree, names), evenly(len(names), t)
    once = {k: _frame(read_one(k), shape, names[k]) for k in set(chosen.tolist())}
    return np.stack([once[k] for k in chosen.tolist()])


def _frame(data: bytes, shape: Shape, name: str) -> np.ndarray:
    try:
        return to_pixels(open_picture(data), shape)
    except Unreadable as error:
        raise Unreadable(f"{stem(name)}: {error}") from None


def _folders(tree: Tree) -> dict[str, list[str]]:
    """The pictures of each folder that has some, without a folder round everything."""
    found = defaultdict(list)
    for name in picture_names(tree):
        found[name.rpartition("/")[0]].append(name)
    return dict(found)


def _is_numbered(names: Sequence[str]) -> bool:
    """Whether the names differ by a running number only."""
    found = [_NUMBER.match(stem(name)) for name in names]
    if len(names) < _FEWEST or not all(found):
        return False
    numbers = sorted(int(match[2]) for match in found if match)
    same = {match[1] for match in found if match}
    return len(same) == 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _in_order(name: str) -> list[tuple[int, str]]:
    """Text by text and number by number, so that 10 comes after 9."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", name)]
