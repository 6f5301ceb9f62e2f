"""Pairs of sentences and the answers that belong to them: checked, and as numbers.

Shapes: N pairs, T tokens of the longest sentence.
"""

from __future__ import annotations

import warnings
from collections.abc import Sized
from typing import Any

import numpy as np

from depthwise.data.inputs import shape_of
from depthwise.errors import InputError
from depthwise.tasks.sentence_matching.hashed import FILLING, pieces_of

__all__ = [
    "Pair",
    "as_pairs",
    "as_similarities",
    "checked_range",
    "hashed_rows",
    "kind_of",
    "range_of",
    "require_labels",
    "require_sentences",
]

Pair = tuple[str, str]
FEW = 20  # labels that may all differ


def as_pairs(X: Any, name: str = "X") -> list[Pair]:
    """Pairs from a list of (a, b), an array (N, 2), or a table of two columns.

    Raises InputError for pairs of another shape and for what is no text.
    """
    shape = shape_of(X) or None
    if isinstance(X, str | bytes) or (shape is not None and (len(shape) != 2 or shape[1] != 2)):
        got = type(X).__name__ if shape is None else f"an array of {tuple(shape)}"
        raise InputError(
            f"{name} must be pairs of sentences, (N, 2); got {got}. Give the two columns of texts "
            "and no other, or list(zip(first, second))."
        )
    try:
        rows = list(np.asarray(X) if shape is not None else X)
    except TypeError:
        raise InputError(
            f"{name} must be a list of pairs (a, b); got {type(X).__name__}."
        ) from None
    if not rows:
        raise InputError(f"{name} has no pair in it; at least one is needed.")
    return [_pair(row, f"{name}[{place}]") for place, row in enumerate(rows)]


def _are_two(row: Any) -> bool:
    return isinstance(row, Sized) and not isinstance(row, str | bytes) and len(row) == 2


def _pair(row: Any, name: str) -> Pair:
    if not _are_two(row):
        raise InputError(
            f"{name} must be a pair of sentences (a, b); got {row!r:.60}. Of two lists of "
            "sentences make pairs: list(zip(first, second))."
        )
    for side, text in enumerate(row):
        if not isinstance(text, str):
            raise InputError(
                f"{name}[{side}] must be text; got {type(text).__name__} {text!r:.40}. Is it the "
                "score's column? Pairs hold the two sentences alone, y what is said of them."
            )
    return str(row[0]), str(row[1])


def hashed_rows(texts: list[str], max_words: int) -> np.ndarray:
    """Sentences as rows (N, T) int64 of their hashed words, then parts of words. Warns of sentences
    of more words than are read."""
    found = [pieces_of(text, max_words) for text in texts]
    long = sum(is_long for _, _, is_long in found)
    if long:
        warnings.warn(
            f"{long} of {len(texts)} sentences have more than {max_words} words; what "
            "comes after them is not read. Raise max_words to read it.",
            stacklevel=5,
        )
    rows = np.full((len(found), max(len(w) + len(g) for w, g, _ in found)), FILLING, np.int64)
    for row, (words, grams, _) in zip(rows, found):
        row[: len(words) + len(grams)] = words + grams
    return rows


def range_of(scores: np.ndarray) -> tuple[float, float]:
    """The least and the largest similarity. Raises InputError where they are one."""
    low, high = float(scores.min()), float(scores.max())
    if low == high:
        raise InputError(
            f"y says {low:g} of every pair: there is nothing to learn. "
            "Give pairs of several similarities."
        )
    return low, high


def require_sentences(pairs: list[Pair]) -> None:
    """Raises InputError where a whole side is numbers: a column that is out of place."""
    for side in (0, 1):
        if len(pairs) > 1 and all(_is_number(pair[side]) for pair in pairs):
            raise InputError(
                f"the {('first', 'second')[side]} sentence of every pair is a number, like "
                f"{pairs[0][side]!r}. Are the columns swapped? Pairs are the two sentences."
            )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def kind_of(y: np.ndarray, targets: Any) -> str:
    """ "similarity" or "classes": as `targets` says, or by what y holds."""
    if targets == "classes":
        return "classes"
    if targets != "auto":
        return "similarity"
    is_float = y.dtype.kind == "f" and not set(np.unique(y).tolist()) <= {0.0, 1.0}
    return "similarity" if is_float else "classes"


def checked_range(targets: Any) -> tuple[float, float] | None:
    """The range that the setting `targets` states, or None for "auto" and "classes"."""
    if isinstance(targets, str) and targets in ("auto", "classes"):
        return None
    try:
        low, high = (float(edge) for edge in targets)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(
            'targets must be "auto", "classes", or the range of similarities, say (0, 5); '
            f"got {targets!r}."
        ) from None
    return low, high


def as_similarities(y: np.ndarray, stated: tuple[float, float] | None) -> np.ndarray:
    """Numbers (N,) float64 within the stated range. Raises InputError."""
    try:
        scores = y.astype(np.float64)
    except (TypeError, ValueError):
        bad = next(value for value in y.tolist() if not _is_number(str(value)))
        raise InputError(
            f"y must be similarities, numbers; got {bad!r:.60}. Are the columns swapped? For "
            'classes set targets="classes".'
        ) from None
    if not np.isfinite(scores).all():
        raise InputError(
            f"y[{int(np.flatnonzero(~np.isfinite(scores))[0])}] is NaN or infinite: every pair "
            "needs its similarity. Leave out pairs without one."
        )
    if stated:
        _require_inside(scores, stated)
    return scores


def _require_inside(scores: np.ndarray, stated: tuple[float, float]) -> None:
    outside = np.flatnonzero((scores < stated[0]) | (scores > stated[1]))
    if len(outside):
        raise InputError(
            f"y[{outside[0]}] is {scores[outside[0]]:g}, outside the range {stated} that targets "
            f"states ({len(outside)} of {len(scores)} are). Mend them, or state another range."
        )


def require_labels(y: np.ndarray) -> None:
    """Raises InputError where labels look like sentences: hardly two alike."""
    if y.dtype.kind in "UO" and len(y) >= FEW and len(set(y.tolist())) > len(y) / 2:
        raise InputError(
            f"y has {len(set(y.tolist()))} different texts for {len(y)} pairs, like {y[0]!r:.40}: "
            "those are no classes. Are the columns swapped? For similarities give numbers."
        )
