"""Modified Kneser-Ney: probabilities that sum to one, and are what counting by hand gives."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from depthwise.errors import InputError
from depthwise.tasks.language.kneser_ney import KneserNey

TEXT = np.random.default_rng(0).choice(5, size=400, p=[0.4, 0.3, 0.15, 0.1, 0.05])
TEXT[TEXT == 3] = TEXT[np.flatnonzero(TEXT == 3) - 1]  # something to learn


def by_definition(
    text: list[int], order: int, vocabulary: int, history: list[int], w: int
) -> float:
    """Chen and Goodman's recursion, counted anew with dicts for one probability."""
    if order == 0:
        return 1 / vocabulary
    return _level(
        text, order, order, vocabulary, tuple(history[-(order - 1) :] if order > 1 else ()), w
    )


def _level(
    text: list[int], top: int, n: int, vocabulary: int, history: tuple[int, ...], w: int
) -> float:
    if n == 0:
        return 1 / vocabulary
    grams = Counter(tuple(text[i : i + top]) for i in range(len(text) - top + 1))
    for _ in range(top - n):  # how many different tokens stand before each
        grams = Counter(gram[1:] for gram in grams)
    n1, n2, n3, n4 = (sum(c == i for c in grams.values()) for i in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2)
    d = [0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    after = {gram[-1]: c for gram, c in grams.items() if gram[:-1] == history}
    lower = _level(text, top, n - 1, vocabulary, history[1:], w)
    if not after:
        return lower
    left = sum(d[min(c, 3)] for c in after.values())
    kept = after.get(w, 0) - d[min(after.get(w, 0), 3)]
    return (kept + left * lower) / sum(after.values())


@pytest.mark.parametrize("order", [2, 3])
def test_it_is_what_the_definition_gives(order: int) -> None:
    # 40 symbols of which a few are frequent: enough n-grams of every count up to 4
    text = np.random.default_rng(1).geometric(0.12, size=500).clip(max=39)
    model = KneserNey(order, 41).fit(text)
    asked = [3, 1, 2, 5, 39, 40, 1]
    wanted = [
        by_definition(text.tolist(), order, 41, asked[:t], asked[t])
        for t in range(order - 1, len(asked))
    ]
    np.testing.assert_allclose(np.exp(-model.nats(np.array(asked)))[order - 1 :], wanted, rtol=1e-9)


@pytest.mark.parametrize("history", [[], [0], [1, 0, 0, 1], [4, 4, 4, 4], [5, 5, 5]])
def test_probabilities_of_the_next_token_sum_to_one(history: list[int]) -> None:
    model = KneserNey(4, 7).fit(TEXT)  # tokens 5 and 6 never occur
    p = [math.exp(-model.nats(np.array([*history, w]))[-1]) for w in range(7)]
    assert sum(p) == pytest.approx(1)
    assert min(p) > 0


def test_a_unigram_by_hand() -> None:
    """a a a a b b b c c d in a vocabulary of 5: counts 4 3 2 1, each once: n1 = n2 = n3 = n4 = 1,
    Y = 1/3, D1 = 1 - 2/3 = 1/3, D2 = 2 - 1 = 1, D3 = 3 - 4/3 = 5/3. What is discounted,
    1/3 + 1 + 2 x 5/3 = 14/3 of 10, is shared among five."""
    model = KneserNey(1, 5).fit(np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 3]))
    share = 14 / 3 / 10 / 5
    wanted = [(4 - 5 / 3) / 10, (3 - 5 / 3) / 10, 1 / 10, (1 - 1 / 3) / 10, 0]
    np.testing.assert_allclose(
        np.exp(-model.nats(np.arange(5))), np.array(wanted) + share, rtol=1e-12
    )


def test_a_longer_memory_does_better_where_there_is_something_to_remember() -> None:
    text = np.tile([0, 1, 0, 2], 100)  # after 0 comes 1 or 2, by what stood before it
    nats = [KneserNey(order, 3).fit(text).nats(text[:40])[5:].mean() for order in (1, 2, 3)]
    assert nats[0] > nats[1] > nats[2]


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="Lower the order"):
        KneserNey(8, 256)
    with pytest.raises(InputError, match="too few"):
        KneserNey(5, 256).fit(np.arange(4))
