"""OpenVINO, on the processor: the quickest for large batches on x86, most often.

It reads the ONNX file. bf16 is its own (a hint to its compiler), so that one file serves both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from depthwise.runtimes.onnx_graph import missing, to_onnx
from depthwise.runtimes.program import Program, in_precision

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


def compile_openvino(model: Any, precision: str, threads: int) -> Any:
    """An openvino.CompiledModel; model: bytes of an ONNX file, or a path."""
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    return core.compile_model(core.read_model(model), "CPU", settings)


def run_openvino(graph: bytes | Path, precision: str, threads: int) -> Program:
    """A Program of an ONNX file, or of OpenVINO's own at a path, with one input and one answer."""
    request = compile_openvino(graph, precision, threads).create_infer_request()

    def answers(x: np.ndarray) -> np.ndarray:
        shown: np.ndarray = request.infer({0: x}, share_inputs=True)[0]
        return shown.astype(np.float32, copy=True)

    def again(other: int) -> Program:
        return run_openvino(graph, precision, other)

    made = graph if isinstance(graph, bytes) else None
    return Program(answers, precision, threads, made, again)
