"""The winner trained once more, on the training and the validation part together.

Validation has said which network is best and how long it is to learn; as training items its items
are worth more now. So, where the time left allows,

    the winner's family learns anew from both parts, for as many passes (rounds of trees) as gave
    its best score on validation, nothing being held out

and that is what is shipped and tested. The score on validation stays that of the network that was
validated. A refit that is worse on the validation items, from which it has learnt by now, has gone
wrong, and the validated network is kept.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.choosing.finishing import LAST
from depthwise.choosing.trials import FAILURES, Trained, Trials
from depthwise.data.dataset import Dataset
from depthwise.measuring.scorecard import quality
from depthwise.models.supervised import Classifier
from depthwise.training.stages import stage_files

__all__ = ["needed_seconds", "refit", "refit_seconds"]

INTERRUPTED = "interrupted"
MARGIN = 1.3  # the time that it may take, over what is expected
MOST = 0.3  # of the time for training that is kept for it


def refit(trials: Trials, best: Trained) -> tuple[Trained, dict[str, Any] | None]:
    """`best`, or what became of it, and what was done, for choice.json: {"length", "items",
    "seconds"}; None where it was not done."""
    name = best.candidate.name
    folder = trials.folder / f"{name}-refit"
    step = f"refit/{best.rungs}/{best.epochs:g}/{name}"
    done = trials.journal.steps.get(step)
    if done is None:
        done = _attempt(trials, best, folder)
        if done.get("reason") == INTERRUPTED:
            return best, None
        trials.journal.recall(step, lambda: done)
    if "reason" in done:
        if done["reason"]:
            trials.tell(f"{name}: not trained again on training and validation: {done['reason']}")
        return best, None
    return replace(best, folder=folder, rungs=best.rungs + 1), done


def refit_seconds(trials: Trials, best: Trained, seconds: float, to_come: float = 0.0) -> float:
    """What is to be kept of the `seconds` for training to train `best` again, which may be trained
    for `to_come` seconds more; 0 where that is much of them."""
    needed = needed_seconds(trials, best, to_come)
    return needed if needed <= MOST * seconds else 0.0


def needed_seconds(trials: Trials, best: Trained, to_come: float = 0.0) -> float:
    """What training `best` again may take, once it has been trained for `to_come` seconds more; 0
    where it cannot be."""
    if not len(trials.data.indices["validation"]):
        return 0.0
    length = best_length(best)
    if length is None or best.model().refit_settings(length) is None:
        return 0.0
    growth = _growth(trials.data)
    return MARGIN * (_expected_seconds(best, length, growth) + to_come * growth)


def _attempt(trials: Trials, best: Trained, folder: Path) -> dict[str, Any]:
    """The record of a refit, or {"reason": why there was no refit}, "" where nobody expects one."""
    validated, both, length = best.model(), together(trials.data), best_length(best)
    settings = None if length is None else validated.refit_settings(length)
    if both is None or length is None or settings is None:
        return {"reason": ""}
    if validated.shrunk_ or not best.candidate.learns_anew:
        return {"reason": ""}  # learnt anew it would be another network
    items = len(both.indices["train"])
    left = trials.clock.left - LAST * trials.clock.finishing
    needed = _expected_seconds(best, length, _growth(trials.data))
    if left < MARGIN * needed:
        return {"reason": f"it takes about {needed:.1f} s, and {max(0.0, left):.1f} s are left"}
    trials.tell(f"{best.candidate.name}: training again, on {items:,} items with validation")
    model = best.candidate.model().set_params(**settings)
    checkpoint = folder.with_suffix(".checkpoint")
    try:
        model.fit(both, checkpoint=checkpoint, seconds_limit=left)
        if isinstance(model, Classifier) and isinstance(validated, Classifier):
            model.decision_threshold_ = validated.decision_threshold_
        after = quality(model, trials.data, "validation", trials.task, trials.metric)
    except FAILURES as error:
        return {"reason": f"it failed ({type(error).__name__})"}
    stopped = model.history_["stopped"]
    if stopped == "interrupted":
        return {"reason": INTERRUPTED}
    if stopped == "time":
        return {"reason": "the time did not suffice"}
    if replace(best, accuracy=after).score < best.score:
        return {"reason": "it came out worse"}
    model.set_params(**{name: validated.get_params()[name] for name in settings})
    if "warm_start" in settings:
        model.set_params(warm_start=False)
    model.split_ = validated.split_
    model.save(folder)
    for path in stage_files(checkpoint):
        path.unlink(missing_ok=True)
    return {"length": length, "items": items, "seconds": model.history_["seconds"]}


def _expected_seconds(best: Trained, length: float, growth: float) -> float:
    return best.seconds * min(1.0, length / best.epochs) * growth


def _growth(data: Dataset) -> float:
    """How many times as many items both parts have as the training part."""
    train, validation = (len(data.indices[part]) for part in ("train", "validation"))
    return (train + validation) / train


def best_length(entry: Trained) -> float | None:
    """Passes (rounds) after which the score on validation was best, over all rungs; the last of
    equals. None where no score was taken."""
    scores = [(record.get("score"), record["epoch"]) for record in entry.history]
    known = [pair for pair in scores if pair[0] is not None]
    return max(known)[1] if known else None


def together(data: Dataset) -> Dataset | None:
    """The data with validation items among the training items; None without validation items."""
    parts = data.indices
    if not len(parts["validation"]):
        return None
    train = np.sort(np.concatenate([parts["train"], parts["validation"]]))
    nothing = np.zeros(0, np.int64)
    return replace(data, indices={**parts, "train": train, "validation": nothing})
