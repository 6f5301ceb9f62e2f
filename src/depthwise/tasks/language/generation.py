"""Writing on: tokens drawn one after another from what a decoder expects next.

    p(token | before) = softmax(logits / temperature), cut to its nucleus: the likeliest tokens that
    together have at least top_p of the probability (Holtzman et al. 2020)

temperature 0 always takes the likeliest. The network sees a window of T tokens; when it is full, it
goes on with the later half of it. Keys and values of the window are kept (Cache), so that a token
costs one position, not T of them.

What writing costs is that of reading half a window and writing WRITTEN tokens more, by `Writing`.

Shapes: B batch, S tokens so far, T positions of a window, V vocabulary.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from depthwise.backbones.texts.transformer import Cache
from depthwise.errors import InputError
from depthwise.layers import ManyPasses
from depthwise.text.tokens import Tokenizer

__all__ = ["Writing", "check_writing", "drawn_tokens", "pieces_of_text"]


WRITTEN = 32  # tokens that are timed


def drawn_tokens(
    network: Any,
    tokens: Sequence[int],
    context: int,
    temperature: float,
    top_p: float,
    generator: torch.Generator,
    cached: bool = True,
) -> Iterator[int]:
    """Tokens that follow `tokens` (at least one), without end. `cached=False` computes the whole
    window for every token: the same, slowly."""
    window = list(tokens)[-context:]
    expect = _Expectation(network, context, cached)
    while True:
        token = draw(expect(window), temperature, top_p, generator)
        yield token
        window.append(token)
        if len(window) > context:
            window = window[-(context // 2) or -1 :]
            expect = _Expectation(network, context, cached)


class _Expectation:
    """Logits (V,) of what follows a window that grows."""

    def __init__(self, network: Any, context: int, cached: bool):
        self.network, self.cache = network, None
        if cached:
            self.cache = Cache(network.transformer, 1, context)

    @torch.inference_mode()
    def __call__(self, window: Sequence[int]) -> Tensor:
        seen = 0 if self.cache is None else self.cache.length
        device = self.network.transformer.embedding.weight.device
        new = torch.tensor([window[seen:]], device=device)
        logits: Tensor = self.network(new, cache=self.cache)[0, -1].cpu()
        return logits


class Writing(ManyPasses):
    """Tokens (B, T) -> (B, S): the first half of them, and what the network writes after it, always
    the likeliest. It shares the network's weights."""

    def __init__(self, network: Any, context: int):
        super().__init__()
        self.network, self.read = network, -(-context // 2)
        self.length = min(context, self.read + WRITTEN)
        self.one_answer = f"{self.read} tokens read and {self.length - self.read} written"
        self.train(network.training)

    def forward(self, tokens: Tensor) -> Tensor:
        written = tokens[:, : self.read]
        cache = Cache(self.network.transformer, len(tokens), self.length)
        new = written
        while written.shape[1] < self.length:
            new = self.network(new, cache=cache)[:, -1:].argmax(dim=2)
            written = torch.cat([written, new], dim=1)
        return written


@torch.inference_mode()
def draw(logits: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """One token of (V,)."""
    if temperature == 0:
        return int(logits.argmax())
    p = torch.softmax(logits.double() / temperature, dim=0)
    ordered, tokens = p.sort(descending=True, stable=True)
    before = ordered.cumsum(0) - ordered  # what the likelier ones have together
    ordered[before >= top_p] = 0.0
    return int(tokens[torch.multinomial(ordered, 1, generator=generator)])


def pieces_of_text(
    tokens: Iterator[int], tokenizer: Tokenizer, stop: Sequence[str], most: int
) -> Iterator[str]:
    """Text as it is written: at most `most` tokens, up to `end` or the first of the `stop` texts.

    Bytes wait for their character to be whole, and what may become a stop text for its end.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    waiting = ""
    for _, token in zip(range(most), tokens):
        if token == tokenizer.end:
            break
        waiting += decoder.decode(tokenizer.pieces[token])
        ended, ready = _cut(waiting, stop)
        if waiting[:ready]:
            yield waiting[:ready]
        waiting = waiting[ready:]
        if ended:
            return
    waiting += decoder.decode(b"", final=True)
    if waiting:
        yield waiting


def _cut(text: str, stop: Sequence[str]) -> tuple[bool, int]:
    """Whether a stop text is in `text`, and how much of `text` can go out: what comes before it,
    or before the longest end of `text` that begins one."""
    found = [text.index(s) for s in stop if s in text]
    if found:
        return True, min(found)
    starts = (s[:n] for s in stop for n in range(1, len(s)))
    longest = max((len(start) for start in starts if text.endswith(start)), default=0)
    return False, len(text) - longest


def check_writing(
    prompt: Any, temperature: Any, top_p: Any, stop: list[Any], max_tokens: Any, seed: Any
) -> None:
    """Raises InputError for the first argument of `generate` that is wrong."""
    if not isinstance(prompt, str):
        raise InputError(f"prompt must be text (a str); got {type(prompt).__name__}.")
    if not (isinstance(temperature, int | float) and 0 <= temperature < math.inf):
        raise InputError(f"temperature must be 0 or above, say 0.8; got {temperature!r}.")
    if not (isinstance(top_p, int | float) and 0 < top_p <= 1):
        raise InputError(f"top_p must be above 0 and at most 1; got {top_p!r}.")
    if not all(isinstance(text, str) and text for text in stop):
        raise InputError(f"stop must be texts that are not empty; got {stop!r}.")
    if not isinstance(max_tokens, int | np.integer) or max_tokens < 0:
        raise InputError(f"max_tokens must be 0 or more; got {max_tokens!r}.")
    if not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise InputError(f"seed must be a whole number, 0 or more; got {seed!r}.")
