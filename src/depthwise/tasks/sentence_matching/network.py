"""Networks that match sentences: two encoded apart and compared, or read together.

    siamese    u = n(e(a)), v = n(e(b)),  n(x) = x / |x|           one encoder e for both
      similarity   s = low + (high - low) (g cos(u', v') + c),     u' = n(u + A u), v' likewise
      classes      z = W [u, v, |u - v|, u * v] + b                each feature standardised
    cross      z = W pooled(h(a and b)) + b                        attention goes between the two

Reimers and Gurevych 2019, "Sentence-BERT", whose siamese form makes search possible: a sentence is
encoded once, not once for every other. Features of pairs: Conneau et al. 2017, "InferSent". A is
0 (E, E) at the start, so that learning begins from what the encoder knows; only a pretrained
encoder has it.

Shapes: B pairs, T pieces, E width of the vectors, K classes, or 1 similarity.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.texts.named import SentenceEncoder
from depthwise.tasks.encoder_estimator import FeatureHead, trimmed

__all__ = ["ClassHead", "CrossNetwork", "OutputHead", "SiameseNetwork", "SimilarityHead"]


class SimilarityHead(nn.Module):
    """u, v (B, 2, E) -> s (B, 1)."""

    low: Tensor
    width: Tensor

    def __init__(self, n_embedding: int, *, turns: bool):
        super().__init__()
        self.turn = nn.Linear(n_embedding, n_embedding, bias=False) if turns else None
        if self.turn is not None:
            nn.init.zeros_(self.turn.weight)
        self.gain, self.offset = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))
        self.register_buffer("low", torch.zeros(1))
        self.register_buffer("width", torch.ones(1))

    def turned(self, vectors: Tensor) -> Tensor:
        """u' of u, (..., E), of length 1."""
        if self.turn is None:
            return vectors
        return functional.normalize(vectors + self.turn(vectors), dim=-1)

    def forward(self, vectors: Tensor) -> Tensor:
        both = self.turned(vectors)
        cosine = (both[:, 0] * both[:, 1]).sum(dim=1, keepdim=True)
        return self.low + self.width * (self.gain * cosine + self.offset)


class ClassHead(nn.Module):
    """u, v (B, 2, E) -> z (B, K)."""

    def __init__(self, n_embedding: int, n_outputs: int, dropout: float):
        super().__init__()
        self.answer = FeatureHead(4 * n_embedding, n_outputs, dropout)

    def turned(self, vectors: Tensor) -> Tensor:
        return vectors

    def forward(self, vectors: Tensor) -> Tensor:
        u, v = vectors[:, 0], vectors[:, 1]
        answers: Tensor = self.answer(torch.cat([u, v, (u - v).abs(), u * v], dim=1))
        return answers


class OutputHead(nn.Module):
    """pooled(h) (B, E) -> z (B, K), or with K = 0 a similarity s (B, 1)."""

    low: Tensor
    width: Tensor

    def __init__(self, n_embedding: int, n_outputs: int, dropout: float):
        super().__init__()
        self.answer = FeatureHead(n_embedding, max(n_outputs, 1), dropout)
        self.register_buffer("low", torch.zeros(1))
        self.register_buffer("width", torch.ones(1))
        if not n_outputs:
            nn.init.constant_(self.answer.output.bias, 0.5)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.low + self.width * self.answer(vectors)


class SiameseNetwork(nn.Module):
    """Tokens of both sentences (B, 2, T) -> answers (B, K) or (B, 1)."""

    def __init__(self, encoder: Any, head: Any, filling: int):
        super().__init__()
        self.encoder, self.head, self.filling = encoder, head, filling

    def forward(self, pairs: Tensor) -> Tensor:
        answers: Tensor = self.head(self.vectors(pairs))
        return answers

    def vectors(self, pairs: Tensor) -> Tensor:
        """u, v: (B, 2, E)."""
        if self.training:
            pairs = trimmed(pairs, self.filling)
        return self.units(pairs.flatten(0, 1)).unflatten(0, (-1, 2))

    def units(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T) -> n(e(tokens)) (B, E)."""
        return functional.normalize(self.encoder(tokens).float(), dim=1)

    def encoded(self, tokens: Tensor) -> Tensor:
        """What is compared by its cosine: u', (B, E)."""
        found: Tensor = self.head.turned(self.units(tokens))
        return found

    def representations(self, pairs: Tensor) -> list[Tensor]:
        return [self.vectors(pairs.long()).flatten(1)]


class CrossNetwork(nn.Module):
    """Tokens of a pair (B, 2, T) -> answers (B, K) or (B, 1). Of a pretrained encoder pairs[:, 0]
    are the pieces of both sentences, pairs[:, 1] say which of the two each is of."""

    def __init__(self, encoder: Any, head: OutputHead, filling: int):
        super().__init__()
        self.encoder, self.head, self.filling = encoder, head, filling
        self.joins_itself = not isinstance(encoder, SentenceEncoder)

    def forward(self, pairs: Tensor) -> Tensor:
        answers: Tensor = self.head(self.vectors(pairs))
        return answers

    def vectors(self, pairs: Tensor) -> Tensor:
        """pooled(h): (B, E)."""
        if self.joins_itself:
            joined: Tensor = self.encoder(trimmed(pairs, self.filling) if self.training else pairs)
            return joined
        if self.training:
            longest = trimmed(pairs[:, 0], self.filling).shape[1]
            pairs = pairs[..., :longest]
        pooled: Tensor = self.encoder(pairs[:, 0], pairs[:, 1])
        return pooled.float()

    def representations(self, pairs: Tensor) -> list[Tensor]:
        return [self.vectors(pairs.long())]
