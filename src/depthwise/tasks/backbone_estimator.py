"""The base of estimators with an image backbone: the arguments `backbone`, `freeze` and
`backbone_rate`, pretrained weights at the start of a fit, and a saved model that needs neither the
package nor the folder they came from.

A task says `build_on(backbone, n_outputs)`: its network, with the backbone as its attribute of that
name. The rest is here.

Shapes: B batch, C channels, H W image.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.backbones.images.features import Backbone, checked_shape
from depthwise.backbones.images.named import backbone, is_pretrained, rebuild
from depthwise.compute import Compute
from depthwise.data.pictures.augment import augmenter
from depthwise.errors import InputError
from depthwise.models.networks import NetworkEstimator
from depthwise.settings import no_setting, number, setting, settings
from depthwise.training.step import BackboneUpdate, GradientUpdate, Recipe

__all__ = ["BackboneEstimator"]

LARGEST_FACTOR = 8  # by which small images are enlarged at most
PIXELS_AT_ONCE = 1 << 20  # of images through a backbone: some hundred megabytes of maps


@settings
class BackboneEstimator(NetworkEstimator):
    """A network on a backbone."""

    image_only: ClassVar[bool] = True
    backbone: str | None = setting(
        default=None, doc="a name or folder, see backbones/images/named.py; None is the size's"
    )
    freeze: int | str | None = setting(
        default=None,
        doc="how many of the lowest stages of the backbone do not learn, 0 .. all of them, or "
        '"all"; None is "all" for what has learnt before and 0 for what starts from scratch',
    )
    backbone_rate: float = setting(
        default=0.1,
        range=number("(0, 1]", usual=(0.01, 1)),
        doc="the backbone's learning rate as a share of `lr`; of one that starts from scratch it "
        "is 1",
    )
    enlarge: int | str = no_setting(default=1)
    sees_well: ClassVar[int] = 128  # pixels a side that pretrained weights want
    embedded: ClassVar[bool] = True  # whether the task uses the backbone's embedding

    @abc.abstractmethod
    def build_on(self, backbone: Backbone, n_outputs: int) -> nn.Module:
        """The task's whole network; `backbone` is its attribute `backbone`."""

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        """Raises InputError for inputs that are no images, or an unknown backbone."""
        network = self.build_on(self._below(input_shape, pretrained=False), n_outputs)
        network.backbone.freeze(self._frozen())  # type: ignore[operator, union-attr]
        return network

    def rebuild(self, description: dict[str, Any]) -> nn.Module:
        return self.build_on(rebuild(description["backbone"]), int(description["n_classes"]))

    def describe_network(self) -> dict[str, Any]:
        below: Any = self.network_.backbone
        return {**super().describe_network(), "backbone": below.description}

    def _backbone_name(self) -> str:
        """The one that was asked for, or that of the size."""
        return str(self._rung().backbone if self.backbone is None else self.backbone)

    def _frozen(self) -> int | str:
        """How many of the backbone's lowest stages do not learn, or "all"."""
        if self.freeze is not None:
            return self.freeze
        return "all" if self.is_transfer else 0

    def _enlarge(self, input_shape: tuple[int, ...]) -> float:
        """How many times larger images of this shape are made first."""
        if self.enlarge != "auto":
            return int(self.enlarge)
        wanted = -(-self.sees_well // min(input_shape[1:])) if self.is_transfer else 1
        return min(LARGEST_FACTOR, wanted)

    def _below(self, input_shape: tuple[int, ...], pretrained: bool) -> Backbone:
        if len(input_shape) != 3:
            raise InputError(
                f"{type(self).__name__} needs images (C, H, W); got inputs of shape {input_shape}."
            )
        return backbone(
            self._backbone_name(),
            checked_shape(input_shape),
            pretrained,
            embedding=self.embedded,
            enlarge=self._enlarge(input_shape),
        )

    def _new_network(self, inputs: np.ndarray, targets: np.ndarray) -> nn.Module:
        network = super()._new_network(inputs, targets)
        if self.is_transfer:
            below = self._below(self.input_shape_, pretrained=True)
            below.keeps_statistics = True
            below.freeze(self._frozen())
            network.backbone = below
        return network

    def _rows(
        self,
        inputs: np.ndarray,
        run: Callable[[Any, Tensor], Tensor],
        network: nn.Module | None = None,
    ) -> Tensor:
        """Images in parts whose maps fit into memory."""
        if inputs.ndim != 4:
            return super()._rows(inputs, run, network)
        side = self._enlarge(inputs.shape[1:])
        part = max(1, int(PIXELS_AT_ONCE / (side * side * inputs.shape[2] * inputs.shape[3])))
        parts = [inputs[i : i + part] for i in range(0, len(inputs), part)]
        return torch.cat([NetworkEstimator._rows(self, some, run, network) for some in parts])

    @property
    def is_frozen(self) -> bool:
        """Whether the backbone learns nothing, so that it sees each item once only."""
        return self._frozen() == "all"

    @property
    def _sees_once(self) -> bool:
        """Whether nothing below the head learns."""
        network: Any = self.network_
        return not self._is_head_alone and bool(network.backbone.all_frozen)

    @property
    def is_transfer(self) -> bool:
        """Whether the backbone has learnt something before."""
        return is_pretrained(self._backbone_name())

    def _update(
        self, loss: Callable[[Tensor, Tensor], Tensor], recipe: Recipe, compute: Compute
    ) -> GradientUpdate:
        if self._is_head_alone:
            return super()._update(loss, recipe, compute)
        below: Any = self.network_.backbone
        share = self.backbone_rate if self.is_transfer else 1.0
        augment = self._augmenter()
        return BackboneUpdate(
            self.network_, loss, recipe, compute, augment, below=below, share=share
        )

    def _augmenter(self) -> Callable[[Tensor], Tensor]:
        return augmenter(self.augment, self.input_shape_)
