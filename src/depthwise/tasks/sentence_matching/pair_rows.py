"""Pairs of sentences as rows of tokens, and what is said of them as numbers or classes.

Shapes: N pairs, T tokens of the longest sentence.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from depthwise.errors import InputError
from depthwise.models.supervised import Classifier
from depthwise.tasks.encoder_estimator import EncoderEstimator
from depthwise.tasks.sentence_matching.hashed import FILLING, pieces_of
from depthwise.tasks.sentence_matching.pairs import (
    Pair,
    as_pairs,
    as_similarities,
    checked_range,
    require_labels,
    require_sentences,
    told_kind,
)

__all__ = ["OfPairs"]


class OfPairs(EncoderEstimator, Classifier):
    """A model whose inputs are pairs of sentences. kind_: "similarity" or "classes"; range_: of
    similarities, None of classes."""

    task_mark = "kind_"
    cross: bool
    targets: str | tuple[float, float]
    max_words: int
    kind_: str
    range_: tuple[float, float] | None

    def _take(
        self, X: Any, y: Any = None, *, reset: bool, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """Tokens (N, 2, T) int64, and similarities (N, 1), class indices (N,), or None."""
        pairs = as_pairs(X)
        targets = None if y is None else self._check_targets(y, len(pairs))
        whole = isinstance(self.max_words, int | np.integer) and self.max_words >= 1
        self._require("max_words", whole, "a whole number, at least 1")
        reset = reset and not (self.warm_start and self.is_fitted)  # what is known stays
        if reset:
            require_sentences(pairs)
            if self.encoder is not None:
                self._find_pieces()
        inputs = self._tokens(pairs)
        if reset:
            self.running_ = None
            self.input_shape_, self.input_dtype_ = tuple(inputs.shape[1:]), "int64"
            self.n_features_in_ = 2
        return inputs, None if targets is None else self._encode(targets, reset, classes)

    def tokenize(self, X: Any, learn: bool = False) -> np.ndarray:
        """Pairs (N, 2) of sentences as tokens (N, 2, T) int64. There is no vocabulary to `learn`:
        words are hashed, or an encoder brings its own."""
        if learn and self.encoder is not None:
            self._find_pieces()
        return self._tokens(as_pairs(X))

    def prepare(self, X: Any) -> np.ndarray:
        return self.tokenize(X)

    def _tokens(self, pairs: list[Pair]) -> np.ndarray:
        if self.cross and self.encoder is not None:
            return self.pieces_.encode_pairs(pairs, int(self.max_words))
        rows = self._token_rows([text for pair in pairs for text in pair])
        return rows.reshape(len(pairs), 2, -1)

    def _token_rows(self, texts: list[str]) -> np.ndarray:
        """(N, T) int64, words and then grams, or an encoder's pieces."""
        if self.encoder is not None:
            return self.pieces_.encode(texts, int(self.max_words))
        found = [pieces_of(text, int(self.max_words)) for text in texts]
        long = sum(is_long for _, _, is_long in found)
        if long:
            warnings.warn(
                f"{long} of {len(texts)} sentences have more than {self.max_words} words; what "
                "comes after them is not read. Raise max_words to read it.",
                stacklevel=4,
            )
        rows = np.full((len(found), max(len(w) + len(g) for w, g, _ in found)), FILLING, np.int64)
        for row, (words, grams, _) in zip(rows, found):
            row[: len(words) + len(grams)] = words + grams
        return rows

    def _filling(self) -> int | None:
        return FILLING if self.encoder is None else super()._filling()

    def _check_targets(self, y: Any, items: int) -> np.ndarray:
        targets = np.asarray(y)
        if targets.ndim == 2 and targets.shape[1] == 1:
            targets = targets[:, 0]
        if targets.ndim != 1 or len(targets) != items:
            raise InputError(f"y must be ({items},), one answer a pair; got {targets.shape}.")
        return targets

    def _encode(self, targets: np.ndarray, reset: bool, classes: np.ndarray | None) -> Any:
        stated = checked_range(self.targets)
        if reset:
            told = told_kind(targets, self.targets)
            self.kind_ = "classes" if classes is not None else told
        if self.kind_ == "classes":
            if reset:
                self.range_ = None
                require_labels(targets)
            return super()._encode(targets, reset, classes)
        self.__dict__.pop("classes_", None)
        scores = as_similarities(targets, stated)
        if reset:
            self.range_ = stated or (float(scores.min()), float(scores.max()))
            if self.range_[0] == self.range_[1]:
                raise InputError(
                    f"y says {self.range_[0]:g} of every pair: there is nothing to learn. "
                    "Give pairs of several similarities."
                )
        return scores.astype(np.float32)[:, None]
