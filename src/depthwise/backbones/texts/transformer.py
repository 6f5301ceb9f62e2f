"""The Transformer in its modern form: tokens (B, T) become hidden states (B, T, D).

    x_0     = E[token]                                           E (V, D): embeddings
    x_l     = x + attention(norm(x));   x_(l+1) = x_l + swiglu(norm(x_l))         L blocks
    h       = norm(x_L);                logits  = h E^T          the same E: weights tied

    norm(x)      = g x / sqrt(mean x^2 + eps)                    Zhang and Sennrich 2019, RMSNorm
    swiglu(x)    = W_out (silu(W_gate x) * W_in x)               Shazeer 2020
    attention(x) = W_o softmax(q k^T / sqrt(E) + mask) v         Vaswani et al. 2017
    q, k         are turned by an angle that grows with their position t, pair i of a head by
                 t b^(-2i/E), b = 10,000: q . k then depends on the distance of the two alone.
                 Su et al. 2021, "RoFormer"
    q, k, v      H heads ask, G <= H groups answer, each for H/G heads: the cache of keys and values
                 is G/H as large. Ainslie et al. 2023, "GQA"

A decoder's mask lets position t see positions up to t; an encoder's hides padding alone. Weights
begin as N(0, 1 / inputs), those that write into the sum x smaller by 1 / sqrt(2L), so that its
variance does not grow with the depth (Radford et al. 2019).

Shapes: B batch, T positions, D width, H heads, G groups, E head size, F hidden units, V vocabulary,
L layers, M positions that a cache has room for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Cache", "Rung", "Transformer", "rotated"]

ROTARY_BASE = 10_000.0
EMBEDDING_STD = 0.02  # small beside what the blocks add, or a token would foretell itself


@dataclass(frozen=True)
class Rung:
    """One size: width, layers, heads that ask and groups that answer."""

    width: int
    layers: int
    heads: int
    groups: int

    @property
    def hidden(self) -> int:
        """Units of a feed-forward layer: 8/3 of the width, so that its three matrices weigh as
        much as the usual two of four times the width; a multiple of 32."""
        return 32 * max(1, round(self.width / 12))


class Cache:
    """Keys and values of the positions seen so far: (L, B, G, M, E) each, `length` of M in use; and
    the `tokens` (B, length) there."""

    def __init__(self, network: Transformer, batch: int, room: int):
        like = network.embedding.weight
        rung = network.rung
        shape = (rung.layers, batch, rung.groups, room, rung.width // rung.heads)
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)
        self.length = 0
        self.tokens = torch.zeros(batch, 0, dtype=torch.int64, device=like.device)

    def add(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's new keys and values (B, G, T, E) behind the old ones: all of them."""
        end = self.length + k.shape[2]
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


def rotated(x: Tensor, start: int = 0) -> Tensor:
    """x (B, H, T, E) of positions start .. start + T - 1, each pair (x_i, x_(i + E/2)) turned."""
    half = x.shape[-1] // 2
    steps = torch.arange(half, device=x.device, dtype=torch.float64) / half
    positions = torch.arange(start, start + x.shape[-2], device=x.device, dtype=torch.float64)
    angles = torch.outer(positions, ROTARY_BASE**-steps)  # (T, E/2)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Attention(nn.Module):
    """(B, T, D) -> (B, T, D)."""

    def __init__(self, rung: Rung, causal: bool):
        super().__init__()
        self.heads, self.groups, self.causal = rung.heads, rung.groups, causal
        self.head_size = rung.width // rung.heads
        answers = rung.groups * self.head_size
        self.queries = nn.Linear(rung.width, rung.width, bias=False)
        self.keys = nn.Linear(rung.width, answers, bias=False)
        self.values = nn.Linear(rung.width, answers, bias=False)
        self.output = nn.Linear(rung.width, rung.width, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None, cache: Cache | None, layer: int) -> Tensor:
        start = cache.length if cache is not None else 0
        q, k, v = (  # (B, H, T, E), (B, G, T, E) twice
            project(x).unflatten(-1, (-1, self.head_size)).transpose(1, 2)
            for project in (self.queries, self.keys, self.values)
        )
        q, k = rotated(q, start), rotated(k, start)
        if cache is not None:
            k, v = cache.add(layer, k, v)
        if self.groups < self.heads:
            k, v = (t.repeat_interleave(self.heads // self.groups, dim=1) for t in (k, v))
        mixed = attend(q, k, v, mask, self.causal)
        return self.output(mixed.transpose(1, 2).flatten(2))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """softmax(q k^T / sqrt(E) + mask) v: (B, H, T, E), twice (B, H, T', E) -> (B, H, T, E).

    By torch's fused kernel, but for training on a processor, where the gradient of plain products
    takes half its time in bfloat16 and no more in float32 (T = 256, E = 64, one Zen 5 core).
    """
    plain = q.device.type == "cpu" and torch.is_grad_enabled() and q.shape[2] > 1
    if causal and (plain or mask is not None or q.shape[2] < k.shape[2]):
        mask = _seen(q.shape[2], k.shape[2], mask, q.device)
    if not plain:
        all_at_once = causal and mask is None
        return functional.scaled_dot_product_attention(q, k, v, mask, is_causal=all_at_once)
    scores = q @ (k.transpose(-1, -2) * q.shape[-1] ** -0.5)  # (B, H, T, T')
    if mask is not None:
        scores = scores + torch.where(mask, 0.0, -math.inf).to(scores.dtype)
    return torch.softmax(scores, dim=-1, dtype=scores.dtype) @ v


def _seen(asking: int, answering: int, mask: Tensor | None, device: torch.device) -> Tensor:
    """What each of the last `asking` positions may see of all `answering`: (T, T') or with the
    mask of padding (B, 1, 1, T') a (B, 1, T, T')."""
    ones = torch.ones(asking, answering, dtype=torch.bool, device=device)
    causal = ones.tril(answering - asking)
    return causal if mask is None else causal & mask


class Dropout(nn.Module):
    """Silences units of (B, T, D) in training, one draw for all positions of an item: Gal and
    Ghahramani 2016. Draws of its own for each position would cost a tenth of a step."""

    def __init__(self, share: float):
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.share:
            return x
        ones = torch.ones(x.shape[0], 1, x.shape[2], dtype=x.dtype, device=x.device)
        return x * functional.dropout(ones, self.share)


class FeedForward(nn.Module):
    """(B, T, D) -> (B, T, D) through F gated units."""

    def __init__(self, rung: Rung):
        super().__init__()
        self.gate = nn.Linear(rung.width, rung.hidden, bias=False)
        self.input = nn.Linear(rung.width, rung.hidden, bias=False)
        self.output = nn.Linear(rung.hidden, rung.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(functional.silu(self.gate(x)) * self.input(x))


class Block(nn.Module):
    """One layer: (B, T, D) -> (B, T, D)."""

    def __init__(self, rung: Rung, causal: bool, dropout: float):
        super().__init__()
        self.attention_norm, self.feed_norm = nn.RMSNorm(rung.width), nn.RMSNorm(rung.width)
        self.attention, self.feed = Attention(rung, causal), FeedForward(rung)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None, cache: Cache | None, layer: int) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), mask, cache, layer))
        return x + self.dropout(self.feed(self.feed_norm(x)))


class Transformer(nn.Module):
    """Tokens (B, T) int -> hidden states (B, T, D); `causal`: a decoder.

    `vocabulary`: how many tokens there are; `dropout`: share of what a layer adds that is silenced
    in training, 0 .. 0.3.
    """

    def __init__(self, vocabulary: int, rung: Rung, *, causal: bool, dropout: float = 0.0):
        super().__init__()
        self.rung, self.causal = rung, causal
        self.embedding = nn.Embedding(vocabulary, rung.width)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(rung, causal, dropout) for _ in range(rung.layers))
        self.norm = nn.RMSNorm(rung.width)
        self._begin()

    def forward(
        self, tokens: Tensor, mask: Tensor | None = None, cache: Cache | None = None
    ) -> Tensor:
        """`mask` (B, T) bool: True where a token counts, False where it only fills the row up.
        With a `cache`, `tokens` follow those it has seen, and it remembers them."""
        x = self.dropout(self.embedding(tokens))
        hidden_from = None if mask is None else mask[:, None, None, :]
        for layer, block in enumerate(self.blocks):
            x = block(x, hidden_from, cache, layer)
        if cache is not None:
            cache.length += tokens.shape[1]
            cache.tokens = torch.cat([cache.tokens, tokens], dim=1)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, V), before the softmax over the next token."""
        return functional.linear(hidden, self.embedding.weight)

    def _begin(self) -> None:
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                std = EMBEDDING_STD if weight is self.embedding.weight else weight.shape[1] ** -0.5
                if name.endswith("output.weight"):
                    std /= math.sqrt(2 * self.rung.layers)
                nn.init.normal_(weight, std=std)
