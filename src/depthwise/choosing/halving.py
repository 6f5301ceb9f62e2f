"""Successive halving over seconds: every candidate a little time, the better half more, and so on.

Jamieson and Talwalkar 2016. The resource is wall time, not epochs: what a device's owner has is
minutes, and a network too slow to learn within them is not a choice.

    while the time does not suffice to train every remaining candidate in full:
        split an equal part of it among them, nobody more than it needs; keep the better half
    train what remains in full, or as far as the time goes;
    should time be left then, the others have it

With time enough nothing is halved. A survivor goes on from its weights with a new learning-rate
cycle (warm restarts: Loshchilov and Hutter 2017). Epochs are planned from each candidate's measured
pace and written down before training, so that a run begun again repeats the plan.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from depthwise.choosing.journal import Journal
from depthwise.choosing.ladder import Candidate
from depthwise.data.dataset import Dataset
from depthwise.errors import DivergedError
from depthwise.estimator import Classifier
from depthwise.measuring.metric import Metric
from depthwise.measuring.scorecard import accuracy
from depthwise.modelfile import read_model
from depthwise.networks import NetworkClassifier
from depthwise.progress import line
from depthwise.training import Event

__all__ = ["Halving", "Interrupted", "Trained", "fill", "named", "rung_sizes", "scored"]

MARGIN = 0.85  # plan this share of the time: validation and a busy machine take the rest
PACE_STEPS = 10
SURVIVORS = 2  # candidates in the last rung


class Interrupted(Exception):
    """Ctrl-C: the best so far is to be shown."""


@dataclass
class Trained:
    """A candidate that was trained: where its newest model is, how it did, rung by rung;
    `complete` once it had its full schedule or stopped improving."""

    candidate: Candidate
    folder: Path
    accuracy: Metric
    epochs: float = 0.0
    seconds: float = 0.0
    rungs: int = 0
    complete: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def score(self) -> float:
        return self.accuracy.value

    def model(self) -> Classifier:
        model: Classifier = read_model(
            self.folder, {self.candidate.make.family: self.candidate.make}
        )
        return model


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


@dataclass
class Halving:
    """One run: the data, its journal, the folder for models, and who is told."""

    data: Dataset
    journal: Journal
    folder: Path
    tell: Callable[[str], None]
    trained: dict[str, Trained] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def halve(self, candidates: list[Candidate], seconds: float) -> None:
        """Train `candidates` within `seconds`; results are in `trained` and `failed`."""
        shallow = [c for c in candidates if not issubclass(c.make, NetworkClassifier)]
        deep = [c for c in candidates if issubclass(c.make, NetworkClassifier)]
        share = seconds / (len(candidates) + 1)
        seconds -= sum(self._train_shallow(candidate, share) for candidate in shallow)
        sizes = rung_sizes(len(deep))
        alive = deep
        for rung, size in enumerate(sizes):
            alive = self._best(alive, size)
            seconds -= self._train_rung(rung, alive, seconds, len(sizes) - rung)
        self._train_rung(len(sizes), self._best(deep, len(deep)), seconds, 1)

    def _train_rung(
        self, rung: int, candidates: list[Candidate], seconds: float, rungs_left: int
    ) -> float:
        """Train each as long as the rung's plan has it; returns the seconds it took."""
        make = partial(self._plan, candidates, seconds, rungs_left)
        plan = self.journal.recall(f"plan/{rung}", make)
        before = sum(done.seconds for done in self.trained.values())
        for candidate in candidates:
            if plan[candidate.name] > 0:
                self._train_deep(candidate, rung, plan[candidate.name])
        return sum(done.seconds for done in self.trained.values()) - before

    def _best(self, candidates: list[Candidate], most: int) -> list[Candidate]:
        """The `most` best of those that did not fail; before any training, all."""

        def error(candidate: Candidate) -> float:
            done = self.trained.get(candidate.name)
            return -done.score if done else 0.0

        return sorted((c for c in candidates if c.name not in self.failed), key=error)[:most]

    def _plan(
        self, candidates: list[Candidate], seconds: float, rungs_left: int
    ) -> dict[str, float]:
        """Epochs for each candidate in this rung."""
        paces = {c.name: self._pace(c) for c in candidates}
        needs = [paces[c.name] * self._epochs_left(c) for c in candidates]
        available = max(0.0, MARGIN * seconds)
        enough = sum(needs) <= available
        shares = fill(needs, available if enough else available / rungs_left)
        epochs = {c.name: s / paces[c.name] for c, s in zip(candidates, shares)}
        return {name: round(e, 4) if e > 0.02 else 0.0 for name, e in epochs.items()}

    def _epochs_left(self, candidate: Candidate) -> float:
        """Of its full schedule, as its `epochs="auto"` has it."""
        done = self.trained.get(candidate.name)
        if done and done.complete:
            return 0.0
        return max(0.0, self._full_epochs(candidate) - (done.epochs if done else 0.0))

    def _full_epochs(self, candidate: Candidate) -> float:
        model = candidate.model()
        assert isinstance(model, NetworkClassifier)
        return model.recipe(len(self.data.indices["train"])).epochs

    def _is_whole(self, done: Trained) -> bool:
        deep = issubclass(done.candidate.make, NetworkClassifier)
        return not deep or done.epochs > 0.98 * self._full_epochs(done.candidate)

    def _train_deep(self, candidate: Candidate, rung: int, epochs: float) -> None:
        before = self.trained.get(candidate.name)
        model = candidate.model() if before is None else before.model()
        model.set_params(epochs=epochs, warm_start=before is not None)
        limit = 1.5 * epochs * self._pace(candidate) + 1
        self._train(candidate, rung, model, limit)

    def _train_shallow(self, candidate: Candidate, allotted: float) -> float:
        """Rounds as the time allows; returns the seconds it took."""
        model = candidate.model()
        if candidate.make.family == "boosting":
            pace = self.journal.recall(
                f"pace/{candidate.name}", lambda: _round_seconds(model, self.data)
            )
            rounds = min(model.sizes[candidate.size or ""], int(allotted / pace))
            if rounds < 3:
                self.failed[candidate.name] = (
                    f"untried: a round of trees takes {pace:.1f} s here, and its share of the "
                    f"training time is {allotted:.0f} s"
                )
                return 0.0
            model.set_params(max_iter=rounds)
        self._train(candidate, 0, model, allotted)
        done = self.trained.get(candidate.name)
        return done.seconds if done else 0.0

    def _train(self, candidate: Candidate, rung: int, model: Classifier, limit: float) -> None:
        name = candidate.name
        folder = self.folder / f"{name}-{rung}"
        step = f"train/{rung}/{name}"
        if step in self.journal.steps:
            result = self.journal.steps[step]
        else:
            result = self._fit(model, name, folder, limit)
            if not result.get("interrupted"):
                self.journal.recall(step, lambda: result)
        if "failed" in result:
            self.failed[name] = result["failed"]
        else:
            self._add(candidate, rung, folder, result)
        if result.get("interrupted"):
            raise Interrupted

    def _add(self, candidate: Candidate, rung: int, folder: Path, result: dict[str, Any]) -> None:
        score = Metric.from_dict(result["accuracy"])
        known = self.trained.setdefault(candidate.name, Trained(candidate, folder, score))
        known.history += [
            {**r, "epoch": r["epoch"] + known.epochs, "seconds": r["seconds"] + known.seconds}
            for r in result["history"]
        ]
        known.folder, known.accuracy, known.rungs = folder, score, rung + 1
        known.epochs += result["epochs"]
        known.seconds += result["seconds"]
        known.complete = result["stopped"] == "patience" or self._is_whole(known)

    def _fit(self, model: Classifier, name: str, folder: Path, limit: float) -> dict[str, Any]:
        checkpoint = folder.with_suffix(".checkpoint")
        watch = _Reporter(name, self.tell)
        try:
            model.fit(self.data, checkpoint=checkpoint, seconds_limit=limit, watch=watch)
            if not model.history_["epochs"]:
                raise Interrupted
            score, records = scored(model, self.data, "validation"), model.history_["epochs"]
        except DivergedError as error:
            return {"failed": f"failed: {error}"}
        model.save(folder)
        self.tell(f"{name}: {score.value:.4f} on validation, epoch {records[-1]['epoch']:.3g}")
        interrupted = model.history_["stopped"] == "interrupted"
        if not interrupted:
            checkpoint.unlink(missing_ok=True)
        return {
            "accuracy": score.to_dict(),
            "history": records,
            "epochs": records[-1]["epoch"],
            "seconds": model.history_["seconds"],
            "stopped": model.history_["stopped"],
            **({"interrupted": True} if interrupted else {}),
        }

    def _pace(self, candidate: Candidate) -> float:
        """Seconds an epoch: of its training so far, else from a few steps."""
        done = self.trained.get(candidate.name)
        if done and done.epochs:
            return done.seconds / done.epochs
        step = f"pace/{candidate.name}"
        return float(
            self.journal.recall(step, lambda: _epoch_seconds(candidate.model(), self.data))
        )


def _epoch_seconds(model: Classifier, data: Dataset) -> float:
    X, y = named(data, "train")
    steps_per_epoch = math.ceil(len(X) / model.recipe(len(X)).batch_size)
    trial = clone(model).set_params(epochs=PACE_STEPS / steps_per_epoch)
    for _ in range(2):  # the first steps of a process are slow: kernels are prepared
        if trial.fit(X, y).history_["stopped"] == "interrupted":
            raise KeyboardInterrupt  # the loop ends in peace on Ctrl-C; the choice must not go on
    return float(trial.history_["seconds"] / trial.history_["steps"] * steps_per_epoch)


def _round_seconds(model: Classifier, data: Dataset, most: float = 2e7) -> float:
    """Seconds a round of boosting, from one round on at most `most` numbers, scaled up."""
    X, y = named(data, "train")
    rows = min(len(X), max(1000, int(most / np.prod(X.shape[1:]))))
    spread = np.linspace(0, len(X) - 1, rows).astype(np.int64)  # items lie class by class
    _, firsts = np.unique(y, return_index=True)
    chosen = np.union1d(spread, firsts)
    started = time.monotonic()
    clone(model).set_params(max_iter=1).fit(X[chosen], y[chosen])
    return (time.monotonic() - started) * len(X) / len(chosen)


def named(data: Dataset, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of a part and their class names."""
    X, y = data.part(part)
    return X, np.asarray(data.classes)[y]


def scored(model: Classifier, data: Dataset, part: str) -> Metric:
    """Accuracy on a part. Its classes are in the order of the data's: a model sorts its own, by
    text, so that "10" comes before "2"."""
    metric = accuracy(model, *named(data, part))
    recalls, matrix = metric.details["per_class"], metric.details["confusion"]
    places = [data.classes.index(name) for name in recalls]
    confusion = np.zeros((data.n_classes, data.n_classes), np.int64)
    confusion[np.ix_(places, places)] = matrix
    ordered = {"per_class": {name: recalls.get(name) for name in data.classes}}
    return replace(metric, details={**metric.details, **ordered, "confusion": confusion.tolist()})


class _Reporter:
    """Turns the loop's events into a line every few seconds."""

    def __init__(self, name: str, tell: Callable[[str], None], seconds: float = 5.0):
        self.name, self.tell, self.seconds = name, tell, seconds
        self.told = time.monotonic()

    def __call__(self, event: Event) -> None:
        if time.monotonic() - self.told >= self.seconds:
            self.told = time.monotonic()
            self.tell(f"{self.name}: {line(event)}")
