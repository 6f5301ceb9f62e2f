"""COCO's JSON of instances (Lin et al. 2014).

    annotations/instances_train2017.json  train2017/7.jpg        one file a part
    train/_annotations.coco.json          train/7.jpg            likewise, beside the pictures

    {"images": [{"id", "file_name", "width", "height"}],
     "annotations": [{"image_id", "category_id", "bbox": [left, top, width, height], "iscrowd"}],
     "categories": [{"id", "name"}]}

Classes go by the numbers of their categories, whose gaps are closed. All files must have the same
categories. A crowd stays, marked as one. An image without an annotation has nothing in it.
"""

import re
from collections.abc import Mapping
from typing import Any

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.problem import Problem
from depthwise.data.raw import Raw, part_of
from depthwise.data.readers.boxes.boxed import Annotated, assemble
from depthwise.data.readers.pictures import picture_names
from depthwise.data.readers.trees.path_finder import Asked, PathFinder
from depthwise.data.readers.trees.small_texts import MAX_JSON_BYTES, json_of, number, part_in, stem
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.errors import DataError

__all__ = ["documents_in", "has_instances", "part_of_document", "read"]

_KEYS = ("images", "annotations", "categories")


def has_instances(tree: Tree) -> bool:
    """Whether there is a JSON file with images, annotations and categories."""
    return bool(_instance_files(tree))


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for broken files, unknown numbers, and categories that disagree."""
    documents, classes = documents_in(tree)
    finder = PathFinder(picture_names(tree))
    items: dict[str, Annotated] = {}
    absent: list[str] = []
    twice: list[str] = []
    for name, said in documents.items():
        missing, again = _add_document(said, name, classes, finder, items)
        absent += missing
        twice += again
    detail = "is annotated, but there is no such picture; left out"
    problems = [
        *left_out("annotation without picture", absent, detail),
        *left_out("picture listed twice", twice, "one item, with the boxes of both"),
    ]
    outlined = sum(
        bool(r.get("segmentation")) for d in documents.values() for r in d["annotations"]
    )
    if outlined:
        detail = "the boxes were taken; --task segmentation learns the outlines"
        problems.append(Problem("outlines", "", detail, outlined))
    return assemble(
        tree,
        list(items.values()),
        allocate,
        options,
        "coco",
        classes=_used(documents, classes),
        problems=problems,
    )


def documents_in(tree: Tree) -> tuple[dict[str, dict[str, Any]], dict[int, str]]:
    """The JSON files of instances and their one list of categories. Raises DataError where there
    are none, or where they disagree."""
    documents = {name: _document(tree, name) for name in _instance_files(tree)}
    if not documents:
        raise DataError(f"{tree.where} holds no JSON with {', '.join(_KEYS)}.")
    lists = {name: _categories(said, name) for name, said in documents.items()}
    return documents, _one_list(lists)


def _instance_files(tree: Tree) -> list[str]:
    found = []
    for name, size in tree.sizes.items():
        if name.lower().endswith(".json") and size <= MAX_JSON_BYTES:
            data = tree.read(name)
            if all(f'"{key}"'.encode() in data for key in _KEYS):
                found.append(name)
    return found


def _document(tree: Tree, name: str) -> dict[str, list[dict[str, Any]]]:
    """The three lists of records."""
    said = json_of(tree, name)
    if not isinstance(said, dict):
        raise DataError(f"{name} is no record with {', '.join(_KEYS)}.")
    for key in _KEYS:
        records = said.get(key)
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise DataError(f"{name}: {key} is no list of records.")
    return said


def _categories(said: Mapping[str, Any], name: str) -> dict[int, str]:
    """Number -> name, in the order of the numbers."""
    found: dict[int, str] = {}
    for record in said["categories"]:
        number_, label = record.get("id"), record.get("name")
        if not isinstance(number_, int) or not isinstance(label, str) or not label.strip():
            raise DataError(f"{name}: a category needs a whole number as id and a name: {record}.")
        if found.setdefault(number_, label.strip()) != label.strip():
            raise DataError(f"{name}: category {number_} has two names.")
    if len(set(found.values())) < len(found):
        raise DataError(f"{name}: two categories have the same name.")
    return dict(sorted(found.items()))


def _one_list(lists: Mapping[str, dict[int, str]]) -> dict[int, str]:
    """The categories, which all files must agree on."""
    first = next(iter(lists))
    for name, categories in lists.items():
        if categories != lists[first]:
            odd = sorted(set(categories.items()) ^ set(lists[first].items()))
            raise DataError(
                f"{first} and {name} disagree on the categories ({odd[0][0]}: {odd[0][1]!r} is "
                "not the same in both); give all files one list."
            )
    return lists[first]


def _used(documents: Mapping[str, Any], classes: Mapping[int, str]) -> list[str]:
    """Class names without those that only head a group of others and are never seen."""
    records = [r for said in documents.values() for r in said["categories"]]
    heads = {record.get("supercategory") for record in records}
    seen = {r.get("category_id") for said in documents.values() for r in said["annotations"]}
    return [name for key, name in classes.items() if key in seen or name not in heads]


def _files(said: Mapping[str, Any], name: str) -> dict[Any, str]:
    """Number -> file name of each image."""
    files: dict[Any, str] = {}
    for record in said["images"]:
        key, file = record.get("id"), record.get("file_name")
        if not isinstance(key, int | str) or not isinstance(file, str) or key in files:
            raise DataError(f"{name}: an image needs an id of its own and a file_name: {record}.")
        files[key] = file
    return files


def _add_document(
    said: Mapping[str, Any],
    name: str,
    classes: Mapping[int, str],
    finder: PathFinder,
    items: dict[str, Annotated],
) -> tuple[list[str], list[str]]:
    """Adds the pictures of one file and their boxes; returns those that are not there, and those
    that it lists twice."""
    part, files = part_of_document(name), _files(said, name)
    asked = {key: Asked(file, name, part) for key, file in files.items()}
    found = finder.find(asked.values())
    by_key: dict[Any, Annotated] = {}
    twice = []
    for record in said["images"]:
        key = record["id"]
        picture = found[asked[key]]
        if picture is None:
            continue
        item = Annotated(picture, f"{name}: {files[key]}", part, _size(record, name))
        by_key[key] = known = items.setdefault(picture, item)
        if known is not item:
            twice.append(picture)
            _require_alike(known, item, name)
    absent = {key: files[key] for key in files if key not in by_key}
    for record in said["annotations"]:
        _add_box(record, name, classes, by_key, absent)
    return list(absent.values()), twice


def _require_alike(known: Annotated, item: Annotated, name: str) -> None:
    """Raises DataError for a picture that is in two parts, or of two sizes."""
    if known.part != item.part:
        raise DataError(f"{name}: {item.picture} is in two parts of the split ({known.where}).")
    if None not in (known.size, item.size) and known.size != item.size:
        raise DataError(
            f"{name}: {item.picture} is {item.size} pixels and {known.size} in {known.where}."
        )
    known.size = known.size or item.size


def _size(record: Mapping[str, Any], name: str) -> tuple[int, int] | None:
    """The (H, W) that the file promises, if it does."""
    height, width = (
        number(record.get(key) or 0, f"{name}: {key} of an image") for key in ("height", "width")
    )
    return (int(height), int(width)) if height > 0 and width > 0 else None


def _add_box(
    record: Mapping[str, Any],
    name: str,
    classes: Mapping[int, str],
    items: Mapping[Any, Annotated],
    absent: Mapping[Any, str],
) -> None:
    key, category, box = record.get("image_id"), record.get("category_id"), record.get("bbox")
    what = f"{name}, annotation {record.get('id')}"
    if not isinstance(key, int | str) or key not in items:
        if isinstance(key, int | str) and key in absent:
            return
        raise DataError(f"{what}: there is no image {key!r}.")
    if not isinstance(category, int) or category not in classes:
        raise DataError(f"{what}: there is no category {category!r}.")
    if not isinstance(box, list) or len(box) != 4:
        raise DataError(f"{what}: bbox must be [left, top, width, height]; got {str(box)[:60]}.")
    left, top, width, height = (number(value, f"{what}: bbox") for value in box)
    corners = (left, top, left + width, top + height)
    items[key].add(corners, classes[category], bool(record.get("iscrowd")))


def part_of_document(name: str) -> int | None:
    """The part that a JSON's name says, or its folder."""
    words = re.split(r"[^a-z]+", stem(name).lower())
    named = [part for part in map(part_of, words) if part is not None]
    return named[0] if named else part_in(name)
