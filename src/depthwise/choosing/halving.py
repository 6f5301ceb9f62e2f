"""Successive halving over seconds: every candidate a little time, the better half more, and so on.

Jamieson and Talwalkar 2016. The resource is wall time, not epochs: what a device's owner has is
minutes, and a network too slow to learn within them is not a choice.

    begin those for which there is time to learn anything (beginning.py)
    while the time does not suffice to train every remaining candidate in full:
        split an equal part of it among them, nobody more than it needs; keep the better half
    train what remains in full, or as far as the time goes;
    should time be left then, the others have it

With time enough nothing is halved, nor where it hardly suffices for one cycle of each. A survivor
goes on from its weights with a new learning-rate cycle (warm restarts: Loshchilov and Hutter 2017).
Epochs are planned from each candidate's measured pace, somewhat hopefully, and written down with
the seconds they may take before training, so that a run begun again repeats the plan; the loop cuts
its schedule to the seconds. What cannot be taken up again where it stopped is trained once,
before (whole_fits.py).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import clone

from depthwise.choosing.beginning import begin, least_passes
from depthwise.choosing.ladder import Candidate
from depthwise.choosing.trials import Trials, named
from depthwise.choosing.whole_fits import train_once
from depthwise.choosing.winner_refit import refit_seconds
from depthwise.data.dataset import Dataset
from depthwise.models.networks import NetworkEstimator

__all__ = ["fill", "halve", "rung_sizes"]

MARGIN = 0.92  # plan this share of the time: what the pace did not foretell takes the rest
PACE_STEPS = 10
PACE_SHARE, LEAST_PACING, MOST_PACING = 0.02, 0.3, 3.0  # of the time, for one; seconds
PREPARED = 0.5  # seconds of a fit beside which preparing kernels is little
HOPED = 1.4  # times as many epochs as the pace promises, which a few first steps have shown
LEAST_EPOCHS = 0.02
SURVIVORS = 2  # candidates in the last rung
UNTRIED = "untried: no time was left for it; give more --minutes"
ONE_RUNG = 0.5  # of the time: where the least that all need is more, nothing is halved


def halve(trials: Trials, candidates: list[Candidate], seconds: float, step: str = "plan") -> None:
    """Train `candidates` within `seconds`; results are in `trials`. `step`: what the journal calls
    its plans. Raises Interrupted."""
    timing = trials.journal.recall(f"{step}/time", lambda: [seconds, trials.clock.spent + seconds])
    seconds, ends = timing  # as they were before a kill
    begun = begin(trials, candidates, seconds)
    deep = [c for c in begun if _goes_on(c)]
    once = [c for c in begun if c not in deep]
    train_once(trials, once, seconds, others=deep)
    rungs = _Rungs(trials, seconds, ends, step)
    deep = rungs.paced(deep, seconds)
    sizes = rung_sizes(len(deep)) if deep and rungs.suffice(deep) else []
    alive = deep
    for rung, size in enumerate(sizes):
        alive = _best(trials, alive, size)
        rungs.train(rung, alive, rungs_left=len(sizes) - rung)
    rungs.train(len(sizes), _best(trials, deep, len(deep)), rungs_left=1)
    for candidate in deep:
        if candidate.name not in trials.trained and candidate.name not in trials.failed:
            trials.leave_out(candidate, UNTRIED)


def _goes_on(candidate: Candidate) -> bool:
    """Whether it can be trained a little and taken up again without loss: by gradient descent, and
    not behind a frozen backbone, through which all items must go each time."""
    model = candidate.model()
    if not isinstance(model, NetworkEstimator) or "warm_start" not in model.get_params():
        return False
    return not model.is_frozen


def rung_sizes(candidates: int) -> list[int]:
    """How many candidates each rung holds: all, the better half, ... the last two."""
    sizes = [candidates]
    while sizes[-1] > SURVIVORS:
        sizes.append(max(SURVIVORS, math.ceil(sizes[-1] / 2)))
    return sizes


def fill(needs: list[float], available: float) -> list[float]:
    """Split `available` equally, nobody more than it needs; what one leaves the others share."""
    shares = [0.0] * len(needs)
    order = sorted(range(len(needs)), key=lambda i: needs[i])
    for place, i in enumerate(order):
        shares[i] = min(needs[i], available / (len(order) - place))
        available -= shares[i]
    return shares


class _Rungs:
    """Rungs of one choice that has `seconds`, over by `ends` on the clock; the journal calls their
    plans `step`. Before each rung it is reckoned anew what is to be kept for training the best so
    far again."""

    def __init__(self, trials: Trials, seconds: float, ends: float, step: str):
        self.trials, self.seconds, self.ends, self.step = trials, seconds, ends, step
        self._keep_for_refit()

    @property
    def left(self) -> float:
        clock = self.trials.clock
        return max(0.0, self.ends - clock.refitting - clock.spent)

    def _keep_for_refit(self) -> None:
        best = max(self.trials.trained.values(), key=lambda entry: entry.score, default=None)
        self.trials.clock.refitting = 0.0
        if best:
            to_come = 0.0
            if _goes_on(best.candidate) and best.epochs:
                to_come = best.seconds / best.epochs * _epochs_left(self.trials, best.candidate)
            kept = refit_seconds(self.trials, best, self.seconds, to_come)
            self.trials.clock.refitting = kept

    def paced(self, candidates: list[Candidate], seconds: float) -> list[Candidate]:
        """Take the pace of each, those with the best prospects first, until they fill the time;
        those that are left over could not be trained and need no pace."""
        kept, needed = list[str](), 0.0
        for candidate in sorted(candidates, key=lambda c: c.rank(self.trials.data.kind)):
            is_full = partial(bool, kept and needed >= MARGIN * self.left)
            if self.trials.journal.recall(f"{self.step}/full/{candidate.name}", is_full):
                self.trials.leave_out(candidate, UNTRIED)
                continue
            self.trials.heart.doing(f"{candidate.name}: taking its pace")
            if _pace(self.trials, candidate, seconds) is not None:
                kept.append(candidate.name)
                needed += self._least(candidate)
        return [c for c in candidates if c.name in kept]

    def suffice(self, candidates: list[Candidate]) -> bool:
        """Whether there is time for a first rung in which all learn and a second for the best."""
        least = sum(self._least(c) for c in candidates)
        recalled = self.trials.journal.recall(
            f"{self.step}/halve", lambda: least <= ONE_RUNG * self.left
        )
        return bool(recalled)

    def train(self, rung: int, candidates: list[Candidate], rungs_left: int) -> None:
        """Train each as long as the rung's plan has it."""
        self._keep_for_refit()
        make = partial(self._plan, candidates, rungs_left)
        plan = self.trials.journal.recall(f"{self.step}/{rung}", make)
        for candidate in candidates:
            epochs, seconds = plan[candidate.name]
            if epochs > 0:
                limit = min(seconds, self.left) if self.trials.trained else seconds
                _train(self.trials, candidate, rung, epochs, max(limit, 1.0))

    def _plan(self, candidates: list[Candidate], rungs_left: int) -> dict[str, tuple[float, float]]:
        """Epochs for each candidate in this rung, and the seconds that they may take."""
        paces = {c.name: _pace(self.trials, c) or math.inf for c in candidates}
        needs = [paces[c.name] * _epochs_left(self.trials, c) for c in candidates]
        available = MARGIN * self.left
        if sum(needs) > available:
            available /= rungs_left
        least = [min(self._least(c), need) for c, need in zip(candidates, needs)]
        if sum(least) > available:  # paces were taken since they were begun
            least = self._by_rank(candidates, least, available)
            needs = [need if some else 0.0 for need, some in zip(needs, least)]
        more = fill([n - m for n, m in zip(needs, least)], available - sum(least))
        shares = [m + extra for m, extra in zip(least, more)]
        planned = {}
        for candidate, share in zip(candidates, shares):
            epochs = min(
                _epochs_left(self.trials, candidate), HOPED * share / paces[candidate.name]
            )
            planned[candidate.name] = (round(epochs, 4) if epochs > LEAST_EPOCHS else 0.0, share)
        if candidates and not any(e for e, _ in planned.values()) and not self.trials.trained:
            quickest = min(candidates, key=lambda c: paces[c.name])  # better than nothing at all
            epochs = least_passes(self.trials, quickest)
            planned[quickest.name] = (epochs, 1.5 * epochs * paces[quickest.name])
        return planned

    def _by_rank(
        self, candidates: list[Candidate], least: list[float], available: float
    ) -> list[float]:
        """The least of each, as long as it goes, in the order of their prospects; the first has
        what there is."""
        order = sorted(
            range(len(candidates)), key=lambda i: candidates[i].rank(self.trials.data.kind)
        )
        granted = [0.0] * len(candidates)
        for place, i in enumerate(order):
            if place == 0 or least[i] <= available:
                granted[i] = min(least[i], available)
                available -= granted[i]
        return granted

    def _least(self, candidate: Candidate) -> float:
        """Seconds that a first training must have; 0 of one that has learnt already."""
        if candidate.name in self.trials.trained:
            return 0.0
        pace = _pace(self.trials, candidate) or 0.0
        return pace * least_passes(self.trials, candidate)


def _best(trials: Trials, candidates: list[Candidate], most: int) -> list[Candidate]:
    """The `most` best of those that did not fail; before any training, all."""

    def error(candidate: Candidate) -> float:
        done = trials.trained.get(candidate.name)
        return -done.score if done else 0.0

    return sorted((c for c in candidates if c.name not in trials.failed), key=error)[:most]


def _epochs_left(trials: Trials, candidate: Candidate) -> float:
    """Of its full schedule, as its `epochs="auto"` has it."""
    done = trials.trained.get(candidate.name)
    if done and done.complete:
        return 0.0
    return max(0.0, _full_epochs(trials, candidate) - (done.epochs if done else 0.0))


def _network(candidate: Candidate) -> NetworkEstimator:
    """An untrained model of one that `_goes_on`."""
    model = candidate.model()
    assert isinstance(model, NetworkEstimator)
    return model


def _full_epochs(trials: Trials, candidate: Candidate) -> float:
    return _network(candidate).recipe(len(trials.data.indices["train"])).epochs


def _train(trials: Trials, candidate: Candidate, rung: int, epochs: float, limit: float) -> None:
    before = trials.trained.get(candidate.name)
    model = candidate.model() if before is None else before.model()
    model.set_params(epochs=epochs, warm_start=before is not None)
    done = trials.train(candidate, rung, model, limit)
    if done is not None and done.epochs > 0.98 * _full_epochs(trials, candidate):
        done.complete = True


def _pace(trials: Trials, candidate: Candidate, seconds: float = math.inf) -> float | None:
    """Seconds an epoch: of its training so far, else from a few steps for a small share of the
    `seconds` there are; None where that fails."""
    done = trials.trained.get(candidate.name)
    if done and done.epochs:
        return done.seconds / done.epochs
    limit = min(MOST_PACING, max(LEAST_PACING, PACE_SHARE * seconds))
    return trials.pace(candidate, lambda: _epoch_seconds(_network(candidate), trials.data, limit))


def _epoch_seconds(model: NetworkEstimator, data: Dataset, limit: float = MOST_PACING) -> float:
    """From PACE_STEPS steps, or those that `limit` seconds suffice for, at least one."""
    items = len(data.indices["train"])
    steps_per_epoch = math.ceil(items / model.recipe(items).batch_size)
    trial = clone(model).set_params(epochs=PACE_STEPS / steps_per_epoch)
    to_learn = _training_part(data)
    for _ in range(2):  # the first steps of a process are slow: kernels are prepared
        if trial.fit(*to_learn, seconds_limit=limit).history_["stopped"] == "interrupted":
            raise KeyboardInterrupt  # the loop ends in peace on Ctrl-C; the choice must not go on
        if trial.history_["seconds"] > max(PREPARED, limit):
            break
    return float(trial.history_["seconds"] / trial.history_["steps"] * steps_per_epoch)


def _training_part(data: Dataset) -> tuple[Any, ...]:
    """What `fit` learns from when nothing is held out."""
    if data.targets is None:
        return named(data, "train")
    nothing = np.zeros(0, np.int64)
    return (replace(data, indices={**data.indices, "validation": nothing}),)
