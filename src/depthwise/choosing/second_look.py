"""The contenders trained again on other parts of the data, where there are few validation items.

Each candidate stops where the validation score is best, and of thirty the highest is taken: with
few items that is in good part luck. So, where there are fewer than FEW and time is left,

    training and validation items are dealt into folds about as large as the validation part, which
    stays a fold; copies of an item stay together, and each class is spread evenly
    round r = 1, 2, ...: each contender learns anew from all but folds r - 1 and r, stops by fold
    r - 1, and answers fold r

What it answers there has neither trained nor stopped it; by all these answers the contenders are
compared (selecting.py), and those that are told from the best leave after each round. A round is
begun only where time is left for all of it, and counts only when all of it is done.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from depthwise.choosing.finishing import LAST
from depthwise.choosing.kept_answers import (
    Arrays,
    ItemScores,
    compared,
    joined,
    read,
    scored,
    write,
)
from depthwise.choosing.selecting import Selection, select_again
from depthwise.choosing.trials import FAILURES, Trained, Trials
from depthwise.choosing.winner_refit import needed_seconds
from depthwise.data.dataset import Dataset
from depthwise.measuring.scorecard import Scorecard
from depthwise.models.networks import NetworkEstimator

__all__ = ["dealt", "second_look"]

FEW = 1000  # validation items
KINDS = ("table", "images")  # of data; clips and sentences may be parts of one another
MOST_ROUNDS = 4
MARGIN = 1.3  # the time that a round may take, over what is expected
FOLD = 100  # rounds are written down as rungs, from this on


def second_look(trials: Trials, first: Selection, cards: dict[str, Scorecard]) -> Selection:
    """`first`, or what is found among its equals by rounds of training. Raises Interrupted."""
    found, contenders = first, [trials.trained[name] for name in first.equals]
    if not _is_for(trials, contenders):
        return first
    folds = dealt(trials.data, seed=0)
    answered: dict[str, list[Arrays]] = {entry.candidate.name: [] for entry in contenders}
    for r in range(1, min(MOST_ROUNDS + 1, len(folds))):
        has_time = partial(_has_time, trials, contenders)
        if len(contenders) < 2 or not trials.journal.recall(f"second look/{r}", has_time):
            break
        if not _round(trials, contenders, folds, r, answered):
            break
        scores = {
            entry.candidate.name: _compared(trials, answered[entry.candidate.name])
            for entry in contenders
        }
        found = select_again(trials, found, cards, scores, r)
        contenders = [trials.trained[name] for name in found.equals]
    return found


def dealt(data: Dataset, seed: int) -> list[np.ndarray]:
    """The validation part and as many folds of the training part, about as large: positions."""
    train, validation = data.indices["train"], data.indices["validation"]
    n = max(1, round(len(train) / max(1, len(validation))))
    groups = train if data.groups is None else data.groups[train]
    _, first, of_item = np.unique(groups, return_index=True, return_inverse=True)
    chance = np.random.default_rng(seed).permutation(len(first))
    labels = data.labels[train][first] if data.classes else np.zeros(len(first))
    order = np.lexsort((chance, labels))
    fold_of_group = np.empty(len(first), np.int64)
    fold_of_group[order] = np.arange(len(first)) % n
    fold = fold_of_group[of_item]
    return [validation, *(train[fold == k] for k in range(n))]


def _is_for(trials: Trials, contenders: list[Trained]) -> bool:
    items = len(trials.data.indices["validation"])
    alone = all(entry.candidate.learns_anew and not entry.taught for entry in contenders)
    return 0 < items < FEW and trials.data.kind in KINDS and alone


def _has_time(trials: Trials, contenders: list[Trained]) -> bool:
    clock, took = trials.clock, [entry.seconds for entry in contenders]
    kept = max(needed_seconds(trials, entry) for entry in contenders)
    return clock.left - LAST * clock.finishing - kept > MARGIN * sum(took)


def _round(
    trials: Trials,
    contenders: list[Trained],
    folds: list[np.ndarray],
    r: int,
    answered: dict[str, list[Arrays]],
) -> bool:
    """Add what each contender answers of fold r; False as soon as one fails."""
    rest = np.sort(np.concatenate([f for k, f in enumerate(folds) if k not in (r - 1, r)]))
    parts = {"train": rest, "validation": folds[r - 1], "test": folds[r]}
    data = replace(trials.data, indices=parts)
    about = (data, trials.task, trials.journal, trials.folder, trials.tell, trials.clock)
    again = Trials(*about, metric=trials.metric)
    trials.tell(f"{len(contenders)} candidates learn again from other parts, round {r}")
    for entry in contenders:
        kept = _answers(again, entry, FOLD + r)
        if kept is None:
            return False
        answered[entry.candidate.name].append(kept)
    return True


def _compared(trials: Trials, kept: list[Arrays]) -> ItemScores:
    score = compared(trials.task, joined(kept), trials.metric)
    assert score is not None  # they were compared before
    return score


def _answers(again: Trials, entry: Trained, rung: int) -> Arrays | None:
    model = entry.candidate.model()
    if isinstance(model, NetworkEstimator) and not entry.complete:
        model.set_params(epochs=entry.epochs)
    done = again.train(entry.candidate, rung, model, max(1.0, MARGIN * entry.seconds))
    if done is None:
        return None
    beside = done.folder.with_name(done.folder.name + "-fold")
    kept = read(beside)
    if kept is None:
        try:
            _score, kept = scored(done.model(), again.data, "test", again.task, again.metric)
        except FAILURES:
            return None
        write(kept, beside)
    return kept
