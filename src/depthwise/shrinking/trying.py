"""The models that a search has tried: each finished in one way, with its figures and its score on
the validation part, remembered on disk so that a search begun again does not do it again.

Shapes: N items.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.journal import Journal
from depthwise.measuring.limits import Limits, Miss
from depthwise.models.modelfile import read_model
from depthwise.models.networks import NetworkEstimator
from depthwise.runtimes import Program
from depthwise.shrinking.comparing import CLASSES, Scoring
from depthwise.shrinking.costing import Costing, Figures, Way
from depthwise.shrinking.fine_tune import fine_tune

__all__ = ["Parts", "Tried", "Trying"]

WORTH_TRAINING = 0.002  # of accuracy lost by whole numbers, over which they are trained for
AWARE_EPOCHS = 0.5
BATCH = 512
GLANCE = 3000


@dataclass
class Parts:
    """Training and validation items, (N, ...), and their class indices as the model has them, or
    the numbers (N, T) that it predicts."""

    inputs: np.ndarray
    targets: np.ndarray
    held_inputs: np.ndarray
    held_targets: np.ndarray

    @property
    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        return self.held_inputs, self.held_targets

    @property
    def glance(self) -> tuple[np.ndarray, np.ndarray]:
        """The first validation items: enough to compare one epoch with the next."""
        return self.held_inputs[:GLANCE], self.held_targets[:GLANCE]


@dataclass
class Tried:
    """One model, finished in one way. accuracy, low, high: on the validation part, 95% interval;
    seconds: of training."""

    name: str
    how: list[str]
    way: Way
    figures: Figures
    accuracy: float
    low: float
    high: float
    parameters: int
    macs: int
    seconds: float = 0.0
    misses: list[Miss] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        stored = asdict(self)
        stored["misses"] = [miss.to_dict() for miss in self.misses]
        return stored

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Tried:
        known = dict(stored)
        known["way"], known["figures"] = Way(**known["way"]), Figures(**known["figures"])
        known["misses"] = [Miss(**miss) for miss in known["misses"]]
        return cls(**known)

    @property
    def fits(self) -> bool:
        return not self.misses


@dataclass
class Trying:
    """All that was tried in one search. accuracy_drop: what the validation accuracy (or R2) of the
    original may fall by; None: no limit."""

    parts: Parts
    limits: Limits
    costing: Costing
    journal: Journal
    folder: Path
    tell: Callable[[str], None]
    done: dict[str, Tried] = field(default_factory=dict)
    scoring: Scoring = CLASSES
    accuracy_drop: float | None = None

    @property
    def original(self) -> Tried:
        return self.done["original"]

    def finish(
        self,
        name: str,
        model: NetworkEstimator,
        way: Way,
        how: list[str],
        seconds: float = 0.0,
        before: float | None = None,
    ) -> Tried:
        """Finish the model in this way, measure, score, save and log it. before: its accuracy
        unfinished, None: the original's."""

        def do() -> dict[str, Any]:
            return self._do(name, model, way, how, seconds, before).to_dict()

        tried = Tried.from_dict(self.journal.recall(f"try/{name}", do))
        self.done[name] = tried
        verdict = "" if tried.fits else f" - {self.scoring.miss_in_words(tried.misses[0])}"
        score = f"{self.scoring.told(tried.accuracy)} {self.scoring.heading}"
        self.tell(
            f"{name}: {score}, {tried.figures.size_mb:.4f} MB, "
            f"{tried.figures.latency_ms:.4g} ms{verdict}"
        )
        return tried

    def model(self, name: str, family: type[NetworkEstimator]) -> NetworkEstimator:
        """The model that was tried under this name; it runs as it was measured."""
        model: NetworkEstimator = read_model(self.folder / name, {family.family: family})
        return model

    def keep(
        self, step: str, family: type[NetworkEstimator], make: Callable[[], NetworkEstimator]
    ) -> tuple[NetworkEstimator, float]:
        """A model that takes long to make, and the seconds it took: made once."""
        folder = self.folder / step

        def do() -> dict[str, Any]:
            begun = time.monotonic()
            make().save(folder)
            return {"seconds": time.monotonic() - begun}

        seconds = self.journal.recall(f"make/{step}", do)["seconds"]
        return self.model(step, family), seconds

    def accuracy(self, program: Program) -> tuple[float, float, float]:
        """On the validation part, with its interval."""
        X, y = self.parts.held_out
        starts = range(0, len(X), BATCH)
        answers = np.concatenate([program(X[i : i + BATCH]) for i in starts])
        return self.scoring.score(answers, y)

    def _do(
        self,
        name: str,
        model: NetworkEstimator,
        way: Way,
        how: list[str],
        seconds: float,
        before: float | None,
    ) -> Tried:
        """In 8-bit numbers, trained a little where rounding alone loses too much."""
        begun = time.monotonic()
        finished = self.costing.finish(model, way)
        program = self.costing.program(finished, way)
        accuracy = self.accuracy(program)
        before = self._before(accuracy[0]) if before is None else before
        if way.precision in ("int8", "weights-int4") and before - accuracy[0] > self._bearable():
            aware = self._aware(finished, model)
            again = self.costing.program(aware, way)
            if (better := self.accuracy(again))[0] > accuracy[0]:
                finished, program, accuracy = aware, again, better
                how, seconds = [*how, "trained so"], seconds + time.monotonic() - begun
        finished.save(self.folder / name)
        counts = self.costing.counts(finished)
        figures = self.costing.figures(finished, way, counts, program)
        misses = self.limits.misses(figures.to_dict())
        allowed, drop = self.accuracy_drop, self._before(accuracy[0]) - accuracy[0]
        if allowed is not None and drop > allowed + 1e-12:
            misses.append(Miss("accuracy_drop", drop, allowed))
        told = (figures, *accuracy, counts.parameters, counts.macs, seconds, misses)
        return Tried(name, how, way, *told)

    def _before(self, otherwise: float) -> float:
        """The original's accuracy."""
        return self.original.accuracy if "original" in self.done else otherwise

    def _bearable(self) -> float:
        """What rounding may lose before the rounded network is trained."""
        allowed = self.accuracy_drop
        return WORTH_TRAINING if allowed is None else min(allowed, WORTH_TRAINING)

    def _aware(self, finished: NetworkEstimator, model: NetworkEstimator) -> NetworkEstimator:
        """A copy, trained with its rounding."""
        aware, parts = copy.deepcopy(finished), self.parts
        about: dict[str, Any] = {"epochs": AWARE_EPOCHS, "lr": model.lr / 30}
        teacher = copy.deepcopy(model.network_)
        fine_tune(aware, parts.inputs, parts.targets, teacher=teacher, **about)
        aware.network_.eval()
        return aware
