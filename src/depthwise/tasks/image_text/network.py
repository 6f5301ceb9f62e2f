"""Images and texts as points of one sphere, and what draws those that belong together.

    u = W_u n(e(x)) / |.|                 e: the backbone's embedding of an image, n: standardised
    v = W_v n(t(w)) / |.|                 t: the encoder's embedding of a text
    L = (H(p, softmax(s u V^T)) + H(p, softmax(s v U^T))) / 2      mean over the pairs of a batch

A symmetric contrastive loss (Radford et al. 2021, figure 3; InfoNCE: van den Oord et al. 2018): of
all texts V of the batch an image is to choose its own, and the other way round. s = exp(learnt),
at most 100. p is 1 for the pair itself; where a batch has the same text several times they share
it, since none of them is wrong.

t is learnt from words, the mean over positions of a Transformer that sees both ways
(backbones/texts/transformer.py), or the mean of word vectors where a rung has none; or it is a
pretrained sentence encoder that does not learn.

Shapes: B pairs, K captions of an image, T words of the longest, E and E' embeddings, D of the
sphere, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.images.features import Backbone
from depthwise.backbones.texts.transformer import EMBEDDING_STD, Rung, Transformer
from depthwise.text.words import FILLING, UNKNOWN

__all__ = ["ImageTextNetwork", "Matching", "WordEncoder", "contrast", "one_caption_each"]

SHARPNESS, SHARPEST = 1 / 0.07, 100.0  # s at the start, and at most


class WordEncoder(nn.Module):
    """Words (B, T) -> (B, E'); filling changes nothing. `word_dropout`: share of words silenced in
    training."""

    def __init__(
        self, vocabulary: int, width: int, rung: Rung | None, dropout: float, silent: float
    ):
        super().__init__()
        self.silent, self.n_embedding = silent, width if rung is None else rung.width
        self.words: nn.Module = nn.Embedding(vocabulary, width)
        if rung is None:
            nn.init.normal_(self.words.weight, std=EMBEDDING_STD)
        else:
            self.words = Transformer(vocabulary, rung, causal=False, dropout=dropout)
        self.sees_order = rung is not None

    def forward(self, words: Tensor) -> Tensor:
        words = words.long()
        real = words != FILLING
        if self.training and self.silent:
            silenced = torch.rand(words.shape, device=words.device) < self.silent
            words = torch.where(silenced & real, UNKNOWN, words)
        hidden = self.words(words, real) if self.sees_order else self.words(words)
        there = real[..., None]
        mean: Tensor = (hidden * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
        return mean


class Projection(nn.Module):
    """(B, E) -> unit vectors (B, D), float32 whatever the precision of the products."""

    def __init__(self, inputs: int, outputs: int, dropout: float):
        super().__init__()
        self.norm = nn.BatchNorm1d(inputs, affine=False)
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(inputs, outputs)
        nn.init.normal_(self.output.weight, std=inputs**-0.5)

    def forward(self, embedded: Tensor) -> Tensor:
        made = self.output(self.dropout(self.norm(embedded.to(self.output.weight.dtype))))
        return functional.normalize(made.float(), dim=1)


class Matching(nn.Module):
    """All but the backbone. `encoder`: words (B, T) -> (B, E'); None where texts come embedded."""

    def __init__(
        self,
        n_image: int,
        n_text: int,
        n_outputs: int,
        encoder: WordEncoder | None,
        dropout: float,
    ):
        super().__init__()
        self.encoder = encoder
        self.image, self.text = (Projection(n, n_outputs, dropout) for n in (n_image, n_text))
        self.sharpness = nn.Parameter(torch.tensor(math.log(SHARPNESS)))

    def place_texts(self, texts: Tensor) -> Tensor:
        """v (B, D) of words (B, T), or of embeddings (B, E')."""
        embedded = texts if self.encoder is None else self.encoder(texts)
        placed: Tensor = self.text(embedded)
        return placed

    def forward(self, embedded: Tensor) -> Tensor:
        """u (B, D) of embedded images (B, E)."""
        placed: Tensor = self.image(embedded)
        return placed


class ImageTextNetwork(nn.Module):
    """Raw images (B, C, H, W) -> u (B, D), of length 1. `sentences`: the pretrained encoder of
    texts, if that is what reads them."""

    def __init__(self, backbone: Backbone, matching: Matching, sentences: Any = None):
        super().__init__()
        self.backbone, self.matching, self.sentences = backbone, matching, sentences

    def forward(self, x: Tensor) -> Tensor:
        placed: Tensor = self.matching(self.backbone(x))
        return placed

    def representations(self, x: Tensor) -> list[Tensor]:
        """The flattened maps, finest first; last u (B, D)."""
        maps = self.backbone.features(x)
        flat = [torch.flatten(made, 1) for made in maps]
        return [*flat, self.matching(self.backbone.embed(maps[-1]))]


def one_caption_each(texts: Tensor) -> Tensor:
    """(B, K, ...) -> (B, ...): one caption of each image at random; rows of zeros are left out."""
    there = (texts != 0).flatten(2).any(dim=2).float()
    chosen = torch.multinomial(there, 1)[:, 0]
    return texts[torch.arange(len(texts), device=texts.device), chosen]


def contrast(u: Tensor, v: Tensor, texts: Tensor, sharpness: Tensor | float) -> Tensor:
    """L of a batch: u, v (B, D), and the texts (B, ...) that v was made of, to see which are the
    same -> scalar."""
    s = torch.as_tensor(sharpness).exp().clamp(max=SHARPEST)
    same = (texts[:, None] == texts[None]).flatten(2).all(dim=2).float()
    p, logits = same / same.sum(dim=1, keepdim=True), s * u @ v.T
    return (functional.cross_entropy(logits, p) + functional.cross_entropy(logits.T, p)) / 2
