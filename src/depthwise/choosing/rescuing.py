"""A candidate that only just misses a limit, trained all the same and then made to keep it.

Shrinking is asked for, never assumed: `choose` is given the function that does it (rescue.py):

    rescue(model, data, budget, device=, minutes=, seed=, out=, watch=) -> .model, or None

A candidate is worth it if its worst miss is at most WITHIN times the limit, the limits are ones
that shrinking helps to keep, and it learns by gradient descent. Half of the time is for training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from depthwise.choosing.answers import scored, write
from depthwise.choosing.feasibility import Feasible
from depthwise.choosing.halving import halve
from depthwise.choosing.ladder import Candidate
from depthwise.choosing.trials import Trials
from depthwise.measuring.devices.device import Device
from depthwise.measuring.limits import Budget
from depthwise.models.networks import NetworkClassifier, NetworkRegressor
from depthwise.task import in_words

__all__ = ["HELPED", "WITHIN", "Rescue", "nearly", "rescued"]

WITHIN = 4.0  # times a limit: what whole numbers alone save
HELPED = ("size_mb", "latency_ms", "energy_mj", "memory_mb")
Rescue = Callable[..., Any]


def nearly(found: Feasible, candidates: list[Candidate]) -> list[Candidate]:
    """Of the candidates that were dropped those worth training to be shrunk, the nearest first."""
    worth = [
        candidate
        for candidate in candidates
        if issubclass(candidate.make, (NetworkClassifier, NetworkRegressor))
        and (broken := found.missed.get(candidate.name))
        and broken[0].ratio <= WITHIN
        and all(miss.limit in HELPED for miss in broken)
    ]
    return sorted(worth, key=lambda candidate: found.missed[candidate.name][0].ratio)


def rescued(
    candidate: Candidate,
    trials: Trials,
    budget: Budget,
    device: Device,
    seconds: float,
    rescue: Rescue,
) -> Candidate | None:
    """The candidate shrunk, as one of its own that `trials` knows as trained; None where that
    fails. Raises Interrupted."""
    try:
        halve(trials, [candidate], seconds / 2, step="rescue")
    finally:  # as it is it keeps no limit: it must not win
        entry = trials.trained.pop(candidate.name, None)
    if entry is None:
        return None
    name = f"{candidate.name}-shrunk"
    folder = trials.folder / name
    reached = in_words(entry.score, entry.accuracy.unit)
    trials.tell(f"{candidate.name}: {reached} on validation, to be shrunk")
    done = rescue(
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
    score, said = scored(done.model, trials.data, "validation", trials.task, trials.metric)
    write(said, folder)
    shrunk = replace(candidate, name=name)
    trials.trained[name] = replace(
        entry, candidate=shrunk, folder=folder, accuracy=score, complete=True
    )
    trials.tell(f"{name}: {in_words(score.value, score.unit)} on validation")
    return shrunk
