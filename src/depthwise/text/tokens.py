"""Tokenisers: text to a row of token ids and back, without loss.

A piece is a few bytes. Every vocabulary begins with the 256 single bytes, so any text at all has
an encoding, and decoding is no more than joining the pieces of the tokens:

    bytes        one token a byte of UTF-8
    characters   and one for every longer character of the text that was learnt from
    bpe          and the pair of neighbours that occurs most often in words, joined to a new piece,
                 again and again until there are as many pieces as wanted: Gage 1994; Sennrich,
                 Haddow and Birch 2016; on bytes: Radford et al. 2019. Needs `tokenizers`

    "né!" -> 110 195 169 33 in bytes; 110 256 33 in characters, if é was seen

One token more, `end`, stands before and after a text and has no bytes. Lone surrogates, which
Python's strings may hold and UTF-8 may not, travel as the three bytes UTF-8 would give them.

Shapes: S tokens of a text, V vocabulary (pieces and `end`).
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from depthwise.errors import InputError, MissingExtraError

__all__ = ["KINDS", "Tokenizer", "as_bytes", "learn_tokens"]

KINDS = ("bytes", "characters", "bpe")
BYTES = 256
MOST = 1_000_000  # pieces of a vocabulary
MOST_CHARACTERS = 20_000  # that get a token of their own, the most frequent ones
SURROGATES = re.compile("([\ud800-\udfff]+)")

Merge = tuple[int, int]


class Tokenizer:
    """A vocabulary and the way to cut text into it.

    `characters`: those beyond one byte that are pieces; `merges`: pairs of earlier pieces that are
    joined, in order of preference. Raises ValueError where they contradict themselves.
    """

    def __init__(self, kind: str, characters: str = "", merges: Sequence[Merge] = ()):
        if kind not in KINDS or (characters and kind != "characters") or (merges and kind != "bpe"):
            raise ValueError(f"no tokens of the kind {kind!r} with these pieces")
        self.kind, self.characters, self.merges = kind, characters, [(a, b) for a, b in merges]
        self.pieces = [bytes([value]) for value in range(BYTES)]
        self.pieces += [as_bytes(character) for character in characters]
        known = set(self.pieces)
        if len(known) < len(self.pieces):
            raise ValueError("a character is there twice, or is a single byte")
        for a, b in self.merges:
            if not (type(a) is int and type(b) is int and 0 <= min(a, b) <= max(a, b) < self.end):
                raise ValueError(f"a merge of the pieces {a!r} and {b!r}")
            joined = self.pieces[a] + self.pieces[b]
            if joined not in known:
                known.add(joined)
                self.pieces.append(joined)

    @property
    def end(self) -> int:
        """The id of the end-of-text token, which separates texts."""
        return len(self.pieces)

    @property
    def size(self) -> int:
        """V: pieces, and `end`."""
        return len(self.pieces) + 1

    def encode(self, text: str) -> np.ndarray:
        """Tokens (S,) int32, without `end`."""
        if self.kind == "bytes":
            return np.frombuffer(as_bytes(text), dtype=np.uint8).astype(np.int32)
        if self.kind == "characters":
            table = self._tokens_of_characters
            found = [token for c in text for token in (table.get(c) or as_bytes(c))]
        else:
            found = [token for part in SURROGATES.split(text) for token in self._joined(part)]
        return np.array(found, dtype=np.int32)

    def decode_bytes(self, tokens: Iterable[int]) -> bytes:
        """The bytes of tokens; `end` has none."""
        return b"".join(self.pieces[token] for token in tokens if token != self.end)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens; bytes that are no UTF-8 become U+FFFD."""
        joined = self.decode_bytes(tokens)
        try:
            return joined.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return joined.decode("utf-8", "replace")

    def to_plain(self) -> dict[str, Any]:
        """JSON values that `from_plain` makes the same tokeniser of."""
        return {"kind": self.kind, "characters": self.characters, "merges": self.merges}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Tokenizer:
        """Raises KeyError, TypeError or ValueError for what `to_plain` cannot have written."""
        if len(plain["merges"]) + len(plain["characters"]) > MOST:
            raise ValueError(f"a vocabulary of more than {MOST:,} pieces")
        return cls(plain["kind"], plain["characters"], plain["merges"])

    def _joined(self, part: str) -> Sequence[int]:
        if SURROGATES.match(part):
            return as_bytes(part)
        return self._engine.encode(part).ids if part else ()

    @functools.cached_property
    def _tokens_of_characters(self) -> dict[str, tuple[int, ...]]:
        return {c: (BYTES + i,) for i, c in enumerate(self.characters)}

    @functools.cached_property
    def _engine(self) -> Any:
        names = [_spelt(piece) for piece in self.pieces]
        vocabulary = {name: token for token, name in enumerate(names)}
        return _engine(vocabulary, [(names[a], names[b]) for a, b in self.merges])

    def __getstate__(self) -> dict[str, Any]:
        return self.to_plain()

    def __setstate__(self, plain: dict[str, Any]) -> None:
        self.__init__(**plain)  # type: ignore[misc]


def as_bytes(text: str) -> bytes:
    """UTF-8, and lone surrogates as if they were characters."""
    return text.encode("utf-8", "surrogatepass")


def learn_tokens(kind: str, texts: Sequence[str], vocabulary: int = 4096) -> Tokenizer:
    """The tokeniser of a kind for texts like these; `vocabulary`: pieces of "bpe", at most.

    Raises InputError for another kind, MissingExtraError where "bpe" lacks `tokenizers`.
    """
    if kind not in KINDS:
        raise InputError(f"tokens must be one of {', '.join(KINDS)}; got {kind!r}.")
    if kind == "characters":
        counts = Counter(c for text in texts for c in text if ord(c) >= 128)
        return Tokenizer(kind, "".join(sorted(c for c, _ in counts.most_common(MOST_CHARACTERS))))
    if kind == "bytes":
        return Tokenizer(kind)
    if not isinstance(vocabulary, int | np.integer) or not BYTES <= vocabulary <= MOST:
        raise InputError(f"vocabulary must be 256 to {MOST:,} pieces; got {vocabulary!r}.")
    return Tokenizer(kind, merges=_learn_merges(texts, int(vocabulary)))


def _learn_merges(texts: Sequence[str], vocabulary: int) -> list[Merge]:
    engine = _engine({}, [])
    from tokenizers import pre_tokenizers, trainers

    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    engine.train_from_iterator((SURROGATES.sub("", text) for text in texts), trainer)
    tokens = {_spelt(bytes([value])): value for value in range(BYTES)}
    merges = []
    for pair in json.loads(engine.to_str())["model"]["merges"]:
        a, b = pair.split(" ") if isinstance(pair, str) else pair
        merges.append((tokens[a], tokens[b]))
        tokens.setdefault(a + b, len(tokens))
    return merges


def _engine(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Any:
    """Hugging Face's `tokenizers`, which cuts text into words before it joins bytes to pieces."""
    try:
        import tokenizers
    except ImportError:
        raise MissingExtraError(
            'tokens="bpe" needs the package `tokenizers`: pip install "depthwise[text]". '
            'tokens="bytes" and "characters" need nothing.'
        ) from None
    engine = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, merges))
    engine.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return engine


def _spelt(piece: bytes) -> str:
    """A piece as `tokenizers` writes it: a visible character for each byte."""
    return "".join(_VISIBLE[value] for value in piece)


def _visible_bytes() -> list[str]:
    """The visible character of each byte: printable Latin-1 as it is, the others U+0100 and on, in
    order (the table of Radford et al. 2019)."""
    themselves = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    table, others = [], 0
    for value in range(BYTES):
        table.append(chr(value) if value in themselves else chr(BYTES + others))
        others += value not in themselves
    return table


_VISIBLE = _visible_bytes()
