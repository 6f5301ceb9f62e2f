"""Which format is this? Content decides, file names only where content cannot.

zip    begins "PK"; .npy members make it npz, pictures a folder
tar    "ustar" at byte 257, perhaps gzipped
idx    two zero bytes, a type, a number of axes, perhaps gzipped
cifar  data_batch_1 and the like, pickled or .bin
npz    npy arrays, "\\x93NUMPY"
csv    text with a separator; JSON, Parquet, Excel and ARFF are read as the CSV they would be

and, looked for first, pictures with more beside them:

voc, coco, yolo, boxes   XML, JSON, text or a table of boxes        masks    a folder of masks
videos, frames, clips    video files, folders or strips of frames   faces    people and pairs.txt
captions                 text, a table or COCO's JSON of what is said of them
text, pairs              tables of prose and class; of two sentences and what is said of them
text-folder              a folder a class of text files
prose                    text files and nothing else
"""

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.pictures.images import looks_like_picture
from depthwise.data.raw import Raw
from depthwise.data.readers import (
    captions,
    cifar,
    faces,
    idx,
    npz,
    picture_labels,
    pictures,
    prose,
    table,
    text_folders,
    text_tables,
)
from depthwise.data.readers.boxes import boxes_csv, coco, voc, yolo
from depthwise.data.readers.class_lists import call_classes, lists_in
from depthwise.data.readers.clips import frame_folders, strips, videos
from depthwise.data.readers.marks import coco_outlines, cvat, label_studio, labelme
from depthwise.data.readers.masks import mask_pictures as masks
from depthwise.data.readers.trees.archive import TarTree, ZipTree, is_tar
from depthwise.data.readers.trees.folder import FolderTree
from depthwise.data.readers.trees.joined import ARCHIVES, JoinedTree
from depthwise.data.readers.trees.small_texts import alike_classes
from depthwise.data.readers.trees.tree import Tree, listed
from depthwise.data.readers.unread_labels import may_hold_labels, require_labels_read
from depthwise.data.tables.readings import Readings
from depthwise.data.tables.record_files import is_records
from depthwise.data.tables.record_tree import record_tree
from depthwise.errors import DataError
from depthwise.task import data_task_named

__all__ = ["open_tree", "read_tree", "recognise"]

_POINTING = (".yaml", ".yml", ".json")  # annotations of the pictures beside them
_OF_ANNOTATIONS = ("annotations", "annotation", "labels", "ann")
_LOOKED_AT = 64  # files whose first bytes are read to recognise a folder


def open_tree(path: Path, extra: list[str] | None = None) -> Tree:
    """A folder, an archive, or a file with its companions (and `extra` ones) as a Tree."""
    if path.suffix.lower() in _POINTING and path.is_file():
        return _pointed_at(path)
    if path.is_file() and is_records(path.name):
        return FolderTree(path.parent, [path.name])
    if path.is_dir():
        tree: Tree = FolderTree(path)
        return _only_archive(tree, path) or _of_archives(tree, path) or tree
    head = FolderTree(path.parent, [path.name]).head(path.name)
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        return ZipTree(path)
    if is_tar(path, head):
        return TarTree(path)
    companions = [n for n in idx.label_file_names(path.name) if idx.is_idx(head)]
    companions += cifar.companions(path.name)
    beside = [n for n in companions if n != path.name and (path.parent / n).is_file()]
    return FolderTree(path.parent, [path.name, *beside, *(extra or [])])


def _pointed_at(path: Path) -> Tree:
    """A file of annotations with what it annotates: the pictures and videos beside it, or beside
    its folder where that is for annotations; no other file of its kind. A JSON alone where there
    are none of these, a YAML with all that lies beside it."""
    for root in (path.parent, path.parent.parent):
        tree, name = FolderTree(root), path.relative_to(root).as_posix()
        seen = {*pictures.picture_names(tree), *videos.video_names(tree)}
        if path.suffix.lower() != ".json":
            others = [n for n in tree.sizes if n.lower().endswith(_POINTING) and n != name]
            tree.leave_out(others)
            return tree
        if seen:
            lists = {n for n in tree.sizes if n.lower().endswith(".txt")}
            tree.leave_out([n for n in tree.sizes if n not in {name, *seen, *lists}])
            return tree
        if path.parent.name.lower() not in _OF_ANNOTATIONS:
            break
    return FolderTree(path.parent, [path.name])


def _only_archive(tree: Tree, path: Path) -> Tree | None:
    """The archive in a folder that holds one archive and nothing else."""
    if len(tree.sizes) != 1:
        return None
    only = path / next(iter(tree.sizes))
    if is_records(only.name):  # an .xlsx is a zip inside
        return None
    if zipfile.is_zipfile(only):
        return ZipTree(only)
    return TarTree(only) if is_tar(only, tree.head(only.name)) else None


def _of_archives(tree: Tree, path: Path) -> Tree | None:
    """The archives in a folder that holds nothing else but small texts: one a class, or a part."""
    names = [name for name in tree.sizes if ARCHIVES.search(name)]
    others = [name for name in tree.sizes if name not in names]
    if not names or not all(PurePosixPath(n).suffix.lower() in _BESIDE for n in others):
        return None
    archives: dict[str, Tree] = {}
    for name in names:
        head = tree.head(name)
        if head[:4] == b"PK\3\4":
            archives[name] = ZipTree(path / name)
        elif is_tar(path / name, head):
            archives[name] = TarTree(path / name)
    return JoinedTree(tree, archives) if archives else None


_UNREAD = {"7z": b"7z\xbc\xaf\x27\x1c", "RAR": b"Rar!\x1a\x07"}
_BESIDE = ("", ".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".pdf")


class _Seen(NamedTuple):
    """A kind of answer beside pictures: its task, how it is recognised and how it is read; may_be:
    how it is recognised where its task is asked for and nothing surer is there."""

    task: str
    is_there: Callable[[Tree], bool]
    read: Callable[[Tree, Allocate, Options], Raw]
    may_be: Callable[[Tree], bool] | None = None


_SEEN = {
    "voc": _Seen("detection", voc.has_annotations, voc.read),
    "cvat": _Seen("detection", cvat.has_images, cvat.read),
    "coco": _Seen("detection", coco.has_instances, coco.read),
    "labelme": _Seen("detection", labelme.has_shapes, labelme.read),
    "labelstudio": _Seen("detection", label_studio.has_tasks, label_studio.read),
    "yolo": _Seen("detection", yolo.has_labels, yolo.read),
    "boxes": _Seen("detection", boxes_csv.has_boxes, boxes_csv.read),
    "masks": _Seen("segmentation", masks.has_masks, masks.read),
    "coco-outlines": _Seen(
        "segmentation",
        lambda tree: coco.has_instances(tree) and coco_outlines.has_outlines(tree),
        coco_outlines.read,
    ),
    "cvat-outlines": _Seen("segmentation", cvat.has_images, cvat.read_outlines),
    "labelme-outlines": _Seen("segmentation", labelme.has_shapes, labelme.read_outlines),
    "labelstudio-outlines": _Seen(
        "segmentation", label_studio.has_tasks, label_studio.read_outlines
    ),
    "videos": _Seen("video", videos.has_videos, videos.read),
    "clips": _Seen("video", strips.has_strips, strips.read),
    "frames": _Seen(
        "video", frame_folders.has_frames, frame_folders.read, frame_folders.may_be_frames
    ),
    "faces": _Seen("faces", faces.has_pairs, faces.read),
    "captions": _Seen("captions", captions.has_captions, captions.read),
    "text": _Seen("text", text_tables.has_texts, text_tables.read),
    "pairs": _Seen("pairs", text_tables.has_pairs, text_tables.read),
    "text-folder": _Seen("text", text_folders.has_text_folders, text_folders.read),
    "prose": _Seen("language", prose.has_prose, prose.read),
}

_WITH_ITEMS = {"folder": pictures.picture_names, "videos": videos.video_names}


def _seen_in(tree: Tree, task: str | None) -> str | None:
    """The first kind of answers to this task, or to any, that the tree holds."""
    kinds = {name: kind for name, kind in _SEEN.items() if task in (None, kind.task)}
    found = [name for name, kind in kinds.items() if kind.is_there(tree)][:1]
    if task and not found:
        found = [name for name, kind in kinds.items() if kind.may_be and kind.may_be(tree)]
    return next(iter(found), None)


def _reader_of(tree: Tree, options: Options) -> str:
    """The format asked for or recognised, where the task asked for has a say."""
    asked = data_task_named(options.task) if options.task else None
    if asked and asked.from_classes and options.format in (None, "folder"):
        return next(name for name, kind in _SEEN.items() if kind.task == asked.name)
    if options.text_columns and not options.format:
        return "text"
    if options.format or cifar.has_batches(tree):
        return options.format or "cifar"
    if seen := _seen_in(tree, options.task):
        return seen
    found = recognise(tree)
    if (
        found == "folder"
        and options.labelled is not False
        and may_hold_labels(tree)
        and picture_labels.has_labels(tree, options)
    ):
        return "labels"
    if asked and asked.expected and found not in ("npz", "idx"):
        other = _seen_in(tree, None)
        like = f" (it looks like data for {_SEEN[other].task})" if other else ""
        raise DataError(
            f"{tree.where} holds nothing for task {options.task!r} that is of a known kind{like}; "
            f"expected {asked.expected}."
        )
    return found


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
        if packed := next((k for k, m in _UNREAD.items() if heads[names[0]].startswith(m)), None):
            raise DataError(f"{tree.where} is a {packed} archive; unpack it, or pack it as zip.")
        raise DataError(
            f"{tree.where} is of no known kind (it begins with {begin}); "
            "known are pictures, zip, tar, IDX, CIFAR, npz, npy, csv, tsv, JSON, Parquet, xlsx "
            "and ARFF."
        )
    if not names:
        raise DataError(f"{tree.where} is empty; expected one folder of pictures for each class.")
    raise DataError(
        f"{tree.where} holds no data of a known kind ({listed(names)}); expected class folders of "
        "pictures or texts, IDX, CIFAR, npz, npy, csv, tsv, JSON, Parquet, xlsx or ARFF."
    )


def read_tree(tree: Tree, options: Options, allocate: Allocate | None = None) -> Raw:
    """Reads the tree in the format asked for or recognised; classes that are numbers get the names
    of a list beside them."""
    pictured = pictures.picture_names(tree) or labelme.has_shapes(tree)
    if not pictured and (records := record_tree(tree)):
        tree = records
        if records.has_names:
            options = replace(options, readings=(*options.readings, "header"))
    raw = _read(tree, options, allocate)
    if not raw.task_row.is_spatial:  # whose readers know lists of classes
        call_classes(tree, raw)
    raw.problems += alike_classes(raw.classes)
    return raw


def _read(tree: Tree, options: Options, allocate: Allocate | None) -> Raw:
    chosen = _reader_of(tree, options)
    memory: Allocate = allocate or (lambda shape: np.empty(shape, np.uint8))
    if options.labelled is not False and chosen in _WITH_ITEMS and may_hold_labels(tree):
        items = _WITH_ITEMS[chosen](tree)
        in_classes = len({item.class_name for item in pictures.placed(items)[0]}) > 1
        require_labels_read(tree, items, in_classes)
    if chosen in _SEEN:
        return _SEEN[chosen].read(tree, memory, options)
    if chosen == "labels":
        return picture_labels.read(tree, memory, options)
    if chosen == "folder":
        return pictures.read(
            *(tree, memory, options.image_size, options.channels),
            known=lists_in(tree),
            levels=options.pixel_range,
        )
    if chosen == "idx":
        return idx.read(tree)
    if chosen == "cifar":
        return cifar.read(tree, options.label)
    if chosen == "npz":
        return npz.read(tree, options.task)
    return table.read(
        tree,
        options.label,
        options.columns,
        guess=options.labelled is not False,
        task=options.task,
        readings=Readings.of(options.readings),
    )
