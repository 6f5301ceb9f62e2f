"""Inputs that are rows of tokens: texts, or pairs of them, as an estimator takes them.

Shapes: N items, T tokens of the longest.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from depthwise.runtimes.attached import Running

__all__ = ["TakesTokens", "take_tokens"]


class TakesTokens(Protocol):
    """An estimator of texts. It says what its words are, for items like these, and how items
    become tokens."""

    max_words: int
    warm_start: bool
    input_shape_: tuple[int, ...]
    input_dtype_: str
    n_features_in_: int
    running_: Running | None

    @property
    def is_fitted(self) -> bool: ...
    def _learn_words(self, items: list[Any]) -> None: ...
    def _tokens(self, items: list[Any]) -> np.ndarray: ...
    def _check_targets(self, y: Any, items: int) -> np.ndarray: ...
    def _encode(self, targets: np.ndarray, reset: bool, classes: np.ndarray | None) -> Any: ...
    def _require(self, name: str, holds: bool, remedy: str) -> None: ...


def take_tokens(
    model: TakesTokens,
    items: list[Any],
    y: Any,
    *,
    reset: bool,
    classes: np.ndarray | None,
    texts_an_item: int = 1,
) -> tuple[np.ndarray, Any]:
    """Tokens (N, ..., T) int64, and what was made of y, or None; words and shape are learnt on
    reset, but by a model that goes on (`warm_start`)."""
    targets = None if y is None else model._check_targets(y, len(items))
    whole = isinstance(model.max_words, int | np.integer) and model.max_words >= 1
    model._require("max_words", whole, "a whole number, at least 1")
    reset = reset and not (model.warm_start and model.is_fitted)
    if reset:
        model._learn_words(items)
    inputs = model._tokens(items)
    if reset:
        model.running_ = None
        model.input_shape_, model.input_dtype_ = tuple(inputs.shape[1:]), "int64"
        model.n_features_in_ = texts_an_item
    return inputs, None if targets is None else model._encode(targets, reset, classes)
