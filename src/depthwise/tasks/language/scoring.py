"""How well a language model foretells text: in nats and bits, of tokens, bytes and characters.

    bits per byte = -log2 p(text) / bytes of text

A text is scored in windows that overlap by half, so that every token but the first ones is foretold
from half a window at least.

Shapes: S tokens of a text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional

from depthwise.errors import DivergedError, InputError
from depthwise.scores.accuracy import mean_interval
from depthwise.tasks.language.sizes import LanguageSettings
from depthwise.tasks.language.step import windows
from depthwise.text.files import as_texts
from depthwise.text.tokens import as_bytes

__all__ = ["Scoring"]

SCORED_AT_ONCE = 4096  # positions: logits of 4,096 x V numbers at a time
STRETCH = 500  # tokens, of which the mean is a point of an interval


class Scoring(LanguageSettings):
    """What a fitted `LanguageModel` says of text."""

    def assess(self, X: Any, y: Any = None) -> dict[str, Any]:
        """Minus the bits per byte as "value" with "low" and "high", its 95% interval over
        stretches of 500 tokens; "nats_per_character", "perplexity", and "items", the bytes."""
        texts = as_texts(X)
        nats = np.concatenate([self.token_nats(text) for text in texts])
        written, characters = sum(len(as_bytes(text)) for text in texts), sum(map(len, texts))
        if len(nats) < 2:
            raise InputError("X has less than two tokens: an interval needs more. Give more text.")
        bits = -nats / math.log(2) * len(nats) / written  # of which the mean is a byte's
        stretches = np.array_split(bits, max(2, len(bits) // STRETCH))
        low, high = mean_interval(np.array([stretch.mean() for stretch in stretches]))
        return {
            "value": float(bits.mean()),
            "low": low,
            "high": high,
            "items": written,
            "each": "bytes",
            "nats_per_character": float(nats.sum()) / characters,
            "perplexity": math.exp(float(nats.mean())),
        }

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the bits per byte of text: higher is better, as scikit-learn's searches want it."""
        return -self.bits_per_byte(X)

    def bits_per_byte(self, X: Any) -> float:
        """-log2 p(X) / bytes of X: what a compressor by this model would need. Lower is better."""
        texts = as_texts(X)
        written = sum(len(as_bytes(text)) for text in texts)
        if not written:
            raise InputError("X is empty: bits per byte need at least one byte of text.")
        return (
            sum(float(nats.sum()) for nats in map(self.token_nats, texts)) / written / math.log(2)
        )

    def nats_per_character(self, X: Any) -> float:
        """-ln p(X) / characters of X. Lower is better."""
        texts = as_texts(X)
        characters = sum(map(len, texts))
        if not characters:
            raise InputError("X is empty: nats per character need at least one character.")
        return sum(float(nats.sum()) for nats in map(self.token_nats, texts)) / characters

    def perplexity(self, X: Any) -> float:
        """exp of the mean -ln p(token): among how many tokens the model is torn. Lower is better;
        comparable between models of the same tokens only."""
        nats = np.concatenate([self.token_nats(text) for text in as_texts(X)])
        if not len(nats):
            raise InputError("X is empty: perplexity needs at least one token.")
        return math.exp(float(nats.mean()))

    def token_nats(self, text: str) -> np.ndarray:
        """-ln p(token | those before it) of each token of a text: (S,) float64.

        Raises DivergedError where the network's answer is not a number.
        """
        check_is_fitted(self, "network_")
        row = self._row(as_texts(text))
        nats = self._nats(row, self.network_, overlap=self.context_ // 2)
        if not np.isfinite(nats).all():
            raise DivergedError(
                f"the network's answer is not a number. Fit again with a lower lr, now {self.lr:g}."
            )
        return nats

    def _row(self, texts: Sequence[str]) -> np.ndarray:
        """All texts in one row (S,) int32, `end` before each."""
        end = np.array([self.tokenizer_.end], dtype=np.int32)
        return np.concatenate([part for t in texts for part in (end, self.tokenizer_.encode(t))])

    @torch.inference_mode()
    def _nats(self, text: np.ndarray, network: nn.Module, overlap: int) -> np.ndarray:
        """(S,) -> (S - 1,): of every token but the first."""
        context = min(self.context_, len(text) - 1)
        if context < 1:
            return np.zeros(0)
        row = torch.from_numpy(text).to(next(network.parameters()).device)
        found, known = np.empty(len(text) - 1), 0
        starts = list(range(0, max(1, len(text) - 1 - overlap), max(1, context - overlap)))
        at_once = max(1, SCORED_AT_ONCE // context)
        for i in range(0, len(starts), at_once):
            begun = torch.tensor(starts[i : i + at_once]).clamp(max=len(text) - 1 - context)
            wanted = windows(row, begun.to(row.device), context)
            logits = network(wanted[:, :-1]).flatten(0, 1)
            nats = functional.cross_entropy(
                logits.double(), wanted[:, 1:].flatten(), reduction="none"
            ).view(len(begun), context)
            for start, values in zip(begun.tolist(), nats.cpu().numpy()):
                found[known : start + context] = values[known - start :]
                known = start + context
        return found
