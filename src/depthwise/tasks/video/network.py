"""The network of clips: a backbone sees every frame, and a small head sees what comes of them.

    m_t    maps of frame t, e_t = embedding of its last map                  (the backbone)
    d_t    = log(eps + mean over positions |m_t - m_(t-1)|)                  a number a channel

`d` says how much of each kind of thing (edge, texture, limb) moves, whatever there is to be seen:
motion by the differences of deep maps in place of those of pixels, after the two streams of
Simonyan and Zisserman 2014. d_1 is taken as d_2, since nothing comes before it. Four heads:

    none        z = mean_t W n(e_t) + b              frames one by one, in any order: the baseline
    motion      z = mean_t W u_t + b,  u_t = n([e_t, d_t])
                which knows how much moves and not which way: little to learn, and hard to beat
                with a few hundred clips
    attention   z = mean_t W u_t + V sum_t a_t h_t + b,  a = softmax_t(w . h_t)
                h = blocks(P u_1 .. P u_T), a Transformer's, with positions by rotation
                (backbones/texts/transformer.py): any order in time; V begins at 0
    conv        y = x + time(relu(norm(space(x)))), a few such blocks on the last maps, then the
                mean over time and positions. space 3x3 within a frame, time 3 frames at a position:
                the factorised (2+1)-D convolution of Tran et al. 2018, above a network of single
                frames as in the top-heavy ones of Xie et al. 2018

n standardises each feature. Shapes: B batch, T frames of a clip, F frames looked at, C channels,
H W frame, h w last map, E features of a frame, D width of the head, K classes.
"""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from depthwise.backbones.images.features import Backbone
from depthwise.backbones.texts.transformer import Block
from depthwise.backbones.texts.transformer import Rung as BlockSize
from depthwise.data.readers.clips.clips import evenly

__all__ = ["TEMPORAL", "Head", "VideoNetwork"]

TEMPORAL = ("motion", "attention", "conv", "none")
LEAST_MOTION = 1e-3  # eps: below what a channel of a map changes by
HEAD_SIZE = 32  # of attention


class VideoNetwork(nn.Module):
    """Raw clips (B, T, C, H, W) -> logits (B, K).

    frames: F, looked at evenly spaced; fewer where a clip has fewer. width: D; layers: blocks of
    the head. `see` and `tell` are its two halves: what the first makes of a clip is worth keeping
    where the backbone does not learn.
    """

    def __init__(
        self,
        backbone: Backbone,
        n_classes: int,
        *,
        frames: int,
        temporal: str,
        width: int,
        layers: int,
        dropout: float,
    ):
        super().__init__()
        self.backbone, self.frames, self.temporal = backbone, frames, temporal
        features = backbone.channels[-1] if temporal == "conv" else backbone.n_embedding
        self.moves = temporal in ("motion", "attention")
        if self.moves:
            features += sum(backbone.channels)
        self.norm = nn.BatchNorm1d(features, affine=False)
        self.head: Head
        if temporal in ("none", "motion"):
            self.head = FrameByFrame(features, n_classes, dropout)
        elif temporal == "attention":
            self.head = TimeAttention(features, n_classes, width, layers, dropout)
        else:
            self.head = TimeConvolutions(features, n_classes, width, layers, dropout)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.standardised(self.see(x)))
        return logits

    def see(self, x: Tensor) -> Tensor:
        """What the backbone makes of clips (B, T, C, H, W): (B, F, E), or maps (B, F, C', h, w)."""
        taken = evenly(x.shape[1], min(self.frames, x.shape[1])).tolist()
        x = x if len(taken) == x.shape[1] else x[:, taken]
        maps = self.backbone.features(x.flatten(0, 1))
        seen = maps[-1] if self.temporal == "conv" else self.backbone.embed(maps[-1])
        seen = seen.unflatten(0, (-1, len(taken)))
        if not self.moves:
            return seen
        return torch.cat([seen, *(motion(m.unflatten(0, (-1, len(taken)))) for m in maps)], dim=2)

    def standardised(self, seen: Tensor) -> Tensor:
        """n of what was seen, of the same shape."""
        frames = seen.flatten(0, 1)  # (B F, E) or (B F, C', h, w)
        flat = frames if frames.dim() == 2 else frames.flatten(2)
        normed: Tensor = self.norm(flat)
        return normed.reshape(seen.shape)

    @torch.no_grad()
    def keep_statistics(self, seen: Tensor) -> None:
        """Set n by what was seen of clips (N, F, E) or (N, F, C', h, w), once."""
        if int(self.norm.num_batches_tracked):  # type: ignore[arg-type]
            return
        axes = tuple(axis for axis in range(seen.dim()) if axis != 2)
        self.norm.running_mean.copy_(seen.mean(dim=axes))  # type: ignore[union-attr]
        self.norm.running_var.copy_(seen.var(dim=axes, correction=0))  # type: ignore[union-attr]
        self.norm.num_batches_tracked.fill_(1)  # type: ignore[union-attr]

    def representations(self, x: Tensor) -> list[Tensor]:
        """What is seen of all frames, flattened, and what the head makes of it, (B, D)."""
        seen = self.see(x)
        return [torch.flatten(seen, 1), self.head.summary(self.standardised(seen))]


def motion(maps: Tensor) -> Tensor:
    """d: maps (B, F, C, h, w) -> (B, F, C)."""
    if maps.shape[1] == 1:
        return torch.zeros_like(maps[:, :, :, 0, 0])
    moved = (maps[:, 1:] - maps[:, :-1]).abs().mean(dim=(3, 4))
    return torch.log(LEAST_MOTION + torch.cat([moved[:, :1], moved], dim=1))


class Head(nn.Module, abc.ABC):
    """What was seen of clips, standardised -> logits (B, K)."""

    @abc.abstractmethod
    def summary(self, seen: Tensor) -> Tensor:
        """(B, D): what the output layer is given."""


class FrameByFrame(Head):
    """(B, F, E) -> (B, K): the average of what each frame says."""

    def __init__(self, features: int, n_classes: int, dropout: float):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(features, n_classes)
        nn.init.zeros_(self.output.weight)

    def summary(self, seen: Tensor) -> Tensor:
        return seen.mean(dim=1)  # the same for a linear output as to average its answers

    def forward(self, seen: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(self.summary(seen)))
        return logits


class TimeAttention(Head):
    """(B, F, E) -> (B, K)."""

    def __init__(self, features: int, n_classes: int, width: int, layers: int, dropout: float):
        super().__init__()
        heads = max(1, width // HEAD_SIZE)
        size = BlockSize(width=width, layers=layers, heads=heads, groups=heads)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(features, width)
        self.blocks = nn.ModuleList(Block(size, causal=False, dropout=0.0) for _ in range(layers))
        self.normed = nn.RMSNorm(width)
        self.weigh = nn.Linear(width, 1)
        self.average = nn.Linear(features, n_classes)
        self.output = nn.Linear(width, n_classes, bias=False)
        for layer in (self.average, self.output):
            nn.init.zeros_(layer.weight)

    def summary(self, seen: Tensor) -> Tensor:
        """sum_t a_t h_t, (B, D)."""
        hidden = self.project(self.dropout(seen))
        hidden = hidden.to(self.weigh.weight.dtype)  # what blocks add up stays exact in autocast
        for layer, block in enumerate(self.blocks):
            hidden = block(hidden, None, None, layer)
        hidden = self.normed(hidden)  # (B, F, D)
        return (torch.softmax(self.weigh(hidden), dim=1) * hidden).sum(dim=1)

    def forward(self, seen: Tensor) -> Tensor:
        plain: Tensor = self.average(self.dropout(seen.mean(dim=1)))
        return plain + self.output(self.summary(seen))


class SpaceTime(nn.Module):
    """One block of (2+1)-D convolution. Maps (B, F, D, h, w) -> the same."""

    def __init__(self, width: int):
        super().__init__()
        self.space = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.time = nn.Conv2d(width, width, (3, 1), padding=(1, 0))

    def forward(self, x: Tensor) -> Tensor:
        inside = torch.relu(self.norm(self.space(x.flatten(0, 1))))  # (B F, D, h, w)
        inside = inside.reshape(x.shape).transpose(1, 2)  # (B, D, F, h, w)
        moved = self.time(inside.flatten(3)).reshape(inside.shape)
        return x + moved.transpose(1, 2)


class TimeConvolutions(Head):
    """(B, F, C', h, w) -> (B, K)."""

    def __init__(self, features: int, n_classes: int, width: int, layers: int, dropout: float):
        super().__init__()
        self.project = nn.Conv2d(features, width, 1)
        self.blocks = nn.Sequential(*(SpaceTime(width) for _ in range(layers)))
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, n_classes)
        nn.init.zeros_(self.output.weight)

    def summary(self, seen: Tensor) -> Tensor:
        """The mean over time and positions, (B, D)."""
        narrow = self.project(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
        x = self.blocks(narrow).flatten(0, 1)
        return torch.relu(self.norm(x)).mean(dim=(2, 3)).unflatten(0, seen.shape[:2]).mean(dim=1)

    def forward(self, seen: Tensor) -> Tensor:
        logits: Tensor = self.output(self.dropout(self.summary(seen)))
        return logits
