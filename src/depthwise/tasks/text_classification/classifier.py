"""Text classifier: two that look at a text in their own ways, and decide together.

    log p  = (log p_wide + log p_deep) / 2, up to a constant
    wide   = logistic regression on rare words and pairs of them (tfidf.py),
             fitted first, by itself
    deep   = W_b bag(x) + W_e pooled(h), learnt by gradient descent
    bag(x) = sum of E_1[word_t] and E_2[word_(t-1), word_t] over positions / sqrt(number of them):
             words and pairs of neighbours, after Joulin et al. 2017; pairs share a table by a hash
    h      = encoder(words), a Transformer that sees both ways (backbones/texts/transformer.py), and
             pooled(h) its mean and maximum over positions; the smallest rung has none

With some thousand texts to learn from, neither half is clearly better than the other, and the two
together are as good as the better one or a little more (figures: docs/language.md). In training,
words are silenced at random (Iyyer et al. 2015), so that no single one is relied upon.

With a pretrained `encoder` (backbones/texts/named.py) neither half is there: log p is linear in the
encoder's mean hidden state, and the encoder is frozen or adapted too.

Shapes: B batch, T words of the longest text, D width of the encoder, V vocabulary, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.backbones.texts.named import SentenceEncoder
from depthwise.backbones.texts.transformer import Rung, Transformer
from depthwise.models.supervised import Classifier
from depthwise.settings import check_settings, no_setting, setting, settings, whole
from depthwise.tasks.encoder_estimator import EncoderEstimator, FeatureHead, trimmed
from depthwise.tasks.text_classification.texts import (
    described_words,
    rebuilt_words,
    single_texts,
    word_rows,
)
from depthwise.tasks.text_classification.tfidf import TextLogistic, TfidfNetwork, solve
from depthwise.tasks.token_inputs import take_tokens
from depthwise.text.words import FILLING, UNKNOWN, Words, learn_words

__all__ = ["SIZES", "TextClassifier", "TextLogistic", "TextNetwork"]

PAIRS = 2**15  # rows of the table that pairs of words share
MIXED = 2_654_435_761  # Knuth's multiplier: 2^32 divided by the golden ratio
RUNS = 5  # times as many runs of words as words
WIDE_C, WIDE_STEPS = 10.0, 200


@dataclass(frozen=True)
class TextRung:
    """One size: numbers a word has in the bag, and the encoder, if there is one."""

    bag: int
    encoder: Rung | None


SIZES: dict[str, TextRung] = {
    "xs": TextRung(16, None),
    "s": TextRung(32, Rung(width=64, layers=1, heads=2, groups=2)),
    "m": TextRung(32, Rung(width=96, layers=2, heads=4, groups=4)),
    "l": TextRung(64, Rung(width=192, layers=4, heads=6, groups=6)),
}


def rows_of_pairs(left: Tensor, right: Tensor) -> Tensor:
    """floor((1,000,003 left + right) MIXED / 2^16) mod PAIRS, by halves that 32 bits hold: some
    runtimes have no more."""
    low, high = torch.zeros_like(left), torch.zeros_like(left)
    for words, factor in ((left, 1_000_003 * MIXED), (right, MIXED)):
        part = words * (factor % 2**16)
        low = low + part % 2**16
        high = high + part // 2**16 + words * (factor // 2**16 % PAIRS) % PAIRS
    return (high + low // 2**16) % PAIRS


class Bag(nn.Module):
    """Words (B, T) -> (B, numbers): those of words and pairs, summed."""

    def __init__(self, vocabulary: int, numbers: int):
        super().__init__()
        self.words, self.pairs = nn.Embedding(vocabulary, numbers), nn.Embedding(PAIRS, numbers)
        for table in (self.words, self.pairs):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, words: Tensor) -> Tensor:
        counts = words > UNKNOWN  # filling and silenced words say nothing
        both = counts[:, 1:] & counts[:, :-1]
        hashed = rows_of_pairs(words[:, :-1], words[:, 1:])
        total = (self.words(words) * counts[..., None]).sum(dim=1)
        total = total + (self.pairs(hashed) * both[..., None]).sum(dim=1)
        number = counts.sum(dim=1, keepdim=True) + both.sum(dim=1, keepdim=True)
        return total / number.clamp(min=1).sqrt()


class DeepNetwork(nn.Module):
    """Words (B, T) -> logits (B, K); a row that is filled up answers as it would without."""

    def __init__(
        self, vocabulary: int, n_classes: int, rung: TextRung, dropout: float, word_dropout: float
    ):
        super().__init__()
        self.word_dropout, self.dropout = word_dropout, nn.Dropout(dropout)
        self.bag = Bag(vocabulary, rung.bag)
        self.bag_output = nn.Linear(rung.bag, n_classes)
        self.encoder, self.encoder_output = None, None
        if rung.encoder is not None:
            self.encoder = Transformer(vocabulary, rung.encoder, causal=False, dropout=dropout)
            self.encoder_output = nn.Linear(2 * rung.encoder.width, n_classes)

    def forward(self, words: Tensor) -> Tensor:
        if self.training:
            words = self._silenced(words[:, : int((words != FILLING).sum(dim=1).max())])
        logits: Tensor = self.bag_output(self.dropout(self.bag(words)))
        if self.encoder is None or self.encoder_output is None:
            return logits
        return logits + self.encoder_output(self.dropout(self.pooled(words)))

    def pooled(self, words: Tensor) -> Tensor:
        """Mean and maximum of the hidden states over positions: (B, 2D)."""
        assert self.encoder is not None
        real = words != FILLING
        hidden, there = self.encoder(words, real), real[..., None]
        mean = (hidden * there).sum(dim=1) / there.sum(dim=1)
        return torch.cat([mean, hidden.masked_fill(~there, -1e4).amax(dim=1)], dim=1)

    def _silenced(self, words: Tensor) -> Tensor:
        silent = torch.rand(words.shape, device=words.device) < self.word_dropout
        return torch.where(silent & (words != FILLING), UNKNOWN, words)


class TextNetwork(nn.Module):
    """Tokens (B, T), words and then runs of words, numbered on -> logits (B, K): in training those
    of the deep half alone, which learns by itself."""

    def __init__(self, deep: DeepNetwork, wide: TfidfNetwork):
        super().__init__()
        self.deep, self.wide = deep, wide.requires_grad_(False)
        self.words = deep.bag.words.num_embeddings

    def forward(self, tokens: Tensor) -> Tensor:
        runs = tokens >= self.words
        deep: Tensor = self.deep(tokens.masked_fill(runs, FILLING))
        if self.training:
            return deep
        wide = self.wide((tokens - self.words).masked_fill(~runs, FILLING))
        return (torch.log_softmax(deep, dim=1) + torch.log_softmax(wide, dim=1)) / 2

    def representations(self, tokens: Tensor) -> list[Tensor]:
        """The bag's numbers, and the encoder's."""
        words = tokens.long().masked_fill(tokens >= self.words, FILLING)
        encoded = [] if self.deep.encoder is None else [self.deep.pooled(words)]
        return [self.deep.bag(words), *encoded]


class EncodedText(nn.Module):
    """Pieces (B, T) -> logits (B, K), by a pretrained encoder."""

    def __init__(self, encoder: SentenceEncoder, n_classes: int, dropout: float):
        super().__init__()
        self.encoder = encoder
        self.head = FeatureHead(encoder.n_embedding, n_classes, dropout)

    def forward(self, pieces: Tensor) -> Tensor:
        logits: Tensor = self.head(self.vectors(pieces))
        return logits

    def vectors(self, pieces: Tensor) -> Tensor:
        """The encoder's mean hidden state: (B, E)."""
        if self.training:
            pieces = trimmed(pieces, self.encoder.filling)
        encoded: Tensor = self.encoder(pieces)
        return encoded.float()

    def representations(self, pieces: Tensor) -> list[Tensor]:
        return [self.vectors(pieces.long())]


@settings
class TextClassifier(EncoderEstimator, Classifier):
    """Text classifier, trained on texts (N,) and labels (N,), from scratch or on an encoder. In
    `partial_fit` the wide half learns from the first piece of data, all else from all.
    """

    family: ClassVar[str] = "text"
    tasks: ClassVar[tuple[str, ...]] = ("text",)
    priority: ClassVar[dict[str, int]] = {"text": 1}
    sizes: ClassVar[dict[str, TextRung]] = SIZES
    vocabularies: ClassVar[int] = 2  # words, and runs of them
    words_: list[Words] = no_setting()
    pretrained: ClassVar[dict[str, dict[str, Any]]] = {
        "minilm": {"encoder": "minilm-l6", "epochs": 30, "batch_size": 128},
        "minilm-tuned": {"encoder": "minilm-l6", "freeze": 1, "epochs": 3, "batch_size": 32},
    }
    augment = None

    size: str = setting(
        default="s",
        doc='"xs" (a bag of words and pairs) .. "l" (with an encoder of 4 layers, 192 wide)',
    )
    vocabulary: int = setting(
        default=20_000,
        range=whole("[1, inf)", usual=(2000, 50_000)),
        doc="words that are kept, the most frequent ones; not of an encoder",
    )
    max_words: int = setting(
        default=256,
        range=whole("[1, inf)", usual=(32, 2048)),
        doc="words of a text that are read, or pieces of words of an encoder, which sees 512; "
        "longer ones are cut, and that is said",
    )
    dropout: float = setting(default=0.3, doc="share of units silenced in training")
    word_dropout: float = 0.3
    epochs: float | str = 6
    batch_size: int | str = 64
    lr: float = 2e-3
    patience: int | str | None = None
    label_smoothing: float = 0.1
    warm_start: bool = False

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        rung = self._rung()
        check_settings(self)
        if self.encoder is not None:
            return self._on_encoder(n_outputs, pretrained=False)
        words = vars(self).get("words_")
        sizes = [w.size for w in words] if words else [int(self.vocabulary)] * 2
        deep = DeepNetwork(sizes[0], n_outputs, rung, self.dropout, self.word_dropout)
        return TextNetwork(deep, TfidfNetwork(sizes[1], n_outputs))

    def _new_network(self, inputs: np.ndarray, targets: np.ndarray) -> nn.Module:
        network = super()._new_network(inputs, targets)
        if not isinstance(network, TextNetwork):
            return network
        runs = np.where(inputs >= network.words, inputs - network.words, FILLING)
        solve(network.wide, runs, targets, WIDE_C, WIDE_STEPS)
        return network

    def _take(
        self, X: Any, y: Any = None, *, reset: bool, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """Tokens (N, T) int64, and label indices (N,) or None."""
        return take_tokens(self, single_texts(X), y, reset=reset, classes=classes)

    def tokenize(self, X: Any, learn: bool = False) -> np.ndarray:
        """Texts (N,) as rows of tokens (N, T) int64; with `learn` the vocabularies, for which
        `build` makes its network, are those of these texts."""
        texts = single_texts(X)
        if learn:
            self._learn_words(texts)
        return self._tokens(texts)

    def prepare(self, X: Any, learn: bool = False) -> np.ndarray:
        return self.tokenize(X, learn)

    def _learn_words(self, items: list[str]) -> None:
        """The vocabularies for texts like these, or the encoder's tokeniser."""
        self.words_ = []
        if self.encoder is not None:
            self._find_pieces()
            return
        most, read = int(self.vocabulary), int(self.max_words)
        words = learn_words(items, most, least=2, words=read)
        self.words_ = [words, learn_words(items, RUNS * most, longest=2, words=read)]

    def build_on(self, encoder: SentenceEncoder, n_outputs: int) -> nn.Module:
        return EncodedText(encoder, n_outputs, self.dropout)

    def _tokens(self, items: list[str]) -> np.ndarray:
        if self.encoder is None:
            return word_rows(items, self.words_, int(self.max_words))
        return self.pieces_.encode(items, int(self.max_words))

    def describe_network(self) -> dict[str, Any]:
        return {**super().describe_network(), **described_words(self.words_)}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        self.words_ = []
        if self.encoder is not None:
            return self._rebuilt(description)
        self.words_ = rebuilt_words(description, self.vocabularies)
        return super().rebuild(description)
