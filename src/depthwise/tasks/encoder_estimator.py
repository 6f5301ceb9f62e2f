"""The base of estimators with a sentence encoder: the arguments `encoder`, `freeze` and
`encoder_rate`, pretrained weights at the start of a fit, frozen features where all of the encoder
is frozen, and a saved model that needs neither the package nor the folder of the weights.

    z = head(vectors(tokens))        vectors: the encoder's, of every text once where it is frozen

A network says `encoder` (a SentenceEncoder, or one of the task's own where `encoder=None`),
`vectors(tokens)` and `head`. What has been learnt before learns at `encoder_rate` times the rate of
the head: Howard and Ruder 2018, section 3.2.

Shapes: N items, B batch, T pieces, E width of the vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.backbones.texts.named import SentenceEncoder, by_length, rebuild, sentence_encoder
from depthwise.backbones.texts.pieces import Pieces
from depthwise.compute import Compute
from depthwise.models.frozen_features import FrozenFeatures
from depthwise.models.networks import NetworkEstimator
from depthwise.settings import no_setting, number, setting, settings
from depthwise.training.step import BackboneUpdate, GradientUpdate, Recipe

__all__ = ["EncoderEstimator", "FeatureHead", "trimmed"]


class FeatureHead(nn.Module):
    """Features (B, F), each standardised -> answers (B, K), at the start the same for all items."""

    def __init__(self, features: int, n_outputs: int, dropout: float):
        super().__init__()
        self.norm = nn.BatchNorm1d(features, affine=False)
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(features, n_outputs)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, features: Tensor) -> Tensor:
        answers: Tensor = self.output(self.dropout(self.norm(features)))
        return answers

    @torch.no_grad()
    def begin(self, labels: np.ndarray) -> None:
        """Say each of K classes as often as it is among the labels (N,)."""
        counts = 1 + np.bincount(labels, minlength=len(self.output.bias))
        self.output.bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


def trimmed(tokens: Tensor, filling: int) -> Tensor:
    """Tokens (B, ..., T) without the columns that are filling in all rows."""
    if tokens.is_meta:
        return tokens
    real = (tokens != filling).flatten(0, -2).any(dim=0)
    return tokens[..., : int(real.nonzero().max()) + 1] if bool(real.any()) else tokens


@settings
class EncoderEstimator(NetworkEstimator):
    """A network on a sentence encoder, or on what the task itself makes of texts."""

    encoder: str | None = setting(
        default=None,
        doc='None learns from scratch; "minilm-l6" (extra `sentences`), or a text model by folder '
        "or name, see backbones/texts/named.py",
    )
    freeze: int | str = setting(
        default="all",
        doc='"all" learns the head alone, on vectors that are made once; 0 .. 7 lowest stages '
        "(embeddings, then each layer) adapt the rest",
    )
    encoder_rate: float = setting(
        default=0.05,
        range=number("(0, 1]", usual=(0.01, 0.1)),
        doc="learning rate of a pretrained encoder, as a share of `lr`",
    )
    dropout: float = 0.1
    pieces_: Pieces = no_setting()

    def build_on(self, encoder: SentenceEncoder, n_outputs: int) -> nn.Module:
        """The task's network on this encoder."""
        raise AssertionError("a task on an encoder says what stands on it")

    def _on_encoder(self, n_outputs: int, pretrained: bool) -> nn.Module:
        assert self.encoder is not None
        below = sentence_encoder(self.encoder, pretrained, dropout=self._inner_dropout())
        below.freeze(self.freeze)
        return self.build_on(below, n_outputs)

    def _find_pieces(self) -> None:
        """The encoder's tokeniser, before there is an encoder."""
        assert self.encoder is not None
        with torch.device("meta"):
            self.pieces_ = sentence_encoder(self.encoder, pretrained=False).words

    @property
    def is_frozen(self) -> bool:
        """Whether the encoder learns nothing, so that it sees each text once only."""
        return self.encoder is not None and self.freeze == "all"

    def _inner_dropout(self) -> float:
        """BERT was learnt with a tenth of its units silenced."""
        return min(self.dropout, 0.1)

    def _new_network(self, inputs: np.ndarray, targets: np.ndarray) -> nn.Module:
        network = super()._new_network(inputs, targets)
        if self.encoder is not None:
            below = sentence_encoder(self.encoder, dropout=self._inner_dropout())
            below.freeze(self.freeze)
            network.encoder = below
        for part in network.modules():
            if isinstance(part, FeatureHead) and targets.dtype == np.int64:
                part.begin(targets)
        return network

    def describe_network(self) -> dict[str, Any]:
        if self.encoder is None:
            return super().describe_network()
        below: Any = self.network_.encoder
        return {**super().describe_network(), "encoder": below.description}

    def _rebuilt(self, description: dict[str, Any]) -> nn.Module:
        """On the encoder of a saved model."""
        below = rebuild(description["encoder"], self._inner_dropout())
        self.pieces_ = below.words
        return self.build_on(below, int(description["n_classes"]))

    def _rows(
        self,
        inputs: np.ndarray,
        run: Callable[[Any, Tensor], Tensor],
        network: nn.Module | None = None,
    ) -> Tensor:
        """Of tokens, rows of one length together."""
        filling = self._filling()
        if filling is None or inputs.dtype != np.int64:
            return super()._rows(inputs, run, network)
        ready = (network or self.network_).eval()
        home = next(ready.parameters()).device
        return by_length(inputs, lambda x: run(ready, x.to(home)), filling)

    @property
    def filling_token(self) -> int:
        return 0 if self.encoder is None else self.pieces_.filling

    def _filling(self) -> int | None:
        """The token behind a text's end, where rows may be shortened to what is before it."""
        return None if self.encoder is None else self.pieces_.filling

    # -- learning -------------------------------------------------------------------------------

    def _update(
        self, loss: Callable[[Tensor, Tensor], Tensor], recipe: Recipe, compute: Compute
    ) -> GradientUpdate:
        if self.encoder is None or self._is_head_alone:
            return super()._update(loss, recipe, compute)
        below: Any = self.network_.encoder
        share = self.encoder_rate
        return BackboneUpdate(self.network_, loss, recipe, compute, below=below, share=share)

    def _frozen_features(self) -> FrozenFeatures | None:
        network: Any = self.network_
        if self.encoder is None or not network.encoder.all_frozen:
            return None
        return FrozenFeatures(self._features, network.head)

    def _features(self, inputs: np.ndarray) -> np.ndarray:
        """vectors(tokens) of all items."""
        found: np.ndarray = self._by_encoder(inputs, lambda n, x: n.vectors(x)).numpy()
        return found

    def _by_encoder(self, tokens: np.ndarray, run: Callable[[Any, Tensor], Tensor]) -> Tensor:
        """run(network, x), in bfloat16 where that is the precision asked for."""
        low = self.encoder is not None and self.precision == "bfloat16"
        with Compute(precision="bfloat16" if low else "float32").autocast():
            return self._rows(tokens, run)
