"""What a model of the data itself can be asked for: new items, how strange an item is, and an item
as the model sees it.

Shapes: N items, C channels, H W image, D features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from depthwise.catalog import FAMILIES
from depthwise.errors import InputError
from depthwise.inference.input_files import Files, Tell, Told, each_item
from depthwise.models.estimator import Estimator
from depthwise.models.generative import Generative

__all__ = [
    "Seen",
    "Verdict",
    "generative",
    "parse_labels",
    "reconstructions",
    "require_count",
    "sampled",
    "verdicts",
]

MOST, BLOCK = 1_000_000, 10_000  # items that can be asked for, and that are drawn at a time


@dataclass(frozen=True)
class Verdict(Told):
    """How strange one item is; `threshold`: above it, it is called strange (None: not known)."""

    score: float
    threshold: float | None

    @property
    def strange(self) -> bool | None:
        return None if self.threshold is None else not self.score <= self.threshold

    def to_dict(self) -> dict[str, Any]:
        known = self.score if math.isfinite(self.score) else None
        about = {"anomaly_score": known, "threshold": self.threshold, "strange": self.strange}
        return {**self.where(), **about}


@dataclass(frozen=True)
class Seen:
    """A verdict, the item, and the item as the model sees it: (C, H, W) or (D,) each."""

    verdict: Verdict
    item: np.ndarray
    reconstruction: np.ndarray

    @property
    def difference(self) -> float:
        """Root of the mean squared difference, in the data's units."""
        gap = self.item.astype(np.float64) - self.reconstruction
        return float(np.sqrt((gap**2).mean()))

    def to_dict(self) -> dict[str, Any]:
        return {**self.verdict.to_dict(), "rms_difference": self.difference}


def generative(model: Estimator, words: str) -> Generative:
    """The model, if it models the data itself. Raises InputError for another, which cannot `words`,
    naming the families that can."""
    if isinstance(model, Generative):
        return model
    able = [name for name, family in FAMILIES.items() if issubclass(family, Generative)]
    raise InputError(
        f"a {model.family} cannot {words}: it learns labels, not the data itself. "
        f"Fit a family that can: {', '.join(able)}."
    )


# -- asking ------------------------------------------------------------------------------------


def parse_labels(model: Estimator, text: str | None, n: int) -> np.ndarray | None:
    """ "3" or "0,1,2" as n class labels, in turn. Raises InputError for others."""
    if text is None:
        return None
    classes = model.known_classes
    if classes is None:
        raise InputError("--labels needs a model that was fitted with labels; this one was not.")
    known = {str(label): label for label in classes.tolist()}
    names = [text] if text in known else [part.strip() for part in text.split(",")]
    for name in names:
        if name not in known:
            listed = ", ".join(list(known)[:20]) + (", ..." if len(known) > 20 else "")
            raise InputError(f"--labels: {name!r} is not among the classes: {listed}.")
    if len(names) > n:
        raise InputError(f"--labels names {len(names)} classes, but -n is {n}. Ask for more items.")
    return np.resize(np.array([known[name] for name in names], classes.dtype), n)


def sampled(model: Generative, n: int, labels: np.ndarray | None, seed: int | None) -> np.ndarray:
    """n new items, of these labels (n,) if given; the first ten thousand are those of
    `model.sample(n, labels, random_state=seed)`."""
    random = check_random_state(model.random_state if seed is None else seed)
    parts = [
        model.sample(
            min(BLOCK, n - start),
            labels=None if labels is None else labels[start : start + BLOCK],
            random_state=random,
        )
        for start in range(0, n, BLOCK)
    ]
    return np.concatenate(parts)


def require_count(n: int, seed: int | None) -> None:
    if not 1 <= n <= MOST:
        raise InputError(f"-n must be 1 to {MOST:,}; got {n:,}.")
    if seed is not None and not 0 <= seed < 2**32:
        raise InputError(f"--seed must be a whole number from 0 to {2**32 - 1}; got {seed}.")


def verdicts(
    model: Estimator, files: Files, tell: Tell = lambda line: None
) -> Iterator[Verdict | InputError]:
    """How strange each item of `files` is, in their order; in the place of a bad file, its
    error."""
    scorer = generative(model, "score anomalies")
    for told in each_item(model, files, partial(_scores, scorer), tell):
        yield told if isinstance(told, InputError) else Verdict(*told, scorer.known_threshold)


def reconstructions(
    model: Estimator, files: Files, tell: Tell = lambda line: None
) -> Iterator[Seen | InputError]:
    """Each item of `files` as the model sees it; in the place of a bad file, its error."""
    scorer = generative(model, "reconstruct")
    for told in each_item(model, files, partial(_seen, scorer), tell):
        if isinstance(told, InputError):
            yield told
            continue
        file, row, (score, item, reconstruction) = told
        yield Seen(Verdict(file, row, score, scorer.known_threshold), item, reconstruction)


def _scores(model: Generative, inputs: np.ndarray) -> list[float]:
    return [float(score) for score in model.anomaly_score(inputs)]


def _seen(model: Generative, inputs: np.ndarray) -> list[tuple[float, np.ndarray, np.ndarray]]:
    return list(zip(_scores(model, inputs), inputs, model.reconstruct(inputs)))
