"""The settings of a language model: stored as they are given, checked when they are used."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from depthwise.models.estimator import Estimator
from depthwise.settings import Learning, no_setting, settings
from depthwise.text.tokens import KINDS, Tokenizer
from depthwise.training.schedules import require_quality
from depthwise.training.step import WARM_UP, Recipe

__all__ = ["LONGEST_CONTEXT", "LanguageSettings"]

AUTO_TOKENS = 20_000_000  # that training looks at
LONGEST_CONTEXT = 65_536
MOST_ORDER = 20


@settings
class LanguageSettings(Learning, Estimator):
    """The constructor and the recipe of `LanguageModel`."""

    tokenizer_: Tokenizer = no_setting()
    context_: int = no_setting()  # tokens of a window; the text's, where it has fewer

    size: str = "s"
    tokens: str = "bytes"
    vocabulary: int = 4096
    context: int = 256
    counts: int | None = None
    dropout: float = 0.1
    batch_size: int = 16
    lr: float = 0.015
    optimizer: str = "muon"
    schedule: str = "onecycle"
    weight_decay: float = 0.1
    clip_norm: float | None = 1.0
    average: float = 0.02
    patience: int | None = None
    validation_fraction: float = 0.05

    def recipe(self, items: int, **changes: Any) -> Recipe:
        """How `items` windows would be learnt from: the settings, "auto" filled in."""
        auto = min(20.0, max(1.0, AUTO_TOKENS / (items * self.context_)))
        epochs = auto if self.epochs == "auto" else float(self.epochs)
        return Recipe.of(self, **{"epochs": epochs, "seed": self._seed(), **changes})

    def _check_settings(self) -> None:
        require_quality(self.quality)
        self._rung()
        self._require("tokens", self.tokens in KINDS, "one of " + ", ".join(KINDS))
        whole = isinstance(self.context, int | np.integer) and 2 <= self.context <= LONGEST_CONTEXT
        self._require("context", whole, f"a whole number of tokens, 2 to {LONGEST_CONTEXT:,}")
        whole = isinstance(self.batch_size, int | np.integer) and self.batch_size >= 1
        self._require("batch_size", whole, "a whole number of windows, at least 1")
        whole = isinstance(self.counts, int | np.integer) and 1 <= self.counts <= MOST_ORDER
        self._require("counts", self.counts is None or whole, f"None or 1 .. {MOST_ORDER} tokens")
        self._require("dropout", 0 <= self.dropout < 1, "in [0, 1)")
        self._require(
            "epochs", self.epochs == "auto" or _positive(self.epochs), 'above 0 or "auto"'
        )
        self._require("lr", _positive(self.lr), "above 0, say 0.015")
        self._require("optimizer", self.optimizer in ("muon", "adamw"), '"muon" or "adamw"')
        self._require("schedule", self.schedule in WARM_UP, " or ".join(map(repr, WARM_UP)))
        clip = self.clip_norm is None or _positive(self.clip_norm)
        self._require("clip_norm", clip, "above 0 or None")
        self._require("validation_fraction", 0 <= self.validation_fraction < 1, "in [0, 1)")


def _positive(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and 0 < float(value) < math.inf
