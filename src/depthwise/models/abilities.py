"""What some models can do and others cannot, as types.

A model is asked by its own attribute, which is itself under that type, or None:

    if writer := model.writer:
        text = "".join(writer.generate("Once"))

    predictor    predict(X) answers each item            classes, numbers, captions, masks
    finder       predict(X, count=...) finds objects     detectors, counters
    recognizer   enroll, identify, similarity            faces
    searcher     encode_images, encode_texts, search     images and texts
    writer       generate                                language models
    teacher      soft_answers                            frozen features

So mypy checks that what a model declares is what it has. Models of labels are `Classifier`, models
of numbers `Regressor` (supervised.py), models of the data itself `Generative` (generative.py).

Shapes: N items, M texts, P people, Q queries, K classes, C channels, H W image, D features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

__all__ = [
    "FindsObjects",
    "Predicts",
    "RecognizesPeople",
    "Searches",
    "Teaches",
    "WritesText",
]


class Predicts(Protocol):
    """A model that answers each item X (N, ...): a label, a number, a caption or a mask."""

    def predict(self, X: Any) -> Any: ...


class FindsObjects(Protocol):
    """A model that finds the objects of images X (N, C, H, W), or counts them: int64 (N, K).
    counts_objects: whether counts are its answer, unless boxes are asked for."""

    counts_objects: ClassVar[bool]

    def predict(self, X: Any, *, count: bool) -> Any: ...


class RecognizesPeople(Protocol):
    """A model of faces, images (N, C, H, W). enrolled_: pictures of each person by name;
    threshold_: the cosine above which two faces are one person."""

    enrolled_: dict[str, int]
    threshold_: float

    def enroll(self, name: str, images: Any, *, add: bool = False) -> Any: ...

    def forget(self, name: str) -> Any: ...

    def identify(self, images: Any) -> np.ndarray:
        """Names (N,)."""

    def similarities(self, images: Any) -> np.ndarray:
        """Cosines (N, P)."""

    def similarity(self, a: Any, b: Any) -> np.ndarray:
        """Cosines (N,)."""


class Searches(Protocol):
    """A model of images and texts, whose unit vectors (N, D) compare by cosine."""

    def encode_images(self, X: Any) -> np.ndarray: ...

    def encode_texts(self, texts: Any) -> np.ndarray: ...

    def search(self, queries: Any, among: Any, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of `among` to each query: places int64 (Q, k) and cosines (Q, k)."""


class WritesText(Protocol):
    """A language model."""

    def generate(
        self,
        prompt: str = "",
        *,
        temperature: float = 0.8,
        top_p: float = 0.95,
        stop: str | Sequence[str] = (),
        max_tokens: int = 500,
        seed: int = 0,
    ) -> Iterator[str]: ...


class Teaches(Protocol):
    """A model whose logits other networks can learn from."""

    def soft_answers(self, X: Any) -> np.ndarray:
        """Logits (N, K) of the items that it was fitted on."""
