"""Subword tokenisation for pretrained encoders, by their own `tokenizer.json`.

    "unbelievable" -> un ##bel ##ie ##vable           between a mark at the front and one at the end

The file is JSON for the `tokenizers` library and travels inside a saved model. Lone surrogates,
which no tokeniser takes, become U+FFFD, as any text that could not be read does.

Shapes: N texts, T pieces of the longest text.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from depthwise.errors import MissingExtraError
from depthwise.text.tokens import SURROGATES

__all__ = ["FEWEST_PIECES", "Pieces"]

MOST_BYTES = 50_000_000  # of a tokeniser
FEWEST_PIECES = 8  # of a text, the marks among them: below, a pair would not fit


class Pieces:
    """A tokeniser from the text of its file. `filling`: the piece behind a text's end; `longest`:
    the most pieces its encoder can see. Raises ValueError where it is none."""

    def __init__(self, plain: str, filling: int = 0, longest: int = 512):
        if not isinstance(plain, str) or len(plain) > MOST_BYTES:
            raise ValueError("a tokeniser that is no text, or too long")
        if not isinstance(json.loads(plain), dict):
            raise ValueError("a tokeniser that is no JSON object")
        self.plain, self.filling, self.longest = plain, filling, longest

    def encode(self, texts: Sequence[str], most: int) -> np.ndarray:
        """Pieces (N, T) int64 of texts, at most `most` of each, which is said."""
        found = self._found([_readable(text) for text in texts], most, "texts")
        return self._filled([one.ids for one in found])

    def encode_pairs(self, pairs: Sequence[tuple[str, str]], most: int) -> np.ndarray:
        """(N, 2, T) int64: pieces of both texts of a pair, one behind the other, and which of the
        two a piece is of. Of a pair that has more than `most`, the longer text is cut."""
        found = self._found([(_readable(a), _readable(b)) for a, b in pairs], most, "pairs")
        pieces = self._filled([one.ids for one in found])
        kinds = np.zeros_like(pieces)
        for row, one in zip(kinds, found):
            row[: len(one.type_ids)] = one.type_ids
        return np.stack([pieces, kinds], axis=1)

    def _found(self, texts: Sequence[Any], most: int, what: str) -> list[Any]:
        most = max(min(int(most), self.longest), FEWEST_PIECES)
        self._engine.enable_truncation(max_length=most)
        found = self._engine.encode_batch(texts)
        cut = sum(1 for one in found if one.overflowing)
        if cut:
            warnings.warn(
                f"{cut} of {len(texts)} {what} have more than {most} pieces of words; what comes "
                f"after them is not read. Raise max_words (up to {self.longest}) to read it.",
                stacklevel=4,
            )
        return list(found)

    def _filled(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        matrix = np.full((len(rows), max(map(len, rows))), self.filling, dtype=np.int64)
        for i, row in enumerate(rows):
            matrix[i, : len(row)] = row
        return matrix

    @functools.cached_property
    def _engine(self) -> Any:
        try:
            import tokenizers
        except ImportError:
            raise MissingExtraError(
                "a pretrained sentence encoder needs the package `tokenizers`: "
                'pip install "depthwise[text]".'
            ) from None
        try:
            engine = tokenizers.Tokenizer.from_str(self.plain)
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"a tokeniser that cannot be read ({error})") from None
        engine.no_padding()
        return engine

    def __getstate__(self) -> dict[str, Any]:
        return {"plain": self.plain, "filling": self.filling, "longest": self.longest}


def _readable(text: str) -> str:
    return SURROGATES.sub("\ufffd", text)
