"""Captions of images: a backbone sees, a Transformer decoder writes, token by token.

    model = Captioner().fit(X, y)        X (N, C, H, W); y: captions, any number for each image
    model.predict(X, beams=4)            a list of N captions
    model.assess(X, y)                   BLEU-4 with its interval, ROUGE-L, CIDEr

The network is in network.py, a step of learning in step.py, writing in
beam_search.py, the scores in scores.py. With a backbone that does not learn
(`freeze="all"`), what it sees is computed once for every image and kept in memory in float16.

Shapes: N images, B batch, C channels, H W image, K captions of an image, T tokens, S positions of
the backbone's last map, E its embedding, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from depthwise.backbones.images.features import Backbone
from depthwise.backbones.texts.transformer import Rung
from depthwise.compute import Compute
from depthwise.data.dataset import Dataset
from depthwise.data.inputs import as_images, as_tensor
from depthwise.data.targets.caption_table import CaptionTable
from depthwise.errors import InputError
from depthwise.models.abilities import Predicts
from depthwise.models.frozen_features import FrozenFeatures
from depthwise.settings import AUTO, check_settings, no_setting, one_of, setting, settings, whole
from depthwise.tasks.backbone_estimator import BackboneEstimator
from depthwise.tasks.captioning.beam_search import BEAMS, WholeCaption, beam_search
from depthwise.tasks.captioning.network import CaptionNetwork, caption_nats
from depthwise.tasks.captioning.scores import caption_report
from depthwise.tasks.captioning.step import CaptionUpdate, as_said, token_rows
from depthwise.text.tokens import KINDS, Tokenizer, learn_tokens
from depthwise.training.compute_for import compute_for
from depthwise.training.step import GradientUpdate, Recipe

__all__ = ["SIZES", "Captioner", "CaptionerRung"]

MOST_BATCH, AUTO_STEPS, MOST_EPOCHS = 32, 2500, 60
WRITTEN_AT_ONCE = 128  # images
MOST_BEAMS, MOST_TOKENS = 64, 512


class CaptionerRung(NamedTuple):
    """One size: the backbone, and the Transformer that writes."""

    backbone: str
    writer: Rung


SIZES: dict[str, CaptionerRung] = {
    "xs": CaptionerRung("residual-xs", Rung(width=64, layers=1, heads=2, groups=1)),
    "s": CaptionerRung("residual-s", Rung(width=128, layers=2, heads=4, groups=2)),
    "m": CaptionerRung("residual-m", Rung(width=192, layers=2, heads=4, groups=2)),
    "lite": CaptionerRung("efficientnet-lite0", Rung(width=256, layers=2, heads=4, groups=4)),
}


@settings
class Captioner(BackboneEstimator):
    """Writes what is on images (N, C, H, W), uint8 or floats 0..1.

    `network_` answers raw images with logits (B, V) of a caption's first token.
    """

    family: ClassVar[str] = "captioner"
    weighs_items: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("captions",)
    sizes: ClassVar[dict[str, Any]] = SIZES
    precisions: ClassVar[tuple[str, ...]] = ("float32", "bfloat16")
    task_mark = "n_tokens_"
    tokenizer_: Tokenizer = no_setting()
    n_tokens_: int = no_setting()

    size: str = setting(
        default="lite", doc='"xs", "s", "m" (all from scratch) or "lite" (extra `backbones`)'
    )
    enlarge: int | str = setting(
        default="auto",
        range=whole("[1, 8]") | AUTO,
        doc='how many times larger images are made first; "auto" brings small ones to 128 pixels '
        "a side at least, where the backbone has learnt before",
    )
    tokens: str = setting(
        default="bpe",
        range=one_of(*KINDS),
        doc='what captions are cut into ("bpe": extra `text`); see text/tokens.py',
    )
    vocabulary: int = setting(
        default=2048, range=whole("[1, inf)", usual=(512, 8000)), doc='pieces of "bpe"'
    )
    lowercase: bool = setting(
        default=True,
        range=one_of(True, False),
        doc="whether captions are learnt in lower case and without marks, as they are scored",
    )
    max_tokens: int = setting(
        default=24,
        range=whole(f"[1, {MOST_TOKENS}]", usual=(16, 64)),
        doc="tokens of a caption that are learnt and written; longer ones are cut",
    )
    dropout: float = setting(
        default=0.2, doc="share of what is seen and of what a layer adds silenced in training"
    )
    augment: str | tuple[str, ...] | None = setting(
        default=None,
        doc='as in `CNN`; has no meaning with freeze="all"; None where left and right matter',
    )
    clip_norm: float | None = 1.0
    patience: int | str | None = None
    label_smoothing: float = 0.1
    warm_start: bool = False

    # -- the network ------------------------------------------------------------------------------

    @property
    def n_outputs(self) -> int:
        """V, with the token that ends a caption."""
        return self.n_tokens_ if "n_tokens_" in vars(self) else 0

    def outputs_for(self, data: Dataset) -> int:
        """The pieces of words that captions are made of."""
        return int(self.vocabulary)

    @property
    def predictor(self) -> Predicts | None:
        return self

    def build_on(self, backbone: Backbone, n_outputs: int) -> nn.Module:
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be in [0, 1); got {self.dropout!r}.")
        return CaptionNetwork(backbone, n_outputs, self._rung().writer, float(self.dropout))

    # -- writing ----------------------------------------------------------------------------------

    def predict(self, X: Any, *, beams: int = BEAMS, length_penalty: float = 0.7) -> list[str]:
        """A caption for each image.

        beams: beginnings that are followed at once, 1 (greedy search) .. 8; length_penalty: 0 is
        for short captions, 1 for long ones, see beam_search.py.
        Raises InputError for wrong images or settings, DivergedError for answers that are none.
        """
        check_is_fitted(self, "network_")
        if not isinstance(beams, int | np.integer) or not 1 <= beams <= MOST_BEAMS:
            raise InputError(f"beams must be 1 .. {MOST_BEAMS}, say 4; got {beams!r}.")
        if not 0 <= length_penalty <= 2:
            raise InputError(f"length_penalty must be 0 .. 2, say 0.7; got {length_penalty!r}.")
        seen, network = self._features(self._take(X, reset=False)[0]), self.network_.eval()
        options: dict[str, Any] = {"beams": int(beams), "penalty": float(length_penalty)}
        device = next(network.parameters()).device
        captions: list[str] = []
        for i in range(0, len(seen), WRITTEN_AT_ONCE):
            part = as_tensor(seen[i : i + WRITTEN_AT_ONCE]).to(device)
            found = beam_search(network.writer, part, most=int(self.max_tokens), **options)  # type: ignore[arg-type]
            captions += [self.tokenizer_.decode(tokens).strip() for tokens in found]
        return captions

    def assess(self, X: Any, y: Any, **options: Any) -> dict[str, Any]:
        """BLEU-4 as "value" with "low" and "high", its 95% interval over the images; "rouge_l",
        "cider" (CIDEr-D), "cider_plain" and theirs. `options` are those of `predict`."""
        images = as_images(X)
        references = CaptionTable.of(y, len(images))
        captions = self.predict(images, **options)
        return caption_report(captions, [references[i] for i in range(len(references))])

    def score(self, X: Any, y: Any) -> float:
        """BLEU-4, more is better."""
        return float(self.assess(X, y)["value"])

    def answering(self, network: nn.Module) -> nn.Module:
        assert isinstance(network, CaptionNetwork)
        return WholeCaption(network, int(self.max_tokens))

    # -- learning ---------------------------------------------------------------------------------

    def recipe(self, items: int, **changes: Any) -> Recipe:
        """Five captions an image: smaller batches and fewer passes than of labels."""
        made = super().recipe(items)
        size = min(MOST_BATCH, made.batch_size)
        steps = max(1, items // size)
        auto = {"batch_size": size, "epochs": min(MOST_EPOCHS, max(8, round(AUTO_STEPS / steps)))}
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
        return as_said(CaptionTable.of(y, items), self.lowercase)

    def _encode(self, targets: Any, reset: bool, classes: np.ndarray | None) -> np.ndarray:
        """(N, K, T) int32, see `token_rows`."""
        check_settings(self)
        if reset and not (self.warm_start and self.is_fitted):
            self.tokenizer_ = learn_tokens(self.tokens, targets.texts, self.vocabulary)
            self.n_tokens_ = self.tokenizer_.size
        return token_rows(targets, self.tokenizer_, int(self.max_tokens))

    def _loss(self) -> Any:
        return caption_nats  # CaptionUpdate says what it is given

    def _update(
        self, loss: Callable[[Tensor, Tensor], Tensor], recipe: Recipe, compute: Compute
    ) -> GradientUpdate:
        share = self.backbone_rate if self.is_transfer else 1.0
        augment, smoothing = self._augmenter(), float(self.label_smoothing)
        return CaptionUpdate(
            self.network_, recipe, compute, augment, smoothing=smoothing, share=share
        )

    def _choose_compute(
        self, x: Tensor, y: Tensor, recipe: Recipe, loss: Any, seconds_limit: float | None = None
    ) -> Compute:
        return compute_for(self, self.network_)

    def _validation_scores(
        self, inputs: np.ndarray, targets: Any, network: nn.Module
    ) -> tuple[float, ...]:
        """(minus nats a token,)."""
        total, part = 0.0, WRITTEN_AT_ONCE
        network.eval()
        writer: Any = network.writer if isinstance(network, CaptionNetwork) else network
        device = next(writer.parameters()).device
        for i in range(0, len(inputs), part):
            x = as_tensor(inputs[i : i + part]).to(device)
            seen = x if writer is network else network.see(x)  # type: ignore[operator]
            tokens = torch.from_numpy(targets[i : i + part]).to(device)
            total += float(caption_nats(writer, seen, tokens, reduction="sum"))
        return (-total / int((targets >= 0).sum()),)

    # -- what the backbone sees -------------------------------------------------------------------

    def _frozen_features(self) -> FrozenFeatures | None:
        network: Any = self.network_
        return FrozenFeatures(self._features, network.writer) if self._sees_once else None

    def _features(self, images: np.ndarray) -> np.ndarray:
        """What the backbone sees of images: (N, C S + E) float16."""
        return self._rows(images, lambda n, x: n.see(x).half()).numpy()

    # -- saving -----------------------------------------------------------------------------------

    def describe_network(self) -> dict[str, Any]:
        return {**super().describe_network(), "tokens": self.tokenizer_.to_plain()}

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        self.tokenizer_ = Tokenizer.from_plain(description["tokens"])
        self.n_tokens_ = self.tokenizer_.size
        if int(description["n_classes"]) != self.n_tokens_:
            raise ValueError(f"{self.n_tokens_} tokens, {description['n_classes']} outputs")
        return super().rebuild(description)
