"""The captioning network: an image backbone, and a Transformer that writes from its maps.

    m      = [W_g n(map_1) + p_1, .., W_g n(map_S) + p_S, W_e n(e(x))]    memory (B, S + 1, D)
    x_0    = E[token]
    x      = x + attention(norm(x));  x = x + across(norm(x), m)
    x      = x + swiglu(norm(x))                                          L blocks of these three
    logits = norm(x_L) E^T                                                the same E: weights tied

    across(x, m) = W_o softmax(q k^T / sqrt(D/H)) v,   q = W_q x,  k, v = W_k m, W_v m

map: the S positions of the backbone's last map, e(x): its embedding, n: each channel standardised,
p: sines and cosines of row and column (Vaswani et al. 2017, section 3.5, in two dimensions).
Attention, norms and swiglu are those of backbones/texts/transformer.py. An image is seen once,
however many captions are learnt or written of it: their positions ask the same memory side by side.

Shapes: B images, K captions of an image, T tokens, S positions, C channels, E embedding, D width,
H heads, G groups, V vocabulary.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.images.features import Backbone
from depthwise.backbones.texts.transformer import (
    EMBEDDING_STD,
    Attention,
    Cache,
    Dropout,
    FeedForward,
    Rung,
    attend,
)

__all__ = ["FILLING", "CaptionNetwork", "Writer", "caption_nats", "map_shape"]

FILLING = -1  # behind the end of a caption, in rows of tokens
WAVELENGTHS = 100.0  # the longest of the sines, in positions
Remembered = list[tuple[Tensor, Tensor]]


def map_shape(backbone: Backbone) -> tuple[int, int, int]:
    """(C, h, w) of the last map of images as the backbone was built for. A copy looks at one image:
    without memory ("meta") its first difference would have torch import its compiler, which takes
    far longer."""
    known = copy.deepcopy(backbone).eval()
    if next(known.parameters()).is_meta:
        known = known.to_empty(device="cpu")
    with torch.device("cpu"), torch.no_grad():
        x = torch.zeros(1, *backbone.description["input_shape"])
        channels, height, width = known.to("cpu").features(x)[-1].shape[1:]
    return channels, height, width


class AcrossAttention(nn.Module):
    """What tokens (B K, T, D) ask of the memory (B, S, D) of their images: (B K, T, D)."""

    def __init__(self, rung: Rung):
        super().__init__()
        self.heads, self.groups, self.head_size = rung.heads, rung.groups, rung.width // rung.heads
        answers = rung.groups * self.head_size
        self.queries = nn.Linear(rung.width, rung.width, bias=False)
        self.keys = nn.Linear(rung.width, answers, bias=False)
        self.values = nn.Linear(rung.width, answers, bias=False)
        self.output = nn.Linear(rung.width, rung.width, bias=False)

    def remember(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, S, D/H) of a memory."""
        k, v = (
            project(memory).unflatten(-1, (-1, self.head_size)).transpose(1, 2)
            for project in (self.keys, self.values)
        )
        times = self.heads // self.groups
        return k.repeat_interleave(times, dim=1), v.repeat_interleave(times, dim=1)

    def forward(self, x: Tensor, k: Tensor, v: Tensor) -> Tensor:
        positions = x.shape[1]
        q = self.queries(x).reshape(k.shape[0], -1, self.heads, self.head_size).transpose(1, 2)
        mixed = attend(q, k, v, None, causal=False)  # (B, H, K T, D/H)
        return self.output(mixed.transpose(1, 2).reshape(-1, positions, x.shape[2]))


class WritingBlock(nn.Module):
    """One layer: (B K, T, D) -> (B K, T, D)."""

    def __init__(self, rung: Rung, dropout: float):
        super().__init__()
        self.attention_norm, self.across_norm = nn.RMSNorm(rung.width), nn.RMSNorm(rung.width)
        self.feed_norm = nn.RMSNorm(rung.width)
        self.attention, self.across = Attention(rung, causal=True), AcrossAttention(rung)
        self.feed, self.dropout = FeedForward(rung), Dropout(dropout)

    def forward(self, x: Tensor, k: Tensor, v: Tensor, cache: Cache | None, layer: int) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), None, cache, layer))
        x = x + self.dropout(self.across(self.across_norm(x), k, v))
        return x + self.dropout(self.feed(self.feed_norm(x)))


class Writer(nn.Module):
    """What was seen of images (B, C S + E), the map and the embedding in one row -> logits (B, V)
    of a caption's first token; `hidden` and `logits` write on."""

    def __init__(
        self,
        seen: tuple[int, int, int],
        n_embedding: int,
        vocabulary: int,
        rung: Rung,
        dropout: float,
    ):
        super().__init__()
        self.seen, self.rung = seen, rung
        self.grid_norm = nn.BatchNorm2d(seen[0], affine=False)
        self.whole_norm = nn.BatchNorm1d(n_embedding, affine=False)
        self.grid = nn.Linear(seen[0], rung.width)
        self.whole = nn.Linear(n_embedding, rung.width)
        self.memory_norm, self.memory_dropout = nn.RMSNorm(rung.width), nn.Dropout(dropout)
        self.embedding = nn.Embedding(vocabulary, rung.width)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(WritingBlock(rung, dropout) for _ in range(rung.layers))
        self.norm = nn.RMSNorm(rung.width)
        self._begin()

    def memory(self, seen: Tensor) -> Tensor:
        """(B, C S + E) -> (B, S + 1, D)."""
        channels, height, width = self.seen
        rows = seen.to(self.grid.weight.dtype)
        end = channels * height * width
        grid = self.grid_norm(rows[:, :end].reshape(-1, channels, height, width))
        tokens = self.grid(grid.flatten(2).transpose(1, 2))
        tokens = tokens + places(height, width, self.rung.width, tokens)
        whole = self.whole(self.whole_norm(rows[:, end:]))
        memory: Tensor = self.memory_norm(torch.cat([tokens, whole[:, None]], dim=1))
        return self.memory_dropout(memory)

    def remember(self, seen: Tensor) -> Remembered:
        """Keys and values of each layer, of the memory of B images."""
        memory = self.memory(seen)
        return [block.across.remember(memory) for block in self.blocks]  # type: ignore[operator, union-attr]

    def hidden(self, tokens: Tensor, remembered: Remembered, cache: Cache | None = None) -> Tensor:
        """tokens (B K, T), K rows for each of the B images remembered -> (B K, T, D). With a
        `cache`, they follow those it has seen, and it remembers them."""
        x = self.dropout(self.embedding(tokens))
        for layer, (block, (k, v)) in enumerate(zip(self.blocks, remembered, strict=True)):
            x = block(x, k, v, cache, layer)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) -> (..., V), before the softmax over the next token."""
        return functional.linear(hidden, self.embedding.weight)

    def forward(self, seen: Tensor) -> Tensor:
        first = self.embedding.num_embeddings - 1  # `end` stands before a caption too
        tokens = torch.full((seen.shape[0], 1), first, device=seen.device)
        return self.logits(self.hidden(tokens, self.remember(seen))[:, 0])

    def _begin(self) -> None:
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                std = EMBEDDING_STD if weight is self.embedding.weight else weight.shape[1] ** -0.5
                if name.endswith("output.weight"):
                    std /= math.sqrt(3 * self.rung.layers)
                nn.init.normal_(weight, std=std)


class CaptionNetwork(nn.Module):
    """Raw images (B, C, H, W) -> logits (B, V) of a caption's first token."""

    def __init__(self, backbone: Backbone, vocabulary: int, rung: Rung, dropout: float):
        super().__init__()
        self.backbone = backbone
        shape = map_shape(backbone)
        self.writer = Writer(shape, backbone.n_embedding, vocabulary, rung, dropout)

    def see(self, x: Tensor) -> Tensor:
        """Raw images -> (B, C S + E): the last map and the embedding, in one row."""
        last = self.backbone.features(x)[-1]
        return torch.cat([last.flatten(1), self.backbone.embed(last)], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.writer(self.see(x))
        return logits

    def representations(self, x: Tensor) -> list[Tensor]:
        """The flattened maps, finest first; last the embedding (B, E)."""
        maps = self.backbone.features(x)
        flat = [torch.flatten(made, 1) for made in maps]
        return [*flat, self.backbone.embed(maps[-1])]


def places(height: int, width: int, numbers: int, like: Tensor) -> Tensor:
    """Position vectors p (1, S, D): half of the numbers encode the row, half the column."""
    quarter = -(-numbers // 4)
    steps = torch.arange(quarter, device=like.device) / quarter
    rates = WAVELENGTHS**-steps  # (D/4,)

    def along(side: int) -> Tensor:  # (side, D/2)
        angles = torch.outer(torch.arange(side, device=like.device).float(), rates)
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    down = along(height)[:, None].expand(-1, width, -1)
    right = along(width)[None].expand(height, -1, -1)
    grid = torch.cat([down, right], dim=2).flatten(0, 1)
    return grid[None, :, :numbers].to(like.dtype)


def caption_nats(
    writer: Writer, seen: Tensor, tokens: Tensor, smoothing: float = 0.0, reduction: str = "mean"
) -> Tensor:
    """-ln p(token | those before it, the image), the mean over all tokens that are no filling, or
    their sum. seen (B, C S + E), tokens (B, K, T) with `end` behind each caption."""
    wanted = tokens.flatten(0, 1).long()  # (B K, T)
    first = torch.full_like(wanted[:, :1], writer.embedding.num_embeddings - 1)
    before = torch.cat([first, wanted[:, :-1]], dim=1)
    hidden = writer.hidden(before.clamp(min=0), writer.remember(seen))
    real = wanted != FILLING
    logits = writer.logits(hidden[real]).float()
    return functional.cross_entropy(
        logits, wanted[real], label_smoothing=smoothing, reduction=reduction
    )
