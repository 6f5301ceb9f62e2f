"""Layers with fewer channels or units: the edit "widths", and how tensors follow it.

    {"kind": "widths", "layers": {"stem.0.0": [12, 1], "stem.0.1": [12, null], ...}}

says the outputs and inputs of each layer that changed; null where a layer has no inputs of its own
(a norm, and a depthwise convolution, whose inputs are as many as its outputs). A "slot" is one side
of one layer, (path of the module, "out" or "in"), and `keep` says which of its places remain:

    weight[keep_out][:, keep_in],   bias[keep_out],   norm's mean, variance, scale, shift[keep_out]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["AXES", "NORMS", "Slot", "is_depthwise", "keep", "resize", "sides", "widths_edit"]

Slot = tuple[str, str]  # path of a module, "out" or "in"
# a layer's axes of outputs and inputs in its weight
AXES: dict[type[nn.Module], tuple[int, int]] = {
    nn.Conv2d: (0, 1),
    nn.Linear: (0, 1),
    nn.ConvTranspose2d: (1, 0),
}
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def is_depthwise(module: nn.Module) -> bool:
    """Whether every input channel has its own outputs, and there are several."""
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


def sides(module: Any) -> tuple[int, int | None] | None:
    """(outputs, inputs) of a layer whose width can change; None for any other module."""
    if type(module) in NORMS:
        return module.num_features, None
    if is_depthwise(module):
        return module.out_channels, None
    if type(module) is nn.Linear:
        return module.out_features, module.in_features
    if type(module) in AXES and module.groups == 1:
        return module.out_channels, module.in_channels
    return None


def keep(network: nn.Module, kept: Mapping[Slot, Tensor]) -> nn.Module:
    """The same network with only the places `kept` (int64 (n,)) of these slots, changed in place;
    works on any device, "meta" included."""
    for path in dict.fromkeys(path for path, _ in kept):
        module = network.get_submodule(path)
        out, inner = kept.get((path, "out")), kept.get((path, "in"))
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is None or not tensor.dim():
                continue
            _set(module, name, _cut(module, tensor, out, inner))
        _resized(module, out, inner)
    return network


def _cut(module: nn.Module, tensor: Tensor, out: Tensor | None, inner: Tensor | None) -> Tensor:
    out_axis, in_axis = AXES.get(type(module), (0, 1))
    if out is not None:
        axis = out_axis if tensor.dim() > 1 else 0
        tensor = tensor.index_select(axis, out.to(tensor.device))
    if inner is not None and tensor.dim() > 1:
        tensor = tensor.index_select(in_axis, inner.to(tensor.device))
    return tensor.detach().contiguous()


def _set(module: nn.Module, name: str, tensor: Tensor) -> None:
    before = module._parameters.get(name)
    if before is None:
        module._buffers[name] = tensor
    else:
        module._parameters[name] = nn.Parameter(tensor, requires_grad=before.requires_grad)


def _resized(module: Any, out: Tensor | None, inner: Tensor | None) -> None:
    """The module's own account of its sizes."""
    if out is not None and type(module) in NORMS:
        module.num_features = len(out)
    elif out is not None and is_depthwise(module):
        module.groups = module.in_channels = len(out) * module.in_channels // module.out_channels
        module.out_channels = len(out)
    elif type(module) is nn.Linear:
        module.out_features = len(out) if out is not None else module.out_features
        module.in_features = len(inner) if inner is not None else module.in_features
    elif type(module) in AXES:
        module.out_channels = len(out) if out is not None else module.out_channels
        module.in_channels = len(inner) if inner is not None else module.in_channels


def widths_edit(network: nn.Module, paths: Iterable[str]) -> dict[str, Any]:
    """The edit that records the present widths of these layers."""
    layers = {path: sides(network.get_submodule(path)) for path in sorted(set(paths))}
    return {"kind": "widths", "layers": {path: list(both or ()) for path, both in layers.items()}}


def resize(network: nn.Module, edit: dict[str, Any]) -> nn.Module:
    """The network with layers as wide as the edit says, the first places of each kept.

    Raises ValueError for a layer that is not there, has no width, or would have to grow.
    """
    layers = edit.get("layers")
    if not isinstance(layers, dict) or set(edit) != {"kind", "layers"}:
        raise ValueError('an edit "widths" needs "layers": {path: [outputs, inputs]}')
    kept: dict[Slot, Tensor] = {}
    for path, wanted in layers.items():
        module: Any = _module(network, path)
        present = sides(module)
        if present is None or not isinstance(wanted, list) or len(wanted) != 2:
            raise ValueError(f"the layer {path!r} cannot be {wanted!r} wide")
        for axis, now, size in zip(("out", "in"), present, wanted):
            _check(path, now, size, _multiple(module))
            if size is not None:
                kept[path, axis] = torch.arange(size, device="cpu")
    return keep(network, kept)


def _multiple(module: Any) -> int:
    """Outputs that a channel of a depthwise convolution has; 1 of any other layer."""
    return int(module.out_channels // module.in_channels) if is_depthwise(module) else 1


def _check(path: str, now: int | None, size: Any, multiple: int) -> None:
    if now is None and size is None:
        return
    whole = type(size) is int and now is not None and 1 <= size <= now
    if not whole or size % multiple:
        raise ValueError(f"the layer {path!r} of width {now} cannot be {size!r} wide")


def _module(network: nn.Module, path: Any) -> nn.Module:
    try:
        return network.get_submodule(path)
    except (AttributeError, TypeError):
        raise ValueError(f"the network has no layer {path!r}") from None
