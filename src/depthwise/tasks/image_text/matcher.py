"""Images and texts that belong together: two encoders, learnt by contrast, and search either way.

    model = ImageTextMatcher().fit(X, y)       X (N, C, H, W); y: captions, any number each
    model.score_pairs(X, texts)                (N,) cosines of each image with its text
    model.search(["a dog runs"], X, k=5)       places and cosines of the 5 images nearest to a text
    model.assess(X, y)                         recall at 1, 5 and 10, both ways

The networks and the loss are in network.py, what a fitted model tells in
vector_search.py, recall in scores.py. An item of
the loop is an image; at each visit one of its captions is drawn. With a backbone that does not
learn (`freeze="all"`) images are embedded once, and so are texts by a pretrained sentence encoder.

Shapes: N images, M texts, B batch, K captions of an image, T words, E embedding, D of the sphere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.backbones.images.features import Backbone
from depthwise.backbones.texts.transformer import Rung
from depthwise.compute import Compute
from depthwise.data.dataset import Dataset
from depthwise.data.inputs import as_images, shape_of
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.errors import InputError
from depthwise.models.abilities import Searches
from depthwise.models.frozen_features import FrozenFeatures
from depthwise.settings import AUTO, check_settings, no_setting, setting, settings, whole
from depthwise.tasks.backbone_estimator import BackboneEstimator
from depthwise.tasks.image_text.network import (
    ImageTextNetwork,
    Matching,
    WordEncoder,
    contrast,
    one_caption_each,
)
from depthwise.tasks.image_text.scores import retrieval_report
from depthwise.tasks.image_text.text_arrays import (
    caption_rows,
    frozen_encoder,
    rebuilt_words,
    vocabulary_of,
    word_rows,
)
from depthwise.tasks.image_text.vector_search import as_vectors, finite, nearest, placed_texts
from depthwise.text.files import as_texts
from depthwise.text.words import Words
from depthwise.training.compute_for import compute_for
from depthwise.training.step import BackboneUpdate, GradientUpdate, Recipe

__all__ = ["SIZES", "ImageTextMatcher", "MatcherRung"]

AUTO_STEPS, MOST_EPOCHS, MOST_BATCH = 2500, 60, 128


class MatcherRung(NamedTuple):
    """One size: the backbone, numbers of a word, the Transformer over words if there is one, D."""

    backbone: str
    word: int
    reader: Rung | None
    n_embedding: int


SIZES: dict[str, MatcherRung] = {
    "xs": MatcherRung("residual-xs", 64, None, 64),
    "s": MatcherRung("residual-s", 96, Rung(96, 1, 4, 4), 128),
    "m": MatcherRung("residual-m", 128, Rung(128, 1, 4, 4), 192),
    "lite": MatcherRung("efficientnet-lite0", 256, Rung(256, 1, 4, 4), 256),
}


class MatchUpdate(BackboneUpdate):
    """One step of gradient descent. `network`: an ImageTextNetwork that takes images, or what is
    above its backbone, that takes them embedded."""

    def objective(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        network: Any = self.network
        matching: Matching = network if isinstance(network, Matching) else network.matching
        texts = one_caption_each(targets)
        if network is not matching:
            inputs = self.compute.place_batch(self.augment(inputs))
        with self.compute.autocast():
            u, v = network(inputs), matching.place_texts(texts)
        return contrast(u, v, texts, matching.sharpness)


@settings
class ImageTextMatcher(BackboneEstimator):
    """Says how well images (N, C, H, W), uint8 or floats 0..1, and texts go together.

    `network_` answers raw images with unit vectors (B, D). The task is "retrieval"; it learns from
    a Dataset of captions.
    """

    family: ClassVar[str] = "image-text"
    weighs_items: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("retrieval",)
    sizes: ClassVar[dict[str, Any]] = SIZES
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    task_mark = "input_shape_"
    label_smoothing = 0.0
    words_: Words | None = no_setting(default=None)  # of a pretrained encoder None
    # of the encoder of a model that is being rebuilt
    _described: dict[str, Any] | None = no_setting(default=None)

    size: str = setting(
        default="lite", doc='"xs", "s", "m" (all from scratch) or "lite" (extra `backbones`)'
    )
    encoder: str = setting(
        default="words",
        doc='"words" learns to read from the captions; "minilm-l6" (extra `sentences`) or another '
        "of backbones/texts/named.py has learnt it before, and stays as it is",
    )
    n_embedding: int | None = None
    vocabulary: int = setting(default=8000, range=whole("[1, inf)", usual=(2000, 20_000)))
    max_words: int = setting(default=48, range=whole("[1, inf)", usual=(16, 256)))
    word_dropout: float = 0.1
    enlarge: int | str = setting(
        default="auto",
        range=whole("[1, 8]") | AUTO,
        doc='how many times larger images are made first; "auto" brings small ones to 128 pixels '
        "a side at least, where the backbone has learnt before",
    )
    dropout: float = setting(default=0.3, doc="share of an embedding silenced in training")
    augment: str | tuple[str, ...] | None = None
    lr: float = 2e-3
    patience: int | str | None = None
    warm_start: bool = False

    # -- the network ------------------------------------------------------------------------------

    @property
    def searcher(self) -> Searches | None:
        return self

    def outputs_for(self, data: Dataset) -> int:
        return self.n_outputs

    @property
    def n_outputs(self) -> int:
        """D."""
        return self._rung().n_embedding if self.n_embedding is None else int(self.n_embedding)

    def build_on(self, backbone: Backbone, n_outputs: int) -> nn.Module:
        check_settings(self)
        rung, size = self._rung(), self.n_outputs
        dropout, silent = float(self.dropout), float(self.word_dropout)
        sentences = frozen_encoder(self.encoder, self._described)
        if sentences is not None:
            matching = Matching(backbone.n_embedding, sentences.n_embedding, size, None, dropout)
            return ImageTextNetwork(backbone, matching, sentences)
        known = int(self.vocabulary) if self.words_ is None else self.words_.size
        reader = WordEncoder(known, rung.word, rung.reader, dropout, silent)
        matching = Matching(backbone.n_embedding, reader.n_embedding, size, reader, dropout)
        return ImageTextNetwork(backbone, matching)

    # -- vectors, cosines, search -----------------------------------------------------------------

    def encode_images(self, X: Any) -> np.ndarray:
        """Unit vectors (N, D) of images. Raises DivergedError where they are no numbers."""
        check_is_fitted(self, "network_")
        images = self._take(X, reset=False)[0]
        return finite(self._rows(images, lambda n, x: n(x)).numpy())

    def encode_texts(self, texts: Any) -> np.ndarray:
        """Unit vectors (M, D) of texts: one, or a sequence of them."""
        check_is_fitted(self, "network_")
        return placed_texts(self.network_, self._read(as_texts(texts, "texts")))

    def transform(self, X: Any, layer: int | None = None) -> np.ndarray:
        """`encode_images`; or what a layer makes of X, as in other families."""
        return self.encode_images(X) if layer is None else super().transform(X, layer)

    def score_pairs(self, X: Any, texts: Any) -> np.ndarray:
        """(N,) cosines, -1 .. 1, of each image with the text at the same position."""
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
        return nearest(asked, found, k)

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
        if len(shape_of(given)) == 4:
            return self.encode_images(given)
        vectors = as_vectors(given, name, self.n_outputs)
        if vectors is not None:
            return vectors
        return placed_texts(self.network_, self._read(as_texts(given, name)))

    # -- texts ------------------------------------------------------------------------------------

    def _read(self, texts: Sequence[str]) -> np.ndarray:
        """Words (M, T) int64, or embeddings (M, E') float32."""
        if self.words_ is None:
            return self._embedded(texts)
        return word_rows(texts, self.words_, int(self.max_words))

    def _embedded(self, texts: Sequence[str]) -> np.ndarray:
        known: Any = self.network_.sentences if self.is_fitted else None
        encoder = frozen_encoder(self.encoder) if known is None else known
        found: np.ndarray = encoder.encode(list(texts), int(self.max_words))
        return found

    # -- saving -----------------------------------------------------------------------------------

    def describe_network(self) -> dict[str, Any]:
        encoder: Any = self.network_.sentences
        return {
            **super().describe_network(),
            "words": None if self.words_ is None else self.words_.to_plain(),
            "sentences": None if encoder is None else encoder.description,
        }

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        self.words_, self._described = rebuilt_words(description), description["sentences"]
        if int(description["n_classes"]) != self.n_outputs:
            raise ValueError(f"vectors of {description['n_classes']}, not {self.n_outputs} numbers")
        try:
            return super().rebuild(description)
        finally:
            self._described = None

    # -- learning ---------------------------------------------------------------------------------

    def recipe(self, items: int, **changes: Any) -> Recipe:
        made = super().recipe(items)
        size = min(MOST_BATCH, max(8, items // 8))
        epochs = min(MOST_EPOCHS, max(8, round(AUTO_STEPS / max(1, items // size))))
        auto = {"batch_size": size, "epochs": epochs}
        settings = {k: v for k, v in auto.items() if getattr(self, k) == "auto"}
        return replace(made, **{**settings, **changes})

    def _dataset_parts(self, dataset: Any, validation: Any) -> tuple[Any, Any, Any]:
        dataset.require_task("captions")
        train, held = dataset.train, dataset.validation
        if validation is None and len(held.X):
            validation = (held.X, held.y)
        return train.X, train.y, validation

    def _take(
        self, X: Any, y: Any = None, *, reset: bool, classes: np.ndarray | None = None
    ) -> tuple[np.ndarray, Any]:
        return super()._take(as_images(X), y, reset=reset)

    def _check_targets(self, y: Any, items: int) -> Any:
        return CaptionTable.of(y, items)

    def _encode(self, targets: Any, reset: bool, classes: np.ndarray | None) -> np.ndarray:
        """(N, K, T) int64, or (N, K, E') of a pretrained encoder; zeros where there are fewer."""
        check_settings(self)
        if reset and not (self.warm_start and self.is_fitted):
            most, read = int(self.vocabulary), int(self.max_words)
            self.words_ = vocabulary_of(list(targets.texts), self.encoder, most, read)
        return caption_rows(targets, self._read(list(targets.texts)))

    def _loss(self) -> Any:
        return contrast  # MatchUpdate says what it is given

    def _update(
        self, loss: Callable[[Tensor, Tensor], Tensor], recipe: Recipe, compute: Compute
    ) -> GradientUpdate:
        share, network = (self.backbone_rate if self.is_transfer else 1.0), self.network_
        below = network.backbone if isinstance(network, ImageTextNetwork) else nn.Identity()
        augment = self._augmenter()
        return MatchUpdate(network, loss, recipe, compute, augment, below=below, share=share)

    def _choose_compute(
        self, x: Tensor, y: Tensor, recipe: Recipe, loss: Any, seconds_limit: float | None = None
    ) -> Compute:
        return compute_for(self, self.network_)

    def _validation_scores(
        self, inputs: np.ndarray, targets: Any, network: nn.Module
    ) -> tuple[float, ...]:
        """(mean of the six recalls,), by the first caption of each image."""
        images = self._rows(inputs, lambda n, x: n(x), network).numpy()
        texts = placed_texts(network, targets[:, 0])
        return (retrieval_report(images, texts, np.arange(len(images)))["mean_recall"],)

    # -- what the backbone sees -------------------------------------------------------------------

    def _frozen_features(self) -> FrozenFeatures | None:
        """The head is all but the backbone, from embedded images."""
        network: Any = self.network_
        return FrozenFeatures(self._features, network.matching) if self._sees_once else None

    def _features(self, images: np.ndarray) -> np.ndarray:
        """e(x) of images: (N, E)."""
        network: Any = self.network_
        return self._rows(images, lambda n, x: n(x), network.backbone).numpy()
