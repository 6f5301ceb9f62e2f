"""The settings of a language model: stored as they are given, checked when they are used."""

from __future__ import annotations

from typing import Any

from depthwise.models.estimator import Estimator
from depthwise.settings import (
    NONE,
    Learning,
    check_settings,
    no_setting,
    number,
    one_of,
    setting,
    settings,
    whole,
)
from depthwise.text.tokens import KINDS, Tokenizer
from depthwise.training.step import Recipe

__all__ = ["LONGEST_CONTEXT", "LanguageSettings"]

AUTO_TOKENS = 20_000_000  # that training looks at
LONGEST_CONTEXT = 65_536
MOST_ORDER = 20


@settings
class LanguageSettings(Learning, Estimator):
    """The constructor and the recipe of `LanguageModel`."""

    tokenizer_: Tokenizer = no_setting()
    context_: int = no_setting()  # tokens of a window; the text's, where it has fewer

    epochs: float | str = setting(
        default="auto",
        doc='passes over the text; "auto" is about 20 million tokens, within 1 .. 20 passes',
    )
    size: str = setting(default="s", doc='"xxs" (32 wide, 1 layer) .. "xl" (384 wide, 8 layers)')
    tokens: str = setting(
        default="bytes",
        range=one_of(*KINDS),
        doc="what the text is cut into, see text/tokens.py; bytes suit a few megabytes of text",
    )
    vocabulary: int = setting(
        default=4096, doc='pieces of "bpe", 512 .. 32,000; more for more text'
    )
    context: int = setting(
        default=256,
        range=whole(f"[2, {LONGEST_CONTEXT}]", usual=(16, 2048)),
        doc="tokens of a window: what the model can see",
    )
    counts: int | None = setting(
        default=None,
        range=whole(f"[1, {MOST_ORDER}]", usual=(5, 7)) | NONE,
        doc="n-grams of so many tokens are counted too and mixed in, for texts of a few "
        "megabytes; None for the network alone; see counts.py",
    )
    dropout: float = setting(
        default=0.1,
        range=number("[0, 1)", usual=(0, 0.3)),
        doc="share of what a layer adds that is silenced in training; more for texts that are "
        "read many times, 0 for more text than time",
    )
    batch_size: int = setting(
        default=16, range=whole("[1, inf)", usual=(8, 64)), doc="windows a step"
    )
    lr: float = setting(default=0.015, range=number("(0, inf)", usual=(3e-3, 0.02)))
    optimizer: str = setting(
        default="muon",
        range=one_of("muon", "adamw"),
        doc="Muon for the matrices of the blocks beside AdamW for all else, or AdamW alone",
    )
    schedule: str = "onecycle"
    weight_decay: float = 0.1
    clip_norm: float | None = 1.0
    average: float = 0.02
    patience: int | None = None
    validation_fraction: float = setting(
        default=0.05,
        range=number("[0, 1)", usual=(0, 0.2)),
        doc="share of the text, its last part, that chooses the best epoch",
    )

    def recipe(self, items: int, **changes: Any) -> Recipe:
        """How `items` windows would be learnt from: the settings, "auto" filled in."""
        auto = min(20.0, max(1.0, AUTO_TOKENS / (items * self.context_)))
        epochs = auto if self.epochs == "auto" else float(self.epochs)
        return Recipe.of(self, **{"epochs": epochs, "seed": self._seed(), **changes})

    def _check_settings(self) -> None:
        check_settings(self)
