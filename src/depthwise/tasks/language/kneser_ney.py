"""Counts of neighbours, smoothed: what a language model must beat. Modified Kneser-Ney smoothing,
interpolated, of n-grams: Chen and Goodman 1999, "An empirical study of smoothing techniques for
language modeling", section 4.1.6.

    p_n(w | h) = (c(hw) - D(c(hw))) / c(h) + (D1 N1(h) + D2 N2(h) + D3 N3(h)) / c(h) p_(n-1)(w | h')
    p_0(w)     = 1 / V

h: the n - 1 tokens before w, h' without its first; c(hw): at the highest order how often hw occurs,
below it in how many different tokens may stand before hw; c(h) = sum_w c(hw); N1, N2, N3: how many
w follow h once, twice, more often. With n_i n-grams of count i and Y = n_1 / (n_1 + 2 n_2):

    D1 = 1 - 2 Y n_2 / n_1,   D2 = 2 - 3 Y n_3 / n_2,   D3 = 3 - 4 Y n_4 / n_3

An n-gram is kept as one number, its tokens being the digits to the base V.

Shapes: S tokens, M different n-grams, C different histories, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from depthwise.errors import InputError

__all__ = ["KneserNey"]

LEAST = 0.1


@dataclass(frozen=True)
class Order:
    """One n: its n-grams and what is known of their histories, each sorted by number.

    grams (M,), kept (M,): c(hw) - D(c(hw)); histories (C,), total (C,): c(h); spread (C,): the
    share of h that is left to the lower order.
    """

    grams: np.ndarray
    kept: np.ndarray
    histories: np.ndarray
    total: np.ndarray
    spread: np.ndarray


class KneserNey:
    """n-grams up to `order` of tokens 0 .. `vocabulary` - 1."""

    def __init__(self, order: int = 5, vocabulary: int = 256):
        if order < 1 or vocabulary**order >= 2**63:
            raise InputError(
                f"order must be 1 or more, with vocabulary^order below 2^63; got {order} and "
                f"{vocabulary:,}. Lower the order."
            )
        self.order, self.vocabulary = order, vocabulary

    def fit(self, tokens: np.ndarray) -> Self:
        """Count (S,) tokens; S must be `order` or more."""
        if len(tokens) < self.order:
            raise InputError(f"{len(tokens)} tokens are too few for order {self.order}.")
        numbers = self._numbers(np.asarray(tokens, dtype=np.int64), self.order)
        grams, counts = np.unique(numbers, return_counts=True)
        self.orders_: list[Order] = []
        for n in range(self.order, 0, -1):
            self.orders_.insert(0, _counted(grams, counts, self.vocabulary))
            grams, counts = np.unique(grams % self.vocabulary ** (n - 1), return_counts=True)
        return self

    def nats(self, tokens: np.ndarray) -> np.ndarray:
        """-ln p of each token given those before it: (S,) -> (S,)."""
        tokens = np.asarray(tokens, dtype=np.int64)
        p = np.full(len(tokens), 1 / self.vocabulary)
        for n, order in enumerate(self.orders_, start=1):
            if len(tokens) >= n:
                p[n - 1 :] = self._refined(order, self._numbers(tokens, n), p[n - 1 :])
        return -np.log(p)

    def _numbers(self, tokens: np.ndarray, n: int) -> np.ndarray:
        """Every n-gram of (S,) as a number: (S - n + 1,)."""
        numbers = np.zeros(len(tokens) - n + 1, dtype=np.int64)
        for i in range(n):
            numbers = numbers * self.vocabulary + tokens[i : len(tokens) - n + 1 + i]
        return numbers

    def _refined(self, order: Order, grams: np.ndarray, p: np.ndarray) -> np.ndarray:
        """p_n from p_(n-1), as it is where the history was never seen."""
        place, seen = _found(order.histories, grams // self.vocabulary)
        gram, counted = _found(order.grams, grams)
        kept = np.where(counted, order.kept[gram], 0.0)
        refined = kept / order.total[place] + order.spread[place] * p
        return np.where(seen, refined, p)


def _counted(grams: np.ndarray, counts: np.ndarray, vocabulary: int) -> Order:
    discount = _discounts(counts)[np.minimum(counts, 3)]
    histories, at = np.unique(grams // vocabulary, return_inverse=True)
    total = np.bincount(at, counts)
    return Order(grams, counts - discount, histories, total, np.bincount(at, discount) / total)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """(0, D1, D2, D3), each kept within [LEAST, count]: counts of tiny texts can ask for less,
    which would call what was never seen impossible, or for more."""
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(float)
    y = n[1] / max(n[1] + 2 * n[2], 1.0)
    wanted = [i - (i + 1) * y * n[i + 1] / max(n[i], 1.0) for i in (1, 2, 3)]
    return np.array([0.0, *(min(max(d, LEAST), i) for i, d in enumerate(wanted, start=1))])


def _found(ordered: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each is, and whether it is there at all."""
    places = np.searchsorted(ordered, wanted).clip(max=len(ordered) - 1)
    return places, ordered[places] == wanted
