"""Words that occur, weighed by how rare they are, and a line between classes: what a network for
texts must beat.

    x_i    = idf_i / sqrt(sum_j idf_j^2)      i, j: words and pairs of neighbours that occur in the
    idf_i  = ln((1 + N) / (1 + n_i)) + 1      text, once each; n_i of N texts have i
    z      = W x + b;     min  -sum log p(y|x) + |W|^2 / 2C

Binary TF-IDF (Salton and Buckley 1988) and multinomial logistic regression, fitted by scikit-learn,
then written into tensors: a network like any other.

Shapes: B batch, T tokens of a text, V vocabulary, K classes.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from depthwise.compute import free_cores
from depthwise.models.supervised import Classifier
from depthwise.settings import check_settings, no_setting, number, setting, settings, whole
from depthwise.tasks.text_classification.texts import (
    described_words,
    rebuilt_words,
    single_texts,
    word_rows,
)
from depthwise.tasks.token_inputs import take_tokens
from depthwise.text.words import FIRST, Words, learn_words
from depthwise.training.run import Run
from depthwise.training.training_data import TrainingData

__all__ = ["TextLogistic", "TfidfNetwork", "solve"]

ABSENT = -10.0  # logit of a class that no text belonged to


class TfidfNetwork(nn.Module):
    """Tokens (B, T), each once in a row, -> logits (B, K)."""

    idf: Tensor

    def __init__(self, vocabulary: int, n_classes: int):
        super().__init__()
        self.register_buffer("idf", torch.zeros(vocabulary))  # 0 for what is no word
        self.weights = nn.Embedding(vocabulary, n_classes)
        self.bias = nn.Parameter(torch.zeros(n_classes))

    def forward(self, tokens: Tensor) -> Tensor:
        idf = self.idf[tokens]  # (B, T)
        x = idf / idf.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return (x[..., None] * self.weights(tokens)).sum(dim=1) + self.bias


@settings
class TextLogistic(Classifier):
    """Logistic regression on the words and pairs of words of a text. Words are weighed by how many
    texts have them, whatever their `sample_weight`.
    """

    family: ClassVar[str] = "tfidf"
    resumes: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("text",)
    resource: ClassVar[str] = "max_iter"
    warm_start: bool = no_setting(default=False)
    words_: list[Words] = no_setting()

    C: float = setting(
        default=10.0,
        range=number("(0, inf)", usual=(1, 100)),
        doc="inverse strength of the penalty on weights",
    )
    longest: int = setting(
        default=2, range=whole("[1, 5]", usual=(1, 3)), doc="words of a run that counts as one"
    )
    vocabulary: int = setting(
        default=100_000,
        range=whole("[1, inf)", usual=(10_000, 200_000)),
        doc="pieces that are kept, the most frequent ones",
    )
    max_words: int = setting(default=1000, range=whole("[1, inf)", usual=(100, 10_000)))
    max_iter: int = setting(
        default=200, range=whole("[1, inf)", usual=(50, 1000)), doc="iterations of L-BFGS at most"
    )
    random_state: Any = setting(default=0, doc="for scikit-learn's sake; nothing is drawn")

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> TfidfNetwork:
        words = vars(self).get("words_")
        return TfidfNetwork(words[0].size if words else int(self.vocabulary), n_outputs)

    def _train(self, data: TrainingData, run: Run) -> None:
        check_settings(self)
        network = self._drawn_network()
        about = (self.C, self.max_iter, data.weights)
        steps = solve(network, data.inputs, data.targets, *about)
        self.network_ = network.eval()
        self._record(steps, data, run)

    def _take(
        self, X: Any, y: Any = None, *, reset: bool, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        """Tokens (N, T) int64, and label indices (N,) or None."""
        return take_tokens(self, single_texts(X), y, reset=reset, classes=classes)

    def tokenize(self, X: Any, learn: bool = False) -> np.ndarray:
        """Texts (N,) as rows of tokens (N, T) int64; with `learn` the vocabularies, for which
        `build` makes its network, are those of these texts."""
        texts = single_texts(X)
        if learn:
            self._learn_words(texts)
        return self._tokens(texts)

    def prepare(self, X: Any, learn: bool = False) -> np.ndarray:
        return self.tokenize(X, learn)

    def _learn_words(self, items: list[str]) -> None:
        check_settings(self)
        most, longest, read = int(self.vocabulary), int(self.longest), int(self.max_words)
        self.words_ = [learn_words(items, most, longest=longest, words=read)]

    def _tokens(self, items: list[str]) -> np.ndarray:
        return word_rows(items, self.words_, int(self.max_words))

    def describe_network(self) -> dict[str, Any]:
        return {**super().describe_network(), **described_words(self.words_)}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        self.words_ = rebuilt_words(description, 1)
        return super().rebuild(description)


def solve(
    network: TfidfNetwork,
    tokens: np.ndarray,
    labels: np.ndarray,
    C: float,
    max_iter: int,
    weights: np.ndarray | None = None,
) -> int:
    """Fill the network from tokens (N, T), label indices (N,) and weights (N,); how many steps that
    took. A class without a text among them is called unlikely."""
    rows = present(tokens, len(network.idf))
    idf = np.log((1 + len(tokens)) / (1 + np.asarray(rows.sum(axis=0)).ravel())) + 1
    idf[:FIRST] = 0.0
    x = rows.multiply(idf).tocsr()
    lengths = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
    x = x.multiply(1 / np.maximum(lengths, 1e-12)[:, None]).tocsr()
    network.idf.copy_(torch.from_numpy(idf))
    there = np.unique(labels)
    nn.init.zeros_(network.weights.weight)
    nn.init.constant_(network.bias, ABSENT)
    if len(there) == 1:
        nn.init.zeros_(network.bias)
        return 0
    solver = LogisticRegression(C=C, max_iter=max_iter)
    with threadpool_limits(free_cores()), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the limit is the user's choice
        solver.fit(x, labels, weights)
    _write(network, solver.coef_, solver.intercept_, torch.from_numpy(there))
    return int(solver.n_iter_[0])


def present(tokens: np.ndarray, vocabulary: int) -> csr_matrix:
    """(N, T) -> (N, V): 1 where a word is in the text."""
    n, t = np.nonzero(tokens >= FIRST)
    ones = np.ones(len(n))
    return csr_matrix((ones, (n, tokens[n, t])), shape=(len(tokens), vocabulary))


@torch.no_grad()
def _write(network: TfidfNetwork, weights: np.ndarray, bias: np.ndarray, classes: Tensor) -> None:
    """Two classes have one row of coefficients w: logits (-w/2, w/2) give the same p."""
    if len(weights) == 1:
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    network.weights.weight[:, classes] = torch.from_numpy(weights.T).to(network.bias.dtype)
    network.bias[classes] = torch.from_numpy(bias).to(network.bias.dtype)
