"""A sentence encoder of two tiny layers in a folder, as published ones lie there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from depthwise.backbones.texts.bert import Bert, BertShape, name_in_file

WORDS = [
    "a", "b", "cat", "dog", "bird", "fish", "##s", "sleeps", "runs", "sings", "swims", "the", "is",
    "not", "in", "tree", "red", "green", "good", "bad", ".", "?", "東", "京",
]  # fmt: skip
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
SHAPE = BertShape(
    vocab_size=len(MARKS) + len(WORDS),
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=24,
    max_position_embeddings=20,
)


def made_encoder(folder: Path, seed: int = 0, **config: Any) -> str:
    """The folder's name. `config`: entries of its config.json that are another."""
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        body = Bert(SHAPE)
        for weight in body.parameters():
            torch.nn.init.normal_(weight, mean=float(weight.dim() == 1) / 2, std=0.2)
    tensors = {name_in_file(ours): tensor for ours, tensor in body.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    about = {"model_type": "bert", "hidden_act": "gelu", **vars(SHAPE), **config}
    (folder / "config.json").write_text(json.dumps(about))
    (folder / "tokenizer.json").write_text(made_tokenizer())
    return str(folder)


def made_tokenizer() -> str:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {piece: i for i, piece in enumerate(MARKS + WORDS)}
    engine = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    engine.normalizer = normalizers.BertNormalizer(lowercase=True)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return str(engine.to_str())
