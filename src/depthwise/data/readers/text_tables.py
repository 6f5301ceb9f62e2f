"""Texts with a label each: a table of two columns, prose and class; or of three, a pair of
sentences and what is said of them.

    a stirring , funny film<TAB>1          tab: nothing is quoted, a line is an item
    "Funny, stirring",1                    comma, semicolon or bar: quoted as RFC 4180 has it
    label,sentence                         a line of names, if one of them is a known name

Which column is what: text_columns.py. Files named train, dev (trial) and test, or in folders of
these names, are the split, or a column that says so. Texts that are empty are left out and told.
What is said of pairs is a class (paraphrase, entailment), or, where it is a fraction or of many
values, a similarity.

Shapes: N texts or pairs.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.problem import Problem
from depthwise.data.raw import TRAIN, Raw, encode_labels, part_of
from depthwise.data.readers.pictures import picture_names
from depthwise.data.readers.table import looks_like_table
from depthwise.data.readers.text_columns import (
    Rows,
    TextColumns,
    columns_of,
    knows_a_name,
    texts_named,
)
from depthwise.data.readers.trees.small_texts import bytes_of
from depthwise.data.readers.trees.tree import Tree, listed
from depthwise.data.tables.delimited import cut, decoded, lines_in
from depthwise.data.tables.header import is_header, told_of_header
from depthwise.data.tables.readings import Readings
from depthwise.data.tables.record_files import is_records
from depthwise.data.tables.rows import without_blank_end
from depthwise.errors import DataError
from depthwise.task import DATA_TASKS, data_task_named

__all__ = ["has_pairs", "has_texts", "parse_pairs", "parse_texts", "read"]

TABLES = (".csv", ".tsv", ".tab")
FEW_LINES, LOOKED_THROUGH = 4, 16 << 20  # of a file's beginning; bytes
MOST_OF_PAIRS = 10  # classes of pairs; more values are similarities
FAR = 100  # times as far from the median as the middle half of the scores


@dataclass
class _Found:
    """What the tables hold: a text or a pair of them an item, what is said of it, its part, and
    where it stands."""

    texts: list[tuple[str, ...]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    parts: list[int | None] = field(default_factory=list)
    where: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def has_texts(tree: Tree) -> bool:
    """Whether the tree holds tables of prose and class, and nothing else."""
    return _prose_in(tree) == 1


def has_pairs(tree: Tree) -> bool:
    """Whether the tree holds tables of two columns of prose and what is said of them."""
    return _prose_in(tree) == 2


def _prose_in(tree: Tree) -> int:
    """Columns of prose, if that and a class are all that the tables hold; else 0."""
    names = _names(tree)
    if not names or picture_names(tree):
        return 0
    if len(names) < len([n for n in tree.sizes if looks_like_table(n, tree.head(n))]):
        return 0
    try:
        return columns_of(_cut(decoded(_begin(tree, names[0]), names[0])[0], names[0])).width
    except DataError:
        return 0


def _begin(tree: Tree, name: str) -> bytes:
    """The first lines of a file; all of it where they are long, or may go on within quotes."""
    head = tree.head(name)
    if (head.count(b"\n") < FEW_LINES or b'"' in head) and tree.sizes[name] <= LOOKED_THROUGH:
        return tree.read(name)
    return head.rpartition(b"\n")[0] or head


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for tables that are not of prose and class, or of several splits. Texts are
    no pixels: `allocate` is not asked for any."""
    names = _names(tree)
    if not names:
        raise DataError(f"{tree.where} holds no table of texts; expected text and class in it.")
    together = options.task is not None and data_task_named(options.task).texts_an_item == 1
    found, widths = _Found(), set()
    parts = [_part(name) for name in names]
    if len(names) > 1 and (None in parts or len(set(parts)) < len(parts)):
        raise DataError(
            f"{tree.where} holds several tables ({listed(names)}); name them train, dev and "
            "test, or give one of them, or one folder."
        )
    for name, part in zip(names, parts, strict=True):
        text, told = decoded(bytes_of(tree, name), name)
        table = _cut(text, name, header=Readings.of(options.readings).header, told=told)
        columns = columns_of(table, options.label, options.text_columns, together)
        widths.add(columns.width)
        _add(found, table, columns, part, several=len(names) > 1)
    if len(widths) > 1:
        raise DataError(f"{tree.where} holds tables of texts and of pairs; give one kind.")
    if "" in found.said:
        where = found.where[found.said.index("")]
        raise DataError(f"{tree.where}: no label in {where}; fill it in.")
    return _raw(tree, found, several=len(names) > 1)


def _add(found: _Found, table: Rows, columns: TextColumns, part: int | None, several: bool) -> None:
    """Adds a table's rows, of this part where the file's name says one."""
    for number, row in zip(table.lines, table.cells):
        texts = columns.texts_of(row)
        if not all(texts):
            where = f"{table.name}, row {number}"
            found.problems.append(Problem("empty text", where, "left out"))
            continue
        found.texts.append(texts)
        found.said.append(row[columns.answer].strip())
        found.where.append(f"{table.name}, row {number}" if several else f"row {number}")
        own = None if columns.part is None else part_of(row[columns.part].strip())
        found.parts.append(part if part is not None or own is None else own)
    found.problems += [problem for problem in table.told if problem not in found.problems]
    if columns.told and columns.told not in [p.detail for p in found.problems]:
        found.problems.append(Problem("columns of texts", "", columns.told))


def _raw(tree: Tree, found: _Found, several: bool) -> Raw:
    """several: whether there are several files, which are the split."""
    stated = several or set(found.parts) > {TRAIN}
    parts = np.array([part or 0 for part in found.parts], np.int8) if stated else None
    problems = [*tree.problems, *found.problems]
    width = len(found.texts[0]) if found.texts else 1
    inputs = _as_objects(found.texts)
    scores = _similarities(found, tree.where) if width == 2 else None
    if scores is None:
        codes, classes = encode_labels(np.array(found.said), tree.where)
        task = next(row.name for row in DATA_TASKS.values() if row.texts_an_item == width)
        raw = Raw("text", inputs, codes, classes, parts, problems, task=task)
    else:
        nothing = np.zeros(len(scores), np.int64)
        problems += _far_scores(scores, found.where)
        raw = Raw("text", inputs, nothing, [], parts, problems, task="pairs", targets=scores)
    raw.names = found.where
    return raw


def _as_objects(texts: Sequence[tuple[str, ...]]) -> np.ndarray:
    """(N,) of texts alone, (N, 2) of pairs."""
    width = len(texts[0]) if texts else 1
    array = np.empty((len(texts), width), object)
    for i, each in enumerate(texts):
        array[i] = each
    return array[:, 0] if width == 1 else array


def _similarities(found: _Found, where: str) -> np.ndarray | None:
    """float64 (N,) of what are quantities: fractions, or more values than classes have. Raises
    DataError where most are and one is not."""
    scores = np.array([_number(text) for text in found.said])
    known = scores[np.isfinite(scores)]
    whole = bool((known == np.rint(known)).all())
    if 2 * len(known) <= len(scores) or (whole and len(np.unique(known)) <= MOST_OF_PAIRS):
        return None
    if len(known) < len(scores):
        place = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise DataError(
            f"{where}, {found.where[place]}: {found.said[place]!r:.40} is no number, as the other "
            "scores are. Mend it, or leave out the row."
        )
    return scores


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _far_scores(scores: np.ndarray, where: Sequence[str]) -> list[Problem]:
    """Scores so far from the others that they are likely mistakes."""
    low, middle, high = np.quantile(scores, [0.25, 0.5, 0.75])
    far = np.flatnonzero(np.abs(scores - middle) > FAR * (high - low))
    if not len(far) or low == high:
        return []
    told = f"{scores[far[0]]:g}, beside a median of {middle:g}: kept as it is"
    return [Problem("score far from the others", where[far[0]], told, len(far))]


def parse_texts(
    data: bytes,
    where: str,
    named: Sequence[str] | None = None,
    tell: Callable[[Problem], None] = lambda problem: None,
) -> list[str]:
    """The texts of a file: of a table its column of prose, or those `named`, put together; else a
    text a line. Those that are blank stay, as "", or the answers would move up beside others; at
    the end they are none. tell: of how it was read. Raises DataError for what is no text, has none
    in it, or has several columns of prose."""
    text, told = decoded(data, where)
    for problem in told:
        tell(problem)
    if named is None and not (where.lower().endswith(TABLES) or is_records(where)):
        texts = [line.strip() for line in lines_in(text)]
    else:
        table = _cut(text, where, keep_blank=True)
        columns = _of_single_texts(table, named)
        texts = [columns.texts_of(row)[0] for row in table.cells]
    while texts and not texts[-1]:
        texts.pop()
    if not texts:
        raise DataError(f"{where} has no text in it; expected one a line.")
    return texts


def _of_single_texts(table: Rows, named: Sequence[str] | None) -> TextColumns:
    if named is not None:
        return texts_named(table, named, together=True)
    if len(table.cells[0]) == 1:
        return TextColumns([0], 0)
    columns = columns_of(table)
    if columns.width > 1:
        both = ",".join(table.called(place) for place in columns.texts)
        raise DataError(
            f"{table.name} has two columns of texts, and this model reads one: name it, or both to "
            f"put them together: --text-columns {both}."
        )
    return columns


def parse_pairs(
    data: bytes,
    where: str,
    named: Sequence[str] | None = None,
    tell: Callable[[Problem], None] = lambda problem: None,
) -> np.ndarray:
    """The pairs (N, 2) of a table: of two columns both, of more its two columns of prose, or those
    `named`. tell: of how it was read. Raises DataError for other tables and what is no text."""
    text, told = decoded(data, where)
    table = _cut(text, where, keep_blank=True, told=told)
    for problem in table.told:
        tell(problem)
    wide = len(table.cells[0])
    if wide < 2:
        raise DataError(f"{where} has one column; a pair of sentences is two, a tab between them.")
    if named is not None:
        columns = texts_named(table, named, together=False)
    else:
        columns = TextColumns([0, 1], 0) if wide == 2 else columns_of(table)
    if columns.width != 2:
        raise DataError(f"{where} has one column of prose; a pair of sentences is two.")
    return _as_objects([columns.texts_of(row) for row in table.cells])


def _names(tree: Tree) -> list[str]:
    return sorted(
        name
        for name in tree.sizes
        if looks_like_table(name, tree.head(name)) and not name.lower().endswith("classes.txt")
    )


def _part(name: str) -> int | None:
    """By the file's name, or a word of it (SICK_trial.txt), else by a folder's."""
    stem = PurePosixPath(name).name.split(".")[0]
    words = [stem, *re.split(r"[-_ ]", stem), *reversed(PurePosixPath(name).parts[:-1])]
    return next((part for word in words if (part := part_of(word)) is not None), None)


def _cut(
    text: str,
    name: str,
    *,
    header: bool | None = None,
    keep_blank: bool = False,
    told: Sequence[Problem] = (),
) -> Rows:
    """Its lines in cells. header: whether the first is one of names, None to look; told: of it
    already."""
    found = cut(text, name, keep_blank=keep_blank, quoted_tabs=False)
    rows, told = found.rows, [*told, *found.told]
    first = [cell.strip() for cell in rows[0]]
    if header is None:
        header = bool(rows[1:]) and knows_a_name(first)
        if not header and rows[1:] and len(first) > 1:
            header = is_header(first, rows[1:], likely=False)
            told += told_of_header(first, rows[1:], True, "text") if header else []
    if not header:
        return Rows(name, None, rows, found.numbers, told)
    names, below, dropped = without_blank_end(first, rows[1:])
    return Rows(name, names, below, found.numbers[1:], [*told, *dropped])
