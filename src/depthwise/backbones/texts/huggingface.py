"""Text models of Hugging Face's `transformers` as encoders: an extra, imported when asked for.

A model is taken without its head; weights are read from safetensors only, and no code that comes
with a model is run. A saved model of ours holds config, weights and tokeniser: loading it needs
transformers, but no download.

Shapes: B batch, T pieces, D width.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.backbones.transformers_models import NO_CODE, attribute, names_code
from depthwise.errors import InputError, MissingExtraError

__all__ = ["TransformersText", "from_name", "may_be", "rebuilt"]

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class TransformersText(nn.Module):
    """Pieces (B, T), kinds (B, T) or None -> hidden states (B, T, D). For freezing, the whole is
    one stage."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        config = model.config
        self.width = int(config.hidden_size)
        self.filling = int(config.pad_token_id or 0)
        places = int(attribute(config, "max_position_embeddings", 512))
        # positions of RoBERTa's kind are counted on from the piece for filling
        self.longest = places - self.filling - 1 if self.filling else places
        self.has_kinds = int(attribute(config, "type_vocab_size", 0) or 0) > 1

    def forward(self, pieces: Tensor, kinds: Tensor | None = None) -> Tensor:
        said = {"token_type_ids": kinds} if self.has_kinds and kinds is not None else {}
        mask = (pieces != self.filling).long()
        answer = self.model(input_ids=pieces, attention_mask=mask, return_dict=True, **said)
        hidden: Tensor = answer.last_hidden_state
        return hidden

    def stages(self) -> list[list[nn.Module]]:
        return [[self.model]]

    @property
    def description(self) -> dict[str, Any]:
        return {"kind": "transformers", "config": self.model.config.to_diff_dict()}


def may_be(name_or_path: str) -> bool:
    """Whether the text could be a model's folder or name."""
    folder = Path(name_or_path, "config.json").is_file()
    return folder or bool(HUB_NAME.fullmatch(name_or_path))


def from_name(name_or_path: str, *, pretrained: bool) -> tuple[TransformersText, str]:
    """The model and its tokeniser's JSON. Raises MissingExtraError without transformers,
    InputError where it finds no such model."""
    library = _transformers()
    try:
        config = library.AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
        model = (
            library.AutoModel.from_pretrained(name_or_path, use_safetensors=True, **NO_CODE)
            if pretrained
            else library.AutoModel.from_config(config, **NO_CODE)
        )
        tokenizer = library.AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=False)
        plain: str = tokenizer.backend_tokenizer.to_str()
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0][:160]
        raise InputError(
            f"{name_or_path!r} is no text model that transformers can open ({reason}). Give a "
            "folder with config.json, model.safetensors and tokenizer.json, or a name."
        ) from None
    return _checked(model), plain


def rebuilt(config: dict[str, Any]) -> TransformersText:
    """From the config of a description, on any device."""
    library = _transformers()
    about = {k: v for k, v in config.items() if not names_code(k)}
    made = library.AutoConfig.for_model(about.pop("model_type"), **about)
    return _checked(library.AutoModel.from_config(made, **NO_CODE))


def _checked(model: Any) -> TransformersText:
    if attribute(model, "main_input_name", "input_ids") != "input_ids":
        raise InputError(f"{type(model).__name__} takes no text; give a text model.")
    if attribute(model.config, "is_encoder_decoder", False):
        raise InputError(f"{type(model).__name__} is no encoder alone; give BERT's kind.")
    _set_counters(model)
    return TransformersText(model)


def _set_counters(model: Any) -> None:
    """Positions 0, 1, 2, .. and kinds 0, 0, 0, .. which models of BERT's kind keep outside their
    weights, so that a saved model has them again. Raises InputError for anything else there."""
    for module in model.modules():
        for name in sorted(module._non_persistent_buffers_set):
            shape = module._buffers[name].shape
            if name not in ("position_ids", "token_type_ids") or shape.numel() > 2**20:
                raise InputError(
                    f"{type(model).__name__} keeps {name} outside its weights, so it could not be "
                    "saved and loaded as one of ours. Take another model, such as a BERT."
                )
            count = torch.arange(shape[-1], device="cpu").expand(shape)
            module._buffers[name] = count.clone() if name == "position_ids" else 0 * count


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise MissingExtraError(
            "a text model from Hugging Face needs the transformers library: "
            'pip install "depthwise[transformers]".'
        ) from None
