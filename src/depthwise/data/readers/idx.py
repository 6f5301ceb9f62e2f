"""IDX, the format of MNIST (http://yann.lecun.com/exdb/mnist), plain or gzipped.

    bytes 0, 1   zero
    byte 2       type: 8 uint8, 9 int8, 11 int16, 12 int32, 13 float32, 14 float64 (big-endian)
    byte 3       number of axes
    then         the length of each axis, uint32 big-endian, and the items in C order

The header is only believed once the bytes that it promises are there. An images file is paired
with the labels file of the same name ("images-idx3" becomes "labels-idx1"). Images with no labels
file among them are items without labels.
"""

import math
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.raw import TRAIN, Raw, encode_labels, part_of
from depthwise.data.readers import arrays
from depthwise.data.readers.trees.tree import Tree, gunzip, gunzip_head, is_gzip, listed
from depthwise.errors import DataError

__all__ = ["is_idx", "label_file_names", "parse", "read"]

_DTYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def is_idx(head: bytes) -> bool:
    """Whether a file that begins with these bytes is IDX, gzipped or not."""
    if is_gzip(head):
        head = gunzip_head(head)
    return len(head) >= 8 and head[:2] == b"\0\0" and head[2] in _DTYPES and 1 <= head[3] <= 4


def parse(data: bytes, where: str) -> np.ndarray:
    """The array in an IDX file's bytes, without a copy. Raises DataError if the header lies."""
    if is_gzip(data):
        data = gunzip(data, where)
    if not is_idx(data):
        raise DataError(
            f"{where} is not an IDX file: it begins with {data[:4].hex(' ') or 'nothing'}."
        )
    axes, dtype = data[3], np.dtype(_DTYPES[data[2]])
    start = 4 + 4 * axes
    if len(data) < start:
        raise DataError(f"{where} ends inside its IDX header; fetch it again.")
    shape = struct.unpack(f">{axes}I", data[4:start])
    promised, present = math.prod(shape) * dtype.itemsize, len(data) - start
    if promised != present:
        raise DataError(
            f"{where}: the header promises {' x '.join(map(str, shape))} items, {promised:,} "
            f"bytes, but {present:,} bytes follow; the file is cut off or not IDX."
        )
    array = np.frombuffer(data, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("=")) if dtype.itemsize > 1 else array


def label_file_names(images: str) -> list[str]:
    """Names under which the labels of this images file may lie."""
    path = PurePosixPath(images)
    plain = path.name.removesuffix(".gz")
    labels = plain.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    if labels == plain:
        return []
    both = [labels, labels + ".gz"] if not path.name.endswith(".gz") else [labels + ".gz", labels]
    return [str(path.with_name(name)) for name in both]


def read(tree: Tree) -> Raw:
    """All pairs of images and labels, or all images where none has labels beside it; "train",
    "val", "t10k" or "test" in a name say the part."""
    pairs = _pairs(tree)
    with ThreadPoolExecutor() as pool:
        read_pair = lambda pair: _read_pair(tree, *pair)  # noqa: E731
        loaded = list(pool.map(read_pair, pairs))
    where = tree.where
    shapes = {images.shape[1:] for images, _ in loaded}
    if len(shapes) > 1:
        raise DataError(f"{where}: the files disagree about the item shape, {sorted(shapes)}.")
    labels = [y for _, y in loaded if y is not None]
    items = _join([images for images, _ in loaded])
    raw = arrays.read(items, np.concatenate(labels) if labels else None, where)
    parts = [_part(images) for images, _ in pairs]
    raw.parts = np.repeat(np.array(parts, np.int8), [len(images) for images, _ in loaded])
    raw.problems = list(tree.problems)
    if not labels:
        wanted = [(label_file_names(images) or ["labels=..."])[0] for images, _ in pairs]
        raw.problems.append(Problem("no labels", listed(wanted), "is not beside the images"))
    return raw


def _join(pieces: list[np.ndarray]) -> np.ndarray:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _pairs(tree: Tree) -> list[tuple[str, str | None]]:
    """Names of images and of their labels; of images alone where no labels are found at all."""
    names = [name for name in tree.sizes if is_idx(tree.head(name))]
    pairs: list[tuple[str, str | None]] = []
    lonely = []
    for name in names:
        partner = next((n for n in label_file_names(name) if n in tree.sizes), None)
        if partner and not (name.endswith(".gz") and name[:-3] in names):
            pairs.append((name, partner))
        elif not partner and "label" not in PurePosixPath(name).name:
            lonely.append(name)
    labels = [name for name in names if "label" in PurePosixPath(name).name]
    if not pairs and (labels or not lonely):
        wanted = label_file_names(lonely[0])[:1] if lonely else ["...-images-idx3-ubyte"]
        raise DataError(
            f"{tree.where}: no IDX file of images has its labels beside it (found "
            f"{listed(names) or 'none'}); expected {listed(wanted)}, or pass labels=."
        )
    if not pairs:
        packed = [name for name in lonely if name.endswith(".gz") and name[:-3] in lonely]
        pairs = [(name, None) for name in lonely if name not in packed]
    return sorted(pairs, key=lambda pair: _part(pair[0]))


def _part(name: str) -> int:
    words = PurePosixPath(name).name.replace("_", "-").replace(".", "-").split("-")
    return next((part for word in words if (part := part_of(word)) is not None), TRAIN)


def _read_pair(tree: Tree, images: str, labels: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    x = parse(tree.read(images), f"{tree.where}/{images}")
    if labels is None:
        if x.ndim < 2:
            raise DataError(
                f"{tree.where}/{images} holds single numbers, not items; got {x.shape}."
            )
        return x, None
    y = parse(tree.read(labels), f"{tree.where}/{labels}")
    encode_labels(y, labels)  # refuses what cannot be labels, with this file's name
    arrays.require_lengths(len(x), len(y), f"{tree.where}/{images}")
    return x, y
