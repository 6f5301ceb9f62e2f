"""What an `ImageTextMatcher` tells once it has learnt: vectors, cosines, the nearest, recall.

Shapes: N images, M texts, Q queries, D numbers of a vector.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from depthwise.data.inputs import as_images, as_tensor
from depthwise.data.targets.captions import CaptionTable
from depthwise.errors import DivergedError, InputError
from depthwise.tasks.image_text.network import Matching
from depthwise.tasks.image_text.scores import retrieval_report
from depthwise.tasks.image_text.texts import OfTexts
from depthwise.text.files import as_texts

__all__ = ["Telling"]

TEXTS_AT_ONCE = 512


class Telling(OfTexts):
    """See the top of this file."""

    def encode_images(self, X: Any) -> np.ndarray:
        """Unit vectors (N, D) of images. Raises DivergedError where they are no numbers."""
        check_is_fitted(self, "network_")
        images = self._take(X, reset=False)[0]
        return _numbers(self._rows(images, lambda n, x: n(x)).numpy())

    def encode_texts(self, texts: Any) -> np.ndarray:
        """Unit vectors (M, D) of texts: one, or a sequence of them."""
        check_is_fitted(self, "network_")
        return self._placed(self._read(as_texts(texts, "texts")))

    def transform(self, X: Any, layer: int | None = None) -> np.ndarray:
        """`encode_images`; or what a layer makes of X, as in other families."""
        return self.encode_images(X) if layer is None else super().transform(X, layer)

    def score_pairs(self, X: Any, texts: Any) -> np.ndarray:
        """(N,) cosines, -1 .. 1, of each image with the text that stands at its place."""
        given = as_texts(texts, "texts")
        images = self.encode_images(X)
        if len(given) != len(images):
            raise InputError(
                f"texts must be one for each of the {len(images):,} images; got {len(given):,}."
            )
        cosines: np.ndarray = (images * self.encode_texts(given)).sum(axis=1)
        return cosines

    def search(self, queries: Any, among: Any, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest of `among` to each query: places int64 (Q, k) and cosines (Q, k), best
        first. Either side: images (N, C, H, W), texts, or vectors (N, D) of `encode_images` or
        `encode_texts`."""
        asked, found = self._vectors(queries, "queries"), self._vectors(among, "among")
        if not isinstance(k, int | np.integer) or not 1 <= k <= len(found):
            raise InputError(f"k must be 1 .. {len(found):,}, the items of among; got {k!r}.")
        cosines = asked @ found.T
        places = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
        return places, np.take_along_axis(cosines, places, axis=1)

    def predict(self, X: Any, texts: Any) -> np.ndarray:
        """(N,) int64: which of the texts goes best with each image."""
        return self.search(as_images(X), texts, k=1)[0][:, 0]

    def assess(self, X: Any, y: Any) -> dict[str, Any]:
        """Image-to-text recall at 10 as "value", with "low" and "high", its 95% interval; recall
        at 1, 5 and 10 both ways; see `retrieval_report`. y: captions as in `fit`."""
        images = as_images(X)
        table = CaptionTable.of(y, len(images))
        texts = self.encode_texts(table.texts)
        return retrieval_report(self.encode_images(images), texts, table.items)

    def score(self, X: Any, y: Any) -> float:
        """Image-to-text recall at 10, more is better."""
        return float(self.assess(X, y)["value"])

    def _vectors(self, given: Any, name: str) -> np.ndarray:
        if getattr(given, "ndim", 0) == 4:
            return self.encode_images(given)
        if getattr(given, "ndim", 0) == 2 and np.issubdtype(given.dtype, np.floating):
            if given.shape[1] != self.n_outputs:
                raise InputError(
                    f"{name} must be vectors (N, {self.n_outputs}); got {given.shape}."
                )
            return np.asarray(given, dtype=np.float32)
        return self._placed(self._read(as_texts(given, name)))

    def _placed(self, texts: np.ndarray, network: Any = None) -> np.ndarray:
        """v (M, D) of texts as they are read."""
        whole: Any = (network or self.network_).eval()
        matching: Matching = getattr(whole, "matching", whole)
        device = matching.sharpness.device
        with torch.inference_mode():
            parts = [
                matching.place_texts(as_tensor(texts[i : i + TEXTS_AT_ONCE]).to(device)).cpu()
                for i in range(0, len(texts), TEXTS_AT_ONCE)
            ]
        return _numbers(torch.cat(parts).numpy())


def _numbers(vectors: np.ndarray) -> np.ndarray:
    if not np.isfinite(vectors).all():
        raise DivergedError("an embedding is not a number. Fit again with a lower lr.")
    return vectors
