"""Which candidates are begun, where the minutes do not suffice for all of them.

    in the order of what has proved best on such data: families by their `priority`, sizes from the
    middle of the ladder outwards
    each as long as all that were begun before it and it can have PASSES passes over the data in
    WHOLE of the time (LEAST_STEPS steps where the data are few, MOST_STEPS where they are many)

so that what is begun learns, and the one with the best prospects is never crowded out.
"""

from __future__ import annotations

import math

from depthwise.choosing.ladder import Candidate
from depthwise.choosing.trials import Trials
from depthwise.choosing.whole_fits import unit_seconds
from depthwise.models.networks import NetworkEstimator

__all__ = ["begin", "least_passes"]

PASSES, LEAST_STEPS, MOST_STEPS = 3, 100, 600
WHOLE = 0.8  # of the time for training
MOST_TOLD = 6


def begin(trials: Trials, candidates: list[Candidate], seconds: float) -> list[Candidate]:
    """Those to train within `seconds`, in their order of before; the others are left out with the
    reason. The one that needs least is begun however short the time is."""
    needs = {c.name: need for c in candidates if (need := _least_seconds(trials, c)) is not None}
    waiting = [c for c in candidates if c.name in needs]
    ordered = sorted(waiting, key=lambda c: (c.rank(trials.data.kind), needs[c.name]))
    begun, taken = set(), 0.0
    for candidate in ordered:
        if taken + needs[candidate.name] <= WHOLE * seconds:
            begun.add(candidate.name)
            taken += needs[candidate.name]
    if not begun and waiting:
        begun.add(min(waiting, key=lambda c: needs[c.name]).name)
    for candidate in ordered:
        if candidate.name not in begun:
            trials.leave_out(candidate, _reason(needs[candidate.name], seconds))
    _tell(trials, [c.name for c in ordered if c.name in begun], seconds)
    return [c for c in waiting if c.name in begun]


def least_passes(trials: Trials, candidate: Candidate) -> float:
    """Passes over the data below which a network has not learnt yet."""
    model, items = candidate.model(), len(trials.data.indices["train"])
    if not isinstance(model, NetworkEstimator):
        return PASSES
    recipe = model.recipe(items)
    steps = math.ceil(items / recipe.batch_size)
    return min(recipe.epochs, max(LEAST_STEPS / steps, min(PASSES, MOST_STEPS / steps)))


def _least_seconds(trials: Trials, candidate: Candidate) -> float | None:
    """Seconds below which training it is no use; None where it fails."""
    trials.heart.doing(f"{candidate.name}: seeing how long a pass over the data takes")
    pace = unit_seconds(trials, candidate)
    if pace is None:
        return None
    frozen = candidate.model().is_frozen  # all items go through it once
    return pace * (1.0 if frozen else least_passes(trials, candidate))


def _reason(need: float, seconds: float) -> str:
    return (
        f"untried: it needs at least {need:.1f} s to learn anything, which the {seconds:.0f} s of "
        "training leave no room for; give more --minutes"
    )


def _tell(trials: Trials, names: list[str], seconds: float) -> None:
    shown = ", ".join(names[:MOST_TOLD]) + (", ..." if len(names) > MOST_TOLD else "")
    networks = "1 network" if len(names) == 1 else f"{len(names)} networks"
    trials.tell(f"training {networks} for {seconds:.0f} s: {shown}")
