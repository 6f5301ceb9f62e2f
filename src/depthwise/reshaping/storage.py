"""Weights that are stored in 8 or 4 bits and computed with in floating point: the edits
"weights-int8" and "weights-int4".

    {"kind": "weights-int4", "layers": ["output", ...], "group": 32}

    q = clamp(round(W / s), -m, m),   W^ = s q,   m = 127 or 7

with one scale s a row of W (an output channel; "group": null), or one for every `group` weights of
a row. s = c max|W| / m, where c <= 1 is the clipping, of a few tried, that leaves the smallest
squared error. Loading makes W^, and everything runs as before; the file holds q (two a byte in 4
bits) and s in float16. While a layer learns, it computes with W^ and the gradient passes straight
through to W (Bengio et al. 2013).

Shapes: O outputs of a layer, D weights of each, G groups of a row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.reshaping.folding import put

__all__ = [
    "STORED", "Stored", "StoredConv2d", "StoredLinear", "pack_int4", "stored", "stored_edit",
    "unpack_int4",
]  # fmt: skip

MOST = {8: 127, 4: 7}
CLIPPINGS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7)
TINIEST = 6.2e-5  # about the smallest normal number of float16


def pack_int4(q: Tensor) -> Tensor:
    """Whole numbers -8..7 (O, D) -> two a byte, uint8 (O, ceil(D / 2)); the low half first."""
    padded = functional.pad(q, (0, q.shape[1] % 2)).to(torch.int16) + 8
    return (padded[:, 0::2] + 16 * padded[:, 1::2]).to(torch.uint8)


def unpack_int4(packed: Tensor, columns: int) -> Tensor:
    """The inverse: int8 (O, columns)."""
    wide = packed.to(torch.int16)
    pairs = torch.stack([wide % 16, wide // 16], dim=2) - 8
    return pairs.flatten(1)[:, :columns].to(torch.int8)


class Stored(nn.Module):
    """What the two kinds of layer share; `weight` is W^, on the grid of `weight_scale` (O, G)."""

    weight: Any
    weight_scale: Tensor
    bits: int
    group: int | None
    product: Callable[[Tensor, Tensor], Tensor] | None = None  # of q (R, D) and s (R,), for files

    def take(self, layer: Any, bits: int, group: int | None) -> None:
        """The layer's numbers, not rounded yet."""
        self.bits, self.group = bits, group
        self.weight, self.bias = layer.weight, layer.bias
        rows, columns = self.weight.flatten(1).shape
        groups = 1 if group is None else -(-columns // group)
        scale = torch.ones(rows, groups, dtype=torch.float16, device=self.weight.device)
        self.register_buffer("weight_scale", scale)

    @torch.no_grad()
    def settle(self) -> None:
        """Choose the scales, and move the weights onto their grid."""
        flat, most = self._grouped(self.weight), MOST[self.bits]
        largest = flat.abs().amax(dim=2)
        best = torch.full_like(largest, torch.inf)
        for clipping in CLIPPINGS:
            scale = (clipping * largest / most).clamp(min=TINIEST).half()
            error = (self._on_grid(flat, scale) - flat).square().sum(dim=2)
            better = error < best
            self.weight_scale.copy_(torch.where(better, scale, self.weight_scale))
            best = torch.where(better, error, best)
        self.weight.copy_(self.rounded())

    def rounded(self) -> Tensor:
        """W^ of the present weights."""
        grouped = self._on_grid(self._grouped(self.weight), self.weight_scale)
        return self._as_weight(grouped.flatten(1))

    @torch.no_grad()
    def keep_bytes(self, product: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Compute s q by `product` from now on, a row a scale: so that a file holds bytes."""
        q = self._whole(self._grouped(self.weight), self.weight_scale)  # (O, G, group)
        self.register_buffer("q", q.flatten(0, 1).to(torch.int8))
        self.register_buffer("scale", self.weight_scale.flatten().float())
        self.product = product

    def used(self) -> Tensor:
        """The weights to compute with."""
        if self.product is not None:
            held: Any = self
            rows = self.product(held.q, held.scale)
            return self._as_weight(rows.reshape(len(self.weight_scale), -1))
        if not self.training:
            return self.weight
        return self.weight + (self.rounded() - self.weight).detach()

    def _grouped(self, weight: Tensor) -> Tensor:
        """(O, ...) -> (O, G, group), the last group filled up with zeros."""
        flat, groups = weight.flatten(1), self.weight_scale.shape[1]
        size = -(-flat.shape[1] // groups) if self.group is None else self.group
        return functional.pad(flat, (0, groups * size - flat.shape[1])).unflatten(1, (groups, size))

    def _as_weight(self, flat: Tensor) -> Tensor:
        shape = self.weight.shape
        return flat[:, : shape[1:].numel()].reshape(shape)

    def _whole(self, grouped: Tensor, scale: Tensor) -> Tensor:
        most = MOST[self.bits]
        return torch.round(grouped / scale[:, :, None].to(grouped.dtype)).clamp(-most, most)

    def _on_grid(self, grouped: Tensor, scale: Tensor) -> Tensor:
        return self._whole(grouped, scale) * scale[:, :, None].to(grouped.dtype)

    # -- the file ---------------------------------------------------------------------------------

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        weight = destination.pop(f"{prefix}weight").detach()
        q = self._whole(self._grouped(weight), self.weight_scale).flatten(1)
        q = q[:, : weight.flatten(1).shape[1]].to(torch.int8)
        destination[f"{prefix}weight_q"] = pack_int4(q) if self.bits == 4 else q

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        own = {k: v for k, v in state_dict.items() if k.startswith(prefix)}
        q = own.pop(f"{prefix}weight_q", None)
        if q is not None:
            columns = self.weight.shape[1:].numel()
            q = unpack_int4(q, columns) if self.bits == 4 else q
            scale = own[f"{prefix}weight_scale"]
            wide = self._grouped(q.to(self.weight.dtype)) * scale[:, :, None].to(self.weight.dtype)
            own[f"{prefix}weight"] = self._as_weight(wide.flatten(1)).contiguous()
        super()._load_from_state_dict(own, prefix, *rest)


class StoredLinear(Stored, nn.Linear):
    def __init__(self, layer: nn.Linear, bits: int, group: int | None):
        nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.take(layer, bits, group)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.used(), self.bias)


class StoredConv2d(Stored, nn.Conv2d):
    def __init__(self, layer: nn.Conv2d, bits: int, group: int | None):
        nn.Module.__init__(self)
        self.__dict__.update({k: v for k, v in layer.__dict__.items() if not k.startswith("_")})
        self._reversed_padding_repeated_twice = layer._reversed_padding_repeated_twice
        self.take(layer, bits, group)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.used(), self.bias)


STORED: dict[type[nn.Module], type[Stored]] = {nn.Linear: StoredLinear, nn.Conv2d: StoredConv2d}


def stored_edit(network: nn.Module, bits: int, group: int | None = None) -> dict[str, Any]:
    """The edit that stores every convolution and linear layer in `bits`."""
    layers = [path for path, module in network.named_modules() if type(module) in STORED]
    return {"kind": f"weights-int{bits}", "layers": layers, "group": group}


def stored(network: nn.Module, edit: dict[str, Any]) -> nn.Module:
    """The network with such layers; their scales are to be loaded, or settled (`settle`).

    Raises ValueError for a layer that is not there or of another kind, and a group that is none.
    """
    bits = {"weights-int8": 8, "weights-int4": 4}[edit["kind"]]
    layers, group = edit.get("layers"), edit.get("group")
    if not isinstance(layers, list) or set(edit) != {"kind", "layers", "group"}:
        raise ValueError(f'an edit {edit["kind"]!r} needs "layers": [paths] and "group"')
    if group is not None and not (type(group) is int and 2 <= group <= 1 << 20):
        raise ValueError(f"group must be null or at least 2; got {group!r}")
    for path in layers:
        layer: Any = network.get_submodule(path) if isinstance(path, str) else None
        make: Any = STORED.get(type(layer))
        if make is None:
            raise ValueError(f"{path!r} is no convolution or linear layer")
        put(network, path, make(layer, bits, group))
    return network
