"""How well faces are told apart, from the similarities of pairs of images.

    a pair is accepted as one person where its similarity is above a threshold t
    FAR(t)  false accept rate: share of pairs of two people that are accepted
    TAR(t)  true accept rate: share of pairs of one person that are accepted
    EER     where FAR(t) = 1 - TAR(t)

Huang, Ramesh, Berg and Learned-Miller 2007, "Labeled Faces in the Wild"; Huang and Learned-Miller
2014 for its protocol of ten folds. Similarities are cosines of embeddings, -1 .. 1.

Shapes: N pairs, M images, E embedding.
"""

from __future__ import annotations

import numpy as np

from depthwise.errors import InputError

__all__ = [
    "best_threshold", "equal_error_rate", "fold_accuracies", "pair_similarities", "threshold_at",
    "true_accept_rate",
]  # fmt: skip

MOST_IMAGES = 3000  # of which all pairs are made


def pair_similarities(
    embeddings: np.ndarray, people: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Similarities of all pairs of one person, and of all pairs of two people.

    embeddings (M, E) of length 1, people (M,); of very many images a random part is taken.
    """
    if len(people) > MOST_IMAGES:
        part = np.random.default_rng(seed).permutation(len(people))[:MOST_IMAGES]
        embeddings, people = embeddings[part], people[part]
    above = np.triu_indices(len(people), k=1)
    similarities = (embeddings @ embeddings.T)[above]
    same = (people[:, None] == people)[above]
    return similarities[same], similarities[~same]


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
    """Of each fold the share of pairs that are told right, with the threshold that is best on all
    other folds. (N,), (N,) bool, (N,) int -> (folds,)."""
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
