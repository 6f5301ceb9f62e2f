"""Labels beside pictures or videos that no reader took: an error, and never unlabelled data.

A file is taken for labels where it is called as an item is (`labels/7.txt`, `7.xml`, `7.json`), or
where a line of it names an item and says more (`7.jpg,cat`). Where items lie in class folders only
XML and JSON called as items are, and what lies in a folder for labels: people keep notes beside
pictures. A list of names alone is a list of a split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from depthwise.data.readers.trees.small_texts import stem
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError

__all__ = ["may_hold_labels", "require_labels_read"]

_SUFFIXES = (".txt", ".xml", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".caption")
_RECORDS = (".xml", ".json")
_FOLDERS = ("labels", "label", "annotations", "annotation", "labelstxt", "bboxes", "boxes", "ann")
_LOOKED_AT, _MOST_BYTES, _MOST_LINES = 200, 4 << 20, 5000
_CELL = re.compile(r"""[^\s,;|"'\[\]{}()<>=]+""")


def may_hold_labels(tree: Tree) -> bool:
    """Whether a file is of a kind that labels are written in; quick, of many pictures too."""
    return any(name.lower().endswith(_SUFFIXES) for name in tree.sizes)


def require_labels_read(tree: Tree, items: Sequence[str], in_classes: bool) -> None:
    """Raises DataError that names the first file of labels beside these pictures or videos, with
    what its first line says. in_classes: whether the items lie in class folders."""
    files = [name for name in tree.sizes if name.lower().endswith(_SUFFIXES)]
    if not files or not items:
        return
    stems = {stem(name) for name in items}
    of_items = [name for name in files if stem(name) in stems]
    if in_classes:
        of_items = [name for name in of_items if _is_annotation(name)]
    if of_items and not any(tree.sizes[name] for name in of_items):
        raise DataError(
            f"{tree.where}: labels seen but not read: all {len(of_items):,} label files are empty "
            f"({of_items[0]}); YOLO and VOC cannot hold rotated boxes or outlines: export again, "
            f"as COCO or CVAT, or {_WITHOUT}"
        )
    first = next((name for name in of_items if tree.sizes[name]), None)
    if first is None and not in_classes:
        first = next((name for name in files if _names_items(tree, name, items, stems)), None)
    if first is not None:
        line, said = _first_line(tree, first)
        raise DataError(
            f"{tree.where}: labels seen but not read: {first}, line {line}: {said[:60]!r} is of no "
            f"kind that is known (see the table of what is read in docs/data.md); mend it, or "
            f"{_WITHOUT}"
        )


_WITHOUT = "go without labels: --task anomaly (labelled=False)."


def _is_annotation(name: str) -> bool:
    """Whether this is a record, or lies in a folder for labels."""
    path = PurePosixPath(name.lower())
    return path.suffix in _RECORDS or any(folder in _FOLDERS for folder in path.parts[:-1])


def _names_items(tree: Tree, name: str, items: Sequence[str], stems: set[str]) -> bool:
    """Whether a line names an item and says more of it; a stem alone must come first, in most of
    the lines."""
    files = {item.rpartition("/")[2] for item in items}
    by_stem = lines = 0
    for _, line in _lines(tree, name):
        cells = _CELL.findall(line)
        found = [cell for cell in cells if cell.replace("\\", "/").rpartition("/")[2] in files]
        if found and len(cells) > len(found):
            return True
        lines += 1
        by_stem += len(cells) > 1 and cells[0] in stems
    return by_stem * 2 > lines > 0


def _lines(tree: Tree, name: str) -> Iterator[tuple[int, str]]:
    """The first lines that hold something, numbered from 1."""
    if tree.sizes[name] > _MOST_BYTES:
        text = tree.head(name).decode("utf-8-sig", "replace")
    else:
        text = tree.read(name).decode("utf-8-sig", "replace")
    for k, line in enumerate(re.split(r"\r\n|\r|\n", text)[:_MOST_LINES], 1):
        if line.strip():
            yield k, line.strip()


def _first_line(tree: Tree, name: str) -> tuple[int, str]:
    return next(_lines(tree, name), (1, ""))
