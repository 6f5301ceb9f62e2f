"""Texts as rows of tokens: what the classifiers of text share.

Shapes: N texts, T tokens of the longest text, K classes.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from torch import nn

from depthwise.errors import InputError
from depthwise.models.supervised import Classifier
from depthwise.text.files import as_texts
from depthwise.text.words import FILLING, Words, words_of

__all__ = ["OfTexts"]


class OfTexts(Classifier):
    """A classifier whose inputs are texts. `words_`: its vocabularies; a text's row has its tokens
    by the first of them, then by the second, numbered on from the first, and so on."""

    vocabularies: ClassVar[int] = 1
    warm_start = False
    max_words: int
    words_: list[Words]

    def _learn_words(self, texts: list[str]) -> list[Words]:
        """The vocabularies for texts like these."""
        raise AssertionError("a classifier of texts says what its words are")

    def _take(
        self, X: Any, y: Any = None, *, reset: bool, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """Tokens (N, T) int64, filled up behind a text's end, and label indices (N,) or None."""
        texts = single_texts(X)
        targets = None if y is None else self._check_targets(y, len(texts))
        whole = isinstance(self.max_words, int | np.integer) and self.max_words >= 1
        self._require("max_words", whole, "a whole number, at least 1")
        reset = reset and not (self.warm_start and self.is_fitted)  # what is known stays
        if reset:
            self.words_ = self._learn_words(texts)
        inputs = self._tokens(texts)
        if reset:
            self.input_shape_, self.input_dtype_ = (inputs.shape[1],), "int64"
            self.n_features_in_ = 1
        return inputs, None if targets is None else self._encode(targets, reset, classes)

    def tokenize(self, X: Any, learn: bool = False) -> np.ndarray:
        """Texts (N,) as rows of tokens (N, T) int64; with `learn` the vocabularies, for which
        `build` makes its network, are those of these texts."""
        texts = single_texts(X)
        if learn:
            self.words_ = self._learn_words(texts)
        return self._tokens(texts)

    def prepare(self, X: Any) -> np.ndarray:
        return self.tokenize(X)

    def _tokens(self, texts: list[str]) -> np.ndarray:
        self._tell_of_long(texts)
        return filled([self._row(text) for text in texts])

    def _row(self, text: str) -> list[int]:
        row, known = [], 0
        for words in self.words_:
            row += [known + token for token in words.encode(text, int(self.max_words))]
            known += words.size
        return row

    def _tell_of_long(self, texts: list[str]) -> None:
        """A text has no more words than half its characters and one, which is quickly seen."""
        long = [text for text in texts if len(text) > self.max_words and self._is_long(text)]
        if long:
            warnings.warn(
                f"{len(long)} of {len(texts)} texts have more than {self.max_words} words; what "
                "comes after them is not read. Raise max_words to read it.",
                stacklevel=5,
            )

    def _is_long(self, text: str) -> bool:
        return any(place == self.max_words for place, _ in enumerate(words_of(text)))

    def describe_network(self) -> dict[str, Any]:
        return {**super().describe_network(), "words": [words.to_plain() for words in self.words_]}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        self.words_ = [Words.from_plain(plain) for plain in description["words"]]
        if len(self.words_) != self.vocabularies:
            raise ValueError(f"{len(self.words_)} vocabularies, not {self.vocabularies}")
        return super().rebuild(description)


def single_texts(X: Any) -> list[str]:
    """Texts (N,). Raises InputError for several columns of them."""
    if getattr(X, "ndim", 1) == 2 and X.shape[1] > 1:
        raise InputError(
            f"X must be texts (N,); got {tuple(X.shape)}. Pairs of sentences are for "
            "SentenceMatcher (family sentences); other columns must be left out."
        )
    return as_texts(X)


def filled(rows: list[list[int]]) -> np.ndarray:
    """Rows of tokens as one matrix (N, T) int64."""
    matrix = np.full((len(rows), max(map(len, rows))), FILLING, dtype=np.int64)
    for i, row in enumerate(rows):
        matrix[i, : len(row)] = row
    return matrix
