"""Masks: for each picture a second one of the same size that says the class of each pixel.

    images/7.jpg        labels/7.png              also masks/, annotations/, SegmentationClass/
    images/train/7.jpg  labels/train/7.png        folders as the split, on either side
    train/7.png         trainannot/7.png          SegNet's
    train.txt  val.txt  test.txt                  or lists of names

A mask is grey or has a palette (its values are numbers of classes) or is in colours, for which a
list of classes says what they mean: see `mask_classes`. Without a list the classes are called by
their numbers; 255 is IGNORE, but masks of 0 and 255 only are background and foreground. Pictures
are squeezed to one size, their longer side at most 320 pixels; masks follow by nearest neighbour.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from depthwise.data.dataset import IGNORE, Problem
from depthwise.data.decode import Allocate, close_gaps, decode, in_chunks
from depthwise.data.images import Unreadable
from depthwise.data.options import Options
from depthwise.data.raw import Raw
from depthwise.data.readers.boxed import LARGEST
from depthwise.data.readers.mask_classes import MaskClasses, colour_wheel, find_classes
from depthwise.data.readers.mask_files import MaskFile, open_mask
from depthwise.data.readers.pictures import odd_sizes, picture_names, picture_reader, require_most
from depthwise.data.readers.split_lists import split_lists
from depthwise.data.readers.texts import part_in, stem
from depthwise.data.readers.tree import Tree, listed
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
    parts, more = split_lists(tree, [key[-1] for key in keys], "Segmentation")
    keys = [key for key in keys if parts is None or key[-1] in parts]
    if not keys:
        raise DataError(f"{tree.where} holds no picture that has a mask.")
    names = [pictures[key] for key in keys]
    reader = picture_reader(tree, names)
    decoded = decode(len(keys), reader, allocate, options.image_size, options.channels, LARGEST)
    require_most(tree, names, decoded)
    broken = [Problem("unreadable picture", names[i], why) for i, why in decoded.broken.items()]
    kept = [keys[i] for i in decoded.kept.tolist()]
    found = _Masks(tree, [masks[key] for key in kept], decoded.each_size, decoded.pixels.shape[2:])
    kept = [kept[i] for i in found.kept.tolist()]
    names = [pictures[key] for key in kept]
    every = [*tree.problems, *problems, *more, *broken, *found.problems, *odd_sizes(decoded)]
    said = [part_in(pictures[key]) if parts is None else parts[key[-1]] for key in kept]
    return Raw(
        "images",
        close_gaps(decoded.pixels, found.kept),
        np.zeros(len(kept), np.int64),
        found.classes,
        None if all(p is None for p in said) else np.array([p or 0 for p in said], np.int8),
        every,
        names.__getitem__,
        task="segmentation",
        targets=found.masks,
        sizes=decoded.each_size[found.kept],
        palette=found.palette,
    )


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
        (masks if is_mask else pictures)[(*rest, last)] = name
    return pictures, masks


def _is_of_masks(folder: str) -> bool:
    return folder in _MASKS or folder.endswith("annot")


def _lonely(pictures: dict[Key, str], masks: dict[Key, str]) -> list[Problem]:
    found = []
    for kind, ours, others in (
        ("picture without mask", pictures, masks),
        ("mask without picture", masks, pictures),
    ):
        lonely = sorted(ours[key] for key in ours.keys() - others.keys())
        if lonely:
            found.append(Problem(kind, listed(lonely), "left out", len(lonely)))
    return found


# -- what the masks say --------------------------------------------------------------------------


class _Masks:
    """All masks of a set, in one size: `masks` uint8 (N', H, W), the `kept` positions, `classes`,
    `palette` and `problems`."""

    def __init__(self, tree: Tree, names: Sequence[str], sizes: np.ndarray, shape: tuple[int, ...]):
        self._table = find_classes(tree)
        values = np.zeros((len(names), *shape), np.uint8)
        seen = np.zeros((len(names), 256), bool)  # at full size: nothing may hide in between
        palettes: list[np.ndarray] = []

        def work(chunk: Sequence[int]) -> dict[int, str]:
            broken = {}
            for i in chunk:
                try:
                    mask = open_mask(_bytes(tree, names[i]), names[i], self._table)
                except Unreadable as error:
                    broken[i] = str(error)
                    continue
                _require_size(mask, names[i], sizes[i])
                seen[i] = np.bincount(mask.values.reshape(-1), minlength=256) > 0
                values[i] = mask.resized(shape[0], shape[1])
                palettes.extend([mask.palette] if mask.palette is not None else [])
            return broken

        found = in_chunks(range(len(names)), work)
        broken = {i: why for chunk in found for i, why in chunk.items()}
        self.problems = [Problem("unreadable mask", names[i], why) for i, why in broken.items()]
        if len(broken) * 2 > len(names):
            raise DataError(
                f"{tree.where}: {len(broken):,} of {len(names):,} masks cannot be read "
                f"({self.problems[0].where}: {self.problems[0].detail}); mend or remove them."
            )
        self.kept = np.setdiff1d(np.arange(len(names)), list(broken)).astype(np.int64)
        table, codes = _meaning(self._table, np.any(seen, axis=0))
        _require_known(codes, seen, names, table)
        self.masks = codes.astype(np.uint8)[close_gaps(values, self.kept)]
        self.classes = [table.names[k] for k in table.kept]
        if self._table is None:
            detail = "no classes.txt, so they are called by their numbers"
            self.problems.append(Problem("no class names", "", detail))
        self.palette = _palette(table, palettes)


def _bytes(tree: Tree, name: str) -> bytes:
    return picture_reader(tree, [name])(0)


def _require_size(mask: MaskFile, name: str, size: np.ndarray) -> None:
    if mask.values.shape != tuple(size):
        height, width = mask.values.shape
        raise DataError(
            f"{name} is {height} x {width} pixels, its picture {size[0]} x {size[1]}; a mask must "
            "be as large as its picture."
        )


def _meaning(table: MaskClasses | None, seen: np.ndarray) -> tuple[MaskClasses, np.ndarray]:
    """The classes and the code (256,) of each value, going by the values seen if nothing says."""
    present = np.flatnonzero(seen).tolist()
    two = table is None or (len(table.names) == 2 and table.values == [0, 1])
    if present == [0, 255] and two:
        names = table.names if table else ["background", "foreground"]
        table = MaskClasses(table.where if table else "", [0, 255], names, None)
    elif table is None:
        most = max((value for value in present if value != IGNORE), default=-1)
        values = list(range(most + 1))
        table = MaskClasses("", values, [str(value) for value in values], None)
    if not table.kept:
        raise DataError("the masks hold no class but what is to be ignored; name some classes.")
    return table, table.codes()


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


def _palette(table: MaskClasses, palettes: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 (K, 3): the colours of the list, else of the files, else made up."""
    if table.colours:
        return np.array([table.colours[k] for k in table.kept], np.uint8)
    values = [table.values[k] for k in table.kept]
    if palettes and max(values) < len(palettes[0]):
        return palettes[0][values]
    return colour_wheel(len(values))
