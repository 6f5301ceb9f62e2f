"""The answers of a candidate to each validation item, kept in a file beside its model while the
choice lasts: paired tests compare candidates item by item.

Of classes the predicted ones are kept, and the probabilities too where the score is of those; of
numbers what was predicted. Tasks
that are scored as a whole, as boxes and captions are, keep nothing; KINDS says which keep what.

Shapes: N items, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from depthwise.checkpoint import write_atomically
from depthwise.data.dataset import Dataset
from depthwise.measuring.classes import ClassMetric, class_answers, classification_of
from depthwise.measuring.metric import Metric
from depthwise.measuring.number_quality import NumberMetric, number_metric, regressor
from depthwise.measuring.quality import quality
from depthwise.models.estimator import Estimator
from depthwise.scores.classification import CLASS_SCORES, ClassAnswers
from depthwise.scores.custom import CUSTOM_RESAMPLES, class_score
from depthwise.scores.regression import number_score
from depthwise.task import task_named

__all__ = [
    "KINDS",
    "Arrays",
    "ItemScores",
    "Kind",
    "compared",
    "joined",
    "of_classes",
    "of_numbers",
    "read",
    "scored",
    "write",
]

Arrays = dict[str, np.ndarray]
OF_ALL = ("rare", "names")  # what is kept of all items together


@dataclass(frozen=True)
class ItemScores:
    """What two candidates are compared by: `right` (N,) bool where the score is the share of items
    that are right, else None; `resampled`: weights (R, N) -> (R,), more is better; `numbers` that
    each item has; `most`: resamples at most."""

    items: int
    right: np.ndarray | None
    resampled: Callable[[np.ndarray], np.ndarray]
    numbers: int = 1
    most: int = 1000


class Kind(NamedTuple):
    """Of a kind of answer: `scored(model, data, part, metric)` gives the score and what is kept of
    it, `compared(kept, metric)` what that is compared by."""

    scored: Callable[[Estimator, Dataset, str, Any], tuple[Metric, Arrays]]
    compared: Callable[[Arrays, Any], ItemScores]


def scored(
    model: Estimator, data: Dataset, part: str, task: str, metric: ClassMetric = None
) -> tuple[Metric, Arrays | None]:
    """As `quality` has it, and what was said of each item; None where the task keeps nothing."""
    if kind := KINDS.get(task_named(task).answer):
        return kind.scored(model, data, part, metric)
    return quality(model, data, part, task, metric), None


def compared(task: str, kept: Arrays | None, metric: ClassMetric) -> ItemScores | None:
    kind = KINDS.get(task_named(task).answer)
    return kind.compared(kept, metric) if kind and kept is not None else None


def joined(kept: list[Arrays]) -> Arrays:
    """What was kept of several parts, as of one: what each item has, one part after another."""
    first = kept[0]
    return {
        name: first[name] if name in OF_ALL else np.concatenate([part[name] for part in kept])
        for name in first
    }


# -- classes -------------------------------------------------------------------------------------


def _scored_classes(
    model: Estimator, data: Dataset, part: str, metric: ClassMetric
) -> tuple[Metric, Arrays]:
    answers = class_answers(model, data, part)
    kept = {
        "labels": answers.labels.astype(np.int32),
        "predicted": answers.predicted.astype(np.int32),
        "rare": np.array(answers.rare),
        "names": np.asarray([str(name) for name in np.asarray(answers.names).tolist()]),
    }
    if not class_score(metric).of_decisions:
        kept["probabilities"] = answers.probabilities.astype(np.float32)
    return classification_of(answers, data, metric), kept


def _compared_classes(kept: Arrays, metric: ClassMetric) -> ItemScores:
    classes = len(kept["names"])
    decided = np.zeros((len(kept["labels"]), classes), np.float32)
    answers = ClassAnswers(
        kept["labels"].astype(np.int64),
        kept["predicted"].astype(np.int64),
        kept.get("probabilities", decided),
        int(kept["rare"]),
        kept["names"],
    )
    return of_classes(answers, metric)


def of_classes(answers: ClassAnswers, metric: ClassMetric) -> ItemScores:
    score = class_score(metric)
    own = score.name in CLASS_SCORES
    return ItemScores(
        len(answers.labels),
        answers.predicted == answers.labels if score.name == "accuracy" and own else None,
        lambda weights: score.sign * score.resampled(answers, weights),
        1 if score.of_decisions else answers.n_classes,
        1000 if own else CUSTOM_RESAMPLES,
    )


# -- numbers -------------------------------------------------------------------------------------


def _scored_numbers(
    model: Estimator, data: Dataset, part: str, metric: NumberMetric
) -> tuple[Metric, Arrays]:
    predictor, (X, truth) = regressor(model, data), data.part(part)
    kept = {"truth": np.asarray(truth, np.float64), "answers": np.asarray(predictor.predict(X))}
    return number_metric(kept["truth"], kept["answers"], metric), kept


def of_numbers(kept: Arrays, metric: NumberMetric) -> ItemScores:
    score = number_score(metric)
    truth, answers = (kept[key].reshape(len(kept[key]), -1) for key in ("truth", "answers"))
    answers = answers.astype(np.float64)

    def resampled(weights: np.ndarray) -> np.ndarray:
        return score.sign * score.of(truth, answers, weights.astype(np.float64)).mean(axis=1)

    return ItemScores(len(truth), None, resampled, truth.shape[1], score.draws)


KINDS: dict[str, Kind] = {  # by what an answer is
    "class": Kind(_scored_classes, _compared_classes),
    "numbers": Kind(_scored_numbers, of_numbers),
}


# -- the file ------------------------------------------------------------------------------------


def write(kept: Arrays | None, folder: Path) -> None:
    if kept is not None:
        arrays: dict[str, Any] = dict(kept)
        write_atomically(_path(folder), lambda scratch: _save(scratch, arrays))


def read(folder: Path) -> Arrays | None:
    """What was kept beside the model in `folder`, None where there is nothing that can be read."""
    try:
        with np.load(_path(folder), allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _save(scratch: Path, arrays: dict[str, Any]) -> None:
    with scratch.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _path(folder: Path) -> Path:
    return folder.with_name(folder.name + ".answers.npz")
