"""Counts of neighbours mixed into what a network expects next:

    p(w | before) = m p_network(w | before) + (1 - m) p_counts(w | the order - 1 tokens before)

p_counts is the smoothed n-gram model of kneser_ney.py. What a small text says a few times
only, counts remember and a network must learn: the two err on different tokens, and their mixture
is better than either (Chelba et al. 2013, "One billion word benchmark", section 4). m is the one
that held-out text is likeliest with.

The n-grams of one history stand side by side in their sorted numbers, so that what may follow each
of S histories are S runs of a list.

Shapes: B batch, T positions, S histories, V vocabulary; of one order: M n-grams, C histories.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from depthwise.errors import InputError
from depthwise.tasks.language.kneser_ney import KneserNey

__all__ = ["Counts", "best_share"]

SHARE = 0.75  # of the network, where no text was held out
MOST_GRAMS = 1 << 28


class CountsOfOrder(nn.Module):
    """grams (M,) and histories (C,), sorted numbers; share (M,): what is kept of a count, of all of
    its history; spread (C,): the share of a history that is left to the lower order."""

    grams: Tensor
    share: Tensor
    histories: Tensor
    spread: Tensor

    def __init__(self, grams: int, histories: int):
        super().__init__()
        self.register_buffer("grams", torch.zeros(grams, dtype=torch.int64))
        self.register_buffer("share", torch.zeros(grams))
        self.register_buffer("histories", torch.zeros(histories, dtype=torch.int64))
        self.register_buffer("spread", torch.zeros(histories))

    def refine(self, p: Tensor, histories: Tensor, known: Tensor) -> None:
        """p (S, V) of the lower order becomes this order's where its history was seen; `known`
        (S,) is False where too few tokens stand before."""
        vocabulary = p.shape[1]
        places = torch.searchsorted(self.histories, histories).clamp(max=len(self.histories) - 1)
        seen = (known & (self.histories[places] == histories)).nonzero()[:, 0]
        histories, places = histories[seen], places[seen]
        p[seen] *= self.spread[places, None]
        first = torch.searchsorted(self.grams, histories * vocabulary)
        past = torch.searchsorted(self.grams, (histories + 1) * vocabulary)
        runs = (past - first).clamp(0, vocabulary)
        rows = torch.repeat_interleave(runs)
        grams = torch.arange(len(rows), device=p.device) + (first - runs.cumsum(0) + runs)[rows]
        p.view(-1).index_add_(
            0, seen[rows] * vocabulary + self.grams[grams] % vocabulary, self.share[grams]
        )


class Counts(nn.Module):
    """n-grams up to the order of `sizes`, (M, C) of each, of tokens 0 .. `vocabulary` - 1."""

    network_share: Tensor

    def __init__(self, vocabulary: int, sizes: Sequence[tuple[int, int]]):
        super().__init__()
        if not sizes or not all(1 <= n <= MOST_GRAMS for pair in sizes for n in pair):
            raise ValueError(f"{sizes!r} n-grams and histories")
        self.vocabulary = vocabulary
        self.orders = nn.ModuleList(CountsOfOrder(*pair) for pair in sizes)
        self.register_buffer("network_share", torch.tensor(SHARE))

    @classmethod
    def of(cls, counted: KneserNey) -> Counts:
        """What was counted."""
        orders = counted.orders_
        made = cls(counted.vocabulary, [(len(one.grams), len(one.histories)) for one in orders])
        for own, one in zip(made.orders, orders):
            place = np.searchsorted(one.histories, one.grams // counted.vocabulary)
            own.grams, own.histories = map(torch.from_numpy, (one.grams, one.histories))
            own.share = torch.from_numpy(one.kept / one.total[place]).float()
            own.spread = torch.from_numpy(one.spread).float()
        return made

    @property
    def sizes(self) -> list[list[int]]:
        return [[len(one.grams), len(one.histories)] for one in self.orders]  # type: ignore[arg-type]

    def expected(self, tokens: Tensor, before: Tensor | None = None) -> Tensor:
        """(B, T) and those before them -> p (B, T, V) of the token that follows each."""
        row = tokens if before is None else torch.cat([before, tokens], dim=1)
        length, start = tokens.shape[1], row.shape[1] - tokens.shape[1]
        p = torch.full((tokens.numel(), self.vocabulary), 1 / self.vocabulary, device=row.device)
        history = torch.zeros_like(tokens)  # the number of the n - 1 tokens that end at each
        places = torch.arange(length, device=row.device).expand(tokens.shape) + start
        for n, order in enumerate(self.orders):
            if n:
                earlier = (places - n + 1).clamp(min=0)
                history = history + row.gather(1, earlier) * self.vocabulary ** (n - 1)
            order.refine(p, history.flatten(), (places >= n - 1).flatten())  # type: ignore[operator]
        return p.view(*tokens.shape, self.vocabulary)

    def mixed(self, logits: Tensor, tokens: Tensor, before: Tensor | None = None) -> Tensor:
        """The network's logits (B, T, V) -> ln p of the mixture. Raises InputError when traced:
        how many n-grams there are to look at is known in eager torch only."""
        if torch.compiler.is_compiling():
            raise InputError("counts are looked up in eager torch only: fit with counts=None.")
        own = torch.log_softmax(logits.float(), dim=-1) + self.network_share.log()
        return torch.logaddexp(
            own, self.expected(tokens, before).log() + (1 - self.network_share).log()
        )


def best_share(network: np.ndarray, counts: np.ndarray) -> float:
    """m, of -ln p (S,) of the same held-out tokens by either."""

    def nats(m: float) -> float:
        return -float(np.logaddexp(math.log(m) - network, math.log(1 - m) - counts).mean())

    return float(minimize_scalar(nats, bounds=(0.01, 0.99), method="bounded").x)
