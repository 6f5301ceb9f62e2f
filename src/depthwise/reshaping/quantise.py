"""Static quantisation: a network's weights and values as 8-bit numbers, ranges from real samples.

Batch norms are folded (folding.py), tracing says what is to be rounded (tracing.py), the layers are
replaced by those of int8.py, and the ranges of their values are chosen:

    minmax       holds all that was seen
    percentile   1e-4 of the values at either end are clamped: finer steps for the others
    mse          the range whose rounding has the least squared error, by search; of weights, the
                 scale of each output channel likewise

Of the CNNs here minmax loses least, since their heads look at the largest value of each map.
The standardisation of pixels goes into the first layer, i its inverse_std, m its mean by channel:

    W i (x - m) + b  =  W' s (x - z) + b',   W' = W i / s,   b' = b + sum W i (z - m)

Shapes: B batch, C channels, H W image, O outputs of a layer.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, fx, nn

from depthwise.errors import InputError
from depthwise.reshaping.edits import reshape
from depthwise.reshaping.folding import foldable
from depthwise.reshaping.int8 import WEIGHT_MOST, Int8Layer, Quantiser, is_int8, rounded
from depthwise.reshaping.tracing import Plan, pixel_quantiser

__all__ = ["METHODS", "quantise", "quantise_network"]

METHODS = ("minmax", "percentile", "mse")
CLAMPED = 1e-4  # of the values, at either end
KEPT = 1 << 18  # values of a tensor that its range is chosen from
BATCH = 64
SHARES = np.linspace(1.0, 0.3, 29)  # of the whole range, tried by "mse"
M = TypeVar("M")
Range = tuple[float, float]


def quantise(model: M, samples: Any, *, method: str = "minmax", weight_bits: int = 7) -> M:
    """A copy of a fitted model that computes in 8-bit whole numbers; `partial_fit` fine-tunes it
    so (quantisation-aware).

    samples: (N, ...) real inputs as the model takes them, 64 to 1,000. method: "minmax",
    "percentile" or "mse". weight_bits: 7, weights within -64..64, is computed exactly by every
    processor; 8, within -127..127, by ARM, microcontrollers and x86 with VNNI, while products
    saturate on other x86. Raises InputError for a network without layers to quantise.
    """
    shrunk: Any = copy.copy(model)
    shrunk.network_ = quantise_network(
        shrunk.network_, torch.as_tensor(samples), method=method, weight_bits=weight_bits
    )
    return shrunk


def quantise_network(
    network: nn.Module, samples: Tensor, *, method: str = "minmax", weight_bits: int = 7
) -> Any:
    """A copy of the network in 8-bit whole numbers, on the processor; samples (B, ...) as it
    takes them."""
    if method not in METHODS:
        raise InputError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
    if weight_bits not in WEIGHT_MOST:
        raise InputError(f"weight_bits must be 7 or 8; got {weight_bits!r}.")
    if not len(samples):
        raise InputError("samples has 0 items: ranges need real ones, 64 or more.")
    if is_int8(network):
        raise InputError("this network computes in 8-bit whole numbers already: take it as it is.")
    network = copy.deepcopy(network).cpu().float().eval()
    if folding := foldable(network):
        network = reshape(network, [folding])
    plan = Plan(network, samples)
    if not plan.layers:
        raise InputError("this network has no convolution or linear layer that can be quantised.")
    ranges = _ranges(plan, samples, method)
    _take_statistics(network, plan)
    weights: dict[str, Any] = {p: network.get_submodule(p).weight for p in plan.layers}
    network = reshape(network, [{**plan.edit(), "weight_bits": weight_bits}]).eval()
    _set_ranges(network, plan, ranges)
    if method == "mse":
        for path, weight in weights.items():
            _search_scales(network.get_submodule(path), weight)
    return network


@torch.no_grad()
def _take_statistics(network: nn.Module, plan: Plan) -> None:
    """The standardisation of pixels into the weights and bias of the layer that takes them."""
    if plan.pixels is None:
        return
    layer: Any = network.get_submodule(plan.pixels["layer"])
    standardise: Any = network.get_submodule(plan.pixels["path"])
    scale, zero_point = pixel_quantiser(standardise)
    mean, inverse = (t.double().reshape(-1, 1) for t in (standardise.mean, standardise.inverse_std))
    weight = layer.weight.double().reshape(len(layer.weight), len(mean), -1) * inverse  # (O, C, .)
    shift = (weight * (zero_point - mean)).sum(dim=(1, 2))
    layer.weight.copy_((weight / scale).reshape(layer.weight.shape))
    layer.bias = nn.Parameter((shift + (0 if layer.bias is None else layer.bias)).float())


# -- ranges ------------------------------------------------------------------------------------


class _Watcher(fx.Interpreter):
    """Runs the network, and keeps the extremes and some of the values that are to be rounded."""

    def __init__(self, plan: Plan, items: int):
        super().__init__(fx.GraphModule(plan.network, plan.graph))
        self.low = dict.fromkeys(plan.rounded, 0.0)
        self.high = dict.fromkeys(plan.rounded, 0.0)
        self.kept: dict[fx.Node, list[Tensor]] = {node: [] for node in plan.rounded}
        self.room = KEPT * min(1.0, BATCH / items)  # of a batch

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self.kept:
            self.low[n] = min(self.low[n], float(value.min()))
            self.high[n] = max(self.high[n], float(value.max()))
            every = max(1, round(value.numel() / self.room))
            self.kept[n].append(value.flatten()[:: every | 1].clone())  # odd: meets every column
        return value

    def range_of(self, node: fx.Node, method: str) -> Range:
        low, high = self.low[node], self.high[node]
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InputError("the network's values are not finite numbers: it cannot be quantised.")
        if method == "minmax":
            return low, high
        values = torch.cat(self.kept[node])
        if method == "percentile":
            ends = np.quantile(values.numpy(), [CLAMPED, 1 - CLAMPED])
            return float(ends[0]), float(ends[1])
        share = min(SHARES, key=lambda share: _squared_error(values, low * share, high * share))
        return low * float(share), high * float(share)


@torch.no_grad()
def _ranges(plan: Plan, samples: Tensor, method: str) -> dict[fx.Node, Range]:
    watcher = _Watcher(plan, len(samples))
    for part in samples.split(BATCH):
        watcher.run(part)
    return {node: watcher.range_of(node, method) for node in plan.rounded}


def _squared_error(values: Tensor, low: float, high: float) -> float:
    quantiser = Quantiser().eval()
    quantiser.set_range(low, high)
    return float((quantiser(values) - values).double().square().mean())


def _set_ranges(network: nn.Module, plan: Plan, ranges: dict[fx.Node, Range]) -> None:
    for node, paths in plan.rounded.items():
        for path in paths:
            quantiser: Any = network.get_submodule(path)
            quantiser.set_range(*ranges[node])
    if plan.pixels is not None:
        pixels: Any = network.get_submodule(plan.pixels["path"])
        scale, zero_point = pixel_quantiser(pixels)
        pixels.scale.fill_(scale)
        pixels.zero_point.fill_(zero_point)


@torch.no_grad()
def _search_scales(layer: Any, weight: Tensor) -> None:
    """Of each output channel the scale whose rounding is nearest to its weights."""
    assert isinstance(layer, Int8Layer)
    rows = weight.flatten(1)  # (O, ...)
    whole = rows.abs().amax(dim=1).clamp(min=1e-12) / layer.most
    scales = torch.stack([whole * float(share) for share in SHARES])  # (tried, O)
    tried = [rounded(rows, scale, layer.most) * scale[:, None] for scale in scales]
    errors = torch.stack([(r - rows).square().sum(dim=1) for r in tried])
    best = errors.argmin(dim=0)
    layer.set_scale(weight, scales.gather(0, best[None])[0])
