"""Search over many sentences: the nearest by cosine, exactly.

    s_qi = u_q . v_i,     the k largest of each row      u, v of length 1

Products are made a block of sentences at a time, so that a million of them need no more memory than
their vectors; with k kept from block to block. An index is one safetensors file with the mark of
the weights that made its vectors, because those of another model cannot be compared.

Shapes: N sentences, Q queries, E width of the vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from depthwise.checkpoint import write_atomically
from depthwise.errors import InputError, ModelFileError

__all__ = ["SentenceIndex", "nearest"]

BLOCK = 8192  # sentences of one product
QUERIES = 1024  # and queries


class SentenceIndex:
    """Unit vectors (N, E) of sentences. `encode`: texts -> (Q, E); `mark`: of the weights."""

    def __init__(self, vectors: np.ndarray, encode: Callable[[Any], np.ndarray], mark: str):
        self.vectors, self.encode, self.mark = vectors, encode, mark

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, query: Any, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """Positions and cosines, the most similar first, the first of equals first: (k,) twice of
        one sentence, (Q, k) twice of several. k beyond N gives N.

        Raises InputError for a k that is no number from 1 on.
        """
        if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
            raise InputError(f"k must be a whole number, at least 1; got {k!r}.")
        single = isinstance(query, str)
        positions, cosines = nearest(self.encode([query] if single else query), self.vectors, k)
        return (positions[0], cosines[0]) if single else (positions, cosines)

    def save(self, path: str | Path) -> Path:
        """Write the vectors and the mark to one file."""
        about = {"depthwise": "sentence-index", "mark": self.mark}
        tensors = {"vectors": np.ascontiguousarray(self.vectors)}
        write_atomically(Path(path), lambda scratch: save_file(tensors, scratch, metadata=about))
        return Path(path)

    @classmethod
    def load(
        cls, path: str | Path, encode: Callable[[Any], np.ndarray], mark: str
    ) -> SentenceIndex:
        """Read a saved index. Raises ModelFileError for other files, or another model's."""
        try:
            with safe_open(path, framework="np") as file:
                about, vectors = file.metadata() or {}, file.get_tensor("vectors")
        except (OSError, SafetensorError) as error:
            raise ModelFileError(
                f"{path} is no index that can be read ({error}). Make it again: index(sentences)."
            ) from None
        if vectors.ndim != 2 or vectors.dtype != np.float32:
            raise ModelFileError(f"{path} holds no vectors (N, E). Make it again.")
        if about.get("mark") != mark:
            raise ModelFileError(
                f"{path} was made by a model of other weights, whose vectors mean something else. "
                "Make it again: index(sentences)."
            )
        return cls(vectors, encode, mark)


def nearest(queries: np.ndarray, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(Q, E), (N, E), k -> positions (Q, k) int64 and products (Q, k), the largest first."""
    k = min(int(k), len(vectors))
    parts = [
        _nearest(queries[i : i + QUERIES], vectors, k) for i in range(0, len(queries), QUERIES)
    ]
    return np.concatenate([p for p, _ in parts]), np.concatenate([s for _, s in parts])


def _nearest(queries: np.ndarray, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    positions = np.empty((len(queries), 0), dtype=np.int64)
    products = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = queries @ vectors[start : start + BLOCK].T
        here = np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)
        products = np.concatenate([products, block], axis=1)
        positions = np.concatenate([positions, here], axis=1)
        products, positions = _largest(products, positions, k)
    return positions, products


def _largest(products: np.ndarray, positions: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest of each row, in order; of equals those in front."""
    if products.shape[1] > 4 * k:
        edge = -np.partition(-products, k - 1, axis=1)[:, k - 1 : k]
        kept = int((products >= edge).sum(axis=1).max())  # with those that equal the k-th
        order = np.argsort(-(products >= edge).astype(np.int8), axis=1, kind="stable")[:, :kept]
        products = np.take_along_axis(products, order, axis=1)
        positions = np.take_along_axis(positions, order, axis=1)
    order = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return (
        np.take_along_axis(products, order, axis=1),
        np.take_along_axis(positions, order, axis=1),
    )
