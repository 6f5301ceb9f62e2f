"""How often what belongs together is found: recall at k.

    image to text   share of images with a caption of their own among the k nearest of all captions
    text to image   share of captions whose own image is among the k nearest of all images

Whatever is as near as the right answer is counted as nearer: a model that sees no difference finds
nothing. Karpathy and Fei-Fei 2015, section 4.1; the interval is Wilson's.

Shapes: N images, M captions, D numbers of an embedding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from depthwise.scores.accuracy import wilson_interval

__all__ = ["RANKS", "ranks", "retrieval_report"]

RANKS = (1, 5, 10)
AT_ONCE = 1024  # rows of cosines held in memory


def ranks(
    images: np.ndarray, texts: np.ndarray, items: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How many wrong answers are as near as the right one or nearer: int64 (N,) of each image, of
    each caption (M,). images (N, D), texts (M, D); items (M,): the image of each caption."""
    of_images = [
        _rank(images[i : i + AT_ONCE] @ texts.T, items == np.arange(i, i + AT_ONCE)[:, None])
        for i in range(0, len(images), AT_ONCE)
    ]
    everyone = np.arange(len(images))
    of_texts = [
        _rank(texts[j : j + AT_ONCE] @ images.T, everyone == items[j : j + AT_ONCE, None])
        for j in range(0, len(texts), AT_ONCE)
    ]
    return np.concatenate(of_images), np.concatenate(of_texts)


def _rank(cosines: np.ndarray, right: np.ndarray) -> np.ndarray:
    right = right[: len(cosines)]
    best = np.where(right, cosines, -np.inf).max(axis=1, keepdims=True)
    return np.asarray(((cosines >= best) & ~right).sum(axis=1))


def retrieval_report(images: np.ndarray, texts: np.ndarray, items: np.ndarray) -> dict[str, Any]:
    """{"value": image-to-text recall at 10, "low", "high", "items", "per_class": {},
    "image_to_text" and "text_to_image": {"1": .., "5": .., "10": ..}, "mean_recall",
    "median_rank": of both, from 1}."""
    of_images, of_texts = ranks(images, texts, items)
    both = {"image_to_text": of_images, "text_to_image": of_texts}
    recalls = {
        name: {str(k): float((found < k).mean()) for k in RANKS} for name, found in both.items()
    }
    value = recalls["image_to_text"]["10"]
    low, high = wilson_interval(value * len(images), len(images))
    every = [recall for found in recalls.values() for recall in found.values()]
    return {
        "value": value,
        "low": low,
        "high": high,
        "items": len(images),
        "per_class": {},
        **recalls,
        "mean_recall": float(np.mean(every)),
        "median_rank": {name: float(np.median(found)) + 1 for name, found in both.items()},
    }
