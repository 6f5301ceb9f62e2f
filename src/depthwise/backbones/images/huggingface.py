"""Image models of Hugging Face's `transformers` as backbones: an extra, imported when asked for.

    backbone("microsoft/resnet-18", (3, 224, 224))        by name: downloaded once by transformers
    backbone("models/my-vit", (3, 224, 224))              a folder with config.json

A model is taken without its head. Its maps are the last hidden state of each resolution: those of
convolutional models as they are, those of vision transformers with their tokens put back in rows
and columns (tokens that stand for no patch left out). A model that knows one image size gets every
image resized to it. Weights are read from safetensors only, and no code that comes with a model is
run. A saved model of ours holds config and weights: loading it needs transformers, but no download.

Shapes: B batch, C channels, H W image, T tokens, D features, E embedding.
"""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.images.features import (
    BYTES,
    Backbone,
    FixedScale,
    Raw,
    Shape,
    as_times,
    checked_shape,
    whole,
)
from depthwise.backbones.transformers_models import NO_CODE, attribute, names_code
from depthwise.errors import InputError, MissingExtraError

__all__ = ["TransformersBackbone", "from_name", "rebuilt"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TransformersBackbone(Backbone):
    """Raw images (B, C, H, W) -> one map a resolution; E is the channels of the last.

    For freezing, the whole is one stage.
    """

    def __init__(
        self,
        model: Any,
        input_shape: Shape,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        *,
        embedding: bool = False,
        enlarge: float = 1,
    ):
        super().__init__()
        self.model, self.input_shape, self.enlarge = model, tuple(input_shape), enlarge
        self.mean, self.std = tuple(mean), tuple(std)
        self.raw = Raw(input_shape[0], 3, enlarge)
        self.scale = FixedScale([m * BYTES for m in mean], [s * BYTES for s in std])
        self.side = _one_size(model.config)
        sizes = self._sizes()
        self.channels = tuple(channels for channels, _ in sizes)
        self.strides = whole(max(input_shape[1:]) / side for _, side in sizes)
        self.n_embedding = self.channels[-1] if embedding else 0

    def features(self, x: Tensor) -> list[Tensor]:
        x = self.scale(self.raw(x))
        if self.side is not None:
            x = functional.interpolate(x, size=self.side, mode="bilinear", align_corners=False)
        answer = self.model(pixel_values=x, output_hidden_states=True, return_dict=True)
        hidden = attribute(answer, "reshaped_hidden_states", None) or answer.hidden_states
        maps: dict[tuple[int, ...], Tensor] = {}
        for state in hidden:
            shaped = state if state.dim() == 4 else _in_rows(state, x.shape[2] / x.shape[3])
            maps[tuple(shaped.shape[2:])] = shaped
        return [maps[size] for size in sorted(maps, reverse=True)]

    def embed(self, last: Tensor) -> Tensor:
        return last.mean(dim=(2, 3))

    def stages(self) -> list[list[nn.Module]]:
        return [[self.model]]

    @property
    def description(self) -> dict[str, Any]:
        return {
            "kind": "transformers",
            "config": self.model.config.to_diff_dict(),
            "mean": list(self.mean),
            "std": list(self.std),
            "input_shape": list(self.input_shape),
            "embedding": bool(self.n_embedding),
            "enlarge": self.enlarge,
            **self.learning(),
        }

    def _sizes(self) -> list[tuple[int, int]]:
        """(channels, longer side) of each map, for images of this shape."""
        device = next(self.model.parameters()).device
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            maps = self.to(device).features(torch.zeros(1, *self.input_shape, device=device))
        self.model.train(was_training)
        return [(made.shape[1], max(made.shape[2:])) for made in maps]


def from_name(
    name_or_path: str, input_shape: Shape, *, pretrained: bool, **options: Any
) -> Backbone:
    """Raises MissingExtraError without transformers, InputError where it finds no such model."""
    library = _transformers()
    try:
        config = library.AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
        model = (
            library.AutoModel.from_pretrained(name_or_path, use_safetensors=True, **NO_CODE)
            if pretrained
            else library.AutoModel.from_config(config, **NO_CODE)
        )
        mean, std = _pixel_scale(library, name_or_path)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0][:160]
        raise InputError(
            f"{name_or_path!r} is neither a folder of ours nor a model that transformers can open "
            f"({reason}). Give a folder with config.json and model.safetensors, or a name."
        ) from None
    return _checked(TransformersBackbone, model, input_shape, mean, std, **options)


def rebuilt(description: dict[str, Any]) -> Backbone:
    """From a backbone's description, on any device."""
    library = _transformers()
    about = {k: v for k, v in description["config"].items() if not names_code(k)}
    config = library.AutoConfig.for_model(about.pop("model_type"), **about)
    model = library.AutoModel.from_config(config, **NO_CODE)
    shape = checked_shape(description["input_shape"])
    mean, std = (tuple(map(float, description[name])) for name in ("mean", "std"))
    options = {
        "embedding": bool(description["embedding"]),
        "enlarge": as_times(description["enlarge"]),
    }
    return _checked(TransformersBackbone, model, shape, mean, std, **options)


def _checked(make: type[TransformersBackbone], model: Any, *args: Any, **options: Any) -> Backbone:
    """Check that the model can be saved as tensors and rebuilt. Raises InputError."""
    if attribute(model, "main_input_name", "pixel_values") != "pixel_values":
        raise InputError(f"{type(model).__name__} takes no images; give an image model.")
    kept = set(model.state_dict())
    unsaved = [name for name, _ in model.named_buffers() if name not in kept]
    if unsaved:
        raise InputError(
            f"{type(model).__name__} keeps {unsaved[0]} outside its weights, so it could not be "
            "saved and loaded as one of ours. Take another model, such as a ResNet or a ViT."
        )
    return make(model, *args, **options)


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise MissingExtraError(
            "a backbone from Hugging Face needs the transformers library: "
            'pip install "depthwise[transformers]".'
        ) from None


def _pixel_scale(library: Any, name_or_path: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixels 0..1, as the model's own preprocessing has them."""
    folder = Path(name_or_path)
    if folder.is_dir() and not (folder / "preprocessor_config.json").is_file():
        return IMAGENET_MEAN, IMAGENET_STD
    about, _ = library.ImageProcessingMixin.get_image_processor_dict(name_or_path)
    if not about.get("do_normalize", True):
        return (0.0,) * 3, (1.0,) * 3
    return tuple(about.get("image_mean", IMAGENET_MEAN)), tuple(
        about.get("image_std", IMAGENET_STD)
    )


def _one_size(config: Any) -> tuple[int, int] | None:
    """The image size of a model of attention, whose positions were learnt for it; None for any."""
    side = attribute(config, "image_size", None)
    if side is None or attribute(config, "num_attention_heads", None) is None:
        return None
    high, wide = side if isinstance(side, list | tuple) else (side, side)
    return int(high), int(wide)


def _in_rows(tokens: Tensor, aspect: float) -> Tensor:
    """(B, T, D), height / width -> (B, D, h, w): the last h w tokens, h / w near the aspect."""
    count = tokens.shape[1]
    width = max(1, int(math.sqrt(count / aspect)))
    height = max(1, round(width * aspect))
    patches = tokens[:, count - height * width :]
    return patches.transpose(1, 2).reshape(len(tokens), -1, height, width)
