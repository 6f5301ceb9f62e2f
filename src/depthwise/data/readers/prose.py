"""Prose to learn a language from: text files without labels.

    shakespeare.txt                                its last tenth is for test, the tenth before it
                                                   to validate
    wikitext/train.txt, valid.txt, test.txt        as they are named; what is missing is cut from
                                                   the end of the others
    books/*.txt                                    each cut like one file alone

Text is cut at the ends of lines: what comes later is asked about by who has read what comes before,
never the other way round. A piece of a file in one part is an item.

Shapes: N pieces.
"""

from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate
from depthwise.data.raw import TEST, TRAIN, VALIDATION, Raw, part_of
from depthwise.data.readers.trees.small_texts import text_of
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError
from depthwise.text.words import words_of

__all__ = ["has_prose", "read"]

SUFFIXES = (".txt", ".text", ".md", ".tokens")
CUTS = {VALIDATION: 0.1, TEST: 0.1}  # shares of what nobody has cut
FEWEST_WORDS = 20  # at the beginning of one of the files
FEWEST_CHARACTERS = 100  # altogether
LINES = 5  # that are looked at


def has_prose(tree: Tree) -> bool:
    """Whether there are text files and nothing else, one of which begins like prose."""
    names = list(tree.sizes)
    if not names or not all(name.lower().endswith(SUFFIXES) for name in names):
        return False
    heads = [tree.head(name).decode("utf-8", "replace") for name in names]
    return any(_is_prose(head) for head in heads) and not any(map(_is_table, heads))


def _is_prose(head: str) -> bool:
    return sum(word[0].isalpha() for word in words_of(head)) >= FEWEST_WORDS


def _is_table(head: str) -> bool:
    """Whether all of the first lines have as many separators, and one at least."""
    lines = head.split("\n")[:LINES]
    return any(len(found := {line.count(s) for line in lines}) == 1 and max(found) for s in "\t;,|")


def read(tree: Tree, allocate: Allocate, options: Options) -> Raw:
    """Raises DataError for what is no UTF-8, or too little text to be cut in three."""
    names = sorted(name for name in tree.sizes if name.lower().endswith(SUFFIXES))
    texts = {name: text_of(tree, name) for name in names}
    blank = [name for name in names if not texts[name].strip()]
    problems = [Problem("empty text", name, "left out") for name in blank]
    pieces = list(_pieces({name: texts[name] for name in names if name not in blank}))
    _require_enough([text for _, _, text in pieces], tree.where)
    inputs = np.empty(len(pieces), object)
    inputs[:] = [text for _, _, text in pieces]
    parts = np.array([part for _, part, _ in pieces], np.int8)
    nothing = np.zeros(len(pieces), np.int64)
    raw = Raw("text", inputs, nothing, [], parts, [*tree.problems, *problems], task="language")
    raw.names = [name for name, _, _ in pieces]
    return raw


def _pieces(texts: dict[str, str]) -> Iterator[tuple[str, int, str]]:
    """(file, part, text): what is not named for a part is cut for those that are missing."""
    named = {name: _part(name) for name in texts}
    missing = [part for part in CUTS if part not in named.values()]
    for name, text in texts.items():
        part = named[name]
        if part not in (None, TRAIN):
            yield name, int(part), text
            continue
        for cut, piece in _cut(text, missing if part == TRAIN else list(CUTS)):
            if piece:
                yield name, cut, piece


def _part(name: str) -> int | None:
    """By a word of the file's name: train.txt, wiki.valid.tokens."""
    words = PurePosixPath(name).name.lower().replace("_", ".").replace("-", ".").split(".")
    return next((part for word in words if (part := part_of(word)) is not None), None)


def _cut(text: str, parts: list[int]) -> Iterator[tuple[int, str]]:
    """The beginning for training, then the parts, in this order."""
    ends = np.cumsum([1 - sum(CUTS[part] for part in parts), *(CUTS[part] for part in parts)])
    start = 0
    for part, end in zip([TRAIN, *parts], ends, strict=True):
        stop = len(text) if end > 0.999 else _line_end(text, int(end * len(text)))
        yield part, text[start:stop]
        start = stop


def _line_end(text: str, place: int) -> int:
    """Behind the first end of a line from `place` on, or `place` where the line is long."""
    found = text.find("\n", place, place + 1000)
    return place if found < 0 else found + 1


def _require_enough(texts: list[str], where: str) -> None:
    if sum(map(len, texts)) < FEWEST_CHARACTERS:
        raise DataError(
            f"{where} holds {sum(map(len, texts))} characters of text; give "
            f"{FEWEST_CHARACTERS} at least, and rather some ten thousand."
        )
