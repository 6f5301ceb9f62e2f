"""The texts of an `ImageTextMatcher` as arrays: words that it learnt, or vectors of a pretrained
encoder; and a row of them for each image.

Shapes: N images, M texts, K captions of an image, T words of the longest, E' numbers of a
pretrained encoder's embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from depthwise.backbones.texts import named
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.text.words import FILLING, Words, learn_words

__all__ = [
    "LEARNT",
    "caption_rows",
    "frozen_encoder",
    "rebuilt_words",
    "vocabulary_of",
    "word_rows",
]

LEARNT = "words"  # the encoder that is learnt from the captions


def vocabulary_of(texts: list[str], encoder: str, most: int, max_words: int) -> Words | None:
    """The words of two texts and more, `most` at most; None of a pretrained encoder."""
    if encoder != LEARNT:
        return None
    return learn_words(texts, most, least=2, words=max_words)


def word_rows(texts: Sequence[str], words: Words, max_words: int) -> np.ndarray:
    """Words (M, T) int64, FILLING behind a text's end."""
    rows = [words.encode(text, max_words) for text in texts]
    matrix = np.full((len(rows), max(map(len, rows))), FILLING, dtype=np.int64)
    for i, row in enumerate(rows):
        matrix[i, : len(row)] = row
    return matrix


def caption_rows(table: CaptionTable, rows: np.ndarray) -> np.ndarray:
    """Rows (M, ...) of all captions -> (N, K, ...), those of each image; zeros where one has fewer
    than K."""
    captions = np.zeros((len(table), int(table.counts.max()), rows.shape[1]), rows.dtype)
    place = np.arange(len(rows)) - np.repeat(table.starts[:-1], table.counts)
    captions[table.items, place] = rows
    return captions


def frozen_encoder(name: str, description: dict[str, Any] | None = None) -> Any:
    """The pretrained encoder of this name, or one of a saved model; None where words are learnt."""
    if description is not None:
        made = named.rebuild(description)
    elif name == LEARNT:
        return None
    else:
        made = named.sentence_encoder(name)
    made.freeze("all")
    return made


def rebuilt_words(description: dict[str, Any]) -> Words | None:
    """The vocabulary of a saved model. Raises ValueError where it has both or neither of one and
    of a pretrained encoder."""
    words, sentences = description["words"], description["sentences"]
    if (words is None) == (sentences is None):
        raise ValueError("a matcher of words and of a pretrained encoder, or of neither")
    return None if words is None else Words.from_plain(words)
