"""A network as an ONNX file, by torch.onnx: raw inputs in, answers out, for any batch.

What is rounded to bytes is written as QuantizeLinear and DequantizeLinear, weights as the bytes
they are, also those that are only stored in few bits (of 4 a byte each, too); whole_numbers.py then
clears the way for runtimes to compute with the bytes. The roundings are operators of their own
while torch traces the network, so that none is taken apart.
"""

from __future__ import annotations

import copy
import functools
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.reshaping.int8 import Arithmetic, Pixels, is_int8
from depthwise.reshaping.storage import Stored
from depthwise.runtimes.exported import LARGEST_BATCH
from depthwise.runtimes.whole_numbers import compute_in_whole_numbers

__all__ = ["INPUT", "OUTPUT", "missing", "sharing_graphs", "to_onnx"]

INPUT, OUTPUT = "inputs", "answers"
OPSET = 18
PLAIN = Arithmetic()
_SHARED: ContextVar[dict[Any, Any] | None] = ContextVar("graphs", default=None)


def missing(*packages: str) -> str | None:
    """The packages still to be installed, as a remedy for a message."""
    absent = [name for name in packages if find_spec(name) is None]
    return f'needs {", ".join(absent)}: pip install "depthwise[export]"' if absent else None


@contextmanager
def sharing_graphs() -> Iterator[None]:
    """Inside, a network is exported to ONNX once and shared by all runtimes that read it."""
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


def to_onnx(
    network: nn.Module,
    example: Tensor,
    *,
    dynamic: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """The file. example: (B, ...) raw inputs; metadata: texts that go with it."""
    shared = _SHARED.get()
    if shared is None or metadata:
        return _made(network, example, dynamic, metadata or {})
    key = (network, example.shape[1:], example.dtype, None if dynamic else len(example))
    if key not in shared:
        try:
            shared[key] = _made(network, example, dynamic, {})
        except Exception as error:  # it would fail again
            shared[key] = error
    if isinstance(shared[key], Exception):
        raise shared[key]
    graph: bytes = shared[key]
    return graph


def _made(network: nn.Module, example: Tensor, dynamic: bool, metadata: Mapping[str, str]) -> bytes:
    import onnx

    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    with _quietly(), torch.no_grad():
        wanted = _with_operators(network) if _holds_bytes(network) else network
        made = torch.onnx.export(
            wanted.eval(),
            (example[:2] if dynamic else example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: batch},) if dynamic else None,
            custom_translation_table=_translations() if wanted is not network else None,
            verbose=False,
        )
    assert made is not None
    model = made.model_proto
    del model.graph.value_info[:]
    _forget_where_it_was_made(model)
    if wanted is not network:
        model = compute_in_whole_numbers(model)
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    onnx.checker.check_model(model)
    written: bytes = model.SerializeToString()
    return written


def _forget_where_it_was_made(model: Any) -> None:
    """Strip source paths and stack traces that torch writes on every node."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:], model.functions[:]


@contextmanager
def _quietly() -> Iterator[None]:
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _holds_bytes(network: nn.Module) -> bool:
    return is_int8(network) or any(isinstance(module, Stored) for module in network.modules())


def _with_operators(network: nn.Module) -> nn.Module:
    """A copy of the network whose quantisers are the custom operators named below."""
    _translations()
    ours: Any = torch.ops.depthwise
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, Stored):
            module.keep_bytes(ours.weights)
        if isinstance(module, Arithmetic | Pixels):
            changed: Any = module
            changed.dequantise = ours.dequantise
            if isinstance(module, Arithmetic):
                changed.quantise, changed.weights = ours.quantise, ours.weights
    return network


@functools.cache
def _translations() -> dict[Any, Any]:
    """Register the custom operators with torch; returns their ONNX translations."""
    from onnxscript import opset18 as onnx

    def quantise(x: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        return PLAIN.quantise(x, scale, zero_point).to(torch.uint8)

    def dequantise(q: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
        return PLAIN.dequantise(q, scale, zero_point)

    def weights(q: Tensor, scale: Tensor) -> Tensor:
        return PLAIN.weights(q, scale)

    for function, dtype in ((quantise, torch.uint8), (dequantise, None), (weights, None)):
        function.__annotations__ = dict.fromkeys(function.__annotations__, Tensor)
        operator = torch.library.custom_op(
            f"depthwise::{function.__name__}", function, mutates_args=()
        )
        operator.register_fake(functools.partial(_shaped, dtype))
    ours: Any = torch.ops.depthwise
    return {
        ours.quantise.default: lambda x, scale, zero: onnx.QuantizeLinear(x, scale, zero),
        ours.dequantise.default: lambda q, scale, zero: onnx.DequantizeLinear(q, scale, zero),
        ours.weights.default: lambda q, scale: onnx.DequantizeLinear(q, scale, axis=0),
    }


def _shaped(dtype: torch.dtype | None, x: Tensor, scale: Tensor, *zero_point: Tensor) -> Tensor:
    return torch.empty_like(x, dtype=dtype or scale.dtype)
