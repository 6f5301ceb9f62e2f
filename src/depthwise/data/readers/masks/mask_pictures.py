"""Masks: for each picture a second one of the same size that says the class of each pixel.

    images/7.jpg        labels/7.png              also masks/, annotations/, SegmentationClass/
    images/train/7.jpg  labels/train/7.png        folders as the split, on either side
    train/7.png         trainannot/7.png          SegNet's
    train.txt  val.txt  test.txt                  or lists of names

A mask is grey or has a palette (its values are numbers of classes) or is in colours, for which a
list of classes says what they mean: see `mask_classes`; without a list, `mask_levels`. Pictures
are squeezed to one size, their longer side at most 320 pixels; masks follow by nearest neighbour.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from depthwise.data.options import Options, other_reading
from depthwise.data.pictures.decode import Allocate, close_gaps, in_chunks
from depthwise.data.pictures.images import Unreadable
from depthwise.data.pictures.orientation import orientations, turned_values
from depthwise.data.problem import Problem
from depthwise.data.raw import Raw
from depthwise.data.readers.boxes.boxed import LARGEST
from depthwise.data.readers.masks.mask_classes import MaskClasses, colour_wheel, find_classes
from depthwise.data.readers.masks.mask_files import MaskFile, open_mask
from depthwise.data.readers.masks.mask_levels import meaning_of
from depthwise.data.readers.pictures import (
    decode_all,
    odd_sizes,
    picture_names,
    picture_reader,
    require_most,
)
from depthwise.data.readers.trees.small_texts import part_in, stem
from depthwise.data.readers.trees.split_lists import split_lists
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.errors import DataError

__all__ = ["has_masks", "read"]

_IMAGES = ("images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "rgb")
_MASKS = (
    *("labels", "label", "masks", "mask", "annotations", "annotation", "segmentationclass"),
    *("gt", "groundtruth", "ground_truth", "gtfine", "segmentations", "seg"),
)
_INSTANCES = ("segmentationobject", "instances")
_ENDINGS = re.compile(r"[-_](mask|masks|label|labels|gt|l|seg|segmentation|gtfine_labelids)$", re.I)
_ENOUGH = 0.5  # share of masks that must have their picture
Key = tuple[str, ...]


def has_masks(tree: Tree) -> bool:
    """Whether there are a folder of masks and pictures of the same names."""
    folders = {name.rpartition("/")[0].lower() for name in tree.sizes}
    if not any(map(_is_of_masks, {part for folder in folders for part in folder.split("/")})):
        return False
    pictures, masks = _sorted_out(picture_names(tree))
    return bool(masks) and len(set(pictures) & set(masks)) >= _ENOUGH * len(masks)


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for masks of another size than their picture, and for values and colours
    that mean nothing."""
    pictures, masks = _sorted_out(picture_names(tree))
    keys = [key for key in pictures if key in masks]
    problems = _lonely(pictures, masks)
    parts, more = split_lists(tree, [pictures[key] for key in keys], "Segmentation")
    keys = [key for key in keys if parts is None or pictures[key] in parts]
    if not keys:
        raise DataError(f"{tree.where} holds no picture that has a mask.")
    names = [pictures[key] for key in keys]
    reader = picture_reader(tree, names)
    decoded = decode_all(len(keys), reader, allocate, options, LARGEST)
    require_most(tree, names, decoded.broken)
    broken = [Problem("unreadable picture", names[i], why) for i, why in decoded.broken.items()]
    keys = [keys[i] for i in decoded.kept.tolist()]
    answers = [masks[key] for key in keys]
    said = find_classes(tree)
    turns = orientations(tree, [pictures[key] for key in keys])
    turns = turns if "upright" not in options.readings else np.ones_like(turns)
    sized = _Sized(decoded.each_size, turns, "stored" in options.readings)
    looked = _look(tree, answers, sized, decoded.pixels.shape[2:], said)
    table, codes, meant = meaning_of(said, looked.pixels, answers, options.readings)
    _require_known(codes, looked.pixels > 0, answers, table)
    kept = np.setdiff1d(np.arange(len(keys)), list(looked.broken)).astype(np.int64)
    raw = Raw(
        "images",
        close_gaps(decoded.pixels, kept),
        np.zeros(len(kept), np.int64),
        [table.names[k] for k in table.kept],
        task="segmentation",
        targets=codes.astype(np.uint8)[close_gaps(looked.values, kept)],
        sizes=decoded.each_size[kept],
        palette=_palette(table, looked.palettes),
        pixel_range=decoded.levels,
    )
    keys = [keys[i] for i in kept.tolist()]
    raw.names = [pictures[key] for key in keys]
    raw.parts = _parts(
        [part_in(pictures[k]) if parts is None else parts[pictures[k]] for k in keys]
    )
    raw.problems = [*tree.problems, *problems, *more, *broken, *_broken(answers, looked.broken)]
    raw.problems += odd_sizes(decoded)
    raw.problems += [*meant, *_told_of_turns([pictures[key] for key in keys], sized, options)]
    return raw


def _parts(said: Sequence[int | None]) -> np.ndarray | None:
    if all(part is None for part in said):
        return None
    return np.array([part or 0 for part in said], np.int8)


def _broken(names: Sequence[str], broken: dict[int, str]) -> list[Problem]:
    return [Problem("unreadable mask", names[i], broken[i]) for i in sorted(broken)]


# -- which file is the mask of which -------------------------------------------------------------


def _sorted_out(names: Sequence[str]) -> tuple[dict[Key, str], dict[Key, str]]:
    """Pictures and masks, each by what the two have in common."""
    pictures: dict[Key, str] = {}
    masks: dict[Key, str] = {}
    for name in names:
        *folders, _ = PurePosixPath(name).parts
        lower = [folder.lower() for folder in folders]
        if any(folder in _INSTANCES for folder in lower):
            continue
        is_mask = any(map(_is_of_masks, lower))
        rest = [f.removesuffix("annot") for f in lower if f not in (*_IMAGES, *_MASKS)]
        last = _ENDINGS.sub("", stem(name)) if is_mask else stem(name)
        where = masks if is_mask else pictures
        other = where.setdefault((*rest, last), name)
        if other != name:
            what = "mask of one picture" if is_mask else "picture of one mask"
            raise DataError(f"{other} and {name} both may be the {what}; rename or remove one.")
    return pictures, masks


def _is_of_masks(folder: str) -> bool:
    return folder in _MASKS or folder.endswith("annot")


def _lonely(pictures: dict[Key, str], masks: dict[Key, str]) -> list[Problem]:
    bare = sorted(pictures[key] for key in pictures.keys() - masks.keys())
    stray = sorted(masks[key] for key in masks.keys() - pictures.keys())
    return [
        *left_out("picture without mask", bare, "left out"),
        *left_out("mask without picture", stray, "left out"),
    ]


# -- what the masks say --------------------------------------------------------------------------


class _Looked(NamedTuple):
    """values uint8 (N, H, W) as in the files, in one size; pixels int64 (N, 256), how many have
    each value at full size, where nothing hides in between; position -> why a mask is broken;
    palettes by position."""

    values: np.ndarray
    pixels: np.ndarray
    broken: dict[int, str]
    palettes: dict[int, np.ndarray]


class _Sized(NamedTuple):
    """upright int64 (N, 2), sizes of the pictures; turns int64 (N,), EXIF's; stored: whether masks
    as large either way are on the pixels as stored."""

    upright: np.ndarray
    turns: np.ndarray
    stored: bool


def _upright(values: np.ndarray, sized: _Sized, i: int) -> np.ndarray:
    """A mask turned with its picture, if it is as large as the picture is stored."""
    height, width = sized.upright[i].tolist()
    turn = int(sized.turns[i])
    lying = turn >= 5 and values.shape == (width, height) and width != height
    return turned_values(values, turn) if lying or (sized.stored and turn > 1) else values


def _told_of_turns(names: Sequence[str], sized: _Sized, options: Options) -> list[Problem]:
    """Pictures that EXIF turns and whose masks are as large either way."""
    if {"stored", "upright"}.intersection(options.readings):
        return []
    square = sized.upright[:, 0] == sized.upright[:, 1]
    both = np.flatnonzero((sized.turns > 1) & ((sized.turns < 5) | square))
    taken = "mask taken as of the upright picture, which EXIF turns"
    detail = other_reading(taken, "masks", "stored", "takes it as of the pixels as stored")
    return left_out("turned pictures", [names[i] for i in both.tolist()], detail)


def _look(
    tree: Tree,
    names: Sequence[str],
    sized: _Sized,
    shape: tuple[int, ...],
    table: MaskClasses | None,
) -> _Looked:
    """Reads all masks; raises DataError if most are broken or one is of another size than its
    picture."""
    found = _Looked(
        np.zeros((len(names), *shape), np.uint8), np.zeros((len(names), 256), np.int64), {}, {}
    )

    def work(chunk: Sequence[int]) -> None:
        for i in chunk:
            try:
                mask = open_mask(picture_reader(tree, names)(i), names[i], table)
            except Unreadable as error:
                found.broken[i] = str(error)
                continue
            mask.values = _upright(mask.values, sized, i)
            _require_size(mask, names[i], sized.upright[i])
            found.pixels[i] = np.bincount(mask.values.reshape(-1), minlength=256)
            found.values[i] = mask.resized(shape[0], shape[1])
            if mask.palette is not None:
                found.palettes[i] = mask.palette

    in_chunks(range(len(names)), work)
    if len(found.broken) * 2 > len(names):
        first, why = min(found.broken.items())
        raise DataError(
            f"{tree.where}: {len(found.broken):,} of {len(names):,} masks cannot be read "
            f"({names[first]}: {why}); mend or remove them."
        )
    return found


def _require_size(mask: MaskFile, name: str, size: np.ndarray) -> None:
    if mask.values.shape != tuple(size):
        height, width = mask.values.shape
        raise DataError(
            f"{name} is {height} x {width} pixels, its picture {size[0]} x {size[1]}; a mask must "
            "be as large as its picture."
        )


def _require_known(
    codes: np.ndarray, seen: np.ndarray, names: Sequence[str], table: MaskClasses
) -> None:
    unknown = seen & (codes < 0)
    if not unknown.any():
        return
    i = int(np.flatnonzero(unknown.any(axis=1))[0])
    values = Counter(np.nonzero(unknown)[1].tolist())
    value = int(np.flatnonzero(unknown[i])[0])
    raise DataError(
        f"{names[i]} holds the value {value}, which no class has ({len(values)} such values in "
        f"{int(unknown.any(axis=1).sum()):,} masks); {table.where} knows "
        f"{min(table.values)} to {max(table.values)}."
    )


def _palette(table: MaskClasses, palettes: dict[int, np.ndarray]) -> np.ndarray:
    """uint8 (K, 3): the colours of the list, else of the files, else made up."""
    if table.colours:
        return np.array([table.colours[k] for k in table.kept], np.uint8)
    values = [table.values[k] for k in table.kept]
    first = palettes[min(palettes)] if palettes else np.zeros((0, 3), np.uint8)
    if max(values) < len(first):
        return first[values]
    return colour_wheel(len(values))
