"""Which of the trained candidates is shipped: not the luckiest of thirty, but the cheapest of those
that the validation items cannot tell from the best.

    best        the highest score on validation
    equals      the best, and all that a paired test (paired.py) does not show to be worse: its p is
                above LEVEL; and whose lag is at most CLOSE, where the score is at most 1
    the winner  the cheapest of the equals: the lowest latency, to two digits; of equal latencies
                the fewest bytes of weights

A network that is truly better by little may so be passed over for a cheaper one, never for a dearer
one. By the test alone it may be by much, where validation items are few: of 12 simulated candidates
that err 6 to 2 times in 100, the cheaper the more, the winner errs 3.3 points more than the best of
them with 100 validation items and 1.5 with 350, with CLOSE 1.9 and 1.1, and the highest score 1.1
and 0.3 (benchmarks/promises/selecting.py).

Where there are few validation items and time is left, the equals are compared once more, by items
of other parts (second_look.py).

Where the best is shown to be better than always the same answer, the winner must be too. A task
without scores by item (boxes, captions) has no such test: then the highest score wins, and of equal
scores the lowest latency.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from depthwise.choosing.kept_answers import ItemScores
from depthwise.choosing.paired import bootstrap_p, mcnemar_p, resamples
from depthwise.choosing.trials import Trained, Trials
from depthwise.measuring.scorecard import Scorecard
from depthwise.reporting.figures import score_of
from depthwise.task import in_words

__all__ = ["LEVEL", "Selection", "better_p", "select", "select_again", "standing", "test_name"]

LEVEL = 0.1  # one-sided
CLOSE = 0.01  # of a score that is at most 1: a point
AT_MOST_1 = ("fraction", "balanced accuracy", "F1", "AUROC", "R2")  # units
Costs = tuple[float, float]


@dataclass
class Selection:
    """The winner and why. `p`: by candidate, how likely its lag behind the best were if it were as
    good; empty where there is no test. `equals`: those not told from the best, cheapest first.
    `rounds` of training on other parts, and each contender's score on their `items`."""

    winner: Trained
    best: Trained
    equals: list[str]
    p: dict[str, float] = field(default_factory=dict)
    test: str = ""
    items: int = 0
    rounds: int = 0
    again: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "winner": self.winner.candidate.name,
            "best": self.best.candidate.name,
            "equals": self.equals,
            "compared": len(self.again) - 1 if self.again else len(self.p),
            "items": self.items,
            "test": self.test,
            "level": LEVEL if self.test else None,
            "close": CLOSE if self.test and self.best.accuracy.unit in AT_MOST_1 else None,
            "p": self.p,
            "rounds": self.rounds,
            "again": self.again,
        }


def select(
    trials: Trials, cards: dict[str, Scorecard], baseline: ItemScores | None = None
) -> Selection:
    """`cards`: what each trained candidate costs. `baseline`: always the most common class."""
    ranked = sorted(trials.trained.values(), key=lambda t: (-t.score, _costs(t, cards)))
    scores = {t.candidate.name: trials.item_scores(t) for t in ranked}
    known = {name: score for name, score in scores.items() if score is not None}
    if len(known) < len(ranked):
        return Selection(ranked[0], ranked[0], [ranked[0].candidate.name])
    best = ranked[0].candidate.name
    compare = _Compare(known | ({"": baseline} if baseline else {}))
    p = {name: compare(best, name) for name in known if name != best}
    equals = _equals(ranked, {t.candidate.name: t.score for t in ranked}, p)
    if baseline is not None and compare(best, "") <= LEVEL:
        equals = [t for t in equals if compare(t.candidate.name, "") <= LEVEL]
    equals.sort(key=lambda t: _costs(t, cards))
    names = [t.candidate.name for t in equals]
    first = known[best]
    return Selection(equals[0], ranked[0], names, p, test_name(first), first.items)


def select_again(
    trials: Trials,
    first: Selection,
    cards: dict[str, Scorecard],
    scores: dict[str, ItemScores],
    rounds: int,
) -> Selection:
    """The winner among the equals of `first` by their `scores` on the items of `rounds` other
    parts."""
    again = {name: _score(score) for name, score in scores.items()}
    ranked = [trials.trained[name] for name in sorted(again, key=lambda name: -again[name])]
    best, compare = ranked[0], _Compare(scores)
    name = best.candidate.name
    p = {other: compare(name, other) for other in again if other != name}
    equals = _equals(ranked, again, p)
    equals.sort(key=lambda entry: _costs(entry, cards))
    names, items = [entry.candidate.name for entry in equals], scores[name].items
    told = {**first.p, **p}
    return Selection(equals[0], best, names, told, first.test, items, rounds, again)


def _score(score: ItemScores) -> float:
    if score.right is not None:
        return float(score.right.mean())
    return float(score.resampled(np.ones((1, score.items), np.uint16))[0])


# -- in words --------------------------------------------------------------------------------------


def standing(entry: Trained, selection: Selection) -> tuple[str, str]:
    """Where a trained candidate ended, and why: ("trained", "98.21% on validation, ...")."""
    score, name, best = (
        in_words(entry.score, entry.accuracy.unit),
        entry.candidate.name,
        selection.best,
    )
    if entry is selection.winner:
        return "winner", f"{score} on validation, {_why(selection)}"
    told = f"{score} on validation, {_behind(entry, selection)}"
    if name in (selection.again if selection.rounds else selection.p) and entry is not best:
        equal = name in selection.equals
        lag = "not told from it" if selection.p[name] > LEVEL else "told from it"
        told += f", {lag} (p = {_p(selection.p[name])})" + (", costlier than the winner" * equal)
    if entry.complete:
        return "trained", told
    return "stopped", f"{told}: stopped after {entry.epochs:.3g} epochs"


def _why(selection: Selection) -> str:
    """Why the winner is the one."""
    best, name = selection.best, selection.winner.candidate.name
    if selection.rounds:
        return _why_again(selection)
    if selection.winner is not best:
        score = in_words(best.score, best.accuracy.unit)
        return (
            f"the cheapest of {len(selection.equals)} that {selection.items:,} items cannot tell "
            f"from the best, {best.candidate.name} with {score} "
            f"({selection.test}, p = {_p(selection.p[name])})"
        )
    if len(selection.equals) > 1:
        return (
            f"the best that keeps every limit, and the cheapest of {len(selection.equals)} that "
            f"{selection.items:,} items cannot tell from it ({selection.test})"
        )
    return "the best that keeps every limit"


def _why_again(selection: Selection) -> str:
    """Why it is the one, where contenders were trained again on other parts."""
    best, winner, unit = selection.best, selection.winner, selection.best.accuracy.unit
    scores = {
        t.candidate.name: in_words(selection.again[t.candidate.name], unit) for t in (best, winner)
    }
    name, first = winner.candidate.name, best.candidate.name
    parts = _parts(selection)
    if winner is not best:
        return (
            f"{scores[name]} of {parts}: the cheapest of {len(selection.equals)} that these cannot "
            f"tell from the best, {first} with {scores[first]} "
            f"({selection.test}, p = {_p(selection.p[name])})"
        )
    rank = "the best" if len(selection.equals) == 1 else "the best and the cheapest of its equals"
    return f"{scores[name]} of {parts}: {rank} ({selection.test})"


def _parts(selection: Selection) -> str:
    parts = "1 other part" if selection.rounds == 1 else f"{selection.rounds} other parts"
    return f"{selection.items:,} items of {parts}"


def _behind(entry: Trained, selection: Selection) -> str:
    lag, unit = selection.best.score - entry.score, entry.accuracy.unit
    name = entry.candidate.name
    if name in selection.again:
        told = in_words(selection.again[name], unit)
        return f"{told} of {_parts(selection)}"
    if selection.rounds:
        return "not among the best there"
    if entry is selection.best:
        return "the best"
    told = f"{lag * 100:.2f} points" if score_of(unit).is_share else in_words(lag, unit.lstrip("-"))
    return f"{told} behind {selection.best.candidate.name}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else "under 0.001"


# -- tests and costs -------------------------------------------------------------------------------


def _equals(ranked: list[Trained], scores: dict[str, float], p: dict[str, float]) -> list[Trained]:
    """The first of `ranked`, and those that differ from it neither significantly nor, by their
    `scores`, by more than CLOSE."""
    best = scores[ranked[0].candidate.name]
    bounded = ranked[0].accuracy.unit in AT_MOST_1
    furthest = CLOSE + 1e-9 if bounded else math.inf

    def is_equal(name: str) -> bool:
        return p.get(name, 1.0) > LEVEL and best - scores[name] <= furthest

    return [entry for entry in ranked if is_equal(entry.candidate.name)]


class _Compare:
    """p of one being better than another, all on the same resamples, each scored once."""

    def __init__(self, scores: dict[str, ItemScores]):
        self.scores = scores
        self.drawn: dict[str, np.ndarray] = {}
        self.weights: np.ndarray | None = None

    def __call__(self, first: str, second: str) -> float:
        a, b = self.scores[first], self.scores[second]
        if a.right is not None and b.right is not None:
            return mcnemar_p(a.right, b.right)
        return bootstrap_p(self._drawn(first), self._drawn(second))

    def _drawn(self, name: str) -> np.ndarray:
        score = self.scores[name]
        if self.weights is None:
            self.weights = resamples(score.items, score.numbers, score.most)
        if name not in self.drawn:
            self.drawn[name] = score.resampled(self.weights)
        return self.drawn[name]


def better_p(first: ItemScores, second: ItemScores) -> float:
    """How likely so much of a lead were, if `first` were no better than `second`."""
    return _Compare({"first": first, "second": second})("first", "second")


def test_name(score: ItemScores) -> str:
    return "McNemar's exact test" if score.right is not None else "paired bootstrap"


def _costs(entry: Trained, cards: dict[str, Scorecard]) -> Costs:
    card = cards[entry.candidate.name]
    assert card.latency and card.hardware_cost
    return _two_digits(card.latency.value), card.hardware_cost.details["weight_bytes"]


def _two_digits(value: float) -> float:
    if value <= 0 or not math.isfinite(value):
        return value
    return round(value, 1 - math.floor(math.log10(value)))
