"""Near misses: a candidate that breaks a limit by little is trained all the same, then shrunk until
it keeps the limit.

Shrinking is asked for, never assumed: `choose` is given the function that does it.

    choose(data, budget=..., rescue=shrink_near_miss)

A candidate is worth it if its worst miss is at most WITHIN times the limit, the limits are ones
that shrinking helps to keep, and it learns by gradient descent. Half of the time is for training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from depthwise.choosing.feasibility import Feasible
from depthwise.choosing.halving import halve
from depthwise.choosing.kept_answers import scored, write
from depthwise.choosing.ladder import Candidate
from depthwise.choosing.trials import Trials
from depthwise.errors import NothingFitsError
from depthwise.measuring.devices.device import Device
from depthwise.measuring.limits import Budget
from depthwise.models.networks import NetworkEstimator
from depthwise.models.supervised import Classifier, Regressor
from depthwise.shrinking.shrink import Shrunk, shrink
from depthwise.task import in_words

__all__ = ["HELPED", "WITHIN", "Shrink", "near_misses", "shrink_near_miss", "train_and_shrink"]

WITHIN = 4.0  # times a limit: what 8-bit numbers alone save
HELPED = ("size_mb", "latency_ms", "energy_mj", "memory_mb")
Shrink = Callable[..., Any]  # with the arguments of `shrink_near_miss`: the shrunk .model, or None


def shrink_near_miss(
    model: NetworkEstimator,
    data: Any,
    budget: Budget,
    *,
    device: str | Path | Device = "this",
    minutes: float = 5.0,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Callable[[str], None] | None = None,
) -> Shrunk | None:
    """The model, shrunk to keep the budget's limits, with its record; None where that fails."""
    limits = {f"max_{name}": getattr(budget, name) for name in HELPED}
    about: dict[str, Any] = {"device": device, "minutes": minutes, "seed": seed}
    try:
        return shrink(model, data, **limits, **about, out=out, watch=watch)
    except NothingFitsError:
        return None


def near_misses(found: Feasible, candidates: list[Candidate]) -> list[Candidate]:
    """The dropped candidates that are worth training and shrinking, the nearest first."""
    worth = [
        candidate
        for candidate in candidates
        if issubclass(candidate.make, NetworkEstimator)
        and issubclass(candidate.make, (Classifier, Regressor))
        and (broken := found.missed.get(candidate.name))
        and broken[0].ratio <= WITHIN
        and all(miss.limit in HELPED for miss in broken)
    ]
    return sorted(worth, key=lambda candidate: found.missed[candidate.name][0].ratio)


def train_and_shrink(
    candidate: Candidate,
    trials: Trials,
    budget: Budget,
    device: Device,
    seconds: float,
    shrink: Shrink,
) -> Candidate | None:
    """The candidate shrunk, as a new one that is in `trials.trained`; None where shrinking fails.
    Raises Interrupted."""
    try:
        halve(trials, [candidate], seconds / 2, step="rescue")
    finally:  # unshrunk it breaks a limit: it must not win
        entry = trials.trained.pop(candidate.name, None)
    if entry is None:
        return None
    name = f"{candidate.name}-shrunk"
    folder = trials.folder / name
    reached = in_words(entry.score, entry.accuracy.unit)
    trials.tell(f"{candidate.name}: {reached} on validation, to be shrunk")
    done = shrink(
        entry.model(),
        trials.data,
        budget,
        device=device,
        minutes=seconds / 120,
        seed=candidate.seed,
        out=folder / "work",
        watch=trials.tell,
    )
    if done is None:
        trials.tell(f"{candidate.name}: shrunk, it still keeps no limit")
        return None
    trials.tune(done.model)
    done.model.save(folder)
    score, answers = scored(done.model, trials.data, "validation", trials.task, trials.metric)
    write(answers, folder)
    shrunk = replace(candidate, name=name)
    trials.trained[name] = replace(
        entry, candidate=shrunk, folder=folder, accuracy=score, complete=True
    )
    trials.tell(f"{name}: {in_words(score.value, score.unit)} on validation")
    return shrunk
