"""Word-level vocabularies: texts to word ids, for classifiers and encoders.

A run of letters and digits is a word, in lower case; every other character but spaces is a word of
its own, and so is each character of a script without spaces between words (Chinese, Japanese,
Thai ...). A word outside the vocabulary is represented by its suffix, "~" and its last three
letters, or as unknown.

    "Which films?" -> start, which, films, ?        start: 2, unknown: 1, filling: 0

`learn_words(..., longest=2)` adds bigrams to the vocabulary: "which films".

Shapes: T words of a text, V vocabulary.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["FILLING", "START", "UNDIVIDED", "UNKNOWN", "Words", "learn_words"]

FILLING, UNKNOWN, START = range(3)
FIRST = 3  # token of the first word
ENDING = 3  # letters by which an unknown word is known
MOST = 1_000_000
UNDIVIDED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{UNDIVIDED}]|[^\W{UNDIVIDED}]+|[^\w\s]")


class Words:
    """A vocabulary. `pieces`: words, endings, and runs of up to `longest` words joined by spaces.

    Raises ValueError where a piece is there twice or is no text.
    """

    def __init__(self, pieces: Sequence[str], longest: int = 1):
        if len(pieces) > MOST or not all(isinstance(piece, str) for piece in pieces):
            raise ValueError(f"words must be at most {MOST:,} texts")
        if type(longest) is not int or not 1 <= longest <= 5:
            raise ValueError(f"runs of {longest!r} words")
        self.pieces, self.longest = list(pieces), longest
        self.tokens = {piece: FIRST + i for i, piece in enumerate(self.pieces)}
        if len(self.tokens) < len(self.pieces):
            raise ValueError("a word is there twice")

    @property
    def size(self) -> int:
        """V, with filling, unknown and start."""
        return FIRST + len(self.pieces)

    def encode(self, text: str, most: int) -> list[int]:
        """Ids of the first `most` words, after `start`; of n-grams, each once, in order."""
        words = list(itertools.islice(words_of(text), most))
        if self.longest == 1:
            return [START, *(self._token(word) for word in words)]
        known = (self.tokens.get(run) for run in runs(words, self.longest))
        return [START, *dict.fromkeys(token for token in known if token is not None)]

    def _token(self, word: str) -> int:
        return self.tokens.get(word) or self.tokens.get(ending(word)) or UNKNOWN

    def to_plain(self) -> dict[str, Any]:
        """JSON values that `from_plain` makes the same vocabulary of."""
        return {"pieces": self.pieces, "longest": self.longest}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Words:
        """Raises KeyError, TypeError or ValueError for what `to_plain` cannot have written."""
        return cls(plain["pieces"], plain["longest"])


def words_of(text: str) -> Iterator[str]:
    return (match.group().lower() for match in WORD.finditer(text))


def ending(word: str) -> str:
    return "~" + word[-ENDING:]


def runs(words: Sequence[str], longest: int) -> Iterator[str]:
    """N-grams of words, shortest first; "^" marks the start of a text."""
    marked = ["^", *words]
    yield from words
    for n in range(2, longest + 1):
        yield from (" ".join(marked[i : i + n]) for i in range(len(marked) - n + 1))


def learn_words(
    texts: Sequence[str], most: int, *, least: int = 1, longest: int = 1, words: int = 10**9
) -> Words:
    """The `most` frequent pieces that occur in `least` texts or more, the most frequent first;
    of each text, its first `words` words. Words in too few texts leave their endings."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(set(runs(list(itertools.islice(words_of(text), words)), longest)))
    if longest == 1:
        rare = Counter({word: n for word, n in counts.items() if n < least})
        for word, n in rare.items():
            counts[ending(word)] += n
    kept = [piece for piece, n in counts.items() if n >= least]
    kept.sort(key=lambda piece: (-counts[piece], piece))
    return Words(kept[:most], longest)
