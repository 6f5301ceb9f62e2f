"""The network of a language model: a Transformer that sees what comes before, its sizes, and counts
of n-grams that may be mixed in.

Shapes: B batch, T positions of a window, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor, nn

from depthwise.backbones.texts.transformer import Cache, Rung, Transformer
from depthwise.tasks.language.ngram_counts import Counts

__all__ = ["SIZES", "LanguageNetwork"]

SIZES: dict[str, Rung] = {
    "xxs": Rung(width=32, layers=1, heads=1, groups=1),
    "xs": Rung(width=64, layers=2, heads=2, groups=1),
    "s": Rung(width=128, layers=4, heads=4, groups=2),
    "m": Rung(width=256, layers=4, heads=4, groups=2),
    "l": Rung(width=320, layers=6, heads=5, groups=5),
    "xl": Rung(width=384, layers=8, heads=6, groups=3),
}


class LanguageNetwork(nn.Module):
    """Tokens (B, T) int -> logits (B, T, V) of the token that follows each."""

    def __init__(self, vocabulary: int, rung: Rung, dropout: float):
        super().__init__()
        self.transformer = Transformer(vocabulary, rung, causal=True, dropout=dropout)
        self.counts: Counts | None = None

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        before = None if cache is None else cache.tokens
        logits = self.transformer.logits(self.transformer(tokens, cache=cache))
        return logits if self.counts is None else self.counts.mixed(logits, tokens, before)
