"""Pictures and what is said of them, any number of captions each.

    captions.txt        7.jpg#0<TAB>A dog runs .     Flickr8k.token.txt; the "#0" may be absent
    captions.txt, .csv  image,caption                a table with this header, or with other names
                        7.jpg,"A dog, running"       of _PICTURE, _CAPTION; apart by , ; | or tab
    captions.json       {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}
                                                     COCO's captions (Chen et al. 2015)

The pictures lie beside them or in folders. train.txt, val.txt and test.txt (or Flickr8k's own
Flickr_8k.trainImages.txt and so on), or the words train, val and test in the name of a JSON file or
of the pictures' folder, say which part a picture is in. Captions without a picture, pictures
without a caption and empty captions are left out and told.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import TRAIN, Raw, part_of
from depthwise.data.readers.pictures import (
    PICTURE_SUFFIXES,
    decode_all,
    odd_sizes,
    picture_names,
    picture_reader,
    require_most,
)
from depthwise.data.readers.trees.path_finder import Asked, PathFinder
from depthwise.data.readers.trees.small_texts import (
    MAX_JSON_BYTES,
    json_of,
    lines_of,
    part_in,
    stem,
    text_of,
)
from depthwise.data.readers.trees.split_lists import split_lists
from depthwise.data.readers.trees.tree import Tree, left_out
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.errors import DataError

__all__ = ["has_captions", "read"]

_TABLES = (".txt", ".csv", ".tsv", ".token")
_PICTURE = ("image", "image_name", "image_id", "img", "filename", "file_name", "file", "picture")
_CAPTION = ("caption", "captions", "comment", "description", "sentence", "text")
_SEPARATORS = ",\t|;"
_TOKEN = re.compile(r"^([^\t]+?)(#\d+)?\t(.*)$")
_JSON_KEYS = ("images", "annotations", "caption")
_FLICKR_LIST = re.compile(r"\.(train|dev|val|test)Images\.txt$", re.IGNORECASE)
Said = tuple[str, str]  # the name of a picture as the file has it, and a caption


def has_captions(tree: Tree) -> bool:
    """Whether there are pictures and, beside them, a file of captions."""
    return bool(_tables(tree) or _documents(tree)) and bool(picture_names(tree))


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for files that are not UTF-8, for broken rows and records, and where no
    caption has a picture."""
    names = picture_names(tree)
    every = [
        (Asked(file, source, _part_of(source)), " ".join(caption.split()))
        for source, entries in _sources(tree)
        for file, caption in entries
    ]
    found = PathFinder(names).find(asked for asked, _ in every)
    said: dict[str, list[str]] = {}
    parts: dict[str, int | None] = {}
    empty: list[str] = []
    for asked, text in every:
        picture = found[asked]
        if picture is not None and not text:
            empty.append(picture)
        elif picture is not None:
            said.setdefault(picture, []).append(text)
            parts.setdefault(picture, part_in(picture) if asked.part is None else asked.part)
    absent = [asked.said for asked, picture in found.items() if picture is None]
    if not said:
        raise DataError(f"{tree.where}: none of the captions has its picture there.")
    lists, more = _lists(tree, list(said))
    if lists is not None:
        said = {picture: texts for picture, texts in said.items() if picture in lists}
        parts = {picture: lists[picture] for picture in said}
    return _raw(
        tree, said, parts, allocate, options, [*_noticed(said, names, absent, empty), *more]
    )


def _noticed(
    said: dict[str, list[str]], names: Sequence[str], absent: list[str], empty: list[str]
) -> list[Problem]:
    bare = sorted(set(names) - set(said) - set(empty))
    silent = sorted(set(empty) - set(said))
    gone = list(dict.fromkeys(absent))
    no_picture = "has captions, but there is no such picture; left out"
    return [
        *left_out("caption without picture", gone, no_picture),
        *left_out("picture without caption", [*bare, *silent], "nothing is said of it, left out"),
        *left_out("empty caption", empty, "left out"),
    ]


def _raw(
    tree: Tree,
    said: dict[str, list[str]],
    parts: dict[str, int | None],
    allocate: Allocate,
    options: Options,
    problems: list[Problem],
) -> Raw:
    """The pictures decoded to one size, and their captions."""
    pictures = list(said)
    reader = picture_reader(tree, pictures)
    decoded = decode_all(len(pictures), reader, allocate, options)
    require_most(tree, pictures, decoded.broken)
    broken = [Problem("unreadable picture", pictures[i], why) for i, why in decoded.broken.items()]
    kept = [pictures[i] for i in decoded.kept.tolist()]
    raw = Raw("images", decoded.pixels, np.zeros(len(kept), np.int64), [])
    if any(parts[picture] is not None for picture in kept):
        raw.parts = np.array([parts[picture] or TRAIN for picture in kept], np.int8)
    raw.task, raw.sizes, raw.pixel_range = "captions", decoded.each_size, decoded.levels
    raw.targets = CaptionTable.from_lists(said[picture] for picture in kept)
    raw.names = kept
    raw.problems = [*tree.problems, *problems, *broken, *odd_sizes(decoded)]
    return raw


# -- files of captions ----------------------------------------------------------------------------


def _sources(tree: Tree) -> Iterator[tuple[str, list[Said]]]:
    """Each file of captions and what it says."""
    for name in _documents(tree):
        yield name, _of_document(json_of(tree, name), name)
    for name in _tables(tree):
        text = text_of(tree, name)
        columns = _columns(_first_line(text))
        yield name, _of_tokens(text, name) if columns is None else _of_table(text, name, *columns)


def _tables(tree: Tree) -> list[str]:
    files = [name for name in tree.sizes if name.lower().endswith(_TABLES)]
    return [name for name in files if _is_table(tree.head(name))]


def _is_table(head: bytes) -> bool:
    line = _first_line(head.decode("utf-8-sig", "replace"))
    if _columns(line) is not None:
        return True
    found = _TOKEN.match(line)
    return found is not None and PurePosixPath(found[1]).suffix.lower() in PICTURE_SUFFIXES


def _documents(tree: Tree) -> list[str]:
    found = []
    for name, size in tree.sizes.items():
        if name.lower().endswith(".json") and size <= MAX_JSON_BYTES:
            data = tree.read(name)
            if all(f'"{key}"'.encode() in data for key in _JSON_KEYS):
                found.append(name)
    return found


def _first_line(text: str) -> str:
    return text.lstrip("\ufeff").split("\n", 1)[0].strip("\r")


def _columns(line: str) -> tuple[str, int, int] | None:
    """The separator and the positions of picture and caption, if this line is such a header."""
    for separator in _SEPARATORS:
        names = [
            cell.strip().strip('"').lower().replace(" ", "_") for cell in line.split(separator)
        ]
        picture = next((names.index(name) for name in _PICTURE if name in names), None)
        caption = next((names.index(name) for name in _CAPTION if name in names), None)
        if picture is not None and caption is not None:
            return separator, picture, caption
    return None


def _of_tokens(text: str, name: str) -> list[Said]:
    entries = []
    for k, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        found = _TOKEN.match(line)
        if found is None:
            raise DataError(
                f"{name}, line {k}: {line[:60]!r} has no tab; write the picture, a tab, and the "
                "caption."
            )
        entries.append((found[1].strip(), found[3]))
    return entries


def _of_table(text: str, name: str, separator: str, picture: int, caption: int) -> list[Said]:
    """A caption that is last takes the rest of its row, as people forget to quote their commas."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    entries, width = [], 0
    try:
        for k, row in enumerate(reader):
            if k == 0:
                width = len(row)
            elif any(cell.strip() for cell in row):
                if len(row) < width:
                    raise DataError(
                        f"{name}, line {reader.line_num}: {len(row)} cells where the header has "
                        f"{width}; mend the row."
                    )
                last = caption == width - 1
                said = separator.join(row[caption:]) if last else row[caption]
                entries.append((row[picture].strip(), said))
    except csv.Error as error:
        raise DataError(f"{name}, line {reader.line_num}: {error}.") from None
    return entries


def _of_document(said: Any, name: str) -> list[Said]:
    if not isinstance(said, dict) or not all(_is_records(said.get(k)) for k in _JSON_KEYS[:2]):
        raise DataError(f"{name}: images and annotations must be lists of records.")
    files: dict[Any, str] = {}
    for record in said["images"]:
        key, file = record.get("id"), record.get("file_name")
        if not isinstance(key, int | str) or not isinstance(file, str) or key in files:
            raise DataError(f"{name}: an image needs an id of its own and a file_name: {record}.")
        files[key] = file
    entries = []
    for record in said["annotations"]:
        key, caption = record.get("image_id"), record.get("caption")
        if not isinstance(key, int | str) or not isinstance(caption, str):
            raise DataError(f"{name}: an annotation needs an image_id and a caption: {record}.")
        entries.append((files.get(key, f"image {key}"), caption))
    return entries


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(record, dict) for record in value)


# -- which picture, which part ---------------------------------------------------------------------


def _part_of(source: str) -> int | None:
    """The part that the name of a file of captions says."""
    words = re.split(r"[^a-z]+", stem(source).lower())
    return next((part for part in map(part_of, words) if part is not None), None)


def _lists(tree: Tree, pictures: Sequence[str]) -> tuple[dict[str, int] | None, list[Problem]]:
    """The part of each picture by lists of the split, if there are some."""
    parts, problems = split_lists(tree, pictures)
    if parts is not None:
        return parts, problems
    finder, found = PathFinder(pictures), {}
    for name in tree.sizes:
        if match := _FLICKR_LIST.search(name):
            meant = finder.find(Asked(line, name) for line in lines_of(tree, name))
            part = part_of(match[1])
            found.update({picture: part or TRAIN for picture in meant.values() if picture})
    if not found:
        return None, []
    unlisted = sorted(set(pictures) - set(found))
    return found, left_out("unlisted picture", unlisted, "in no list of the split, left out")
