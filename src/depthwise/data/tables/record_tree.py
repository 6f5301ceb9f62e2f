"""Files of records as the CSV files that they would be written to, one a part of the split.

    train.jsonl, test.jsonl                     train.csv, test.csv
    data/train-00000-of-00002.parquet, ...      one train.csv of all pieces
    metadata.jsonl or .csv, and text files      a table with what the files say as its text

A tree that holds pictures, or tables of the usual kind, is left as it is.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from depthwise.data.raw import TEST, TRAIN, VALIDATION, part_of
from depthwise.data.readers.trees.tree import Tree, left_out, listed
from depthwise.data.tables.delimited import cut, decoded
from depthwise.data.tables.record_files import KINDS, columns_in, written
from depthwise.errors import DataError

__all__ = ["RecordTree", "record_tree"]

TABLES = (".csv", ".tsv", ".tab")
PARTS = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}
TEXTS = (".txt", ".text", ".md")
FILES = ("file_name", "filename", "file", "path")  # columns that name text files


class RecordTree:
    """A Tree of CSV files made of others; has_names: whether each begins with a line of names."""

    def __init__(self, tree: Tree, files: dict[str, bytes], has_names: bool):
        self.where, self.problems, self.has_names = tree.where, tree.problems, has_names
        self._files = files

    @property
    def sizes(self) -> dict[str, int]:
        return {name: len(data) for name, data in self._files.items()}

    def read(self, name: str) -> bytes:
        return self._files[name]

    def head(self, name: str) -> bytes:
        return self._files[name][:512]

    def stamp(self) -> str:
        return str(self.sizes)


def record_tree(tree: Tree) -> RecordTree | None:
    """The tree as CSV files; None where it holds no records, or pictures or tables too."""
    if described := _described(tree):
        return described
    suffixes = {name: PurePosixPath(name.lower()).suffix for name in tree.sizes}
    kind = next((kind for kind in KINDS if kind in suffixes.values()), None)
    if kind is None or any(suffix in TABLES for suffix in suffixes.values()):
        return None
    names = [name for name, suffix in suffixes.items() if suffix == kind]
    others = [n for n, s in suffixes.items() if s in KINDS and s != kind]
    tables = {n: columns_in(n, tree.read(n), _where(tree, n)) for n in names}
    has_names = all(columns is not None for columns, _ in tables.values())
    made = RecordTree(tree, _joined(tree, tables), has_names)
    made.problems = [*made.problems, *left_out("other file", others, f"beside {kind}, left out")]
    return made


def _where(tree: Tree, name: str) -> str:
    return tree.where if len(tree.sizes) == 1 else f"{tree.where}/{name}"


def _joined(
    tree: Tree, tables: dict[str, tuple[list[str] | None, list[list[str]]]]
) -> dict[str, bytes]:
    """A CSV file a part, or the only one."""
    if len(tables) == 1:
        ((name, (columns, rows)),) = tables.items()
        return {str(PurePosixPath(name).with_suffix(".csv")): written(columns, rows)}
    parts: dict[str, list[str]] = {}
    for name in sorted(tables):
        part = _part(name)
        if part is None:
            raise DataError(
                f"{tree.where} holds several tables ({listed([*tables])}); name them train, "
                "validation and test, or give one of them."
            )
        parts.setdefault(PARTS[part], []).append(name)
    if len({tuple(columns or ()) for columns, _ in tables.values()}) > 1:
        raise DataError(f"{tree.where}: the tables {listed([*tables])} have different columns.")
    return {
        f"{part}.csv": written(tables[names[0]][0], [r for n in names for r in tables[n][1]])
        for part, names in parts.items()
    }


def _part(name: str) -> int | None:
    words = [*re.split(r"[-_. ]", PurePosixPath(name).name), *PurePosixPath(name).parts[:-1]]
    return next((part for word in words if (part := part_of(word)) is not None), None)


# -- text files that a table describes -------------------------------------------------------------


def _described(tree: Tree) -> RecordTree | None:
    """metadata.csv or metadata.jsonl, which names text files, as a table with what they say."""
    names = [n for n in tree.sizes if PurePosixPath(n).stem.lower() == "metadata"]
    if len(names) != 1 or not (names[0].lower().endswith(TABLES) or ".json" in names[0].lower()):
        return None
    columns, rows = _metadata(tree, names[0])
    place = next((k for k, name in enumerate(columns) if name.strip().lower() in FILES), None)
    if place is None:
        return None
    folder = names[0].rpartition("/")[0]
    paths = [f"{folder}/{row[place]}".strip("/") for row in rows]
    if not any(p in tree.sizes and PurePosixPath(p.lower()).suffix in TEXTS for p in paths):
        return None
    absent = [path for path in paths if path not in tree.sizes]
    kept = [(path, row) for path, row in zip(paths, rows) if path in tree.sizes]
    texts = [" ".join(decoded(tree.read(path), path)[0].split()) for path, _ in kept]
    table = [[*row[:place], text, *row[place + 1 :]] for text, (_, row) in zip(texts, kept)]
    named = [*columns[:place], "text", *columns[place + 1 :]]
    made = RecordTree(tree, {"metadata.csv": written(named, table)}, True)
    made.problems = [*made.problems, *left_out("missing file", absent, "no such text, left out")]
    return made


def _metadata(tree: Tree, name: str) -> tuple[list[str], list[list[str]]]:
    data, where = tree.read(name), _where(tree, name)
    if name.lower().endswith(TABLES):
        text, _ = decoded(data, where)
        first, *rows = cut(text, where).rows
        return first, rows
    columns, rows = columns_in(name, data, where)
    return columns or [], rows
