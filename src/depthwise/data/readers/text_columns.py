"""Which columns of a table are texts, which says something of them, and which says the part.

    prose and class, in either order; a column is prose where most cells are several words and few
    are alike; columns called id, or one that says the split, may be there besides
    id, text, label, source     a text and its class by their names, and up to three columns more
    sentence_A, sentence_B, relatedness_score, entailment_judgment, ...    a pair by its columns'
    names, and the first that has the name of an answer; `label=` takes another (SICK, SNLI)
    label, title, description     headline and body are one text, put together

`text_columns=` says otherwise, by names or by numbers from 1: one column is a text, two a pair of
them, or one text put together where the task asked for is "text", as more than two are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from depthwise.data.problem import Problem
from depthwise.data.raw import part_of
from depthwise.data.readers.trees.tree import listed
from depthwise.data.tables.numbers import as_number
from depthwise.errors import DataError
from depthwise.text.words import UNDIVIDED

__all__ = ["Rows", "TextColumns", "columns_of", "knows_a_name", "texts_named"]

LABELS = (
    *("label", "labels", "class", "classes", "target", "y", "category", "sentiment", "intent"),
    *("score", "similarity", "relation", "paraphrase", "entailment", "quality", "is_duplicate"),
    *("relatedness", "relatedness_score", "entailment_judgment", "entailment_label", "gold_label"),
    *("similarity_score", "judgment", "judgement"),
)
TEXTS = (
    *("text", "texts", "sentence", "review", "comment", "content", "body", "message", "document"),
    *("question", "tweet", "utterance", "sms", "description", "headline", "title"),
    *("premise", "hypothesis"),
)
OPENING, BODY = ("title", "headline", "subject"), ("description", "body", "content", "text")
ASIDE = ("id", "idx", "index", "split", "set", "subset", "part", "pair_id", "pairid")
SPLITS = ("split", "set", "subset", "part", "semeval_set")
FEWEST_WORDS, FEWEST_DISTINCT = 3.0, 0.7  # a cell of prose has, on average; share of cells
LOOKED_AT = 200  # rows
MOST_CLASSES = 0.5  # classes, as a share of the rows
MOST_OTHERS = 3  # columns besides a text and its class
LETTERS = re.compile(rf"[{UNDIVIDED}]|[^\W\d_{UNDIVIDED}]{{2,}}")
NUMBERED = re.compile(r"[_ ]*(\d+|(?<=[_ ])[ab])$")  # sentence2, id_1, sentence_A


@dataclass(frozen=True)
class Rows:
    """A file's cells, and the names of its columns if it has a line of them; lines: the number of
    each row in the file, from 1; told: how it was cut."""

    name: str
    header: list[str] | None
    cells: list[list[str]]
    lines: Sequence[int] = ()
    told: list[Problem] = field(default_factory=list)

    def called(self, place: int) -> str:
        return self.header[place] if self.header else str(place + 1)


@dataclass(frozen=True)
class TextColumns:
    """Places of the texts, of what is said of them, and of the part if a column says it.

    joined: whether the texts of a row are put together into one; told: what was taken otherwise
    than a glance at the table says, and how to have it else.
    """

    texts: list[int]
    answer: int
    part: int | None = None
    joined: bool = False
    told: str = ""

    def texts_of(self, row: Sequence[str]) -> tuple[str, ...]:
        cells = tuple(row[place].strip() for place in self.texts)
        return (" ".join(filter(None, cells)),) if self.joined else cells

    @property
    def width(self) -> int:
        """Texts of an item: 1, or 2 of pairs."""
        return 1 if self.joined else len(self.texts)


def knows_a_name(header: Sequence[str]) -> bool:
    """Whether a first line is one of names."""
    return bool({*LABELS, *TEXTS} & {_plain(name) for name in header})


def columns_of(
    table: Rows,
    label: str | None = None,
    texts: Sequence[str] | None = None,
    together: bool = False,
) -> TextColumns:
    """The columns of a table. texts: as the user named them; together: whether two are one text.

    Raises DataError where it is no such table, or has no such column.
    """
    names = table.header or [""] * len(table.cells[0])
    if texts is not None:
        named = texts_named(table, texts, together)
        return _pair(table, label, named.texts, named.joined)
    places = [k for k, name in enumerate(names) if not _is_aside(name)]
    prose = [k for k in places if _is_prose([row[k] for row in table.cells[:LOOKED_AT]])]
    if len(prose) in (1, 2) and len(places) == len(prose) + 1:
        return _all_of_them(table, label, prose, next(k for k in places if k not in prose))
    if pair := _pair_by_names(names, prose):
        return _pair(table, label, pair)
    if _is_text_among_others(table, names, prose, places):
        return _pair(table, label, prose)
    raise DataError(
        f"{table.name} has {len(places)} columns, {len(prose)} of them prose; a table of texts "
        "has one of prose, or two of pairs, and one of classes. Or name the columns of texts: "
        "--text-columns A,B (text_columns=)."
    )


def _all_of_them(table: Rows, label: str | None, prose: list[int], answer: int) -> TextColumns:
    """A table of nothing but prose and what is said of it."""
    if label is not None and label != table.called(answer):
        raise DataError(f"{table.name} has no column {label!r} of classes beside its texts.")
    values = {row[answer] for row in table.cells[:LOOKED_AT]}
    looked = min(len(table.cells), LOOKED_AT)
    if len(prose) == 1 and len(values) > max(2, MOST_CLASSES * looked):
        raise DataError(f"{table.name}: the column beside the texts is no class: too many values.")
    plain = [_plain(name) for name in table.header] if table.header else []
    opening = [k for k in prose if plain and plain[k] in OPENING]
    body = [k for k in prose if plain and plain[k] in BODY]
    if len(prose) == 2 and opening and body:
        first, second = table.called(opening[0]), table.called(body[0])
        told = f"{first} and {second} are put together; --text-columns {second} takes one of them"
        return TextColumns(opening + body, answer, _part_column(table), joined=True, told=told)
    told = ""
    if len(prose) == 2 and not table.header:
        one, two = (table.called(k) for k in prose)
        told = (
            f"columns {one} and {two} are taken for a pair; put together into one text they are by "
            f"--text-columns {one},{two} --task text"
        )
    return TextColumns(prose, answer, _part_column(table), told=told)


def _pair(table: Rows, label: str | None, texts: list[int], joined: bool = False) -> TextColumns:
    """A pair, or one text, among other columns: the first with the name of an answer is taken."""
    others = [k for k in range(len(table.cells[0])) if k not in texts]
    aside = {k for k in others if _is_aside(table.called(k))}
    answer = _answer(table, label, [k for k in others if k not in aside])
    rest = [table.called(k) for k in others if k != answer and k not in aside]
    shown = " and ".join(table.called(k) for k in texts)
    told = f"{shown}, and {table.called(answer)} of them"
    if rest:
        told += f"; left out are {listed(rest)} (--label takes another column"
        told += ", --format csv all of them)" if len(texts) == 1 else ")"
    return TextColumns(texts, answer, _part_column(table), joined, told)


def texts_named(table: Rows, texts: Sequence[str], together: bool) -> TextColumns:
    """The columns of texts as the user names them; what is said of them is not asked."""
    places = [_place(table, name) for name in texts]
    if len(set(places)) < len(places) or not places:
        raise DataError(f"text_columns must be different columns; got {', '.join(texts)}.")
    joined = len(places) > 2 or (together and len(places) > 1)
    return TextColumns(places, 0, joined=joined)


def _answer(table: Rows, label: str | None, others: list[int]) -> int:
    if label is not None:
        return _place(table, label)
    if not others:
        raise DataError(f"{table.name} has no column beside its texts that says what they are.")
    named = [k for k in others if _plain(table.called(k)) in LABELS]
    return named[0] if named else others[-1]


def _place(table: Rows, name: str) -> int:
    """Of a column by its name, else by its number from 1."""
    wide = len(table.cells[0])
    if table.header and name in table.header:
        return table.header.index(name)
    if name.isdecimal() and 1 <= int(name) <= wide:
        return int(name) - 1
    known = listed(table.header, 12) if table.header else f"1 to {wide}, it has no line of names"
    raise DataError(f"{table.name} has no column {name!r}; its columns are {known}.")


def _pair_by_names(names: Sequence[str], prose: Sequence[int]) -> list[int] | None:
    """Two columns of prose that are called the two of a pair, if there is an answer by its name."""
    if not any(_plain(name) in LABELS for name in names):
        return None
    called = [k for k in prose if _plain(names[k]) in TEXTS]
    twins = [k for k in called if _plain(names[k]) != names[k].strip().lower()]
    sides = [k for k in called if _plain(names[k]) in ("premise", "hypothesis")]
    return next((two for two in (twins, sides) if len(two) == 2), None)


def _is_text_among_others(
    table: Rows, names: Sequence[str], prose: Sequence[int], places: Sequence[int]
) -> bool:
    """One column of prose that is called a text, one that is called an answer, and few besides,
    none of which has numbers that one might learn from."""
    if len(prose) != 1 or _plain(names[prose[0]]) not in TEXTS:
        return False
    answers = [k for k in places if k not in prose and _plain(names[k]) in LABELS]
    others = [k for k in places if k not in prose and k not in answers[:1]]
    cells = [row[k] for row in table.cells[:LOOKED_AT] for k in others]
    numbers = any(as_number(cell) is not None for cell in cells)
    return bool(answers) and len(others) <= MOST_OTHERS and not numbers


def _part_column(table: Rows) -> int | None:
    """The column whose every cell is the name of a part, if there is one called so."""
    for k, name in enumerate(table.header or []):
        if name.strip().lower() in SPLITS and all(
            part_of(row[k].strip()) is not None for row in table.cells
        ):
            return k
    return None


def _plain(name: str) -> str:
    """A column's name without its number or letter: sentence2, id_1, sentence_A."""
    return NUMBERED.sub("", name.strip().lower())


def _is_aside(name: str) -> bool:
    return _plain(name) in ASIDE or name.strip().lower() in SPLITS


def _is_prose(cells: Sequence[str]) -> bool:
    """Several words in most cells, and few cells alike."""
    if not cells:
        return False
    words = sum(len(LETTERS.findall(cell)) for cell in cells)
    return words >= FEWEST_WORDS * len(cells) and len(set(cells)) >= FEWEST_DISTINCT * len(cells)
