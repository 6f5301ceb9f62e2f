"""Layers in 8-bit whole numbers, computed exactly though in floating point.

    activations   q = clamp(round(x / s) + z, 0, 255),   x^ = s (q - z)      one s, z a tensor
    weights       q = clamp(round(W / s_o), -m, m),      W^ = s_o q          one s_o an output o

(Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
Only Inference", affine for activations and symmetric for weights.) s is `scale`, z `zero_point`,
s_o `weight_scale`, q of the weights `weight_int8`. What comes out equals what a runtime computes in
whole numbers, but for ties in rounding, since sums of products of such numbers are exact in both.

m is 64, "7 bits", unless it is asked for 127. x86 processors without VNNI multiply bytes in pairs
and add the two products in 16 bits, where they saturate:

    q_1 w_1 + q_2 w_2 <= 2 * 255 * m < 2^15    holds for m = 64, not for 127

so that a network within 64 answers the same on every processor.

A layer that is followed by a rectifier needs no rounding after it: with z = 0 the clamp at 0 is
the rectifier. Pixels are whole numbers already, q = x, s the standardisation's and z the mean's
nearest one, so that the padding's zeros are exactly the pixel z.

`thaw` gives the layers floating point weights to learn with, rounded on the way forward and passed
straight through on the way back (Bengio et al. 2013; clamped values get no gradient); `freeze`
rounds them for good.

Shapes: B batch, C channels, H W image, D features, O outputs of a layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from depthwise.layers import Standardise
from depthwise.reshaping.folding import put
from depthwise.reshaping.storage import StoredConv2d, StoredLinear

__all__ = [
    "WEIGHT_MOST",
    "Int8Conv2d",
    "Int8Layer",
    "Int8Linear",
    "Pixels",
    "Quantised",
    "Quantiser",
    "int8",
    "is_int8",
    "learning",
    "may_saturate",
    "rounded",
]

LEAST, MOST = 0, 255
WEIGHT_MOST = {7: 64, 8: 127}  # by bits of a weight


class Arithmetic(nn.Module):
    """Quantise and dequantise; an exporter substitutes its own operators."""

    def quantise(self, x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        """q, as floating point numbers."""
        return (torch.round(x / scale) + zero_point).clamp(LEAST, MOST)

    def dequantise(self, q: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        return (q.to(scale.dtype) - zero_point) * scale

    def weights(self, q: Tensor, scale: Tensor) -> Tensor:
        return q.to(scale.dtype) * _by_output(scale, q)


class Quantiser(Arithmetic):
    """x -> x^, any shape."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.uint8))

    def set_range(self, low: float, high: float) -> None:
        """Set scale and zero point so that low..high fit and 0 is exact."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / (MOST - LEAST), 1e-12)
        self.scale.fill_(scale)
        self.zero_point.fill_(round(-low / scale))

    def forward(self, x: Tensor) -> Tensor:
        q = self.quantise(x, self.scale, self.zero_point)
        rounded = self.dequantise(q, self.scale, self.zero_point)
        if not self.training:
            return rounded
        ends = torch.tensor([LEAST, MOST], device=x.device)
        low, high = self.dequantise(ends, self.scale, self.zero_point)
        return _straight_through(x.clamp(low, high), rounded)


class Pixels(Standardise):
    """Raw pixels (B, C, H, W) uint8 -> s (x - z), ready for whole-number products.

    s is `scale`: the standardisation's, if all channels share it, else 1, and the layer above has
    taken them into its weights. `border` (C,) pixels and `pad` (left, right, top, bottom): the
    padding of that layer, where one z cannot stand for every channel's mean.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, standardise: Standardise, border: Sequence[int], pad: Sequence[int]):
        nn.Module.__init__(self)
        self.register_buffer("mean", standardise.mean)
        self.register_buffer("inverse_std", standardise.inverse_std)
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.uint8))
        self.border, self.pad = tuple(border), tuple(pad)

    def dequantise(self, q: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        return (q.to(scale.dtype) - zero_point) * scale

    def forward(self, x: Tensor) -> Tensor:
        if self.border:
            padded = zip(x.split(1, dim=1), self.border, strict=True)
            x = torch.cat([functional.pad(c, self.pad, value=v) for c, v in padded], dim=1)
        return self.dequantise(x, self.scale, self.zero_point)


class Quantised(nn.Module):
    """`module` with a quantised output; its other attributes keep their names."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module, self.outgoing = module, Quantiser()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("module"), name)

    def forward(self, x: Tensor) -> Tensor:
        rounded: Tensor = self.outgoing(self.module(x))
        return rounded


class Int8Layer(Arithmetic):
    """A convolution or a linear layer with weights of one byte, within -most..most; `incoming` and
    `outgoing` round what it is given and what it answers."""

    weight_int8: Tensor | None
    weight_scale: Tensor
    latent: nn.Parameter | None

    def __init__(
        self, layer: Any, incoming: bool = False, outgoing: bool = False, most: int = WEIGHT_MOST[7]
    ):
        super().__init__()
        self.most = most
        scale = layer.weight.detach().flatten(1).abs().amax(dim=1).clamp(min=1e-12) / most
        self.register_buffer("weight_scale", scale)
        self.register_buffer("weight_int8", None)
        self.register_parameter("latent", None)
        self.set_scale(layer.weight.detach(), scale)
        bias = torch.zeros_like(scale) if layer.bias is None else layer.bias.detach().clone()
        self.bias = nn.Parameter(bias)
        self.incoming = Quantiser() if incoming else None
        self.outgoing = Quantiser() if outgoing else None

    @property
    def weight(self) -> Tensor:
        """W^ (O, ...)."""
        if self.latent is None:
            assert self.weight_int8 is not None
            return self.weights(self.weight_int8, self.weight_scale)
        scale = _by_output(self.weight_scale, self.latent)
        most = self.most * scale
        weight = rounded(self.latent, self.weight_scale, self.most) * scale
        return _straight_through(torch.clamp(self.latent, -most, most), weight)

    def set_scale(self, weight: Tensor, scale: Tensor) -> None:
        """Round weights (O, ...) by scales (O,)."""
        self.weight_scale = scale
        self.weight_int8 = rounded(weight, scale, self.most).to(torch.int8)

    def product(self, x: Tensor) -> Tensor:
        """W^ x + b."""
        raise AssertionError("a kind of layer says what its product is")

    def forward(self, x: Tensor) -> Tensor:
        y = self.product(x if self.incoming is None else self.incoming(x))
        return y if self.outgoing is None else self.outgoing(y)

    @torch.no_grad()
    def thaw(self) -> None:
        self.latent, self.weight_int8 = nn.Parameter(self.weight), None

    @torch.no_grad()
    def freeze(self) -> None:
        assert self.latent is not None
        self.set_scale(self.latent.detach(), self.weight_scale)
        self.latent = None


class Int8Linear(Int8Layer):
    """(B, ..., D) -> (B, ..., O)."""

    def product(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


class Int8Conv2d(Int8Layer):
    """(B, C, H, W) -> (B, O, H', W')."""

    def __init__(
        self,
        layer: nn.Conv2d,
        incoming: bool = False,
        outgoing: bool = False,
        most: int = WEIGHT_MOST[7],
    ):
        super().__init__(layer, incoming, outgoing, most)
        assert not isinstance(layer.padding, str)
        self.stride, self.padding = layer.stride, layer.padding
        self.dilation, self.groups = layer.dilation, layer.groups

    def product(self, x: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        return functional.conv2d(
            x, weight, bias, self.stride, self.padding, self.dilation, self.groups
        )


# by kind of layer; those that are stored in few bits are computed in bytes from what they stand for
KINDS: dict[type[nn.Module], type[Int8Layer]] = {
    nn.Conv2d: Int8Conv2d,
    nn.Linear: Int8Linear,
    StoredConv2d: Int8Conv2d,
    StoredLinear: Int8Linear,
}


def int8(network: nn.Module, edit: dict[str, Any]) -> nn.Module:
    """The edit {"kind": "int8", "layers": {path: [incoming, outgoing]}, "sums": [path],
    "pixels": None or {"path", "layer", "border", "pad"}, "weight_bits": 7 or 8} done; the ranges
    are left to be set. Older edits without "weight_bits" have 8."""
    pixels, bits = edit["pixels"], edit.get("weight_bits", 8)
    if type(bits) is not int or bits not in WEIGHT_MOST:
        raise ValueError(f"weights of {bits!r} bits")
    if pixels is not None:
        _take_pixels(network, pixels)
    for path, (incoming, outgoing) in edit["layers"].items():
        layer = network.get_submodule(path)
        if type(layer) not in KINDS:
            raise ValueError(f"{path!r} is no convolution or linear layer")
        most = WEIGHT_MOST[bits]
        put(network, path, KINDS[type(layer)](layer, bool(incoming), bool(outgoing), most))
    for path in edit["sums"]:
        put(network, path, Quantised(network.get_submodule(path)))
    return network


def _take_pixels(network: nn.Module, pixels: dict[str, Any]) -> None:
    standardise = network.get_submodule(pixels["path"])
    layer = network.get_submodule(pixels["layer"])
    border, pad = pixels["border"], pixels["pad"]
    if type(standardise) is not Standardise or type(layer) not in KINDS:
        raise ValueError(f"{pixels['path']!r} does not standardise pixels for a layer")
    if border:
        sides_are_right = len(border) == len(standardise.mean) and len(pad) == 4
        if (
            not sides_are_right
            or not _are_bytes([*border, *pad])
            or not isinstance(layer, nn.Conv2d)
        ):
            raise ValueError("a border must have a pixel a channel, and a width a side")
        layer.padding = (0, 0)
    put(network, pixels["path"], Pixels(standardise, border, pad))


def is_int8(network: nn.Module) -> bool:
    return any(isinstance(module, Int8Layer) for module in network.modules())


def may_saturate(network: nn.Module) -> bool:
    """Whether pairs of its 8-bit products may exceed 16 bits: weights beyond 64 in size."""
    layers = [module for module in network.modules() if isinstance(module, Int8Layer)]
    weights = [layer.weight_int8 for layer in layers if layer.weight_int8 is not None]
    return any(int(w.to(torch.int16).abs().max()) > WEIGHT_MOST[7] for w in weights if w.numel())


@contextmanager
def learning(network: nn.Module) -> Iterator[None]:
    """Inside, int8 weights are floating point and can be trained (quantisation-aware training)."""
    layers = [module for module in network.modules() if isinstance(module, Int8Layer)]
    for layer in layers:
        layer.thaw()
    try:
        yield
    finally:
        for layer in layers:
            layer.freeze()


def _by_output(scale: Tensor, weight: Tensor) -> Tensor:
    """(O,) -> (O, 1, ...)."""
    return scale.reshape(-1, *[1] * (weight.dim() - 1))


def rounded(weight: Tensor, scale: Tensor, most: int) -> Tensor:
    """Whole numbers in -most..most, as floating point ones: weights (O, ...) by scales (O,)."""
    return torch.round(weight / _by_output(scale, weight)).clamp(-most, most)


def _straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    """The value of `rounded` with the gradient of `x`."""
    return x + (rounded - x).detach()


def _are_bytes(values: Sequence[Any]) -> bool:
    return all(type(value) is int and 0 <= value <= MOST for value in values)
