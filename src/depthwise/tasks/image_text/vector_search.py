"""Search among unit vectors of images and texts, and the vectors of texts.

Shapes: M texts, Q queries, D numbers of a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from depthwise.data.inputs import as_tensor
from depthwise.errors import DivergedError, InputError
from depthwise.tasks.image_text.network import ImageTextNetwork, Matching

__all__ = ["as_vectors", "finite", "nearest", "placed_texts"]

TEXTS_AT_ONCE = 512


def nearest(asked: np.ndarray, among: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of `among` (N, D) to each of `asked` (Q, D): places int64 (Q, k) and cosines
    (Q, k), best first. Raises InputError for a k that is too large."""
    if not isinstance(k, int | np.integer) or not 1 <= k <= len(among):
        raise InputError(f"k must be 1 .. {len(among):,}, the items of among; got {k!r}.")
    cosines = asked @ among.T
    places = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return places, np.take_along_axis(cosines, places, axis=1)


def as_vectors(given: Any, name: str, width: int) -> np.ndarray | None:
    """What is given as float32 vectors (N, width), if it is vectors already. Raises InputError for
    vectors of another width."""
    if not isinstance(given, np.ndarray) or given.ndim != 2:
        return None
    if not np.issubdtype(given.dtype, np.floating):
        return None
    if given.shape[1] != width:
        raise InputError(f"{name} must be vectors (N, {width}); got {given.shape}.")
    return np.asarray(given, dtype=np.float32)


def placed_texts(network: Any, texts: np.ndarray) -> np.ndarray:
    """v (M, D) of texts as they are read, by the whole network or by what is above its backbone."""
    matching: Matching = network.matching if isinstance(network, ImageTextNetwork) else network
    matching.eval()
    device = matching.sharpness.device
    with torch.inference_mode():
        parts = [
            matching.place_texts(as_tensor(texts[i : i + TEXTS_AT_ONCE]).to(device)).cpu()
            for i in range(0, len(texts), TEXTS_AT_ONCE)
        ]
    return finite(torch.cat(parts).numpy())


def finite(vectors: np.ndarray) -> np.ndarray:
    """The vectors. Raises DivergedError where one is not a number."""
    if not np.isfinite(vectors).all():
        raise DivergedError("an embedding is not a number. Fit again with a lower lr.")
    return vectors
