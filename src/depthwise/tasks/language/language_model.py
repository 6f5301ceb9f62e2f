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
from torch import nn

from depthwise.backbones.texts.transformer import Rung
from depthwise.compute import own_randomness
from depthwise.data.dataset import Dataset
from depthwise.data.inputs import fingerprint_arrays
from depthwise.errors import DivergedError, InputError
from depthwise.models.abilities import WritesText
from depthwise.models.datasets import is_dataset
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
from depthwise.tasks.language.generation import (
    Writing,
    check_writing,
    drawn_tokens,
    pieces_of_text,
)
from depthwise.tasks.language.kneser_ney import KneserNey
from depthwise.tasks.language.network import SIZES, LanguageNetwork
from depthwise.tasks.language.ngram_counts import Counts, best_share
from depthwise.tasks.language.scoring import assessed, token_nats
from depthwise.tasks.language.step import NextTokenUpdate
from depthwise.text.files import as_texts
from depthwise.text.tokens import KINDS, Tokenizer, as_bytes, learn_tokens
from depthwise.training.run import Run
from depthwise.training.stages import Interrupted, Stages
from depthwise.training.step import Recipe
from depthwise.training.training_data import TrainingData

__all__ = ["SIZES", "LanguageModel", "LanguageNetwork"]

AUTO_TOKENS = 20_000_000  # that training looks at
LONGEST_CONTEXT = 65_536
MOST_ORDER = 20
SCORING = 0.15  # of a limit of seconds, for what is held out


@settings
class LanguageModel(Learning, Estimator):
    """Decoder-only Transformer, learnt from text: a str, a `Path` to a file of it, a sequence of
    them, or a Dataset of prose; `fit` does not look at y. Texts given as `validation` choose the
    best epoch; else `validation_fraction` of the text, at its end.
    """

    family: ClassVar[str] = "language"
    tasks: ClassVar[tuple[str, ...]] = ("language",)
    sizes: ClassVar[dict[str, Rung]] = SIZES
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    network_: LanguageNetwork = no_setting()
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
        "megabytes; None for the network alone; see ngram_counts.py",
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
    patience: int | None = setting(default=None, range=whole("[1, inf)") | NONE)
    validation_fraction: float = setting(
        default=0.05,
        range=number("[0, 1)", usual=(0, 0.2)),
        doc="share of the text, its last part, that chooses the best epoch",
    )

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

    def prepare(self, X: Any, learn: bool = False) -> np.ndarray:
        return self.tokenize(X, learn)

    def outputs_for(self, data: Dataset) -> int:
        self.tokenize(data.train.X, learn=True)
        return self.n_outputs

    # -- learning -------------------------------------------------------------------------------

    def recipe(self, items: int, **changes: Any) -> Recipe:
        """How `items` windows would be learnt from: the settings, "auto" filled in."""
        auto = min(20.0, max(1.0, AUTO_TOKENS / (items * self.context_)))
        epochs = auto if self.epochs == "auto" else float(self.epochs)
        return Recipe.of(self, **{"epochs": epochs, "seed": self._seed(), **changes})

    def _training_data(self, X: Any, y: Any, sample_weight: Any, validation: Any) -> TrainingData:
        """inputs: the tokens of the text, (S,); held out: those of its last part, or of
        `validation`."""
        if sample_weight is not None:
            raise InputError(
                "LanguageModel gives all texts the same weight. Leave out sample_weight, or give a "
                "text as often as it shall count."
            )
        self.split_ = None
        if is_dataset(X, y):
            self.split_ = X.split_marks
            X, validation = _parts(X, validation)
        texts = as_texts(X)
        check_settings(self)
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
            self._nats(window)
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
            own = self._nats(held_out, overlap=self.context_ // 2)
            counts.network_share.fill_(best_share(own, counted.nats(held_out)[1:]))
        self.network_.counts = counts

    def partial_fit(self, X: Any, y: Any = None) -> Self:
        """One pass over X at a constant learning rate, from the network's present weights. The
        first call fixes the tokens, and its text is what is counted."""
        texts = as_texts(X)
        check_settings(self)
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
        return (-float(self._nats(text, network=network).mean()),)

    # -- how well it does --------------------------------------------------------------------------

    def assess(self, X: Any, y: Any = None) -> dict[str, Any]:
        """Minus the bits per byte as "value" with "low" and "high", its 95% interval over
        stretches of 500 tokens; "nats_per_character", "perplexity", and "items", the bytes."""
        texts = as_texts(X)
        nats = np.concatenate([self.token_nats(text) for text in texts])
        written, characters = sum(len(as_bytes(text)) for text in texts), sum(map(len, texts))
        return assessed(nats, written, characters)

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
        nats = self._nats(row, overlap=self.context_ // 2)
        if not np.isfinite(nats).all():
            raise DivergedError(
                f"the network's answer is not a number. Fit again with a lower lr, now {self.lr:g}."
            )
        return nats

    def _row(self, texts: Sequence[str]) -> np.ndarray:
        """All texts in one row (S,) int32, `end` before each."""
        end = np.array([self.tokenizer_.end], dtype=np.int32)
        return np.concatenate([part for t in texts for part in (end, self.tokenizer_.encode(t))])

    def _nats(
        self, text: np.ndarray, *, overlap: int = 0, network: nn.Module | None = None
    ) -> np.ndarray:
        """-ln p of every token of (S,) but the first: (S - 1,)."""
        return token_nats(network or self.network_, text, self.context_, overlap)

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
        check_writing(prompt, temperature, top_p, stops, max_tokens, seed)
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


def _parts(dataset: Dataset, validation: Any) -> tuple[Any, Any]:
    """Texts to learn from and to choose the best epoch by."""
    dataset.require_task("language")
    held = list(dataset.validation.X)
    return list(dataset.train.X), (held or None) if validation is None else validation
