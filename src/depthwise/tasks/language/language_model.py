"""Language model: a decoder that learns to foretell the next token, and so to write.

    p(text) = prod_t p(token_t | the tokens before it, at most T of them)
    bits per byte = -log2 p(text) / bytes of the text;   perplexity = exp(nats a token)

The network is in backbones/texts/transformer.py, a step of learning in step.py,
writing in generation.py. A text is scored in windows that overlap by half, so that every
token but the first ones has at least T/2 others before it.

Shapes: B batch, S tokens of a text, T positions of a window, V vocabulary, N windows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.backbones.texts.transformer import Cache, Rung, Transformer
from depthwise.compute import own_randomness
from depthwise.data.inputs import fingerprint_arrays
from depthwise.errors import InputError
from depthwise.models.abilities import WritesText
from depthwise.settings import no_setting, settings
from depthwise.tasks.language.counts import Counts, best_share
from depthwise.tasks.language.generation import Writing, drawn_tokens, pieces_of_text
from depthwise.tasks.language.kneser_ney import KneserNey
from depthwise.tasks.language.scoring import Scoring
from depthwise.tasks.language.sizes import LONGEST_CONTEXT
from depthwise.tasks.language.step import NextTokenUpdate
from depthwise.text.files import as_texts
from depthwise.text.tokens import Tokenizer, learn_tokens
from depthwise.training.run import Run
from depthwise.training.stages import Interrupted, Stages
from depthwise.training.training_data import TrainingData

__all__ = ["SIZES", "LanguageModel", "LanguageNetwork"]

SCORING = 0.15  # of a limit of seconds, for what is held out

SIZES: dict[str, Rung] = {
    "xxs": Rung(width=32, layers=1, heads=1, groups=1),
    "xs": Rung(width=64, layers=2, heads=2, groups=1),
    "s": Rung(width=128, layers=4, heads=4, groups=2),
    "m": Rung(width=256, layers=4, heads=4, groups=2),
    "l": Rung(width=320, layers=6, heads=5, groups=5),
    "xl": Rung(width=384, layers=8, heads=6, groups=3),
}


class LanguageNetwork(nn.Module):
    """Tokens (B, T) int -> logits (B, T, V) of the token that follows each."""

    def __init__(self, vocabulary: int, rung: Rung, dropout: float):
        super().__init__()
        self.transformer = Transformer(vocabulary, rung, causal=True, dropout=dropout)
        self.counts: Counts | None = None

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        before = None if cache is None else cache.tokens
        logits = self.transformer.logits(self.transformer(tokens, cache=cache))
        return logits if self.counts is None else self.counts.mixed(logits, tokens, before)


@settings
class LanguageModel(Scoring):
    """Decoder-only Transformer, learnt from text: a str, a `Path` to a file of it, a sequence of
    them, or a Dataset of prose; `fit` does not look at y. Texts given as `validation` choose the
    best epoch; else `validation_fraction` of the text, at its end.
    """

    family: ClassVar[str] = "language"
    tasks: ClassVar[tuple[str, ...]] = ("language",)
    sizes: ClassVar[dict[str, Rung]] = SIZES
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    # learnt
    network_: LanguageNetwork = no_setting()

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> LanguageNetwork:
        """Tokens (B, T) -> logits (B, T, n_outputs)."""
        return LanguageNetwork(n_outputs, self._rung(), float(self.dropout))

    @property
    def n_outputs(self) -> int:
        """V, with the token that ends a text."""
        return self.tokenizer_.size if "tokenizer_" in vars(self) else 0

    @property
    def writer(self) -> WritesText | None:
        return self

    def prepare(self, X: Any) -> np.ndarray:
        return self.tokenize(X)

    def outputs_for(self, data: Any) -> int:
        self.tokenize(data.train.X, learn=True)
        return self.n_outputs

    # -- learning -------------------------------------------------------------------------------

    def _training_data(self, X: Any, y: Any, sample_weight: Any, validation: Any) -> TrainingData:
        """inputs: the tokens of the text, (S,); held out: those of its last part, or of
        `validation`."""
        if sample_weight is not None:
            raise InputError(
                "LanguageModel gives all texts the same weight. Leave out sample_weight, or give a "
                "text as often as it shall count."
            )
        self.split_ = getattr(X, "split_marks", None)
        if hasattr(X, "train"):
            X, validation = _parts(X, validation)
        texts = as_texts(X)
        self._check_settings()
        self.tokenizer_ = learn_tokens(self.tokens, texts, self.vocabulary)
        text, held_out = self._row(texts), None
        if validation is not None:
            held_out = self._row(as_texts(validation, "validation"))
        elif self.validation_fraction:
            cut = len(text) - round(self.validation_fraction * len(text))
            text, held_out = text[:cut], text[cut:]
        self._take_row(text, reset=True)
        return TrainingData(text, held_out=None if held_out is None else (held_out, None))

    def _train(self, data: TrainingData, run: Run) -> None:
        text, held_out = data.inputs, data.held_out[0] if data.held_out else None
        counted = self._counted(text)
        self.network_ = self._new_network()
        left = run.seconds_left
        with Stages(self, self.network_, TrainingData(self._starts(text)), run) as stages:
            recipe = self.recipe(len(stages.inputs))
            validate = None
            if held_out is not None and left is not None:
                held_out = self._held_in_time(held_out, SCORING * left)
            if held_out is not None and len(held_out) > 1:
                validate = partial(self._held_out_scores, held_out)
            held = 0 if held_out is None else math.ceil(len(held_out) / self.context_)
            self._learn(stages, text, recipe, validate, held)
        self._mix_in(counted, held_out)

    def _held_in_time(self, held_out: np.ndarray, seconds: float) -> np.ndarray:
        """The beginning of what is held out, as far as `seconds` suffice to score it; two windows
        at least."""
        window = held_out[: self.context_ + 1]
        for _ in range(2):  # the first time kernels are prepared
            begun = time.monotonic()
            self._nats(window, self.network_, overlap=0)
            taken = time.monotonic() - begun
        return held_out[: self.context_ * max(2, int(seconds / max(taken, 1e-6)))]

    def _counted(self, text: np.ndarray) -> KneserNey | None:
        if self.counts is None:
            return None
        return KneserNey(int(self.counts), self.n_outputs).fit(text)

    def _mix_in(self, counted: KneserNey | None, held_out: np.ndarray | None) -> None:
        if counted is None:
            return
        counts = Counts.of(counted)
        if held_out is not None and len(held_out) > 1:
            own = self._nats(held_out, self.network_, overlap=self.context_ // 2)
            counts.network_share.fill_(best_share(own, counted.nats(held_out)[1:]))
        self.network_.counts = counts

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One pass over X at a constant learning rate, from where the network stands now. The first
        call fixes the tokens, and its text is what is counted."""
        texts = as_texts(X)
        self._check_settings()
        first = not self.is_fitted
        if first:
            self.tokenizer_ = learn_tokens(self.tokens, texts, self.vocabulary)
        text = self._row(texts)
        self._take_row(text, reset=first)
        if first:
            self.network_ = self._new_network()
        counted = self._counted(text) if first else None
        counts, self.network_.counts = self.network_.counts, None
        windows = TrainingData(self._starts(text))
        with Stages(self, self.network_, windows, Run(), more=True) as stages:
            recipe = self.recipe(len(stages.inputs), epochs=1, schedule="constant", average=0.0)
            self._learn(stages, text, recipe, None)
        self.network_.counts = counts
        self._mix_in(counted, None)
        return self

    def _learn(
        self, stages: Stages, text: np.ndarray, recipe: Any, validate: Any, held_out: int = 0
    ) -> None:
        """`held_out`: windows that are scored at the end, and where n-grams are mixed in once more,
        half of each overlapping the one before."""
        row, context = torch.from_numpy(text), min(self.context_, len(text) - 1)
        update = NextTokenUpdate(self.network_, row, context, recipe, stages.compute)
        try:
            scorings = 1 if self.counts is None else 3
            stages.run(
                "learn", update, recipe, validate=validate, held_out=held_out, scorings=scorings
            )
        except Interrupted:
            self.network_.eval()
        self.history_ = stages.history()

    def _take_row(self, text: np.ndarray, reset: bool) -> None:
        if len(text) < 3:
            raise InputError(
                f"there is too little text to learn from: {len(text) - 1} tokens. Give more."
            )
        if reset:
            self.input_dtype_ = "int64"
            self.context_ = min(int(self.context), len(text) - 1)
            self.input_shape_ = (self.context_,)
        self.n_features_in_ = self.context_
        self.data_fingerprint_ = fingerprint_arrays(text)

    def _starts(self, text: np.ndarray) -> np.ndarray:
        """Where the windows of an epoch begin at the earliest: (N,) int64."""
        return np.arange(0, max(1, len(text) - 1), self.context_, dtype=np.int64)

    def _new_network(self) -> LanguageNetwork:
        with own_randomness(self._seed()):
            return self.build(self.input_shape_, self.n_outputs)

    def _held_out_scores(self, text: np.ndarray, network: Any) -> tuple[float, ...]:
        """(minus nats a token,), in windows that do not overlap."""
        return (-float(self._nats(text, network, overlap=0).mean()),)

    # -- writing --------------------------------------------------------------------------------

    def generate(
        self,
        prompt: str = "",
        *,
        temperature: float = 0.8,
        top_p: float = 0.95,
        stop: str | Sequence[str] = (),
        max_tokens: int = 500,
        seed: int = 0,
    ) -> Iterator[str]:
        """What follows `prompt`, in pieces as they are written: "".join(model.generate("ROMEO:")).

        temperature: 0 takes the likeliest token, 1 what was learnt, 2 nearly anything; top_p: share
        of the probability that is drawn from, (0, 1]; stop: texts that end it, not written
        themselves; max_tokens: at most so many; seed: the same one writes the same text.
        Raises InputError at once for a wrong argument.
        """
        check_is_fitted(self, "network_")
        stops = [stop] if isinstance(stop, str) else list(stop)
        _check_writing(prompt, temperature, top_p, stops, max_tokens, seed)
        before = self._row([prompt]).tolist()
        generator = torch.Generator().manual_seed(seed)
        tokens = drawn_tokens(
            self.network_.eval(),
            before,
            self.context_,
            float(temperature),
            float(top_p),
            generator,
        )
        return pieces_of_text(tokens, self.tokenizer_, stops, max_tokens)

    def answering(self, network: nn.Module) -> nn.Module:
        return Writing(network, self.context_)

    # -- saving ---------------------------------------------------------------------------------

    def describe_network(self) -> dict[str, Any]:
        counts = self.network_.counts
        own = {} if counts is None else {"counts": counts.sizes}
        return {**super().describe_network(), "tokens": self.tokenizer_.to_plain(), **own}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        self.tokenizer_ = Tokenizer.from_plain(description["tokens"])
        (self.context_,) = map(int, description["input_shape"])
        if int(description["n_classes"]) != self.tokenizer_.size:
            raise ValueError(f"{self.tokenizer_.size} tokens, {description['n_classes']} outputs")
        if not 1 <= self.context_ <= LONGEST_CONTEXT:
            raise ValueError(f"windows of {self.context_} tokens")
        network = super().rebuild(description)
        if "counts" in description:
            sizes = [(int(grams), int(histories)) for grams, histories in description["counts"]]
            network.counts = Counts(self.n_outputs, sizes)
        return network

    def tokenize(self, X: Any, learn: bool = False) -> np.ndarray:
        """Texts as windows (N, T) int64, the last one filled up with `end`; with `learn` the tokens
        and T are those for these texts."""
        texts = as_texts(X)
        if learn:
            self.tokenizer_ = learn_tokens(self.tokens, texts, self.vocabulary)
            self.context_ = min(int(self.context), sum(map(len, texts)))
        row, context = self._row(texts), self.context_
        count = -(-len(row) // context)
        filled = np.full(count * context, self.tokenizer_.end, dtype=np.int64)
        filled[: len(row)] = row
        return filled.reshape(count, context)

    def _take(self, X: Any, y: Any = None, *, reset: bool, classes: Any = None) -> Any:
        return self.tokenize(X), None


def _parts(dataset: Any, validation: Any) -> tuple[Any, Any]:
    """Texts to learn from and to choose the best epoch by."""
    dataset.require_task("language")
    held = list(dataset.validation.X)
    return list(dataset.train.X), (held or None) if validation is None else validation


def _check_writing(
    prompt: Any, temperature: Any, top_p: Any, stop: list[Any], max_tokens: Any, seed: Any
) -> None:
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
