"""Writing a caption: the likeliest one that a beam finds.

    score(w_1 .. w_T) = sum_t log p(w_t | w_1 .. w_(t-1), image) / T^a

T counts the token that ends the caption; a: the length penalty, 0 .. 1. Without it (a = 0) short
captions win, since every token costs. W beginnings are kept, those of the largest sum so far; one
that ends while among the W best leaves the beam as a finished caption; W of these are enough.
Of one beginning (W = 1) that is greedy search: always the likeliest token.
After Wu et al. 2016, section 7, with T^a for their ((5 + T) / 6)^a.

Keys and values of the tokens written so far are kept (Cache), so that a token costs one position.

What a caption costs is that of the longest one, by `WholeCaption`: neither the picture nor what the
network has learnt changes it.

Shapes: B images, W beginnings, T tokens, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from depthwise.backbones.texts.transformer import Cache
from depthwise.errors import DivergedError
from depthwise.layers import ManyPasses
from depthwise.tasks.captioning.network import CaptionNetwork, Writer

__all__ = ["BEAMS", "WholeCaption", "beam_search"]

BEAMS = 4  # where nobody says


@torch.no_grad()
def beam_search(
    writer: Writer,
    seen: Tensor,
    *,
    beams: int,
    most: int,
    penalty: float,
    cached: bool = True,
    ending: bool = True,
) -> list[list[int]]:
    """Tokens of a caption for each image, without `end`, at most `most` of them. seen as `Writer`
    takes it. `cached=False` computes all positions for every token: the same, slowly.
    `ending=False` writes `most` tokens whatever they are: what a caption costs at most.

    Raises DivergedError where the network's answer is not a number.
    """
    search = _Search(writer, seen, beams, most, cached, ending)
    while search.images:
        search.step(penalty)
    return [max(done, key=lambda pair: pair[0])[1] for done in search.finished]


class WholeCaption(ManyPasses, CaptionNetwork):
    """Raw images (B, C, H, W) -> (B, most) tokens of the longest caption that the network writes.
    It shares the network's weights."""

    def __init__(self, network: CaptionNetwork, most: int):
        nn.Module.__init__(self)
        self.backbone, self.writer, self.most = network.backbone, network.writer, most
        self.one_answer = f"a caption of {most} tokens, the longest, by {BEAMS} beams"
        self.train(network.training)

    def forward(self, x: Tensor) -> Tensor:
        options = {"beams": BEAMS, "most": self.most, "penalty": 0.0, "ending": False}
        return torch.tensor(beam_search(self.writer, self.see(x), **options))  # type: ignore[arg-type]


class _Search:
    """Beginnings of the images that are not done yet.

    images: their numbers; tokens (B, W, T), with `end` before each; sums (B, W), log p so far;
    finished: of every image, (score, tokens) of captions that ended.
    """

    def __init__(
        self, writer: Writer, seen: Tensor, beams: int, most: int, cached: bool, ending: bool
    ):
        self.writer, self.beams, self.most, self.ending = writer, beams, most, ending
        self.end = writer.embedding.num_embeddings - 1
        self.remembered = writer.remember(seen)
        self.images = list(range(len(seen)))
        self.finished: list[list[tuple[float, list[int]]]] = [[] for _ in self.images]
        self.tokens = torch.full((len(seen), beams, 1), self.end, device=seen.device)
        self.sums = torch.zeros(len(seen), beams, device=seen.device, dtype=torch.float64)
        self.sums[:, 1:] = -torch.inf  # all begin alike: one of them is enough
        self.cache = Cache(writer, len(seen) * beams, most) if cached else None  # type: ignore[arg-type]

    def step(self, penalty: float) -> None:
        """One token more for every beginning, the best of which go on."""
        sums = self.sums[..., None] + self._expected()  # (B, W, V)
        best, place = sums.flatten(1).topk(2 * self.beams, dim=1)
        parent, token = place // sums.shape[2], place % sums.shape[2]
        ends = (token == self.end) & self.ending
        length = self.tokens.shape[2]
        for b, w in ends[:, : self.beams].nonzero().tolist():
            if best[b, w] > -torch.inf:
                said = self.tokens[b, parent[b, w], 1:].tolist()
                self._finish(b, float(best[b, w]) / length**penalty, said)
        going = torch.where(ends, -torch.inf, best)
        self.sums, chosen = going.topk(self.beams, dim=1)
        self._follow(parent.gather(1, chosen), token.gather(1, chosen))
        if length == self.most:
            self._give_up(length, penalty)
        self._drop_done()

    def _expected(self) -> Tensor:
        """log p (B, W, V) of what follows each beginning."""
        row = self.tokens.flatten(0, 1)
        new = row if self.cache is None else row[:, -1:]
        hidden = self.writer.hidden(new, self.remembered, self.cache)[:, -1]
        found = torch.log_softmax(self.writer.logits(hidden).double(), dim=1)
        if not bool(torch.isfinite(found).all()):
            raise DivergedError("the network's answer is not a number. Fit again with a lower lr.")
        return found.unflatten(0, (-1, self.beams))

    def _finish(self, b: int, score: float, tokens: list[int]) -> None:
        self.finished[self.images[b]].append((score, tokens))

    def _follow(self, parent: Tensor, token: Tensor) -> None:
        """Each beginning becomes its parent with one token more."""
        rows = torch.arange(len(parent), device=parent.device)[:, None]
        self.tokens = torch.cat([self.tokens[rows, parent], token[..., None]], dim=2)
        self._keep((rows * self.beams + parent).flatten())

    def _give_up(self, length: int, penalty: float) -> None:
        """At the limit, captions count as they are."""
        for b in range(len(self.images)):
            if not self.finished[self.images[b]]:
                score = float(self.sums[b, 0]) / length**penalty
                self._finish(b, score, self.tokens[b, 0, 1:].tolist())

    def _drop_done(self) -> None:
        enough = 1 if self.tokens.shape[2] > self.most else self.beams
        left = [b for b, i in enumerate(self.images) if len(self.finished[i]) < enough]
        if len(left) == len(self.images):
            return
        kept = torch.tensor(left, dtype=torch.long, device=self.tokens.device)
        self.images = [self.images[b] for b in left]
        self.tokens, self.sums = self.tokens[kept], self.sums[kept]
        self.remembered = [(k[kept], v[kept]) for k, v in self.remembered]
        beams = torch.arange(self.beams, device=kept.device)
        self._keep((kept[:, None] * self.beams + beams).flatten())

    def _keep(self, rows: Tensor) -> None:
        if self.cache is not None:
            self.cache.keys = self.cache.keys[:, rows]
            self.cache.values = self.cache.values[:, rows]
