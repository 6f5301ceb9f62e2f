"""BERT's encoder: pieces of words (B, T) become hidden states (B, T, D).

    x_0     = norm(E_piece[w_t] + E_place[t] + E_kind[k_t])      k: first sentence or second
    a       = norm(x_l + attention(x_l));   x_(l+1) = norm(a + W_2 gelu(W_1 a + b_1) + b_2)
    attention(x) = W_o softmax(q k^T / sqrt(D/H) + mask) v + b_o,   H heads
    gelu(x) = x Phi(x)                                           Hendrycks and Gimpel 2016

Norms stand behind each sum, places are learnt, and every position sees all that are no filling:
Devlin et al. 2019, "BERT". MiniLM (Wang et al. 2020) has the same layers, smaller ones, which were
taught by a larger network what attends to what.

Shapes: B batch, T positions, R positions that count, D width, H heads, F hidden units, L layers,
V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.texts.transformer import attend

__all__ = ["Bert", "BertShape", "name_in_file"]


@dataclass(frozen=True)
class BertShape:
    """Sizes, as the published `config.json` names them.

    Raises ValueError where they contradict themselves or are no sizes.
    """

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    pad_token_id: int = 0
    layer_norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        sizes = [value for name, value in vars(self).items() if name not in NO_SIZES]
        if any(type(size) is not int or not 0 < size <= 2**24 for size in sizes):
            raise ValueError(f"sizes of BERT must be whole numbers from 1 on; got {sizes}")
        if type(self.pad_token_id) is not int or not 0 <= self.pad_token_id < self.vocab_size:
            raise ValueError(f"a piece for filling {self.pad_token_id!r}")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"{self.hidden_size} units for {self.num_attention_heads} heads")


NO_SIZES = ("pad_token_id", "layer_norm_eps")


class Rows:
    """The positions that are not padding, by the mask `real` (B, T). Outside attention each
    position is independent: while it learns, an encoder computes only the R that count, half of a
    batch or so."""

    def __init__(self, real: Tensor):
        self.real, self.shape = real, real.shape
        self.places = real.flatten().nonzero()[:, 0]  # (R,)

    def packed(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (R, D)."""
        return x.flatten(0, 1)[self.places]

    def spread(self, x: Tensor) -> Tensor:
        """(R, D) -> (B, T, D), zeros in between."""
        room = x.new_zeros(self.real.numel(), x.shape[-1])
        return room.index_copy(0, self.places, x).unflatten(0, tuple(self.shape))


class Attention(nn.Module):
    """(B, T, D), or packed (R, D), and which count (B, T) -> the same shape."""

    def __init__(self, shape: BertShape):
        super().__init__()
        width = shape.hidden_size
        self.head_size = width // shape.num_attention_heads
        self.queries, self.keys, self.values, self.output = (
            nn.Linear(width, width) for _ in range(4)
        )

    def forward(self, x: Tensor, real: Tensor, rows: Rows | None) -> Tensor:
        made = [project(x) for project in (self.queries, self.keys, self.values)]
        if rows is not None:
            made = [rows.spread(part) for part in made]
        q, k, v = (  # (B, H, T, D/H)
            part.unflatten(-1, (-1, self.head_size)).transpose(1, 2) for part in made
        )
        mixed = attend(q, k, v, real[:, None, None, :], causal=False).transpose(1, 2).flatten(2)
        return self.output(mixed if rows is None else rows.packed(mixed))


class Layer(nn.Module):
    """(B, T, D), or packed (R, D), and which count (B, T) -> the same shape."""

    def __init__(self, shape: BertShape, dropout: float):
        super().__init__()
        width, epsilon = shape.hidden_size, shape.layer_norm_eps
        self.attention = Attention(shape)
        self.attention_norm = nn.LayerNorm(width, eps=epsilon)
        self.widen = nn.Linear(width, shape.intermediate_size)
        self.narrow = nn.Linear(shape.intermediate_size, width)
        self.feed_norm = nn.LayerNorm(width, eps=epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor, rows: Rows | None) -> Tensor:
        a = self.attention_norm(x + self.dropout(self.attention(x, real, rows)))
        fed = self.narrow(functional.gelu(self.widen(a)))
        return self.feed_norm(a + self.dropout(fed))


class Bert(nn.Module):
    """Pieces (B, T) int64, kinds (B, T) 0 or 1 -> hidden states (B, T, D).

    `filling`: the piece behind a text's end; `longest`: positions there are; `dropout`: share of
    what a layer adds that is silenced in training.
    """

    def __init__(self, shape: BertShape, dropout: float = 0.0):
        super().__init__()
        width = shape.hidden_size
        self.shape, self.width = shape, width
        self.filling, self.longest = shape.pad_token_id, shape.max_position_embeddings
        self.pieces = nn.Embedding(shape.vocab_size, width)
        self.places = nn.Embedding(shape.max_position_embeddings, width)
        self.kinds = nn.Embedding(shape.type_vocab_size, width)
        self.norm = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(shape, dropout) for _ in range(shape.num_hidden_layers))
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                nn.init.normal_(weight, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, pieces: Tensor, kinds: Tensor | None = None) -> Tensor:
        places = torch.arange(pieces.shape[1], device=pieces.device)
        said = self.kinds.weight[0] if kinds is None else self.kinds(kinds)
        x = self.dropout(self.norm(self.pieces(pieces) + self.places(places) + said))
        real = pieces != self.filling
        rows = Rows(real) if self.training else None
        x = x if rows is None else rows.packed(x)
        for layer in self.layers:
            x = layer(x, real, rows)
        return x if rows is None else rows.spread(x)

    def stages(self) -> list[list[nn.Module]]:
        """For freezing: the embeddings, then each layer."""
        return [[self.pieces, self.places, self.kinds, self.norm], *([m] for m in self.layers)]

    @property
    def description(self) -> dict[str, Any]:
        return {"kind": "bert", "shape": vars(self.shape)}


def name_in_file(name: str) -> str:
    """Our name of a tensor -> its name in the published file of weights:

    pieces.weight -> embeddings.word_embeddings.weight,
    layers.3.attention.keys.bias -> encoder.layer.3.attention.self.key.bias, ...
    """
    *above, part, tensor = name.split(".")
    if not above:
        return f"embeddings.{THEIR_NAMES[part]}.{tensor}"
    return f"encoder.layer.{above[1]}.{THEIR_LAYER[part]}.{tensor}"


THEIR_NAMES = {
    "pieces": "word_embeddings",
    "places": "position_embeddings",
    "kinds": "token_type_embeddings",
    "norm": "LayerNorm",
}
THEIR_LAYER = {
    "queries": "attention.self.query",
    "keys": "attention.self.key",
    "values": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "feed_norm": "output.LayerNorm",
}
