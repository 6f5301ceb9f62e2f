"""OpenVINO, on the processor: the quickest for large batches on x86, most often.

It reads the ONNX file. bf16 is its own (a hint to its compiler), so that one file serves both.

Where the processor's 8-bit products saturate (saturation.py), files whose weights could meet that
are computed in floating point, rounded as the file says: slower, and right.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from depthwise.reshaping.int8 import WEIGHT_MOST
from depthwise.runtimes.onnx_graph import missing, to_onnx
from depthwise.runtimes.program import Program, in_precision
from depthwise.runtimes.saturation import saturates

__all__ = ["OpenVino", "compile_openvino", "run_openvino"]


class OpenVino:
    name = "openvino"
    any_batch = True

    def available(self) -> str | None:
        remedy = missing("onnx", "onnxscript", "openvino")
        return remedy and remedy.replace("export]", "export,openvino]")

    def prepare(
        self,
        network: nn.Module,
        example: Tensor,
        *,
        precision: str = "fp32",
        threads: int = 1,
        dynamic: bool = True,
    ) -> Program:
        whole = in_precision(network, "int8", example) if precision == "int8" else network
        return run_openvino(to_onnx(whole, example, dynamic=dynamic), precision, threads)


def compile_openvino(
    model: bytes | str | Path, precision: str, threads: int, *, in_bytes: bool = True
) -> Any:
    """An openvino.CompiledModel; model: bytes of an ONNX file, or a path; in_bytes as
    `run_openvino` has it."""
    import openvino

    core = openvino.Core()
    read = core.read_model(model)
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    bytes_held = _bytes_held(read)
    if not in_bytes or (_are_wide(bytes_held) and _saturates()):
        _widen(bytes_held)
    return core.compile_model(read, "CPU", settings)


def _bytes_held(model: Any) -> list[Any]:
    """The int8 constants of an openvino.Model."""
    nodes = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    return [node for node in nodes if node.get_element_type().to_string() == "i8"]


def _are_wide(constants: list[Any]) -> bool:
    """Whether any of these constants exceeds 64 in absolute value."""
    values = [np.asarray(node.data).astype(np.int16) for node in constants]
    return any(int(np.abs(v).max()) > WEIGHT_MOST[7] for v in values if v.size)


def _widen(constants: list[Any]) -> None:
    """What converts these to floating point numbers is replaced by the numbers, so that products
    are taken of those."""
    from openvino import opset13

    for node in constants:
        numbers = opset13.constant(np.asarray(node.data).astype(np.float32))
        for taker in [given.get_node() for given in node.output(0).get_target_inputs()]:
            if taker.get_type_name() == "Convert":
                for place in taker.output(0).get_target_inputs():
                    place.replace_source_output(numbers.output(0))


@functools.cache
def _saturates() -> bool:
    import openvino

    core = openvino.Core()

    def run(graph: bytes) -> Any:
        compiled = core.compile_model(core.read_model(graph), "CPU")
        return lambda x: compiled(x)[0]

    return saturates(run)


def run_openvino(
    graph: bytes | Path, precision: str, threads: int, *, in_bytes: bool = True
) -> Program:
    """A Program of an ONNX file, or of OpenVINO's own at a path, with one input and one answer.
    in_bytes False: what is rounded to bytes is multiplied in floating point, as the file says it,
    whatever the processor."""
    request = compile_openvino(graph, precision, threads, in_bytes=in_bytes).create_infer_request()

    def answers(x: np.ndarray) -> np.ndarray:
        shown: np.ndarray = request.infer({0: x}, share_inputs=True)[0]
        return shown.astype(np.float32, copy=True)

    def again(other: int) -> Program:
        return run_openvino(graph, precision, other, in_bytes=in_bytes)

    made = graph if isinstance(graph, bytes) else None
    return Program(answers, precision, threads, made, again)
