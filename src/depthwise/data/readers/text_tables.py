"""Texts with a label each: a table of two columns, prose and class.

    a stirring , funny film<TAB>1          tab: nothing is quoted, a line is an item
    "Funny, stirring",1                    comma, semicolon or bar: quoted as RFC 4180 has it
    label,sentence                         a line of names, if one of them is a known name

Either order. A column is prose where most cells are several words and few are alike; the other one,
which may be asked for by `label=`, is the class. Files named train, dev and test, or in folders of
these names, are the split. Texts that are empty are left out and told. A column called id, or one
that says the split, may be there besides; with more columns it is a table like others.

Shapes: N texts.
"""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.decode import Allocate
from depthwise.data.options import Options
from depthwise.data.raw import Raw, encode_labels, part_of
from depthwise.data.readers.table import looks_like_table
from depthwise.data.readers.texts import text_of
from depthwise.data.readers.tree import Tree, listed
from depthwise.errors import DataError

__all__ = ["has_texts", "parse_texts", "read"]

LABELS = ("label", "labels", "class", "classes", "target", "y", "category", "sentiment", "intent")
TEXTS = (
    *("text", "texts", "sentence", "review", "comment", "content", "body", "message", "document"),
    *("question", "tweet", "utterance", "sms", "description", "headline", "title"),
)
ASIDE = ("id", "idx", "index", "split", "set", "subset")
TABLES = (".csv", ".tsv", ".tab")
LOOKED_AT = 200  # rows
FEWEST_WORDS, FEWEST_DISTINCT = 3.0, 0.7  # a cell of prose has, on average; share of cells
MOST_CLASSES = 0.5  # classes, as a share of the rows
LETTERS = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class _Rows:
    """A file's cells, and the names of its columns if it has a line of them."""

    name: str
    header: list[str] | None
    cells: list[list[str]]


def has_texts(tree: Tree) -> bool:
    """Whether the tree holds tables of prose and class, and nothing else."""
    names = _names(tree)
    if not names or len(names) < len([n for n in tree.sizes if looks_like_table(n, tree.head(n))]):
        return False
    try:
        begin = tree.head(names[0]).rpartition(b"\n")[0] or tree.head(names[0])
        _columns(_cut(begin.decode("utf-8-sig"), names[0]), None)
    except (DataError, UnicodeDecodeError):
        return False
    return True


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for tables that are not of prose and class, or of several splits. Texts are
    no pixels: `allocate` is not asked for any."""
    names = _names(tree)
    if not names:
        raise DataError(f"{tree.where} holds no table of texts; expected text and class in it.")
    tables = [_cut(text_of(tree, name), name) for name in names]
    texts, labels, parts, where, problems = [], [], [], [], []
    for table in tables:
        text, label = _columns(table, options.label)
        part = _part(table.name)
        if len(tables) > 1 and part is None:
            raise DataError(
                f"{tree.where} holds several tables ({listed(names)}); name them train, dev and "
                "test, or give one of them."
            )
        for number, row in enumerate(table.cells, 2 if table.header else 1):
            if not row[text].strip():
                problems.append(Problem("empty text", f"{table.name}, row {number}", "left out"))
                continue
            texts.append(row[text].strip())
            labels.append(row[label].strip())
            parts.append(part if part is not None else 0)
            where.append(f"{table.name}, row {number}" if len(tables) > 1 else f"row {number}")
    if "" in labels:
        raise DataError(f"{tree.where}: no label in {where[labels.index('')]}; fill it in.")
    return _raw(tree, texts, labels, parts if len(tables) > 1 else None, where, problems)


def parse_texts(data: bytes, where: str) -> list[str]:
    """The texts of a file: of a table its column of prose, else a text a line; blank lines are
    none. Raises DataError for what is not UTF-8, has no text, or has several columns of prose."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not UTF-8 text (byte {error.start:,}); save it as UTF-8."
        ) from None
    if not where.lower().endswith(TABLES):
        texts = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        table = _cut(text, where)
        wide = len(table.cells[0]) if table.cells else 0
        place = 0 if wide == 1 else _columns(table, None)[0]
        texts = [row[place].strip() for row in table.cells if row[place].strip()]
    if not texts:
        raise DataError(f"{where} has no text in it; expected one a line.")
    return texts


def _raw(
    tree: Tree,
    texts: list[str],
    labels: list[str],
    parts: list[int] | None,
    where: list[str],
    problems: list[Problem],
) -> Raw:
    inputs = np.empty(len(texts), object)
    inputs[:] = texts
    codes, classes = encode_labels(np.array(labels), tree.where)
    split = None if parts is None else np.array(parts, np.int8)
    raw = Raw("text", inputs, codes, classes, split, [*tree.problems, *problems], task="text")
    raw.item_name = lambda i: where[i]
    return raw


def _names(tree: Tree) -> list[str]:
    return sorted(
        name
        for name in tree.sizes
        if looks_like_table(name, tree.head(name)) and not name.lower().endswith("classes.txt")
    )


def _part(name: str) -> int | None:
    """By the file's name, else by a folder's."""
    words = [PurePosixPath(name).name.split(".")[0], *reversed(PurePosixPath(name).parts[:-1])]
    return next((part for word in words if (part := part_of(word)) is not None), None)


def _cut(text: str, name: str) -> _Rows:
    """Its lines in cells."""
    first = text.split("\n", 1)[0]
    if "\t" in first:
        cells = [line.split("\t") for line in text.splitlines() if line.strip()]
    else:
        separator = max(",;|", key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        try:
            cells = [row for row in reader if any(row)]
        except csv.Error as error:
            raise DataError(f"{name}, line {reader.line_num}: {error}.") from None
    if not cells:
        raise DataError(f"{name} is empty; expected a text and its class in each line.")
    ragged = next((k for k, row in enumerate(cells) if len(row) != len(cells[0])), None)
    if ragged is not None:
        raise DataError(
            f"{name}: row {ragged + 1} has {len(cells[ragged])} cells, the first has "
            f"{len(cells[0])}; take tabs out of the texts, or quote cells that hold the separator."
        )
    header = [cell.strip().lower() for cell in cells[0]]
    if not set(header) & {*LABELS, *TEXTS}:
        return _Rows(name, None, cells)
    return _Rows(name, [cell.strip() for cell in cells[0]], cells[1:])


def _columns(table: _Rows, label: str | None) -> tuple[int, int]:
    """Places of the text and of the class. Raises DataError where it is no such table."""
    some = table.cells[:LOOKED_AT]
    names = [name.lower() for name in table.header or [""] * len(some[0] if some else [])]
    places = [k for k, name in enumerate(names) if name not in ASIDE]
    prose = [k for k in places if _is_prose([row[k] for row in some])]
    if len(places) != 2 or len(prose) != 1:
        raise DataError(
            f"{table.name} has {len(places)} columns, {len(prose)} of them prose; a table of texts "
            "has one of prose and one of classes."
        )
    text = prose[0]
    other = next(k for k in places if k != text)
    if label is not None and (table.header or names)[other] != label:
        raise DataError(f"{table.name} has no column {label!r} of classes beside its texts.")
    if len({row[other] for row in some}) > max(2, MOST_CLASSES * len(some)):
        raise DataError(f"{table.name}: the column beside the texts is no class: too many values.")
    return text, other


def _is_prose(cells: Sequence[str]) -> bool:
    """Several words in most cells, and few cells alike."""
    if len(cells) < 2:
        return False
    words = [len(LETTERS.findall(cell)) for cell in cells]
    return sum(words) >= FEWEST_WORDS * len(cells) and len(set(cells)) >= FEWEST_DISTINCT * len(
        cells
    )
