"""Texts with a label each: a table of two columns, prose and class; or of three, a pair of
sentences and what is said of them.

    a stirring , funny film<TAB>1          tab: nothing is quoted, a line is an item
    "Funny, stirring",1                    comma, semicolon or bar: quoted as RFC 4180 has it
    label,sentence                         a line of names, if one of them is a known name

Either order. A column is prose where most cells are several words and few are alike; the other one,
which may be asked for by `label=`, is the class. Files named train, dev and test, or in folders of
these names, are the split. Texts that are empty are left out and told. Columns called id, or one
that says the split, may be there besides; with more columns it is a table like others. What is said
of pairs is a class (paraphrase, entailment), or, where it is a fraction or of many values, a
similarity.

Shapes: N texts or pairs.
"""

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.decode import Allocate
from depthwise.data.options import Options
from depthwise.data.raw import Raw, encode_labels, part_of
from depthwise.data.readers.pictures import picture_names
from depthwise.data.readers.table import looks_like_table
from depthwise.data.readers.texts import text_of
from depthwise.data.readers.tree import Tree, listed
from depthwise.errors import DataError
from depthwise.text_words import UNDIVIDED

__all__ = ["has_pairs", "has_texts", "parse_pairs", "parse_texts", "read"]

LABELS = (
    *("label", "labels", "class", "classes", "target", "y", "category", "sentiment", "intent"),
    *("score", "similarity", "relation", "paraphrase", "entailment", "quality", "is_duplicate"),
)
TEXTS = (
    *("text", "texts", "sentence", "review", "comment", "content", "body", "message", "document"),
    *("question", "tweet", "utterance", "sms", "description", "headline", "title"),
    *("premise", "hypothesis"),
)
ASIDE = ("id", "idx", "index", "split", "set", "subset")
TABLES = (".csv", ".tsv", ".tab")
FEWEST_WORDS, FEWEST_DISTINCT = 3.0, 0.7  # a cell of prose has, on average; share of cells
LOOKED_AT = 200  # rows
FEW_LINES, LOOKED_THROUGH = 4, 16 << 20  # of a file's beginning; bytes
MOST_CLASSES = 0.5  # classes, as a share of the rows
MOST_OF_PAIRS = 10  # classes of pairs; more values are similarities
FAR = 100  # times as far from the median as the middle half of the scores
LETTERS = re.compile(rf"[{UNDIVIDED}]|[^\W\d_{UNDIVIDED}]{{2,}}")


@dataclass(frozen=True)
class _Rows:
    """A file's cells, and the names of its columns if it has a line of them."""

    name: str
    header: list[str] | None
    cells: list[list[str]]


@dataclass
class _Found:
    """What the tables hold: a text or a pair of them an item, what is said of it, its part, and
    where it stands."""

    texts: list[tuple[str, ...]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
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
        return len(_columns(_cut(_begin(tree, names[0]).decode("utf-8-sig"), names[0]), None)[0])
    except (DataError, UnicodeDecodeError):
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
    found, widths = _Found(), set()
    parts = [_part(name) for name in names]
    if len(names) > 1 and (None in parts or len(set(parts)) < len(parts)):
        raise DataError(
            f"{tree.where} holds several tables ({listed(names)}); name them train, dev and "
            "test, or give one of them, or one folder."
        )
    for name, part in zip(names, parts, strict=True):
        table = _cut(text_of(tree, name), name)
        widths.add(_add(found, table, part or 0, options.label, several=len(names) > 1))
    if len(widths) > 1:
        raise DataError(f"{tree.where} holds tables of texts and of pairs; give one kind.")
    if "" in found.said:
        where = found.where[found.said.index("")]
        raise DataError(f"{tree.where}: no label in {where}; fill it in.")
    return _raw(tree, found, several=len(names) > 1)


def _add(found: _Found, table: _Rows, part: int, label: str | None, several: bool) -> int:
    """Adds a table's rows; how many columns of prose it has."""
    places, answer = _columns(table, label)
    for number, row in enumerate(table.cells, 2 if table.header else 1):
        texts = tuple(row[place].strip() for place in places)
        if not all(texts):
            where = f"{table.name}, row {number}"
            found.problems.append(Problem("empty text", where, "left out"))
            continue
        found.texts.append(texts)
        found.said.append(row[answer].strip())
        found.parts.append(part)
        found.where.append(f"{table.name}, row {number}" if several else f"row {number}")
    return len(places)


def _raw(tree: Tree, found: _Found, several: bool) -> Raw:
    parts = np.array(found.parts, np.int8) if several else None
    problems = [*tree.problems, *found.problems]
    width = len(found.texts[0]) if found.texts else 1
    inputs = _as_objects(found.texts)
    scores = _similarities(found, tree.where) if width == 2 else None
    if scores is None:
        codes, classes = encode_labels(np.array(found.said), tree.where)
        raw = Raw(
            "text", inputs, codes, classes, parts, problems, task=("text", "pairs")[width - 1]
        )
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


def parse_texts(data: bytes, where: str) -> list[str]:
    """The texts of a file: of a table its column of prose, else a text a line; blank lines are
    none. Raises DataError for what is not UTF-8, has no text, or has several columns of prose."""
    text = _decoded(data, where)
    if not where.lower().endswith(TABLES):
        texts = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        table = _cut(text, where)
        place = 0 if len(table.cells[0]) == 1 else _columns(table, None)[0][0]
        texts = [row[place].strip() for row in table.cells if row[place].strip()]
    if not texts:
        raise DataError(f"{where} has no text in it; expected one a line.")
    return texts


def parse_pairs(data: bytes, where: str) -> np.ndarray:
    """The pairs (N, 2) of a table: of two columns both, of more its two columns of prose. Raises
    DataError for other tables, and for what is not UTF-8."""
    table = _cut(_decoded(data, where), where)
    wide = len(table.cells[0])
    if wide < 2:
        raise DataError(f"{where} has one column; a pair of sentences is two, a tab between them.")
    places = [0, 1] if wide == 2 else _columns(table, None)[0]
    if len(places) != 2:
        raise DataError(f"{where} has one column of prose; a pair of sentences is two.")
    return _as_objects([(row[places[0]].strip(), row[places[1]].strip()) for row in table.cells])


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} is not UTF-8 text (byte {error.start:,}); save it as UTF-8."
        ) from None


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
    header = [cell.strip() for cell in cells[0]]
    known = {*LABELS, *TEXTS} & {_plain(name) for name in header}
    return _Rows(name, header, cells[1:]) if known and cells[1:] else _Rows(name, None, cells)


def _plain(name: str) -> str:
    """A column's name without its number: sentence2, id_1."""
    return name.strip().lower().rstrip("0123456789").rstrip("_ ")


def _columns(table: _Rows, label: str | None) -> tuple[list[int], int]:
    """Places of the text or the two of a pair, and of what is said of them. Raises DataError where
    it is no such table."""
    some = table.cells[:LOOKED_AT]
    names = table.header or [""] * len(some[0])
    places = [k for k, name in enumerate(names) if _plain(name) not in ASIDE]
    prose = [k for k in places if _is_prose([row[k] for row in some])]
    if len(prose) not in (1, 2) or len(places) != len(prose) + 1:
        raise DataError(
            f"{table.name} has {len(places)} columns, {len(prose)} of them prose; a table of texts "
            "has one of prose, or two of pairs, and one of classes."
        )
    answer = next(k for k in places if k not in prose)
    if label is not None and names[answer] != label:
        raise DataError(f"{table.name} has no column {label!r} of classes beside its texts.")
    if len(prose) == 1 and len({row[answer] for row in some}) > max(2, MOST_CLASSES * len(some)):
        raise DataError(f"{table.name}: the column beside the texts is no class: too many values.")
    return prose, answer


def _is_prose(cells: Sequence[str]) -> bool:
    """Several words in most cells, and few cells alike."""
    if not cells:
        return False
    words = sum(len(LETTERS.findall(cell)) for cell in cells)
    return words >= FEWEST_WORDS * len(cells) and len(set(cells)) >= FEWEST_DISTINCT * len(cells)
