"""Scores of face verification, from the similarities of pairs of images.

    a pair is accepted as one person where its similarity is above a threshold t
    FAR(t)  false accept rate: share of pairs of two people that are accepted
    TAR(t)  true accept rate: share of pairs of one person that are accepted
    EER     where FAR(t) = 1 - TAR(t); 1 - EER is the accuracy of telling pairs, where no threshold
            favours one kind of mistake

Huang, Ramesh, Berg and Learned-Miller 2007, "Labeled Faces in the Wild"; Huang and Learned-Miller
2014 for its protocol of ten folds. Similarities are cosines of embeddings, -1 .. 1.

Shapes: N pairs, M images, E embedding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from depthwise.errors import InputError

__all__ = [
    "assessment", "best_threshold", "equal_error_rate", "fold_accuracies", "pair_similarities",
    "rates_of", "threshold_at", "true_accept_rate",
]  # fmt: skip

MOST_IMAGES = 3000  # of which all pairs are made
DRAWN, BINS, MOST_DRAWN = 200, 1000, 1_000_000  # of the bootstrap: draws, bins, pairs of two people


def pair_similarities(
    embeddings: np.ndarray, people: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Similarities of all pairs of one person, and of all pairs of two people.

    embeddings (M, E) of length 1, people (M,); of very many images a random part is taken.
    """
    pairs = _pairs(embeddings, people, seed)
    same = pairs.first == pairs.second
    return pairs.similarities[same], pairs.similarities[~same]


class _Pairs(NamedTuple):
    """Each (N,): how similar the two images of a pair are, and who is on them."""

    similarities: np.ndarray
    first: np.ndarray
    second: np.ndarray


def _pairs(embeddings: np.ndarray, people: np.ndarray, seed: int) -> _Pairs:
    if len(people) > MOST_IMAGES:
        part = np.random.default_rng(seed).permutation(len(people))[:MOST_IMAGES]
        embeddings, people = embeddings[part], people[part]
    above = np.triu_indices(len(people), k=1)
    return _Pairs((embeddings @ embeddings.T)[above], people[above[0]], people[above[1]])


def threshold_at(false_accept_rate: float, different: np.ndarray) -> float:
    """The lowest threshold at which at most that share of `different` (N,), the similarities of
    pairs of two people, is above. Raises InputError where there is no such pair."""
    if not len(different):
        raise InputError("a threshold needs pairs of two people, and there are none.")
    ordered = np.sort(different)[::-1]
    allowed = int(false_accept_rate * len(different))
    return float(ordered[allowed]) if allowed < len(ordered) else -1.0


def true_accept_rate(false_accept_rate: float, same: np.ndarray, different: np.ndarray) -> float:
    """TAR at the threshold where FAR is at most `false_accept_rate`; NaN without pairs of one."""
    if not len(same):
        return float("nan")
    return float((same > threshold_at(false_accept_rate, different)).mean())


def rates_of(false_accept_rate: float, same: np.ndarray, different: np.ndarray) -> dict[str, Any]:
    """FAR, TAR (None without pairs of one person), and how many pairs they were measured on."""
    accepted = true_accept_rate(false_accept_rate, same, different)
    return {
        "false_accept_rate": float(false_accept_rate),
        "true_accept_rate": accepted if len(same) else None,
        "pairs_of_one": len(same),
        "pairs_of_two": len(different),
    }


def best_threshold(similarities: np.ndarray, same: np.ndarray) -> float:
    """The threshold that is right for the most pairs: (N,), (N,) bool -> midway between two
    neighbouring similarities, or beyond the last."""
    order = np.argsort(similarities)
    ordered, truth = similarities[order], same[order]
    # right with a threshold below place k: those of two people under it, those of one from it on
    right = np.concatenate([[0], np.cumsum(~truth)]) + truth.sum()
    right = right - np.concatenate([[0], np.cumsum(truth)])
    right[1:-1][ordered[1:] == ordered[:-1]] = -1  # equals cannot be told apart
    place = int(right.argmax())
    edges = np.concatenate([[ordered[0] - 1e-3], ordered, [ordered[-1] + 1e-3]])
    return float((edges[place] + edges[place + 1]) / 2)


def fold_accuracies(similarities: np.ndarray, same: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Accuracy on the pairs of each fold, with the threshold that is best on all other folds.
    (N,), (N,) bool, (N,) int -> (folds,)."""
    accuracies = []
    for fold in np.unique(folds):
        inside = folds == fold
        threshold = best_threshold(similarities[~inside], same[~inside])
        accuracies.append(((similarities[inside] > threshold) == same[inside]).mean())
    return np.array(accuracies)


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """EER: the mean of FAR and 1 - TAR at the threshold where they are nearest to one another."""
    thresholds = np.unique(np.concatenate([same, different]))
    missed = np.searchsorted(np.sort(same), thresholds, side="right") / len(same)
    accepted = 1 - np.searchsorted(np.sort(different), thresholds, side="right") / len(different)
    nearest = int(np.abs(missed - accepted).argmin())
    return float((missed[nearest] + accepted[nearest]) / 2)


# -- an assessment --------------------------------------------------------------------------------


def assessment(
    embeddings: np.ndarray, names: np.ndarray, threshold: float, rate: float, seed: int = 0
) -> dict[str, Any]:
    """1 - EER over all pairs of these images, with its 95% interval over people.

    embeddings (M, E) of length 1, names (M,); threshold: the model's own; rate: the FAR at which
    TAR is told. per_class: of each person with two images the mean of TAR and 1 - FAR at the
    model's threshold, of the pairs that the person is in; None of others. Raises InputError
    without two people, or without two images of one.
    """
    who, people = np.unique(names, return_inverse=True)
    pairs = _pairs(embeddings, people, seed)
    own = pairs.first == pairs.second
    same, different = pairs.similarities[own], pairs.similarities[~own]
    if not len(same) or not len(different):
        raise InputError("faces are assessed by pairs: give two people, and two images of one.")
    error = equal_error_rate(same, different)
    low, high = _interval(pairs, len(who), error, seed)
    accepted, let_in = float((same > threshold).mean()), float((different > threshold).mean())
    return {
        "value": 1 - error,
        "low": low,
        "high": high,
        "items": len(names),
        "people": len(who),
        "pairs_of_one": len(same),
        "pairs_of_two": len(different),
        "equal_error_rate": error,
        "false_accept_rate": rate,
        "true_accept_rate": true_accept_rate(rate, same, different),
        "threshold": threshold,
        "true_accepts_at_threshold": accepted,
        "false_accepts_at_threshold": let_in,
        "per_class": dict(zip(map(str, who), _by_person(pairs, len(who), threshold), strict=True)),
    }


def _by_person(pairs: _Pairs, n_people: int, threshold: float) -> list[float | None]:
    """The mean of TAR and 1 - FAR of each person's pairs."""
    above, own = pairs.similarities > threshold, pairs.first == pairs.second
    rights = []
    for right, chosen in ((above, own), (~above, ~own)):
        sides = (pairs.first[chosen], pairs.second[chosen])
        total = sum(np.bincount(side, minlength=n_people) for side in sides)
        hits = sum(np.bincount(side, right[chosen], n_people) for side in sides)
        rights.append(hits / np.where(total, total, np.nan))
    shares = (rights[0] + rights[1]) / 2
    return [float(share) if np.isfinite(share) else None for share in shares]


def _interval(pairs: _Pairs, n_people: int, error: float, seed: int) -> tuple[float, float]:
    """95% of 1 - EER, by drawing people with replacement: a pair counts as often as both of its
    people were drawn. Similarities are put in bins, pairs of one person drawn twice left out."""
    rng = np.random.default_rng(seed)
    own = pairs.first == pairs.second
    others = np.flatnonzero(~own)
    if len(others) > MOST_DRAWN:
        others = rng.choice(others, MOST_DRAWN, replace=False)
    place = np.clip(((pairs.similarities + 1) / 2 * BINS).astype(np.int64), 0, BINS - 1)
    first, second, mine = pairs.first[others], pairs.second[others], pairs.first[own]
    drawn = []
    for _ in range(DRAWN):
        times = np.bincount(rng.integers(0, n_people, n_people), minlength=n_people).astype(float)
        same = np.bincount(place[own], times[mine], BINS)
        different = np.bincount(place[others], times[first] * times[second], BINS)
        if same.sum() and different.sum():
            drawn.append(1 - _binned_error(same, different))
    if not drawn:
        return 0.0, 1.0
    low, high = np.quantile(drawn, [0.025, 0.975])
    return min(float(low), 1 - error), max(float(high), 1 - error)


def _binned_error(same: np.ndarray, different: np.ndarray) -> float:
    """EER of histograms of similarities, (BINS,) each."""
    missed = np.cumsum(same) / same.sum()
    accepted = 1 - np.cumsum(different) / different.sum()
    nearest = int(np.abs(missed - accepted).argmin())
    return float((missed[nearest] + accepted[nearest]) / 2)
