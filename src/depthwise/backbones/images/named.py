"""Backbones by name: `backbone("efficientnet-lite0", (3, 224, 224))`.

| name or path                  | what                                     | maps at strides   |
| ----------------------------- | ---------------------------------------- | ----------------- |
| "efficientnet-lite0"          | learnt on ImageNet (package, extra)      | 4, 8, 16, 32      |
| "cnn-xxs" .. "cnn-xl"         | the CNN family's rungs, from scratch     | 1, 2, 4 times 2^n |
| "residual-xs" .. "residual-l" | a quicker residual one, from scratch     | 2, 4, 8, 16       |
| a folder of `CNN.save`        | what that model has learnt               | as above          |
| a folder with config.json,    | an image model of `transformers` (extra) | the model's own   |
| or a name such as "org/model" |                                          |                   |

Shapes: C channels, H W image.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from depthwise.backbones.images import cnn_backbone as convolutions
from depthwise.backbones.images import huggingface, residual
from depthwise.backbones.images.efficientnet import NAMES, EfficientNetLite
from depthwise.backbones.images.features import Backbone, Shape, as_times, checked_shape
from depthwise.backbones.images.weights import load_pretrained
from depthwise.errors import InputError

__all__ = ["backbone", "is_pretrained", "rebuild"]

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def backbone(
    name_or_path: str | Path,
    input_shape: Shape,
    pretrained: bool = True,
    *,
    embedding: bool = False,
    enlarge: float = 1,
) -> Backbone:
    """The backbone of that name for raw images (C, H, W).

    pretrained: with what it has learnt; else the same network with random weights. embedding: also
    with what makes (B, E) of the last map. enlarge: images are made so many times larger first.
    Raises InputError for an unknown name, MissingExtraError where a package is missing.
    """
    shape = checked_shape(input_shape)
    name, options = str(name_or_path), {"embedding": embedding, "enlarge": enlarge}
    if name in NAMES:
        network = EfficientNetLite(shape, **options)  # type: ignore[arg-type]
        if pretrained and not _is_meta():
            load_pretrained(network, name)
        return network
    if not is_pretrained(name):
        kind, _, size = name.partition("-")
        return FROM_SCRATCH[kind](size, shape, **options)
    if Path(name, "model.json").is_file():
        return convolutions.from_folder(Path(name), shape, pretrained=pretrained, **options)
    if Path(name, "config.json").is_file() or HUB_NAME.fullmatch(name):
        return huggingface.from_name(name, shape, pretrained=pretrained, **options)
    raise InputError(
        f"there is no backbone {name!r}. Give {', '.join(NAMES)}, cnn-s or residual-s (or another "
        "size), the folder of a saved CNN, or an image model of transformers by folder or name."
    )


def is_pretrained(name_or_path: str | Path) -> bool:
    """Whether the named backbone comes with pretrained weights."""
    name = str(name_or_path)
    kind, dash, _ = name.partition("-")
    return not (dash and kind in FROM_SCRATCH) or Path(name).exists()


def rebuild(description: dict[str, Any]) -> Backbone:
    """The same network from `Backbone.description`: no package of weights and no folder needed.

    Raises ValueError, KeyError or TypeError for a description that is nonsense.
    """
    kind = description["kind"]
    if kind not in KINDS:
        raise ValueError(f"a backbone of the kind {kind!r}; there are {', '.join(KINDS)}")
    made = KINDS[kind](description)
    made.keeps_statistics = bool(description["keeps_statistics"])
    made.freeze(int(description["frozen"]))
    return made


def _efficientnet(description: dict[str, Any]) -> Backbone:
    if description["name"] not in NAMES:
        raise ValueError(f"an EfficientNet named {description['name']!r}")
    return EfficientNetLite(
        checked_shape(description["input_shape"]),
        embedding=bool(description["embedding"]),
        enlarge=as_times(description["enlarge"]),
    )


FROM_SCRATCH: dict[str, Callable[..., Backbone]] = {
    "cnn": convolutions.from_size,
    "residual": residual.from_size,
}
KINDS: dict[str, Callable[[dict[str, Any]], Backbone]] = {
    "efficientnet-lite": _efficientnet,
    "cnn": convolutions.rebuilt,
    "residual": residual.rebuilt,
    "transformers": huggingface.rebuilt,
}


def _is_meta() -> bool:
    """Whether tensors are created on the meta device, so that there are no weights to load."""
    return torch.empty(0).is_meta
