"""What a network costs in the form that it is stored and run in: one answer for `choose`, `shrink`,
`measure`, `export` and the report.

    counts       operators of the network in floating point, the roundings of an 8-bit one left out:
                 whole numbers run the same products, which is what predictions are made from
    precision    "int8" of a network in 8-bit numbers, on any device; else the device's own, which
                 on a microcontroller is int8 too, since that is what such boards run
    size_bytes   the file it runs from: the graph of its runtime, or model.safetensors, a quarter of
                 that where floating point numbers are to run as bytes

Shapes: B batch.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.measuring.counting import Counts, count
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.roofline import SCALES
from depthwise.reshaping.folding import put
from depthwise.reshaping.int8 import Int8Conv2d, Int8Layer, Quantised, Quantiser, is_int8
from depthwise.reshaping.storage import Stored
from depthwise.runtimes.attached import Running

__all__ = ["counts_of", "file_bytes", "precision_on", "size_bytes"]

DTYPES = {  # as safetensors names them, in the order that it writes them
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
ORDER = list(DTYPES)


def counts_of(network: nn.Module, sample: Tensor) -> Counts:
    """Counts of one run on the sample (B, ...)."""
    return count(in_floating_point(network) if is_int8(network) else network, sample)


def precision_on(network: nn.Module, device: Device) -> str:
    """The precision that the network is predicted in on a device."""
    return "int8" if is_int8(network) and "int8" in device.peaks else device.precision


def size_bytes(network: nn.Module, device: Device, running: Running | None = None) -> int:
    """Bytes of the file that it runs from on a device."""
    if running is not None and running.graph is not None:
        return len(running.graph)
    in_bytes = any(isinstance(module, Int8Layer | Stored) for module in network.modules())
    scale = 1.0 if in_bytes or device.is_here else SCALES[device.precision]
    return round(scale * file_bytes(network))


def file_bytes(network: nn.Module) -> int:
    """Size of the file that would hold the network's tensors, by safetensors' own layout: a length
    of 8 bytes, a header in JSON padded to a multiple of 8, the numbers."""
    held = network.state_dict()
    header, place = {}, 0
    for name in sorted(held, key=lambda name: (ORDER.index(held[name].dtype), name)):
        tensor = held[name]
        end = place + tensor.nbytes
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [place, end],
        }
        place = end
    text = len(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode())
    return 8 + text + -text % 8 + place


def in_floating_point(network: nn.Module) -> nn.Module:
    """A copy of a network in 8-bit numbers with the plain layers that it was made of."""
    plain = copy.deepcopy(network).eval()
    for path, module in list(plain.named_modules()):
        if isinstance(module, Int8Layer):
            put(plain, path, _plain_layer(module))
    for path, module in list(plain.named_modules()):
        if isinstance(module, Quantised):
            module.outgoing = Unrounded()
        elif isinstance(module, Quantiser):
            put(plain, path, nn.Identity())
    return plain


class Unrounded(Quantiser):
    """Passes values on."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def _plain_layer(layer: Int8Layer) -> nn.Module:
    weight: Any = layer.weight.detach()
    if isinstance(layer, Int8Conv2d):
        made: Any = nn.Conv2d(
            weight.shape[1] * layer.groups,
            len(weight),
            weight.shape[2:],
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            layer.groups,
        )
    else:
        made = nn.Linear(weight.shape[1], len(weight))
    made.weight, made.bias = nn.Parameter(weight), nn.Parameter(layer.bias.detach())
    return made.eval()
