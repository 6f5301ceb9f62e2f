"""Sentence matching: how alike two sentences are, whether they say the same, what follows.

    matcher = SentenceMatcher(targets=(0, 5)).fit(pairs, scores)     similarities of any range
    matcher = SentenceMatcher().fit(pairs, labels)                   classes: paraphrase, entailment
    matcher.predict(pairs)
    matcher.encode(sentences)                                        unit vectors (N, E)
    matcher.index(sentences).search("a query", k=10)                 positions, cosines

The networks are in network.py, what they read in hashed.py or,
pretrained, in backbones/texts/named.py, search in index.py. What is learnt:

    similarity   min mean ((s - y) / (high - low))^2       Spearman's rho is the score
    classes      min mean -log p_y                         F1 of classes_[1] where there are two
                                                           classes, else accuracy

Shapes: N pairs, T pieces of the longest text, E width of the vectors, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.backbones.texts.named import SentenceEncoder
from depthwise.errors import DivergedError, InputError
from depthwise.losses import over_answers
from depthwise.models.supervised import Classifier
from depthwise.scores.accuracy import wilson_interval
from depthwise.settings import no_setting, one_of, setting, settings, whole
from depthwise.task import Answer
from depthwise.tasks.encoder_estimator import EncoderEstimator
from depthwise.tasks.sentence_matching.hashed import (
    FILLING,
    SIZES,
    HashedEncoder,
    JoinedEncoder,
    MatchRung,
)
from depthwise.tasks.sentence_matching.index import SentenceIndex
from depthwise.tasks.sentence_matching.network import (
    ClassHead,
    CrossNetwork,
    OutputHead,
    SiameseNetwork,
    SimilarityHead,
)
from depthwise.tasks.sentence_matching.pairs import (
    Pair,
    as_pairs,
    as_similarities,
    checked_range,
    hashed_rows,
    kind_of,
    range_of,
    require_labels,
    require_sentences,
)
from depthwise.tasks.sentence_matching.scores import (
    f1,
    f1_interval,
    pearson,
    spearman,
    spearman_interval,
)
from depthwise.tasks.token_inputs import take_tokens
from depthwise.text.files import as_texts
from depthwise.training.step import Recipe

__all__ = ["SIZES", "SentenceMatcher"]

AUTO = {"scratch": (4, 64), "head": (10, 128), "tuned": (3, 32)}  # epochs, items a step
FEWEST_STEPS = 200  # of few pairs


@settings
class SentenceMatcher(EncoderEstimator, Classifier):
    """Learns from pairs of sentences, [(a, b), ...] or an array (N, 2), and what is said of them.

    Attributes: kind_ ("similarity" or "classes"), range_ (of similarities), classes_.
    """

    family: ClassVar[str] = "sentences"
    weighs_items: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("pairs",)
    sizes: ClassVar[dict[str, MatchRung]] = SIZES
    pretrained: ClassVar[dict[str, dict[str, Any]]] = {
        "minilm": {"encoder": "minilm-l6", "lr": 5e-4},
        "minilm-cross": {"encoder": "minilm-l6", "cross": True, "freeze": 1, "encoder_rate": 0.1},
    }
    task_mark: ClassVar[str] = "kind_"
    augment = None
    kind_: str = no_setting()
    range_: tuple[float, float] | None = no_setting()

    epochs: float | str = setting(
        default="auto",
        doc='passes over the data; "auto", with `batch_size`: 4 by 64 from scratch, 10 by 128 for '
        "the head alone, 3 by 32 for an encoder that is adapted; more of few pairs",
    )
    cross: bool = setting(
        default=False,
        range=one_of(True, False),
        doc="False encodes the sentences apart; True reads them together, which can be better and "
        "has no vectors to search by",
    )
    targets: str | tuple[float, float] = setting(
        default="auto",
        doc='what y holds: "classes", or the range of similarities, say (0, 5); "auto" takes '
        "numbers with fractions for similarities, of the range that they have",
    )
    size: str = setting(
        default="s",
        doc='what is learnt from scratch, "xs" (words and parts of words) .. "m" (with 2 layers)',
    )
    max_words: int = setting(
        default=128,
        range=whole("[1, inf)", usual=(32, 512)),
        doc="words of a sentence that are read; of a pretrained encoder, pieces of words, and "
        "with cross=True those of a pair; longer ones are cut, and that is said",
    )
    word_dropout: float = 0.1
    patience: int | str | None = None
    label_smoothing: float = 0.0
    warm_start: bool = False
    class_weight: None = no_setting(default=None)
    metric: None = no_setting(default=None)

    # -- answers --------------------------------------------------------------------------------

    @property
    def answer(self) -> Answer:
        """A similarity, or the class of a pair, whichever was learnt."""
        return "similarity" if self.known_classes is None else "class"

    def predict(self, X: Any) -> np.ndarray:
        """Similarities (N,) within the range, or class labels (N,)."""
        check_is_fitted(self, "network_")
        if self.kind_ == "classes":
            labels: np.ndarray = super().predict(X)
            return labels
        assert self.range_ is not None
        return self._similarities(self._take(X, reset=False)[0]).clip(*self.range_)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities (N, K). Raises InputError of a model of similarities."""
        check_is_fitted(self, "network_")
        if self.kind_ != "classes":
            raise InputError("this model tells similarities, which are no classes: use predict.")
        return super().predict_proba(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Spearman's rank correlation of similarities; of two classes F1 of `classes_[1]`, of more
        their accuracy."""
        return float(self.assess(X, y)["value"])

    def assess(self, X: Any, y: Any) -> dict[str, Any]:
        """`score` as "value", its 95% interval "low", "high", which "metric" it is, "items", and
        "pearson" of similarities, "accuracy" and "per_class" recall of classes."""
        check_is_fitted(self, "network_")
        inputs, truth = self._take(X, y, reset=False, classes=self.known_classes)
        if truth is None:
            raise InputError("y is missing: a score compares answers with it.")
        if self.kind_ == "similarity":
            answers, wanted = self._similarities(inputs), truth[:, 0]
            value = spearman(answers, wanted)
            low, high = spearman_interval(value, len(wanted))
            about = {"metric": "spearman", "pearson": pearson(answers, wanted), "per_class": {}}
        else:
            told = self._logits(inputs).argmax(dim=1).numpy()
            value, low, high, about = self._told_right(told, truth)
        return {"value": value, "low": low, "high": high, "items": len(truth), **about}

    def _told_right(
        self, told: np.ndarray, truth: np.ndarray
    ) -> tuple[float, float, float, dict[str, Any]]:
        right = told == truth
        recalls = {
            str(name): float(right[truth == k].mean()) if (truth == k).any() else None
            for k, name in enumerate(self.classes_)
        }
        about = {"metric": "accuracy", "accuracy": float(right.mean()), "per_class": recalls}
        if len(self.classes_) > 2:
            return float(right.mean()), *wilson_interval(int(right.sum()), len(right)), about
        return (
            f1(told == 1, truth == 1),
            *f1_interval(told == 1, truth == 1),
            {**about, "metric": f"f1 of {self.classes_[1]}"},
        )

    def similarity(self, a: Any, b: Any) -> np.ndarray:
        """Cosines (N,) of the vectors of a[i] and b[i]; the same whichever comes first."""
        left, right = self.encode(a), self.encode(b)
        if len(left) != len(right):
            raise InputError(
                f"similarity compares as many with as many; got {len(left)}, {len(right)}."
            )
        return np.asarray((left * right).sum(axis=1))

    def encode(self, sentences: Any) -> np.ndarray:
        """Vectors (N, E) of length 1, of one sentence or a list of them. Raises InputError of a
        cross-encoder, which has none."""
        check_is_fitted(self, "network_")
        if self.cross:
            raise InputError(
                "a cross-encoder reads two sentences together and has no vector of one. "
                "Fit with cross=False."
            )
        rows = self._token_rows(as_texts(sentences, "sentences"))
        vectors = self._by_encoder(rows, lambda network, x: network.encoded(x)).numpy()
        if not np.isfinite(vectors).all():
            raise DivergedError("a vector is not a number. Fit again with a lower lr.")
        return np.asarray(vectors)

    def index(self, sentences: Any) -> SentenceIndex:
        """What `search` goes through; learning more makes it stale."""
        return SentenceIndex(self.encode(sentences), self.encode, self._mark())

    def load_index(self, path: str | Path) -> SentenceIndex:
        """The index that `SentenceIndex.save` wrote. Raises ModelFileError for another model's."""
        check_is_fitted(self, "network_")
        return SentenceIndex.load(path, self.encode, self._mark())

    def _mark(self) -> str:
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network_.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    # -- the network ----------------------------------------------------------------------------

    @property
    def n_outputs(self) -> int:
        """K, or 1 similarity."""
        return 1 if self.known_classes is None else len(self.known_classes)

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Of K > 1 classes, else of similarities."""
        if self.encoder is not None:
            return self._on_encoder(n_outputs, pretrained=False)
        make = JoinedEncoder if self.cross else HashedEncoder
        below = make(self._rung(), self.dropout, self.word_dropout)
        return self._network(below, n_outputs, FILLING)

    def build_on(self, encoder: SentenceEncoder, n_outputs: int) -> nn.Module:
        return self._network(encoder, n_outputs, encoder.filling)

    def _network(self, below: Any, n_outputs: int, filling: int) -> nn.Module:
        wide = below.n_embedding
        if self.cross:
            head = OutputHead(wide, n_outputs if n_outputs > 1 else 0, self.dropout)
            return CrossNetwork(below, head, filling)
        if n_outputs > 1:
            return SiameseNetwork(below, ClassHead(wide, n_outputs, self.dropout), filling)
        turns = isinstance(below, SentenceEncoder)
        return SiameseNetwork(below, SimilarityHead(wide, turns=turns), filling)

    def _new_network(self, inputs: np.ndarray, targets: np.ndarray) -> nn.Module:
        network: Any = super()._new_network(inputs, targets)
        if isinstance(network.encoder, HashedEncoder):
            network.encoder.weigh(inputs.reshape(-1, inputs.shape[-1]))
        if self.range_ is not None:
            network.head.low.fill_(self.range_[0])
            network.head.width.fill_(self.range_[1] - self.range_[0])
        return network

    def describe_network(self) -> dict[str, Any]:
        return {**super().describe_network(), "range": self.range_ and list(self.range_)}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        edges = description["range"]
        self.kind_, self.range_ = "classes" if edges is None else "similarity", None
        if edges is not None:
            low, high = edges
            self.range_ = float(low), float(high)
        if self.encoder is not None:
            return self._rebuilt(description)
        return super().rebuild(description)

    # -- pairs and answers as numbers -----------------------------------------------------------

    def _take(
        self, X: Any, y: Any = None, *, reset: bool, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """Tokens (N, 2, T) int64, and similarities (N, 1), class indices (N,), or None."""
        return take_tokens(self, as_pairs(X), y, reset=reset, classes=classes, texts_an_item=2)

    def _learn_words(self, items: list[Pair]) -> None:
        """Words are hashed, or an encoder brings its own."""
        require_sentences(items)
        if self.encoder is not None:
            self._find_pieces()

    def tokenize(self, X: Any, learn: bool = False) -> np.ndarray:
        """Pairs (N, 2) of sentences as tokens (N, 2, T) int64. There is no vocabulary to `learn`:
        words are hashed, or an encoder brings its own."""
        if learn and self.encoder is not None:
            self._find_pieces()
        return self._tokens(as_pairs(X))

    def prepare(self, X: Any, learn: bool = False) -> np.ndarray:
        return self.tokenize(X, learn)

    def _tokens(self, items: list[Pair]) -> np.ndarray:
        if self.cross and self.encoder is not None:
            return self.pieces_.encode_pairs(items, int(self.max_words))
        rows = self._token_rows([text for pair in items for text in pair])
        return rows.reshape(len(items), 2, -1)

    def _token_rows(self, texts: list[str]) -> np.ndarray:
        """(N, T) int64, words and then grams, or an encoder's pieces."""
        if self.encoder is not None:
            return self.pieces_.encode(texts, int(self.max_words))
        return hashed_rows(texts, int(self.max_words))

    def _filling(self) -> int | None:
        return FILLING if self.encoder is None else super()._filling()

    def _check_targets(self, y: Any, items: int) -> np.ndarray:
        targets = np.asarray(y)
        if targets.ndim == 2 and targets.shape[1] == 1:
            targets = targets[:, 0]
        if targets.ndim != 1 or len(targets) != items:
            raise InputError(f"y must be ({items},), one answer a pair; got {targets.shape}.")
        return targets

    def _encode(self, targets: np.ndarray, reset: bool, classes: np.ndarray | None) -> Any:
        stated = checked_range(self.targets)
        if reset:
            kind = kind_of(targets, self.targets)
            self.kind_ = "classes" if classes is not None else kind
        if self.kind_ == "classes":
            if reset:
                self.range_ = None
                require_labels(targets)
            return super()._encode(targets, reset, classes)
        self.__dict__.pop("classes_", None)
        scores = as_similarities(targets, stated)
        if reset:
            self.range_ = stated or range_of(scores)
        return scores.astype(np.float32)[:, None]

    # -- learning -------------------------------------------------------------------------------

    def recipe(self, items: int, **changes: Any) -> Recipe:
        made = super().recipe(items, **changes)
        way = "scratch" if self.encoder is None else "head" if self.freeze == "all" else "tuned"
        epochs, batch = AUTO[way]
        filled: dict[str, Any] = {}
        if self.batch_size == "auto":
            filled["batch_size"] = batch = min(batch, made.batch_size)
        if self.epochs == "auto":
            filled["epochs"] = max(epochs, min(60, FEWEST_STEPS * batch // max(items, 1)))
        return replace(made, **{**filled, **changes})

    def _loss(self) -> Callable[[Tensor, Tensor], Tensor]:
        if self.kind_ == "classes":
            return super()._loss()
        assert self.range_ is not None
        width = self.range_[1] - self.range_[0]
        return over_answers(lambda answers, y: (((answers.float() - y) / width) ** 2).mean())

    def _validation_scores(
        self, inputs: np.ndarray, targets: Any, network: nn.Module
    ) -> tuple[float, ...]:
        """The score, and minus the loss, which breaks its ties."""
        if self.kind_ == "classes":
            accuracy, minus_loss = super()._validation_scores(inputs, targets, network)
            if len(self.classes_) > 2:
                return accuracy, minus_loss
            told = self._logits(inputs, network).argmax(dim=1).numpy()
            return f1(told == 1, targets == 1), minus_loss
        answers = self._logits(inputs, network)[:, 0].numpy()
        wrong = float(((answers - targets[:, 0]) ** 2).mean())
        return spearman(answers, targets[:, 0]), -wrong

    def _similarities(self, inputs: np.ndarray) -> np.ndarray:
        """(N,), as the network says them, some a little outside the range."""
        answers = self._logits(inputs)[:, 0].numpy()
        if not np.isfinite(answers).all():
            raise DivergedError("a similarity is not a number. Fit again with a lower lr.")
        return answers

    def _features(self, inputs: np.ndarray) -> np.ndarray:
        """Every sentence once, however many pairs it is in."""
        if self.cross:
            return super()._features(inputs)
        flat = inputs.reshape(-1, inputs.shape[-1])
        rows, place = np.unique(flat, axis=0, return_inverse=True)
        units = self._by_encoder(rows, lambda network, x: network.units(x)).numpy()
        return np.asarray(units[place.ravel()].reshape(len(inputs), 2, -1))

    def _check_settings(self, inputs: np.ndarray) -> None:
        super()._check_settings(inputs)
