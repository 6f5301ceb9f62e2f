"""The search: from what costs no training to what costs the most, as far as the limits ask.

1  the model as it is, in every way of storing and running it: weights in 8 or 4 bits, whole
   numbers, other runtimes; early exits where time or energy is limited. What keeps the limits
   and loses no accuracy to speak of ends the search
2  what structure would keep them, found without training, since a cost does not depend on what
   a network has learnt: the largest share of the channels, the least rank, the largest rung of
   the ladder
3  each of these trained in its part of the minutes: pruned in rounds with fine-tuning, taught by
   the original; a smaller rung taught from new; low-rank, fine-tuned. Then rounded, and measured
4  of all that keep the limits the best on validation, of equals the quicker
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from depthwise.errors import InputError
from depthwise.measuring.limits import Limits, Miss
from depthwise.models.networks import NetworkEstimator
from depthwise.models.supervised import Classifier
from depthwise.runtimes.onnx_graph import sharing_graphs
from depthwise.shrinking.costing import FLOAT, Way
from depthwise.shrinking.early_exits import add_exits
from depthwise.shrinking.fine_tune import compute_of, fine_tune
from depthwise.shrinking.pruning import prune
from depthwise.shrinking.storing import low_rank
from depthwise.shrinking.structures import narrowed, on_rung, rungs_below
from depthwise.shrinking.trying import Tried, Trying

__all__ = ["Search"]

ENOUGH = 0.001  # accuracy that may be lost for the search to end without training
SHARES = (
    0.95,
    0.85,
    0.7,
    0.6,
    0.5,
    0.42,
    0.35,
    0.28,
    0.22,
    0.17,
    0.13,
    0.1,
    0.07,
    0.05,
    0.03,
    0.02,
)
ENERGIES = (0.99, 0.95, 0.9, 0.8, 0.6)
ROUNDS = 3
WAYS = 3  # of storing and running that are compared: the one that needs the least pruning wins
MOST_EPOCHS = 12.0  # that fine-tuning after pruning may take
PARTS = {"prune": 0.65, "distil": 0.25, "low-rank": 0.1}  # of the minutes
LEAST_EPOCHS = {"distil": 3.0, "low-rank": 0.3}  # from new weights it takes long to learn
ROOM = 0.98  # of a limit that a structure may take: trained, it may come out a little dearer


@dataclass
class Plan:
    """A structure that would keep the limits: which kind, and how far."""

    kind: str
    amount: Any


@dataclass
class Search:
    """One search for `model`, which stays as it is."""

    model: NetworkEstimator
    trying: Trying
    seconds: float
    seed: int
    plans: list[Plan] = field(default_factory=list)
    way: Way = FLOAT  # in which what is being planned or trained will be finished
    macs: dict[tuple[str, Any], int] = field(default_factory=dict)  # of structures
    untrained: dict[str, Miss] = field(default_factory=dict)  # structures, their worst misses

    @property
    def limits(self) -> Limits:
        return self.trying.limits

    def run(self) -> Tried | None:
        """The winner, or None where nothing keeps the limits (`nearest` says who comes nearest)."""
        with sharing_graphs():
            for way in self.trying.costing.ways(self.limits):
                self._as_it_is(way)
        if self._good_enough() is None:
            self._with_exits()
        if self._good_enough() is None:
            self._shrink()
        return self.best()

    def _as_it_is(self, way: Way) -> None:
        name = "original" if way == FLOAT else f"original {way}"
        try:
            self.trying.finish(name, self.model, way, [] if way == FLOAT else [str(way)])
        except InputError as error:
            if self.trying.costing.in_bytes:
                raise
            self.trying.tell(f"{name}: {error}")

    def best(self) -> Tried | None:
        can_run = self.trying.costing.can_run
        fitting = [
            tried for tried in self.trying.done.values() if tried.fits and can_run(tried.way)
        ]
        return min(fitting, key=lambda t: (-t.accuracy, t.figures.latency_ms)) if fitting else None

    def nearest(self) -> tuple[str, Miss]:
        """Of all that was measured, trained or not, who comes nearest, and its worst miss."""
        worst = {n: t.misses[0] for n, t in self.trying.done.items() if t.misses} | self.untrained
        name = min(worst, key=lambda known: worst[known].ratio)
        return name, worst[name]

    def _good_enough(self) -> Tried | None:
        best = self.best()
        lost = self.trying.original.accuracy - best.accuracy if best else math.inf
        return best if lost <= ENOUGH else None

    # -- without training -------------------------------------------------------------------------

    def _with_exits(self) -> None:
        if not isinstance(self.model, Classifier):
            return  # numbers are never sure
        model = self.model
        missed = {miss.limit for miss in self.trying.original.misses}
        if not missed <= {"latency_ms", "energy_mj"} or not self.trying.costing.device.is_here:
            return  # exits save time alone
        parts, family = self.trying.parts, type(self.model)

        def make() -> Any:
            made, record = add_exits(model, parts.inputs, parts.targets, parts.held_out)
            made.history_ = {**made.history_, "exits": record}
            return made

        try:
            with_exits, seconds = self.trying.keep("exits", family, make)
        except InputError as error:
            self.trying.tell(f"exits: {error}")
            return
        self.trying.finish("with exits", with_exits, FLOAT, ["exits"], seconds)

    # -- structures -------------------------------------------------------------------------------

    def _shrink(self) -> None:
        """Plan, then train as long as there is time."""
        best = 0.0
        for way in self._best_ways():
            self.way, milder = way, [share for share in SHARES if share > best]
            if not milder or (
                best and not self._would_fit("prune", milder[-1], self._narrowed, way)
            ):
                continue
            share = self._weakest("prune", milder, self._narrowed, way) or 0.0
            if share > best:
                best, chosen = share, way
        self.way = chosen if best else next(iter(self._best_ways()), FLOAT)
        self.plans = self._plans(self.way)
        if self.plans:
            self._train_all(self.way)

    def _train_all(self, way: Way) -> None:
        """Each plan in its part of the time; what would have too little leaves it to the others."""
        plans, pace = list(self.plans), self._pace()
        for kind in ("distil", "low-rank"):
            whole = sum(PARTS[plan.kind] for plan in plans)
            for plan in [plan for plan in plans if plan.kind == kind and len(plans) > 1]:
                epochs = self._epochs(plan, self.seconds * PARTS[kind] / whole, pace)
                if epochs < LEAST_EPOCHS[kind]:
                    plans.remove(plan)
                    self.trying.tell(f"{kind} {plan.amount}: too little time for it")
        whole = sum(PARTS[plan.kind] for plan in plans)
        for plan in plans:
            seconds = self.seconds * PARTS[plan.kind] / whole
            self._train(plan, way, seconds, self._epochs(plan, seconds, pace))

    def _epochs(self, plan: Plan, seconds: float, pace: float) -> float:
        """Epochs that fit: learning takes three passes' products, the teacher one, so of the
        original's pace a pupil with a share m of its products has (3 m + 1) / 4."""
        share = self.macs[plan.kind, plan.amount] / self.trying.original.macs
        if plan.kind == "prune":  # the first rounds are dearer
            share = (2 * share + share ** (1 / ROUNDS)) / 3
        return min(MOST_EPOCHS, 0.8 * seconds / (pace * (3 * share + 1) / 4))

    def _best_ways(self) -> list[Way]:
        """The ways in which the original comes nearest to its limits, but for exits."""
        can_run = self.trying.costing.can_run
        tried = [t for t in self.trying.done.values() if "exits" not in t.how and can_run(t.way)]
        tried.sort(key=lambda t: self.limits.worst_share(t.figures.to_dict()))
        return [t.way for t in tried[:WAYS]]

    def _plans(self, way: Way) -> list[Plan]:
        """The weakest structure of each kind that would keep the limits."""
        makers: dict[str, tuple[list[Any], Any]] = {
            "prune": (list(SHARES), self._narrowed),
            "distil": (rungs_below(self.model), self._rung),
            "low-rank": (list(ENERGIES), lambda energy: low_rank(self.model, energy)),
        }
        plans = []
        for kind, (amounts, make) in makers.items():
            found = self._weakest(kind, amounts, make, way)
            if found is not None:
                plans.append(Plan(kind, found))
                self.trying.tell(f"{kind} {found}: would keep the limits in {way}")
        return plans

    def _weakest(self, kind: str, amounts: list[Any], make: Any, way: Way) -> Any:
        """The first of `amounts`, each cheaper than the last, that keeps the limits: by halves."""
        low, high, found = 0, len(amounts) - 1, None
        while low <= high:
            middle = (low + high) // 2
            if self._would_fit(kind, amounts[middle], make, way):
                found, high = amounts[middle], middle - 1
            else:
                low = middle + 1
        return found

    def _would_fit(self, kind: str, amount: Any, make: Any, way: Way) -> bool:
        """Whether such a structure keeps the limits, with a little room."""

        def do() -> dict[str, Any] | None:
            try:
                model = make(amount)
            except InputError:
                return None
            costing = self.trying.costing
            finished = costing.finish(model, way)
            counts = costing.counts(finished)
            program = costing.program(finished, way)
            figures = costing.figures(finished, way, counts, program)
            return {"macs": counts.macs, "figures": figures.to_dict()}

        name = f"{kind} {amount}, {way}"
        known = self.trying.journal.recall(f"cost/{name}", do)
        if known is None:
            return False
        self.macs[kind, amount] = known["macs"]
        if misses := self.limits.misses(known["figures"]):
            self.untrained[name] = misses[0]
        return self.limits.worst_share(known["figures"]) <= ROOM

    def _cost_kind(self) -> str:
        """What pruning should save, by the limit that is hardest to keep."""
        name = "original" if self.way == FLOAT else f"original {self.way}"
        worst = self.trying.done[name].misses
        return "macs" if worst and worst[0].limit in ("latency_ms", "energy_mj") else "weights"

    def _narrowed(self, share: float) -> Any:
        return narrowed(self.model, share, self._cost_kind(), self.seed)

    def _rung(self, size: str) -> NetworkEstimator:
        parts = self.trying.parts
        return on_rung(self.model, size, parts.inputs, parts.targets, self.seed)

    # -- training ---------------------------------------------------------------------------------

    def _pace(self) -> float:
        """Seconds that an epoch of the original takes, with itself for a teacher."""

        def do() -> float:
            trial = copy.deepcopy(self.model)
            parts, batch = self.trying.parts, self.model.recipe(len(self.trying.parts.inputs))
            steps = min(10, max(2, len(parts.inputs) // batch.batch_size))
            some = slice(0, steps * batch.batch_size)
            teacher = copy.deepcopy(self.model.network_)
            for _ in range(2):  # the first steps of a process are slow
                begun = time.monotonic()
                fine_tune(trial, parts.inputs[some], parts.targets[some], epochs=1, teacher=teacher)
                seconds = time.monotonic() - begun
            return seconds * len(parts.inputs) / len(parts.inputs[some])

        return float(self.trying.journal.recall("pace", do))

    def _train(self, plan: Plan, way: Way, seconds: float, epochs: float) -> None:
        """Train a plan in its time, finish it, and once more a little smaller if it misses."""
        name = f"{plan.kind} {plan.amount}"
        if epochs < 0.02:
            self.trying.tell(f"{name}: no time to train it")
            return
        makers: dict[str, Callable[..., NetworkEstimator]] = {
            "prune": self._pruned,
            "distil": self._distilled,
            "low-rank": self._factored,
        }
        limit = 2 * seconds + 5

        def made() -> NetworkEstimator:
            return makers[plan.kind](plan.amount, epochs, limit)

        model, spent = self.trying.keep(f"{name} parent", type(self.model), made)
        how = [f"{plan.kind} {plan.amount}", str(way)]
        tried = self.trying.finish(f"{name}, {way}", model, way, how, spent, _score(model))
        over = self.limits.worst_share(tried.figures.to_dict())
        if plan.kind == "prune" and over > 1:
            self._tighten(plan, way, model, over, epochs)

    def _tighten(
        self, plan: Plan, way: Way, model: NetworkEstimator, over: float, epochs: float
    ) -> None:
        """Prune the trained model a little more, so that it keeps the limit."""
        share, parts = max(0.3, 0.95 / over), self.trying.parts
        name = f"prune {plan.amount} x {share:.3f}"

        def made() -> NetworkEstimator:
            return prune(
                model,
                parts.inputs,
                parts.targets,
                share=share,
                cost=self._cost_kind(),
                rounds=1,
                final_epochs=epochs / 3,
                teacher=copy.deepcopy(self.model.network_),
                seed=self.seed,
                held_out=parts.glance,
            )

        smaller, spent = self.trying.keep(f"{name} parent", type(self.model), made)
        how = [f"prune {plan.amount}", name, str(way)]
        self.trying.finish(f"{name}, {way}", smaller, way, how, spent, _score(smaller))

    def _pruned(self, share: float, epochs: float, limit: float) -> NetworkEstimator:
        parts = self.trying.parts
        rounds = ROUNDS if epochs > 1 else 1
        each = epochs / (3 * rounds) if rounds > 1 else epochs
        return prune(
            self.model,
            parts.inputs,
            parts.targets,
            share=share,
            cost=self._cost_kind(),
            rounds=rounds,
            epochs=each,
            final_epochs=epochs - (rounds - 1) * each,
            teacher=copy.deepcopy(self.model.network_),
            seed=self.seed,
            tell=self.trying.tell,
            held_out=parts.glance,
            seconds_limit=limit,
        )

    def _distilled(self, size: str, epochs: float, limit: float) -> NetworkEstimator:
        pupil = self._rung(size)
        return self._tuned(pupil, epochs, limit, lr=self.model.lr)

    def _factored(self, energy: float, epochs: float, limit: float) -> NetworkEstimator:
        return self._tuned(low_rank(self.model, energy), epochs, limit, lr=self.model.lr / 3)

    def _tuned(
        self, model: NetworkEstimator, epochs: float, limit: float, lr: float
    ) -> NetworkEstimator:
        parts = self.trying.parts
        fine_tune(
            model,
            parts.inputs,
            parts.targets,
            epochs=epochs,
            lr=lr,
            teacher=copy.deepcopy(self.model.network_),
            held_out=parts.glance,
            compute=compute_of(self.model),
            seconds_limit=limit,
        )
        return model


def _score(model: NetworkEstimator) -> float | None:
    """On the validation part, of the network that training ended with: its best epoch's."""
    scores = [epoch["score"] for epoch in model.history_["epochs"] if "score" in epoch]
    return max(scores, default=None)
