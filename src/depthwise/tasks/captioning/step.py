"""How captions become rows of tokens, and one step of learning to write them.

    min  -1/|all tokens| sum log p(w_t | w_1 .. w_(t-1), image)        teacher forcing, smoothed

An item of the loop is an image with all its captions, (K, T) tokens; at each visit at most
`AT_ONCE` of them, drawn anew, share what is computed of the image.

Shapes: B images, K captions of an image, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.tasks.captioning.network import FILLING, CaptionNetwork, Writer, caption_nats
from depthwise.tasks.captioning.scores import plain_caption
from depthwise.text.tokens import Tokenizer
from depthwise.training.step import BackboneUpdate, Recipe

__all__ = ["CaptionUpdate", "as_said", "token_rows"]

AT_ONCE = 5


def as_said(table: CaptionTable, lowercase: bool) -> CaptionTable:
    """Captions as they are learnt: with `lowercase` as they are scored, else with single spaces."""
    change: Callable[[str], str] = plain_caption if lowercase else lambda t: " ".join(t.split())
    return CaptionTable(tuple(change(text) for text in table.texts), table.starts)


def token_rows(table: CaptionTable, tokenizer: Tokenizer, most: int) -> np.ndarray:
    """(N, K, T) int32: each caption's tokens and `end`, then FILLING; a caption of more than `most`
    tokens is cut, without `end`. K captions of the image that has most, fewer are filled up."""
    kept = [[*tokenizer.encode(text)[: most + 1].tolist(), tokenizer.end] for text in table.texts]
    longest = min(most, max(map(len, kept)))
    rows = np.full((len(table), int(table.counts.max()), longest), FILLING, dtype=np.int32)
    place = np.arange(len(kept)) - np.repeat(table.starts[:-1], table.counts)
    for tokens, i, k in zip(kept, table.items, place):
        rows[i, k, : len(tokens)] = tokens[:longest]
    return rows


def drawn(tokens: Tensor, most: int) -> Tensor:
    """(B, K, T) -> (B, at most `most`, T'): captions of each image at random, those that are there
    first, and no column of nothing but filling."""
    if tokens.shape[1] > most:
        there = (tokens[..., 0] != FILLING).float()
        order = (torch.rand(tokens.shape[:2], device=tokens.device) + there).topk(most, dim=1)
        tokens = tokens.gather(1, order.indices[..., None].expand(-1, -1, tokens.shape[2]))
    longest = int((tokens != FILLING).any(dim=0).any(dim=0).sum())
    return tokens[..., :longest]


class CaptionUpdate(BackboneUpdate):
    """One step of gradient descent. `network`: a CaptionNetwork that takes images, or the writer
    alone, that takes what was seen of them."""

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        compute: Compute,
        augment: Callable[[Tensor], Tensor] | None = None,
        *,
        smoothing: float,
        share: float,
    ):
        loss: Any = caption_nats
        below = network.backbone if isinstance(network, CaptionNetwork) else nn.Identity()
        super().__init__(network, loss, recipe, compute, augment, below=below, share=share)
        self.smoothing = smoothing

    def objective(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        network: Any = self.network
        tokens = drawn(targets, AT_ONCE)
        with self.compute.autocast():
            if isinstance(network, Writer):
                return caption_nats(network, inputs, tokens, self.smoothing)
            seen = network.see(self.compute.place_batch(self.augment(inputs)))
            return caption_nats(network.writer, seen, tokens, self.smoothing)
