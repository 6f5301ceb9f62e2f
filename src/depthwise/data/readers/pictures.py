"""Folders of pictures, one folder a class, with or without train/ val/ test/ above them.

    cats/1.jpg  dogs/2.jpg                     two classes, to be split
    cat.1.jpg   dog.2.jpg                      the same, told by their names
    train/cats/1.jpg  test/dogs/2.jpg          the split is the data's own

Pictures side by side, or in train/ and test/ alone, are items without labels. Lists that number
the pictures may say the split (numbered_split.py).

A single folder round everything is looked through. Deeper folders belong to their class. Pictures
outside a class folder and files that are no pictures are left out and reported.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate, Decoded, decode
from depthwise.data.pictures.images import Unreadable, looks_like_picture
from depthwise.data.problem import Problem
from depthwise.data.raw import Raw, part_hinted_at, part_of, sort_classes, without_part
from depthwise.data.readers.numbered_split import LISTS, numbered_split
from depthwise.data.readers.trees.tree import Tree, left_out, listed
from depthwise.errors import DataError

__all__ = ["PICTURE_SUFFIXES", "odd_sizes", "picture_names", "picture_reader", "read"]
__all__ += [
    "Placed",
    "absent_classes",
    "decode_all",
    "labelled_by_folder",
    "placed",
    "require_every_class",
]
__all__ += ["require_most", "without_wrapper"]

_SUFFIXES = "jpg jpeg jpe jfif png gif bmp webp tif tiff ppm pgm pbm pnm avif heic heif jp2 j2k jpx"
PICTURE_SUFFIXES = frozenset(f".{suffix}" for suffix in re.split(" ", _SUFFIXES))
MAX_PICTURE_BYTES = 1 << 30


@dataclass
class Placed:
    """A file, its class ("" without labels) and its part, if its folders say them."""

    name: str
    class_name: str
    part: int | None = None


def read(
    tree: Tree,
    allocate: Allocate = lambda shape: np.empty(shape, np.uint8),
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    every_class: bool = True,
    known: Sequence[str] = (),
    levels: tuple[float, float] | None = None,
) -> Raw:
    """All pictures in class folders, or side by side where there are none, decoded to one shape
    uint8 (N, C, H, W).

    Raises DataError if there are none, or more than half of them or, where `every_class` counts,
    all of one class are broken. known: files that are no pictures and that are not to be told.
    levels: of deep pictures that become 0 and 255, None to measure.
    """
    names = picture_names(tree)
    pictures, problems = placed(names)
    if listed_parts := _by_lists(tree, pictures):
        pictures = listed_parts
        known = [*known, *(n for n in tree.sizes if n.rpartition("/")[2].lower() in LISTS)]
    problems = [*tree.problems, *_others(tree, [*names, *known]), *problems]
    if not pictures:
        raise DataError(_nothing_found(tree))

    places = [picture.name for picture in pictures]
    read_one = picture_reader(tree, places)
    decoded = decode(len(pictures), read_one, allocate, image_size, channels, levels=levels)
    require_most(tree, places, decoded.broken)
    if every_class:
        require_every_class(tree, pictures, decoded.broken)
    kept = [pictures[i] for i in decoded.kept]
    broken = [Problem("unreadable picture", pictures[i].name, w) for i, w in decoded.broken.items()]
    noticed = [*problems, *broken, *odd_sizes(decoded)]
    raw = labelled_by_folder("images", decoded.pixels, kept, noticed)
    raw.pixel_range = decoded.levels
    return raw


def decode_all(
    n: int,
    read_one: Callable[[int], bytes],
    allocate: Allocate,
    options: Options,
    largest: int | None = None,
) -> Decoded:
    """`decode` with the size, the channels and the levels that the options say."""
    return decode(
        *(n, read_one, allocate, options.image_size, options.channels, largest),
        options.pixel_range,
    )


def picture_names(tree: Tree) -> list[str]:
    """Files that are pictures by their suffix or, without a suffix, by their first bytes."""
    return [name for name in tree.sizes if _is_picture(tree, name)]


def _is_picture(tree: Tree, name: str) -> bool:
    stem, dot, suffix = name[name.rfind("/") + 1 :].rpartition(".")
    suffix = dot + suffix.lower() if stem else ""
    return suffix in PICTURE_SUFFIXES or (not suffix and looks_like_picture(tree.head(name)))


def placed(names: list[str], what: str = "picture") -> tuple[list[Placed], list[Problem]]:
    """Class and part of each picture, from its folders."""
    paths = without_wrapper([name.split("/") for name in names])
    parts = _parts_of_tops(paths)
    if _is_unlabelled(paths, parts):
        if called := _called_by_class(names, paths, parts):
            return called
        return [Placed(n, "", parts.get(path[0])) for n, path in zip(names, paths)], []
    pictures, outside = [], []
    for name, (*folders, _) in zip(names, paths):
        part = parts.get(folders[0]) if folders else None
        below = _below_part(folders) if parts else folders
        if below and not (parts and part is None):
            pictures.append(Placed(name, below[0], part))
        else:
            outside.append(name)
    detail = "outside a class folder, left out"
    return pictures, left_out(f"stray {what}", outside, detail)


_CLASS_AND_NUMBER = re.compile(r"([^\W\d_][^.]*)\.\d+(?=\.[^.]+$|$)")


def _called_by_class(
    names: list[str], paths: list[list[str]], parts: Mapping[str, int]
) -> tuple[list[Placed], list[Problem]] | None:
    """Class and part of pictures that are called "cat.0.jpg", all that lie in one folder; those of
    other folders, called by numbers, are to be asked about."""
    found = [_CLASS_AND_NUMBER.match(path[-1]) for path in paths]
    called = {path[0] for path, match in zip(paths, found) if match and len(path) > 1}
    fitting = [match is not None or path[0] not in called for path, match in zip(paths, found)]
    if len({match[1] for match in found if match}) < 2 or not all(fitting):
        return None
    if not called and not all(found):
        return None
    pictures = [
        Placed(name, match[1], parts.get(path[0]))
        for name, path, match in zip(names, paths, found)
        if match
    ]
    outside = [name for name, match in zip(names, found) if not match]
    parted = {picture.part for picture in pictures}
    if len(parted) == 1:  # of one part only, which is then to be split
        pictures = [replace(picture, part=None) for picture in pictures]
    taken = Problem("classes in names", "", f"the first word of each, as in {pictures[0].name}")
    return pictures, [taken, *left_out("stray picture", outside, "not called by a class, left out")]


def _below_part(folders: list[str]) -> list[str]:
    """The folders below that of the part, which may be there twice ("seg_train/seg_train")."""
    below = folders[1:]
    return below[1:] if below[:1] == folders[:1] else below


def _by_lists(tree: Tree, pictures: Sequence[Placed]) -> list[Placed] | None:
    """The pictures with the parts that lists beside them say, where their folders say none."""
    if not pictures or any(picture.part is not None for picture in pictures):
        return None
    parts = numbered_split(tree, [picture.name for picture in pictures])
    if parts is None:
        return None
    return [replace(picture, part=part) for picture, part in zip(pictures, parts, strict=True)]


def without_wrapper(paths: list[list[str]]) -> list[list[str]]:
    """Drops a top folder that holds everything, as long as folders remain below it."""
    while paths and len({p[0] for p in paths}) == 1 and all(len(p) > 2 for p in paths):
        if part_of(paths[0][0]) is not None:
            break
        paths = [path[1:] for path in paths]
    return paths


def _is_unlabelled(paths: list[list[str]], parts: Mapping[str, int]) -> bool:
    """Whether no folder names a class: all lie side by side, or in train, test and so on."""
    if all(len(path) == 1 for path in paths):
        return True
    return all(len(path) == 2 and path[0] in parts for path in paths)


def _parts_of_tops(paths: list[list[str]]) -> dict[str, int]:
    """The part of each top folder that is one: called train, test and so on, with all that is in
    the tree below or with class folders below; or with such a word in its name, where two of them
    have the same folders below, or all have none and differ in that word only."""
    below: dict[str, set[str]] = {path[0]: set() for path in paths if len(path) > 1}
    for top, *rest in paths:
        if len(rest) > 1:
            below[top].add(rest[0] if rest[0] != top or len(rest) < 3 else rest[1])
    said = {top: part for top in below if (part := part_of(top)) is not None}
    if said and (any(below[top] for top in said) or len(said) == len(below)):
        return said
    hinted = {top: part for top in below if (part := part_hinted_at(top)) is not None}
    if len(set(hinted.values())) < 2:
        return {}
    if len(hinted) == len(below) and not any(below.values()):
        return hinted if len({without_part(top) for top in hinted}) == 1 else {}
    fullest = max(hinted, key=lambda top: len(below[top]))
    alike = {top: p for top, p in hinted.items() if below[top] and below[top] <= below[fullest]}
    return alike if len(set(alike.values())) > 1 else {}


def _others(tree: Tree, pictures: list[str]) -> list[Problem]:
    return left_out("not a picture", sorted(set(tree.sizes) - set(pictures)), "left out")


def _nothing_found(tree: Tree) -> str:
    held = f"holds {len(tree.sizes):,} files but no pictures" if tree.sizes else "is empty"
    return f"{tree.where} {held}; expected one folder of pictures for each class."


def picture_reader(tree: Tree, names: Sequence[str]) -> Callable[[int], bytes]:
    """What `decode` reads the bytes of these files by."""

    def read_one(i: int) -> bytes:
        if tree.sizes[names[i]] > MAX_PICTURE_BYTES:
            raise Unreadable("larger than 1 GiB")
        try:
            return tree.read(names[i])
        except DataError as error:
            raise Unreadable(str(error)) from None

    return read_one


def require_most(
    tree: Tree, names: Sequence[str], broken: Mapping[int, str], what: str = "picture"
) -> None:
    """Raises DataError if what is broken is not the exception any more."""
    if len(broken) * 2 > len(names):
        first = next(iter(broken))
        raise DataError(
            f"{tree.where}: {len(broken):,} of {len(names):,} {what}s cannot be read "
            f"({names[first]}: {broken[first]}); mend or remove them."
        )


def require_every_class(
    tree: Tree, found: Sequence[Placed], broken: Mapping[int, str], what: str = "picture"
) -> None:
    """Raises DataError if a class has lost all its items."""
    left = {item.class_name for i, item in enumerate(found) if i not in broken}
    lost = sorted({item.class_name for item in found} - left)
    if lost:
        first = next(iter(broken))
        example = f"{found[first].name}: {broken[first]}"
        raise DataError(
            f"{tree.where}: no {what} of class {listed(lost)} can be read ({example}); mend them "
            "or remove the folder."
        )


def labelled_by_folder(
    kind: str, pixels: np.ndarray, kept: Sequence[Placed], problems: list[Problem]
) -> Raw:
    """A Raw of `kind`, "images" or "video", with the classes and parts that the folders say."""
    classes = sort_classes([p.class_name for p in kept if p.class_name])
    position = {name: k for k, name in enumerate(classes)}
    labels = np.array([position.get(p.class_name, 0) for p in kept], np.int64)
    parts = None
    if any(p.part is not None for p in kept):
        parts = np.array([p.part or 0 for p in kept], np.int8)
    names = [p.name for p in kept]
    problems = [*problems, *absent_classes([(p.part, p.class_name) for p in kept], classes)]
    return Raw(kind, pixels, labels, classes, parts, problems, names)


def odd_sizes(decoded: Decoded) -> list[Problem]:
    """That the pictures were not of one size, and what became of deep ones."""
    found = []
    if decoded.levels is not None:
        low, high = decoded.levels
        detail = f"levels {low:,g} to {high:,g} brought to 0 to 255, one scale for all"
        found.append(Problem("deep pictures", "", detail, decoded.deep))
    if decoded.cut:
        detail = "only the upper 8 of the 16 bits of a channel are read: few levels come out dark"
        found.append(Problem("deep colour", "", detail, decoded.cut))
    if len(decoded.sizes) < 2:
        return found
    (small, large), shape = (min(decoded.sizes), max(decoded.sizes)), decoded.pixels.shape[2:]
    seen = f"from {small[0]} x {small[1]} to {large[0]} x {large[1]}"
    detail = f"{seen}, brought to {shape[0]} x {shape[1]}"
    return [*found, Problem("different sizes", "", detail, len(decoded.sizes))]


def absent_classes(kept: Sequence[tuple[int | None, str]], classes: list[str]) -> list[Problem]:
    """Of items by part and class: classes that a brought test or validation part lacks, or that
    only it has."""
    seen = Counter(kept)
    parts = {part for part, _ in seen}
    return [
        Problem(
            "class missing from a part", name, f"none in {('train', 'validation', 'test')[part]}"
        )
        for name in classes
        for part in sorted(p for p in parts if p is not None)
        if not seen[part, name]
    ]
