"""Classification of clips, by what is in their frames and by how it moves.

The network, and what it makes of time, is in network.py. With a backbone that has learnt
before and stays as it is (`freeze="all"`, what "lite" and "frame" do), every frame is seen once and
the head alone is learnt, in seconds: the way to begin with a few hundred clips. The rung "frame"
looks at the middle frame of a clip and no other: what a model of clips should be compared with,
because a scene often tells more than what happens in it.

Shapes: N clips, B batch, T frames of a clip, F frames looked at, C channels, H W frame, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.backbones.images.features import Backbone, checked_shape
from depthwise.backbones.images.named import backbone
from depthwise.data.inputs import as_clips
from depthwise.data.pictures.augment import augmenter
from depthwise.errors import InputError
from depthwise.models.estimator import Estimator
from depthwise.models.frozen_features import FrozenFeatures
from depthwise.models.supervised import Classifier
from depthwise.settings import AUTO, setting, settings, whole
from depthwise.tasks.backbone_estimator import PIXELS_AT_ONCE, BackboneEstimator
from depthwise.tasks.video.network import TEMPORAL, VideoNetwork
from depthwise.training.step import Recipe

__all__ = ["VideoClassifier"]

ALONE_BATCH, ALONE_EPOCHS = 32, 30  # of a head alone
MOST_EPOCHS = 30  # of a whole network, where nobody says


class Rung(NamedTuple):
    """One size: the backbone, what is made of time, how many frames, D, and blocks of the head."""

    backbone: str
    temporal: str
    frames: int
    width: int
    layers: int


SIZES: dict[str, Rung] = {
    "frame": Rung("efficientnet-lite0", "none", 1, 64, 1),
    "xs": Rung("residual-xs", "attention", 8, 32, 1),
    "s": Rung("residual-s", "attention", 8, 64, 1),
    "m": Rung("residual-m", "attention", 16, 96, 1),
    "lite": Rung("efficientnet-lite0", "motion", 16, 64, 1),
}


@settings
class VideoClassifier(BackboneEstimator, Classifier):
    """Labels of clips (N, T, C, H, W), uint8 or floats 0..1; `network_` answers with (B, K)."""

    family: ClassVar[str] = "video"
    tasks: ClassVar[tuple[str, ...]] = ("video",)
    sizes: ClassVar[dict[str, Any]] = SIZES
    sees_well: ClassVar[int] = 112

    size: str = setting(
        default="lite",
        doc='"frame" (the single-frame baseline), "xs", "s", "m" (from scratch) or "lite" (extra '
        "`backbones`)",
    )
    temporal: str | None = setting(
        default=None,
        doc='"motion", "attention", "conv" or "none" in place of the size\'s; "motion" knows how '
        'much moves, "attention" and "conv" also in which order',
    )
    frames: int | None = setting(
        default=None,
        doc="how many frames are looked at, evenly spaced, 1 .. 64, in place of the size's",
    )
    enlarge: int | str = setting(
        default="auto",
        range=whole("[1, 8]") | AUTO,
        doc='how many times larger frames are made first; "auto" brings small ones to 112 pixels '
        "a side at least, where the backbone has learnt before",
    )
    dropout: float = setting(
        default=0.5, doc="share of the features of a frame silenced in training"
    )
    augment: str | tuple[str, ...] | None = setting(
        default="auto",
        doc='as in `CNN`, for all frames of a clip alike; has no meaning with freeze="all". '
        '"auto" mirrors clips in colour: give "shift" where left and right must be told apart',
    )
    label_smoothing: float = 0.05
    warm_start: bool = False

    @property
    def rung(self) -> Rung:
        """The size's, with the settings in its place. Raises InputError for unknown ones."""
        rung, backbone = self._rung(), self.backbone
        rung = Rung(
            rung.backbone if backbone is None else str(backbone),
            rung.temporal if self.temporal is None else self.temporal,
            rung.frames if self.frames is None else self.frames,
            *rung[3:],
        )
        if rung.temporal not in TEMPORAL:
            raise InputError(
                f"temporal must be one of {', '.join(TEMPORAL)}; got {self.temporal!r}."
            )
        if not isinstance(rung.frames, int | np.integer) or rung.frames < 1:
            raise InputError(f"frames must be 1 or more; got {self.frames!r}.")
        return rung

    # -- the network ----------------------------------------------------------------------------

    def build_on(self, backbone: Backbone, n_outputs: int) -> nn.Module:
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout must be in [0, 1); got {self.dropout!r}.")
        _, temporal, frames, width, layers = self.rung
        return VideoNetwork(
            backbone,
            n_outputs,
            frames=int(frames),
            temporal=temporal,
            width=width,
            layers=layers,
            dropout=self.dropout,
        )

    def _backbone_name(self) -> str:
        return self.rung.backbone

    def _below(self, input_shape: tuple[int, ...], pretrained: bool) -> Backbone:
        if len(input_shape) != 4:
            raise InputError(
                f"VideoClassifier needs clips (T, C, H, W); got inputs of shape {input_shape}."
            )
        return backbone(
            self._backbone_name(),
            checked_shape(input_shape[1:]),
            pretrained,
            embedding=self.rung.temporal != "conv",
            enlarge=self._enlarge(input_shape[1:]),
        )

    def _new_network(self, inputs: np.ndarray, targets: np.ndarray) -> nn.Module:
        frames = inputs.reshape(-1, *inputs.shape[2:])  # whose channels' mean is that of clips
        return super()._new_network(frames, targets)

    # -- inputs and settings ----------------------------------------------------------------------

    def _as_inputs(self, X: Any) -> np.ndarray:
        return as_clips(X)

    def _check_axes(self, inputs: np.ndarray) -> None:
        if inputs.ndim != 5:
            raise InputError(f"clips must be (N, T, C, H, W); got {inputs.shape}.")

    def recipe(self, items: int, **changes: Any) -> Recipe:
        """A head alone takes larger batches; a whole network sees many frames a step, so fewer."""
        made = super().recipe(items, **changes)
        alone = self._frozen() == "all"
        size = min(items, ALONE_BATCH) if alone else made.batch_size
        epochs = ALONE_EPOCHS if alone else min(made.epochs, MOST_EPOCHS)
        auto = {"batch_size": size, "epochs": epochs}
        settings = {k: v for k, v in auto.items() if getattr(self, k) == "auto"}
        return replace(made, **{**settings, **changes})

    def _augmenter(self) -> Callable[[Tensor], Tensor]:
        """All frames of a clip alike: they are channels of one image."""
        frames, *shape = self.input_shape_
        move = augmenter(self.augment, tuple(shape))
        return lambda clips: move(clips.flatten(1, 2)).unflatten(1, (frames, shape[0]))

    def _rows(
        self,
        inputs: np.ndarray,
        run: Callable[[Any, Tensor], Tensor],
        network: nn.Module | None = None,
    ) -> Tensor:
        """Clips in parts whose maps fit into memory."""
        if self._is_head_alone:
            return Estimator._rows(self, inputs, run, network)
        pixels = inputs[0, 0, 0].size * self._enlarge(inputs.shape[2:]) ** 2
        frames = min(self.rung.frames, inputs.shape[1])
        part = max(1, int(PIXELS_AT_ONCE / (pixels * frames)))
        starts = range(0, len(inputs), part)
        return torch.cat(
            [Estimator._rows(self, inputs[i : i + part], run, network) for i in starts]
        )

    # -- learning the head only -------------------------------------------------------------------

    def _frozen_features(self) -> FrozenFeatures | None:
        network: Any = self.network_
        if not self._sees_once:
            return None
        return FrozenFeatures(self._raw_features, network.head, finish=self._standardised)

    def _features(self, clips: np.ndarray) -> np.ndarray:
        """n of what the backbone makes of clips, (N, F, ...); the first ever seen set n."""
        return self._standardised(self._raw_features(clips))

    def _raw_features(self, clips: np.ndarray) -> np.ndarray:
        return self._rows(clips, lambda n, x: n.see(x), self.network_).numpy()

    def _standardised(self, rows: np.ndarray) -> np.ndarray:
        whole: Any = self.network_
        seen = torch.from_numpy(rows)
        whole.keep_statistics(seen)
        with torch.inference_mode():
            found: np.ndarray = whole.eval().standardised(seen).numpy()
        return found
