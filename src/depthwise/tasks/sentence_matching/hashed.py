"""An encoder of sentences from scratch: words and parts of words by their hash, weighed by rarity.

    bag_p(x) = n( sum_i r_i E[i] )       over what piece i of the kind p is there, n(v) = v / |v|
    u        = n( [ a_w bag_words, a_g bag_grams, a_h pooled(h) ] ),     a^2 = softmax(mix)
    r_i      = ln((1 + N) / (1 + n_i)) + 1 at the start: n_i of N sentences have i; then learnt

Grams are the runs of 3 and 4 letters of <word>, which a misspelt or inflected word still shares
(Bojanowski et al. 2017). A word is known by its hash (CRC-32), so that there is no unknown one.
Rows of E begin as random directions, nearly at right angles to one another: u . v is then nearly
the cosine of TF-IDF (Johnson and Lindenstrauss 1984), and learning starts from there. h are the
hidden states of a Transformer on the words (backbones/texts/transformer.py), which sees their
order; the smallest rung has none, and a cross-encoder has nothing else.

Shapes: B batch, T pieces, D numbers of a piece, E width of the vectors.
"""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.texts.transformer import Rung, Transformer
from depthwise.tasks.encoder_estimator import trimmed
from depthwise.text.tokens import as_bytes
from depthwise.text.words import words_of

__all__ = ["FILLING", "GRAMS", "SIZES", "WORDS", "HashedEncoder", "JoinedEncoder", "MatchRung"]

FILLING = 0
WORDS, GRAMS = 2**14, 2**15  # places that words and grams are hashed to
END_OF_WORDS = 1 + WORDS  # words are 1 .. WORDS, grams follow them
PIECES = END_OF_WORDS + GRAMS
LENGTHS = (3, 4)  # letters of a gram
MIX = (0.0, 0.5, -1.0)  # of words, grams and hidden states at the start
NOTHING = ""  # the one word of a text that has none
LONGEST_WORD = 64  # letters whose grams are read


@dataclass(frozen=True)
class MatchRung:
    """One size: numbers of a piece, and the Transformer, if there is one."""

    numbers: int
    encoder: Rung | None


SIZES: dict[str, MatchRung] = {
    "xs": MatchRung(64, None),
    "s": MatchRung(64, Rung(width=64, layers=1, heads=2, groups=2)),
    "m": MatchRung(128, Rung(width=96, layers=2, heads=4, groups=4)),
}
JOINING = Rung(width=64, layers=1, heads=2, groups=2)  # of a cross-encoder at the smallest size


def pieces_of(text: str, most: int) -> tuple[list[int], list[int], bool]:
    """The first words of a text, in order; its grams, each once; and whether there were more
    words."""
    words = list(itertools.islice(words_of(text), most + 1))
    kept = words[:most] or [NOTHING]
    grams = dict.fromkeys(gram for word in kept for gram in grams_of(word))
    return (
        [1 + hashed(word) % WORDS for word in kept],
        [END_OF_WORDS + hashed(gram) % GRAMS for gram in grams],
        len(words) > most,
    )


def grams_of(word: str) -> list[str]:
    marked = f"<{word[:LONGEST_WORD]}>"
    return [marked[i : i + n] for n in LENGTHS for i in range(len(marked) - n + 1)]


def hashed(piece: str) -> int:
    return zlib.crc32(as_bytes(piece))


class Bag(nn.Module):
    """Tokens (B, T) and which of them count (B, T) -> (B, D) of length 1, or 0 where none does."""

    def __init__(self, size: int, numbers: int):
        super().__init__()
        self.table = nn.Embedding(size, numbers)
        self.rarity = nn.Parameter(torch.zeros(size))  # ln r
        nn.init.normal_(self.table.weight, std=numbers**-0.5)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        weights = self.rarity[tokens].exp() * there
        if self.training:  # the same sum, without (B, T, D) of it: half the time of a step
            total = functional.embedding_bag(
                tokens, self.table.weight, mode="sum", per_sample_weights=weights
            )
        else:
            total = (self.table(tokens) * weights[..., None]).sum(dim=1)
        return functional.normalize(total, dim=1)


class HashedEncoder(nn.Module):
    """Tokens (B, T), words and then grams -> u (B, E)."""

    def __init__(self, rung: MatchRung, dropout: float, word_dropout: float):
        super().__init__()
        self.word_dropout = word_dropout
        self.words, self.grams = Bag(END_OF_WORDS, rung.numbers), Bag(GRAMS, rung.numbers)
        self.reader = None
        self.n_embedding = 2 * rung.numbers
        if rung.encoder is not None:
            self.reader = Reader(rung.encoder, dropout)
            self.n_embedding += rung.encoder.width
        self.mix = nn.Parameter(torch.tensor(MIX[: 2 + (self.reader is not None)]))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = silenced(tokens, self.word_dropout) if self.training else tokens
        is_word, is_gram = word_or_gram(tokens)
        words = tokens.masked_fill(~is_word, FILLING)
        parts = [
            self.words(words, is_word),
            self.grams((tokens - END_OF_WORDS).clamp(min=0), is_gram),
        ]
        if self.reader is not None:
            parts.append(functional.normalize(self.reader(words, is_word), dim=1))
        shares = torch.softmax(self.mix, dim=0).sqrt()
        return torch.cat([share * part for share, part in zip(shares, parts)], dim=1)

    @torch.no_grad()
    def weigh(self, tokens: np.ndarray) -> None:
        """Set r by the sentences (N, T) that will be learnt from."""
        counts = np.zeros(PIECES)
        for row in tokens:
            counts[np.unique(row)] += 1
        rarity = np.log(np.log((1 + len(tokens)) / (1 + counts)) + 1)
        self.words.rarity.copy_(torch.from_numpy(rarity[:END_OF_WORDS]))
        self.grams.rarity.copy_(torch.from_numpy(rarity[END_OF_WORDS:]))


class Reader(nn.Module):
    """Words (B, T) and which of them count -> the mean of their hidden states (B, D)."""

    def __init__(self, rung: Rung, dropout: float):
        super().__init__()
        self.encoder = Transformer(END_OF_WORDS + 1, rung, causal=False, dropout=dropout)
        self.n_embedding = rung.width

    def forward(self, words: Tensor, there: Tensor) -> Tensor:
        # where a text has no word, its filling is read, so that there is something to look at
        seen = there | ~there.any(dim=1, keepdim=True)
        if not torch.compiler.is_exporting():  # grams follow the words: their columns are filling
            words = trimmed(words, FILLING)
            seen = seen[:, : words.shape[1]]
        hidden = self.encoder(words, seen)
        return (hidden * seen[..., None]).sum(dim=1) / seen.sum(dim=1, keepdim=True)


class JoinedEncoder(nn.Module):
    """Both sentences of a pair (B, 2, T), one behind the other -> (B, E)."""

    def __init__(self, rung: MatchRung, dropout: float, word_dropout: float):
        super().__init__()
        self.word_dropout = word_dropout
        self.reader = Reader(rung.encoder or JOINING, dropout)
        self.n_embedding = self.reader.n_embedding

    def forward(self, pairs: Tensor) -> Tensor:
        tokens = silenced(pairs, self.word_dropout) if self.training else pairs
        words = tokens.masked_fill(~word_or_gram(tokens)[0], FILLING)
        between = torch.full_like(words[:, 0, :1], END_OF_WORDS)
        joined = torch.cat([to_the_end(words[:, 0]), between, words[:, 1]], dim=1)
        return self.reader(joined, joined != FILLING)


def to_the_end(words: Tensor) -> Tensor:
    """Rows (B, T) moved to the right, so that no filling is between them and what follows:
    filling there would put the second sentence further off."""
    places = torch.arange(words.shape[1], device=words.device)
    lengths = ((words != FILLING) * (places + 1)).amax(dim=1, keepdim=True)
    return words.gather(1, (places + lengths) % words.shape[1])


def word_or_gram(tokens: Tensor) -> tuple[Tensor, Tensor]:
    return (tokens > FILLING) & (tokens < END_OF_WORDS), tokens >= END_OF_WORDS


def silenced(tokens: Tensor, share: float) -> Tensor:
    """Each piece with this chance left out."""
    drawn = torch.rand(tokens.shape, device=tokens.device)
    return tokens.masked_fill(drawn < share, FILLING)
