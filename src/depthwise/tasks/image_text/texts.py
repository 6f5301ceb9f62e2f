"""The texts of an `ImageTextMatcher`: words that it learnt, or a pretrained encoder's vectors.

Shapes: M texts, T words of the longest, E' numbers of a pretrained encoder's embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from depthwise.backbones.texts import named
from depthwise.models.networks import NetworkEstimator
from depthwise.text.words import FILLING, Words, learn_words

__all__ = ["OfTexts"]

LEARNT = "words"  # the encoder that is learnt from the captions


class OfTexts(NetworkEstimator):
    """See the top of this file. words_: the words that are known, None of a pretrained encoder."""

    encoder: str
    vocabulary: int
    max_words: int
    words_: Words | None = None
    _described: dict[str, Any] | None = None  # the encoder of a model that is being rebuilt

    def _read(self, texts: Sequence[str]) -> np.ndarray:
        """Words (M, T) int64, FILLING behind a text's end; or embeddings (M, E') float32."""
        if self.words_ is None:
            return self._embedded(texts)
        rows = [self.words_.encode(text, int(self.max_words)) for text in texts]
        matrix = np.full((len(rows), max(map(len, rows))), FILLING, dtype=np.int64)
        for i, row in enumerate(rows):
            matrix[i, : len(row)] = row
        return matrix

    def _embedded(self, texts: Sequence[str]) -> np.ndarray:
        known = getattr(getattr(self, "network_", None), "sentences", None)
        encoder = named.sentence_encoder(self.encoder) if known is None else known
        found: np.ndarray = encoder.encode(list(texts), int(self.max_words))
        return found

    def _learn_words(self, texts: list[str]) -> None:
        """The vocabulary for texts like these: words of two of them and more."""
        self.words_ = None
        if self.encoder == LEARNT:
            most = int(self.vocabulary)
            self.words_ = learn_words(texts, most, least=2, words=int(self.max_words))

    def _known_words(self) -> int:
        """V of what is learnt."""
        return int(self.vocabulary) if self.words_ is None else self.words_.size

    def _sentences(self) -> Any:
        """The pretrained encoder, of which nothing learns; None where words are learnt."""
        if self._described is not None:
            made = named.rebuild(self._described)
        elif self.encoder == LEARNT:
            return None
        else:
            made = named.sentence_encoder(self.encoder)
        made.freeze("all")
        return made

    def _check_text_settings(self) -> None:
        for name in ("vocabulary", "max_words"):
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and bool(value >= 1)
            self._require(name, whole, "a whole number, at least 1")

    # -- saving -----------------------------------------------------------------------------------

    def describe_network(self) -> dict[str, Any]:
        encoder: Any = getattr(self.network_, "sentences", None)
        return {
            **super().describe_network(),
            "words": None if self.words_ is None else self.words_.to_plain(),
            "sentences": None if encoder is None else encoder.description,
        }

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        words, self._described = description["words"], description["sentences"]
        if (words is None) == (self._described is None):
            raise ValueError("a matcher of words and of a pretrained encoder, or of neither")
        self.words_ = None if words is None else Words.from_plain(words)
        if int(description["n_classes"]) != self.n_outputs:
            raise ValueError(f"vectors of {description['n_classes']}, not {self.n_outputs} numbers")
        try:
            return super().rebuild(description)
        finally:
            self._described = None
