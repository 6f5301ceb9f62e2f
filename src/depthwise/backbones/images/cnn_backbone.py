"""The CNN family as a backbone, from scratch or from a saved model.

Its maps are those after each of its three stages (families/cnn.py); strides are 1, 2, 4 for images
of at most 64 pixels a side, and twice as much for each halving that larger ones meet in the stem.
E is twice the channels of the last map: average and maximum over positions.

Shapes: B batch, C channels, H W image, E embedding.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from depthwise.backbones.images.features import (
    Backbone,
    FixedScale,
    Raw,
    Shape,
    as_times,
    checked_shape,
    enlarged_sides,
    whole,
)
from depthwise.errors import InputError
from depthwise.families.cnn import CNN, SIZES, CNNNetwork, CNNRegressor, Rung, pooled
from depthwise.layers import Rescaled, Standardise
from depthwise.models.modelfile import read_model
from depthwise.reshaping.edits import edits_of, reshape

__all__ = ["ConvolutionalBackbone", "from_folder", "from_size", "rebuilt"]

FAMILIES = {make.family: make for make in (CNN, CNNRegressor)}
NO_HEAD = 1  # classes of the head that is thrown away
MOST_BLOCKS = 64
PLAIN_EDITS = ("folded", "widths")  # after which a network is still made of plain convolutions


class ConvolutionalBackbone(Backbone):
    """Raw images (B, C, H, W) -> three maps of w, 2w and 4w channels.

    network: of shape `learnt_on` (C', H', W'), whose head is left out; `fixed`: the pixels' mean
    and scale are those it was trained with, not to be set by the next data.
    """

    def __init__(
        self,
        network: CNNNetwork,
        rung: Rung,
        learnt_on: Shape,
        input_shape: Shape,
        *,
        embedding: bool = False,
        enlarge: float = 1,
        fixed: bool = False,
    ):
        super().__init__()
        self.rung, self.learnt_on, self.enlarge = rung, tuple(learnt_on), enlarge
        self.input_shape, self.edits = tuple(input_shape), edits_of(network)
        self.raw = Raw(input_shape[0], learnt_on[0], enlarge) if self._is_changed() else None
        self.standardise = _fixed(network.standardise) if fixed else network.standardise
        self.stem, self.blocks = network.stem, network.stages
        self.ends = [0, *network.stage_ends]
        pieces = [[self.stem, self.blocks[: self.ends[1]]]]
        pieces += [[self.blocks[a:b]] for a, b in itertools.pairwise(self.ends[1:])]
        steps = itertools.accumulate((_stride(piece) for piece in pieces), lambda a, b: a * b)
        self.strides = whole(step / enlarge for step in steps)
        self.channels = tuple(_channels(piece) for piece in pieces)
        self.n_embedding = 2 * self.channels[-1] if embedding else 0

    def features(self, x: Tensor) -> list[Tensor]:
        if self.raw is not None:
            x = self.raw(x)
        x, maps = self.stem(self.standardise(x)), []
        for start, end in itertools.pairwise(self.ends):
            x = self.blocks[start:end](x)
            maps.append(x)
        return maps

    def embed(self, last: Tensor) -> Tensor:
        return pooled(last)

    def stages(self) -> list[list[nn.Module]]:
        blocks: list[nn.Module] = list(self.blocks)
        parts = [blocks[start:end] for start, end in itertools.pairwise(self.ends)]
        return [[self.stem, *parts[0]], *parts[1:]]

    @property
    def description(self) -> dict[str, Any]:
        return {
            "kind": "cnn",
            "rung": list(self.rung.__dict__.values()),
            "learnt_on": list(self.learnt_on),
            "input_shape": list(self.input_shape),
            "embedding": bool(self.n_embedding),
            "enlarge": self.enlarge,
            "fixed": isinstance(self.standardise, FixedScale),
            "edits": self.edits,
            **self.learning(),
        }

    def _is_changed(self) -> bool:
        """Whether images are not taken as they are: floats 0..1 then become 0..255, as in every
        backbone with a scale of its own."""
        return self.enlarge != 1 or self.input_shape[0] != self.learnt_on[0]


def from_size(size: str, input_shape: Shape, **options: Any) -> Backbone:
    """A rung of the CNN's ladder with random weights."""
    if size not in SIZES:
        known = ", ".join(f"cnn-{name}" for name in SIZES)
        raise InputError(f"there is no backbone cnn-{size}; there are {known}.")
    channels, height, width = input_shape
    height, width = enlarged_sides((height, width), options.get("enlarge", 1))
    shape = (channels, height, width)
    network = CNNNetwork(shape, NO_HEAD, SIZES[size], 0.0)
    return ConvolutionalBackbone(network, SIZES[size], shape, input_shape, **options)


def from_folder(folder: Path, input_shape: Shape, *, pretrained: bool, **options: Any) -> Backbone:
    """The network of a saved CNN or CNNRegressor, with what it learnt or begun anew.

    Raises ModelFileError for a folder that holds no such model, InputError for one whose layers
    are no plain convolutions any more.
    """
    model = read_model(folder, FAMILIES)
    whole = model.network_  # a regressor's is wrapped
    network: Any = whole.network if isinstance(whole, Rescaled) else whole
    edits = edits_of(model.network_)
    unfit = [edit["kind"] for edit in edits if edit["kind"] not in PLAIN_EDITS]
    if unfit or (edits and network is not model.network_):
        raise InputError(
            f"{folder} was made smaller in a way ({', '.join(unfit) or 'edits'}) that leaves no "
            "plain feature maps. Give the folder of the model that it was made from."
        )
    rung, learnt_on = model._rung(), model.input_shape_
    if not pretrained:
        network = CNNNetwork(learnt_on, NO_HEAD, rung, 0.0)
    return ConvolutionalBackbone(network, rung, learnt_on, input_shape, fixed=pretrained, **options)


def rebuilt(description: dict[str, Any]) -> Backbone:
    """From a backbone's description, on any device. Raises ValueError or TypeError for nonsense."""
    width, blocks, separable = description["rung"]
    rung = Rung(int(width), int(blocks), bool(separable))
    learnt_on, shape = (checked_shape(description[name]) for name in ("learnt_on", "input_shape"))
    if rung.width < 1 or not 0 <= rung.blocks <= MOST_BLOCKS:
        raise ValueError(f"a backbone of {rung} for images of {learnt_on}")
    network = CNNNetwork(learnt_on, NO_HEAD, rung, 0.0)
    if description["edits"]:
        network = reshape(network, description["edits"])  # type: ignore[assignment]
    options = {name: bool(description[name]) for name in ("embedding", "fixed")}
    return ConvolutionalBackbone(
        network, rung, learnt_on, shape, enlarge=as_times(description["enlarge"]), **options
    )


def _fixed(learnt: Standardise) -> FixedScale:
    scale = FixedScale([0.0] * len(learnt.mean), [1.0] * len(learnt.mean))
    scale.mean, scale.inverse_std = learnt.mean, learnt.inverse_std
    return scale


def _convolutions(piece: Iterable[nn.Module]) -> list[nn.Conv2d]:
    return [m for part in piece for m in part.modules() if isinstance(m, nn.Conv2d)]


def _stride(piece: Iterable[nn.Module]) -> int:
    return math.prod(int(conv.stride[0]) for conv in _convolutions(piece))


def _channels(piece: Iterable[nn.Module]) -> int:
    return _convolutions(piece)[-1].out_channels
