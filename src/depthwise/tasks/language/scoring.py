"""How well a language model foretells text: in nats and bits, of tokens, bytes and characters.

    bits per byte = -log2 p(text) / bytes of text

A text is scored in windows that overlap by half, so that every token but the first ones is foretold
from half a window at least.

Shapes: S tokens of a text.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from depthwise.errors import InputError
from depthwise.scores.accuracy import mean_interval
from depthwise.tasks.language.step import windows

__all__ = ["assessed", "token_nats"]

SCORED_AT_ONCE = 4096  # positions: logits of 4,096 x V numbers at a time
STRETCH = 500  # tokens, of which the mean is a point of an interval


def assessed(nats: np.ndarray, written: int, characters: int) -> dict[str, Any]:
    """Minus the bits per byte as "value", its interval and the rest of `LanguageModel.assess`, of
    -ln p of each token (S,) of texts of so many bytes and characters. Raises InputError."""
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


@torch.inference_mode()
def token_nats(network: nn.Module, text: np.ndarray, window: int, overlap: int) -> np.ndarray:
    """-ln p of every token of a text (S,) but the first, (S - 1,), in windows of so many tokens of
    which so many overlap."""
    context = min(window, len(text) - 1)
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
