"""Batch normalisation folded into the layer before it: one product and one sum fewer a value.

    n(W x + b) = g (W x + b - m) / sqrt(v + e) + c  =  W' x + b'
    W' = s W,   b' = s (b - m) + c,   s = g / sqrt(v + e)

g weight, c bias, m running_mean, v running_var, e eps of the norm; s is one number an output
channel. Exact but for rounding (Jacob et al. 2018, section 3.2). A norm that has been folded is
replaced by nn.Identity, so that every other module keeps its path.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["fold", "foldable", "put"]

Normed = nn.Conv2d | nn.Linear
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def foldable(network: nn.Module) -> dict[str, Any] | None:
    """The edit that folds every batch norm that follows a convolution or linear layer in a
    Sequential; None where there is none."""
    pairs = []
    for path, module in network.named_modules():
        if not isinstance(module, nn.Sequential):
            continue
        names = [f"{path}.{name}".lstrip(".") for name in module._modules]
        for (a, first), (b, second) in zip(
            zip(names, module, strict=True), list(zip(names, module, strict=True))[1:]
        ):
            if isinstance(second, NORMS) and _fits(first, second):
                pairs.append([a, b])
    return {"kind": "folded", "layers": pairs} if pairs else None


@torch.no_grad()
def fold(network: nn.Module, edit: dict[str, Any]) -> nn.Module:
    """`network` with the norms of `edit["layers"]` folded away; works on any device."""
    for pair in edit["layers"]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError("a folded layer must be a pair of paths")
        layer, norm = (network.get_submodule(str(path)) for path in pair)
        if not _fits(layer, norm):
            raise ValueError(f"{pair[1]!r} is no batch norm of {pair[0]!r}")
        _fold_into(layer, norm)
        put(network, pair[1], nn.Identity())
    return network


def put(network: nn.Module, path: str, module: nn.Module) -> None:
    """Replace the module at `path`."""
    above, _, name = path.rpartition(".")
    setattr(network.get_submodule(above), name, module)


def _fits(layer: Any, norm: Any) -> bool:
    if not isinstance(layer, Normed) or not isinstance(norm, NORMS):
        return False
    plain = norm.affine and norm.track_running_stats
    return plain and norm.num_features == layer.weight.shape[0]


def _fold_into(layer: Any, norm: Any) -> None:
    scale: Tensor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = torch.zeros_like(norm.bias) if layer.bias is None else layer.bias
    shape = (-1, *[1] * (layer.weight.dim() - 1))
    layer.weight = nn.Parameter(layer.weight * scale.reshape(shape))
    layer.bias = nn.Parameter((bias - norm.running_mean) * scale + norm.bias)
