"""Families that are trained once, in one piece, and not rung by rung: trees, stacks of Boltzmann
machines, autoencoders, closed forms. They shorten their own schedule to the time they are given.

    the families take turns, the cheapest first, each with its candidates' share of what is left,
    the smaller the less they have proved on such data (`priority`); those that have proved best
    (priority 0, as trees on tables) with half at least
    within a family the smallest size goes first and may use all of the family's time
    a larger one has what is left, if that is a tenth of what it needs by the smaller one's pace

so that a family that has little time is seen at one size that has learnt, rather than at three that
have not. Sizes of a language model have as much time each: the larger learns more in as many
seconds. What a family leaves over, the others have. Shares follow from what was written down, so
that a choice begun again gives everybody the same.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from sklearn.base import clone

from depthwise.choosing.ladder import Candidate
from depthwise.choosing.looking import looks_once, train_looking
from depthwise.choosing.trials import Trained, Trials, named
from depthwise.data.dataset import Dataset
from depthwise.models.estimator import Estimator
from depthwise.task import task_named

__all__ = ["train_once", "unit_seconds"]

LEAST_PASS = 0.1  # of a pass over the data: below, nothing is learnt
LEAST_SHARE = 0.1  # of the time that a larger size would need
WHOLE = 0.8  # a fit that took less of its limit was not shortened (stages plan 0.85 of it)
FEWEST_ROUNDS = 3
MOST_COLUMNS = 2000  # that a round of trees is timed on
BEST_SHARE = 0.5  # of the time that is left, for what has proved best on such data


def train_once(
    trials: Trials, candidates: list[Candidate], seconds: float, others: list[Candidate]
) -> float:
    """Train `candidates` beside which `others` want their share of the `seconds` too; returns the
    seconds that it took."""
    looking = [c for c in candidates if looks_once(c)]
    candidates = [c for c in candidates if c not in looking]
    alone = not candidates and not others
    took = train_looking(trials, looking, seconds, alone) if looking else 0.0
    seconds -= took
    weights = {c.name: _weights(trials.data, c) for c in candidates}
    families: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda c: weights[c.name]):
        families.setdefault(candidate.make.family, []).append(candidate)
    claims = partial(_claims, trials.data.kind)
    left, waiting = seconds, claims([*candidates, *others])
    for sizes in families.values():
        share = claims(sizes) / waiting
        if sizes[0].make.priority.get(trials.data.kind) == 0:
            share = max(share, BEST_SHARE)
        left -= _train_family(trials, sizes, share * left)
        waiting -= claims(sizes)
    if not others:  # nobody else to leave it to
        left = _second_round(trials, families, left)
    return seconds - left + took


def _claims(kind: str, candidates: list[Candidate]) -> float:
    """How much of the time candidates claim beside others, by their families' `priority`."""
    return sum(1 / (1 + c.make.priority.get(kind, 0)) for c in candidates)


def _second_round(trials: Trials, families: dict[str, list[Candidate]], left: float) -> float:
    """What the first round left over goes to the sizes it had no time for."""
    for sizes in families.values():
        smaller = None
        for candidate in sizes:
            untried = trials.failed.get(candidate.name, "").startswith("untried")
            if untried and (not smaller or _is_enough(trials, smaller, candidate, left)):
                del trials.failed[candidate.name]
                left -= _train(trials, candidate, left)
            smaller = trials.trained.get(candidate.name, smaller)
    return left


def _train_family(trials: Trials, sizes: list[Candidate], seconds: float) -> float:
    """All sizes of a family, smallest first; the seconds it took."""
    left, smaller = seconds, None
    for place, candidate in enumerate(sizes):
        if smaller is not None and not _is_enough(trials, smaller, candidate, left):
            trials.leave_out(
                candidate,
                f"untried: {max(0.0, left):.1f} s are left of the {seconds:.1f} s that "
                f"{candidate.make.family} had, and {smaller.candidate.name} took "
                f"{smaller.seconds:.1f} s",
            )
            continue
        sharing = len(sizes) - place if task_named(trials.task).continues_text else 1
        left -= _train(trials, candidate, left / sharing)
        smaller = trials.trained.get(candidate.name, smaller)
    return seconds - left


def _is_enough(trials: Trials, smaller: Trained, candidate: Candidate, left: float) -> bool:
    """Whether `left` seconds are a tenth of what `candidate` needs, or it fails for itself."""
    pace, known = unit_seconds(trials, candidate), unit_seconds(trials, smaller.candidate)
    if pace is None or known is None:
        return True
    return left > LEAST_SHARE * smaller.seconds * pace / known


def unit_seconds(trials: Trials, candidate: Candidate) -> float | None:
    """Seconds of a round of boosting, or the least that a pass over the data takes; None where that
    fails, and so the candidate."""
    if _by_rounds(candidate):
        return trials.pace(candidate, partial(_round_seconds, candidate.model(), trials.data))
    return trials.quick_pace(candidate)


def _by_rounds(candidate: Candidate) -> bool:
    """Whether its sizes are rounds of trees."""
    return candidate.make.resource == "max_iter" and candidate.size is not None


def _train(trials: Trials, candidate: Candidate, limit: float) -> float:
    """As far as `limit` seconds go; the seconds it took."""
    model = candidate.model()
    check = _too_few_rounds if _by_rounds(candidate) else _too_short
    if reason := check(trials, candidate, model, limit):
        trials.leave_out(candidate, reason)
    if candidate.name in trials.failed:
        return 0.0
    done = trials.train(candidate, 0, model, limit)
    if done is None:
        return 0.0
    done.complete = _is_whole(trials, done, limit)
    return done.seconds


def _is_whole(trials: Trials, done: Trained, limit: float) -> bool:
    """Whether its schedule was not shortened: it left time, or learnt as long as one that did."""
    family = done.candidate.make.family
    whole = [t for t in trials.trained.values() if t.complete and t.candidate.make.family == family]
    return done.seconds < WHOLE * limit or any(done.epochs >= other.epochs for other in whole)


def _too_short(trials: Trials, candidate: Candidate, model: Estimator, limit: float) -> str:
    """Why `limit` seconds are no use; "" if they are."""
    pace = unit_seconds(trials, candidate)
    if pace is None or limit >= LEAST_PASS * pace:
        return ""
    return (
        f"untried: a pass over the data takes at least {pace:.1f} s here, and its share of the "
        f"training time is {limit:.1f} s"
    )


def _too_few_rounds(trials: Trials, candidate: Candidate, model: Estimator, limit: float) -> str:
    """Why `limit` seconds are no use; "" if they are: it stops growing in time by itself."""
    pace = unit_seconds(trials, candidate)
    if pace is None or limit >= FEWEST_ROUNDS * pace:
        return ""
    return (
        f"untried: a round of trees takes {pace:.1f} s here, and its share of the training time "
        f"is {limit:.0f} s"
    )


def _round_seconds(model: Estimator, data: Dataset, most: float = 2e7) -> float:
    """Seconds a round of boosting, from one round on at most `most` numbers and MOST_COLUMNS of the
    columns, scaled up by both."""
    X, y = named(data, "train")
    columns = int(np.prod(X.shape[1:]))
    taken = np.linspace(0, columns - 1, min(columns, MOST_COLUMNS)).astype(np.int64)
    rows = min(len(X), max(1000, int(most / len(taken))))
    spread = np.linspace(0, len(X) - 1, rows).astype(np.int64)  # items lie class by class
    _, firsts = np.unique(y, return_index=True)
    chosen = np.union1d(spread, firsts)
    part = X[chosen]
    if len(taken) < columns:
        part = part.reshape(len(part), -1)[:, taken].astype(np.float32)
    started = time.monotonic()
    clone(model).set_params(max_iter=1).fit(part, y[chosen])
    seconds = time.monotonic() - started
    return seconds * len(X) / len(chosen) * columns / len(taken)


def _weights(data: Dataset, candidate: Candidate) -> int:
    return candidate.parameters(data.input_shape, candidate.outputs(data))
