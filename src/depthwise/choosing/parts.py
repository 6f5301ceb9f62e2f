"""How much of the validation and the test part is gone through, where the minutes are short.

A network that writes captions answers a few pictures a second, and a test part may hold thousands:
all of them would take longer than the whole choice may. So a part that a middling candidate needs
more than its share of the minutes for is cut to the items that fit, spread evenly over it, and that
is told. Intervals are of the items that were used, and so the wider.
"""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import numpy as np

from depthwise.choosing.ladder import Candidate
from depthwise.choosing.trials import BACKWARD, Trials
from depthwise.data.dataset import Dataset, Problem
from depthwise.measuring.scorecard import Scorecard

__all__ = ["rate_of", "within"]

SHARES = {"validation": 0.05, "test": 0.15}  # of the minutes, for one candidate
FEWEST, FEWEST_CHARACTERS = 100, 5000
WORTH = 0.8  # of a part: what is nearly all of it is not cut
OVERLAP = 2  # windows share half of their tokens with the one before


def within(trials: Trials, candidates: list[Candidate], cards: dict[str, Scorecard]) -> Dataset:
    """The data with parts that fit the minutes, or as they are. Pairs (faces) stay whole."""
    if trials.data.task_row.continues_text:
        return _prose_within(trials, candidates)
    data, rate = trials.data, rate_of(candidates, cards)
    if rate is None or data.pairs is not None:
        return data
    indices = dict(data.indices)
    for part, most in _fit(trials, rate, FEWEST).items():
        items = data.indices[part]
        if most < WORTH * len(items):
            spread = np.linspace(0, len(items) - 1, most).round().astype(np.int64)
            indices[part] = items[spread]
            data = _told(
                trials, data, part, f"{most:,} of its {len(items):,} items", len(items), rate
            )
    return replace(data, indices=indices)


def rate_of(candidates: list[Candidate], cards: dict[str, Scorecard]) -> float | None:
    """Items a second that a middling candidate answers here; None where none was timed here."""
    rates = [cards[candidate.name].throughput for candidate in candidates]
    known = [rate.value for rate in rates if rate and rate.how == "measured" and rate.value]
    return median(known) if known else None


def _prose_within(trials: Trials, candidates: list[Candidate]) -> Dataset:
    """Of texts, characters are counted. A pass over the training part takes BACKWARD times as long
    as reading it; to score a text every token is read OVERLAP times."""
    data = trials.data
    pace = trials.quick_pace(candidates[0]) if candidates else None
    if not pace:
        return data
    learnt = sum(len(data.inputs[i]) for i in data.indices["train"])
    rate = learnt * BACKWARD / (OVERLAP * pace)
    inputs, indices = data.inputs.copy(), dict(data.indices)
    for part, most in _fit(trials, rate, FEWEST_CHARACTERS).items():
        places = data.indices[part]
        ends = np.cumsum([len(data.inputs[i]) for i in places])
        whole = int(ends[-1]) if len(ends) else 0
        if most < WORTH * whole:
            kept = places[: int(np.searchsorted(ends, most)) + 1]
            over = int(ends[len(kept) - 1]) - most
            inputs[kept[-1]] = inputs[kept[-1]][: len(inputs[kept[-1]]) - over]
            indices[part] = kept
            words = f"the first {most:,} of its {whole:,} characters"
            data = _told(trials, data, part, words, whole, rate)
    return replace(data, inputs=inputs, indices=indices)


def _fit(trials: Trials, rate: float, fewest: int) -> dict[str, int]:
    """How many items, or characters, of each part there is time for; remembered."""
    seconds = trials.clock.seconds
    fit = {part: max(fewest, int(share * seconds * rate)) for part, share in SHARES.items()}
    return dict(trials.journal.recall("parts", lambda: fit))


def _told(trials: Trials, data: Dataset, part: str, used: str, whole: int, rate: float) -> Dataset:
    """The data with the problem that a part of `whole` items or characters is not used in full."""
    detail = (
        f"{used} are used: all would take about {whole / rate:.0f} s a candidate; give more "
        "--minutes"
    )
    trials.tell(f"the {part} part: {detail}")
    problem = Problem("part not used in full", part, detail)
    return replace(data, problems=[*data.problems, problem])
