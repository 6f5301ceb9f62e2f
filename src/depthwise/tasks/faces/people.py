"""The people of a face recogniser's training data: their numbers, and who is held out.

Shapes: N images, K people trained on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from depthwise.training.training_data import TrainingData

__all__ = ["FEWEST_PEOPLE", "hold_out_people", "numbered_people"]

FEWEST_PEOPLE = 20  # below, none is held out


def numbered_people(people: np.ndarray, trained_on: np.ndarray) -> np.ndarray:
    """People (N,) by name -> int64 (N,): their places among those `trained_on` (K,), from K on for
    strangers."""
    names, who = np.unique(people, return_inverse=True)
    places = len(trained_on) + np.arange(len(names))
    known = np.isin(names, trained_on)
    places[known] = np.searchsorted(trained_on, names[known])
    numbers: np.ndarray = places[who]
    return numbers


def hold_out_people(
    data: TrainingData, share: float, seed: int
) -> tuple[TrainingData, np.ndarray] | None:
    """A share of the people put aside, with all their images, and who is left: places (K',) among
    those before, by which people are numbered anew. None where there are few people, or where none
    of those held out has two images."""
    people = data.targets
    pictures = np.bincount(people)
    drawn = np.random.default_rng(seed).permutation(len(pictures))
    out = np.isin(people, drawn[: round(share * len(pictures))])
    if len(pictures) < FEWEST_PEOPLE or not (pictures[np.unique(people[out])] > 1).any():
        return None
    kept, labels = np.unique(people[~out], return_inverse=True)
    held_out = data.inputs[out], len(kept) + people[out]
    return replace(data.at(~out), targets=labels.astype(np.int64), held_out=held_out), kept
