"""Which format is this? Content decides, file names only where content cannot.

zip    begins "PK"; .npy members make it npz, pictures a folder
tar    "ustar" at byte 257, perhaps gzipped
idx    two zero bytes, a type, a number of axes, perhaps gzipped
cifar  data_batch_1 and the like, pickled or .bin
npz    npy arrays, "\\x93NUMPY"
csv    text with a separator
"""

import zipfile
from pathlib import Path, PurePosixPath

import numpy as np

from depthwise.data.decode import Allocate
from depthwise.data.images import looks_like_picture
from depthwise.data.options import Options
from depthwise.data.raw import Raw
from depthwise.data.readers import cifar, idx, npz, pictures, table
from depthwise.data.readers.archive import TarTree, ZipTree
from depthwise.data.readers.folder import FolderTree
from depthwise.data.readers.tree import Tree, gunzip_head, is_gzip, listed
from depthwise.errors import DataError

__all__ = ["open_tree", "read_tree", "recognise"]

_LOOKED_AT = 64  # files whose first bytes are read to recognise a folder


def open_tree(path: Path, extra: list[str] | None = None) -> Tree:
    """A folder, an archive, or a file with its companions (and `extra` ones) as a Tree."""
    if path.is_dir():
        tree: Tree = FolderTree(path)
        return _only_archive(tree, path) or tree
    head = FolderTree(path.parent, [path.name]).head(path.name)
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        return ZipTree(path)
    if _is_tar(head):
        return TarTree(path)
    companions = [n for n in idx.label_file_names(path.name) if idx.is_idx(head)]
    companions += cifar.companions(path.name)
    beside = [n for n in companions if n != path.name and (path.parent / n).is_file()]
    return FolderTree(path.parent, [path.name, *beside, *(extra or [])])


def _only_archive(tree: Tree, path: Path) -> Tree | None:
    """The archive in a folder that holds one archive and nothing else."""
    if len(tree.sizes) != 1 or not zipfile.is_zipfile(only := path / next(iter(tree.sizes))):
        return None
    return ZipTree(only)


def _is_tar(head: bytes) -> bool:
    if is_gzip(head):
        head = gunzip_head(head, 512)
    return head[257:262] == b"ustar"


def recognise(tree: Tree) -> str:
    """One of options.FORMATS. Raises DataError if nothing is known in it."""
    names = sorted(tree.sizes, key=lambda name: (name.count("/"), name))
    if cifar.has_batches(tree):
        return "cifar"
    others = [n for n in names if PurePosixPath(n).suffix.lower() not in pictures.PICTURE_SUFFIXES]
    heads = {name: tree.head(name) for name in others[:_LOOKED_AT]}
    if any(idx.is_idx(head) for head in heads.values()):
        return "idx"
    if len(others) < len(names) or any(looks_like_picture(head) for head in heads.values()):
        return "folder"
    if any(npz.is_npy(head) for head in heads.values()):
        return "npz"
    tables = [name for name, head in heads.items() if table.looks_like_table(name, head)]
    if tables:
        return "csv"
    if len(names) == 1:
        begin = heads[names[0]][:8].hex(" ") or "nothing"
        raise DataError(
            f"{tree.where} is of no known kind (it begins with {begin}); "
            "known are pictures, zip, tar, IDX, CIFAR, npz, npy, csv and tsv."
        )
    if not names:
        raise DataError(f"{tree.where} is empty; expected one folder of pictures for each class.")
    raise DataError(
        f"{tree.where} holds no data of a known kind ({listed(names)}); expected class folders of "
        "pictures, IDX, CIFAR, npz, npy, csv or tsv."
    )


def read_tree(tree: Tree, options: Options, allocate: Allocate | None = None) -> Raw:
    """Reads the tree in the format asked for or recognised."""
    chosen = options.format or recognise(tree)
    if chosen == "folder":
        memory: Allocate = allocate or (lambda shape: np.empty(shape, np.uint8))
        return pictures.read(tree, memory, options.image_size, options.channels)
    if chosen == "idx":
        return idx.read(tree)
    if chosen == "cifar":
        return cifar.read(tree, options.label)
    if chosen == "npz":
        return npz.read(tree)
    return table.read(tree, options.label, options.columns, guess=options.labelled is not False)
