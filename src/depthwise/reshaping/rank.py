"""A layer as two thinner ones: the edit "low-rank".

    {"kind": "low-rank", "layers": {"hidden.0": 24, ...}}

    linear         W (O, I)           = A B,   B (r, I),         A (O, r)
    convolution    W (O, I, h, w)     = A B,   B (r, I, h, w),   A (O, r, 1, 1)

(Denil et al. 2013; Zhang et al. 2016 for the convolution: r maps of the same window, then a 1x1
convolution that mixes them.) With W = U S V^T, A = U_r S_r^(1/2) and B = S_r^(1/2) V_r^T are the
nearest product of rank r (Eckart and Young 1936). The layer becomes nn.Sequential(B, A), the bias
in A.

Shapes: O outputs, I inputs, h w window, r rank.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from depthwise.reshaping.folding import put

__all__ = ["factor", "factored", "fullest_rank"]


def fullest_rank(layer: Any) -> int:
    """The largest rank that saves products; 0 for a layer that cannot be factored."""
    plain = type(layer) is nn.Linear or (type(layer) is nn.Conv2d and layer.groups == 1)
    if not plain:
        return 0
    outputs, inner = layer.weight.flatten(1).shape
    return max(0, -(-outputs * inner // (outputs + inner)) - 1)


def factor(network: nn.Module, edit: dict[str, Any]) -> nn.Module:
    """The network with these layers as two; the numbers are to be loaded, or set (`factored`).

    Raises ValueError for a layer that is not there or of another kind, or no rank.
    """
    layers = edit.get("layers")
    if not isinstance(layers, dict) or set(edit) != {"kind", "layers"}:
        raise ValueError('an edit "low-rank" needs "layers": {path: rank}')
    for path, rank in layers.items():
        layer = network.get_submodule(path)
        if type(rank) is not int or not 1 <= rank <= fullest_rank(layer):
            raise ValueError(f"the layer {path!r} cannot be of rank {rank!r}")
        put(network, path, _pair(layer, rank))
    return network


@torch.no_grad()
def factored(network: nn.Module, edit: dict[str, Any]) -> nn.Module:
    """The network with these layers as the two nearest ones, changed in place."""
    layers: dict[str, Any] = {path: network.get_submodule(path) for path in edit["layers"]}
    weights = {path: layer.weight.detach().flatten(1) for path, layer in layers.items()}
    network = factor(network, edit)
    for path, rank in edit["layers"].items():
        u, s, vt = torch.linalg.svd(weights[path].double(), full_matrices=False)
        root = s[:rank].sqrt()
        pair: Any = network.get_submodule(path)
        pair[0].weight.copy_((root[:, None] * vt[:rank]).reshape(pair[0].weight.shape))
        pair[1].weight.copy_((u[:, :rank] * root).reshape(pair[1].weight.shape))
        if (bias := layers[path].bias) is not None:
            pair[1].bias.copy_(bias)
    return network


def _pair(layer: Any, rank: int) -> nn.Sequential:
    about: dict[str, Any] = {"device": layer.weight.device, "dtype": layer.weight.dtype}
    bias = layer.bias is not None
    if type(layer) is nn.Linear:
        first: nn.Module = nn.Linear(layer.in_features, rank, bias=False, **about)
        return nn.Sequential(first, nn.Linear(rank, layer.out_features, bias, **about))
    first = nn.Conv2d(
        layer.in_channels,
        rank,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        bias=False,
        padding_mode=layer.padding_mode,
        **about,
    )
    return nn.Sequential(first, nn.Conv2d(rank, layer.out_channels, 1, bias=bias, **about))
