"""Texts as rows of words: what the classifiers of text share.

A text's row has its tokens by the first vocabulary, then by the second, numbered on from the first,
and so on.

Shapes: N texts, T tokens of the longest text.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from depthwise.data.inputs import shape_of
from depthwise.errors import InputError
from depthwise.text.files import as_texts
from depthwise.text.words import FILLING, Words, words_of

__all__ = ["described_words", "rebuilt_words", "single_texts", "word_rows"]


def word_rows(texts: list[str], vocabularies: list[Words], max_words: int) -> np.ndarray:
    """Tokens (N, T) int64 of the first `max_words` words of each text, filled up behind its end.
    Warns of texts that have more."""
    _warn_of_long(texts, max_words)
    rows = [_row(text, vocabularies, max_words) for text in texts]
    matrix = np.full((len(rows), max(map(len, rows))), FILLING, dtype=np.int64)
    for i, row in enumerate(rows):
        matrix[i, : len(row)] = row
    return matrix


def _row(text: str, vocabularies: list[Words], max_words: int) -> list[int]:
    row, known = [], 0
    for words in vocabularies:
        row += [known + token for token in words.encode(text, max_words)]
        known += words.size
    return row


def _warn_of_long(texts: list[str], max_words: int) -> None:
    """A text has no more words than half its characters and one, which is quickly seen."""
    long = [text for text in texts if len(text) > max_words and _is_long(text, max_words)]
    if long:
        warnings.warn(
            f"{len(long)} of {len(texts)} texts have more than {max_words} words; what "
            "comes after them is not read. Raise max_words to read it.",
            stacklevel=5,
        )


def _is_long(text: str, max_words: int) -> bool:
    return any(place == max_words for place, _ in enumerate(words_of(text)))


def single_texts(X: Any) -> list[str]:
    """Texts (N,). Raises InputError for several columns of them."""
    shape = shape_of(X)
    if len(shape) == 2 and shape[1] > 1:
        raise InputError(
            f"X must be texts (N,); got {shape}. Pairs of sentences are for "
            "SentenceMatcher (family sentences); other columns must be left out."
        )
    return as_texts(X)


def described_words(vocabularies: list[Words]) -> dict[str, Any]:
    """What `rebuilt_words` reads; JSON values."""
    return {"words": [words.to_plain() for words in vocabularies]}


def rebuilt_words(description: dict[str, Any], vocabularies: int) -> list[Words]:
    """The vocabularies of a saved model. Raises ValueError where there are not so many."""
    found = [Words.from_plain(plain) for plain in description["words"]]
    if len(found) != vocabularies:
        raise ValueError(f"{len(found)} vocabularies, not {vocabularies}")
    return found
