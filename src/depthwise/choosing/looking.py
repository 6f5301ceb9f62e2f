"""Frozen backbones, which look at every picture once and then learn in seconds: they are trained
first, the quickest look first, and heads on the same look share it (backbones/kept.py).

A look that does not fit into what is left of their time is not begun. They have FIRST of the time
at most where there are other candidates; what they leave, the others have.
"""

from __future__ import annotations

from typing import Any

from depthwise.choosing.ladder import Candidate
from depthwise.choosing.trials import QUICK, Trials

__all__ = ["looks_once", "train_looking"]

FIRST = 0.6  # of the time for training


def looks_once(candidate: Candidate) -> bool:
    """Whether what it sees of items is kept for all heads on it."""
    return candidate.model().keeps_features


def train_looking(
    trials: Trials, candidates: list[Candidate], seconds: float, alone: bool
) -> float:
    """Train `candidates`, all of which look once, within their share of `seconds`; the seconds that
    it took."""
    begun, looks = trials.clock.spent, set[Any]()
    most = seconds if alone else FIRST * seconds
    needs = {c.name: trials.quick_pace(c) for c in candidates}
    ready = [c for c in candidates if needs[c.name] is not None]
    for candidate in sorted(ready, key=lambda c: needs[c.name] or 0.0):
        left = most - (trials.clock.spent - begun)
        model = candidate.model()
        need = QUICK if model.look in looks else needs[candidate.name] or 0.0
        if need > left and f"train/0/{candidate.name}" not in trials.journal.steps:
            trials.leave_out(
                candidate,
                f"untried: it looks at every picture once, which takes {need:.1f} s here, and "
                f"{max(0.0, left):.1f} s are left for that",
            )
            continue
        done = trials.train(candidate, 0, model, max(left, 1.0))
        if done is not None:
            done.complete = True
            looks.add(model.look)
    return trials.clock.spent - begun
