"""ONNX Runtime, on the processor: the quickest for one item at a time, most often.

Whole-number products are exact on processors with VNNI or its like. On older x86 ones pairs of them
saturate where weights exceed 64 (reshaping/int8.py); the session is told to multiply those another
way, slower and exact ("session.x64quantprecision", which weights within 64 and other processors
ignore).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, nn

from depthwise.runtimes.onnx_graph import missing, to_onnx
from depthwise.runtimes.program import Program, in_precision

__all__ = ["OnnxRuntime", "run_onnx"]

EXACT = "session.x64quantprecision"


class OnnxRuntime:
    name = "onnxruntime"
    any_batch = True

    def available(self) -> str | None:
        return missing("onnx", "onnxscript", "onnxruntime")

    def prepare(
        self,
        network: nn.Module,
        example: Tensor,
        *,
        precision: str = "fp32",
        threads: int = 1,
        dynamic: bool = True,
    ) -> Program:
        graph = to_onnx(in_precision(network, precision, example), example, dynamic=dynamic)
        return run_onnx(graph, precision, threads)


def run_onnx(graph: bytes, precision: str, threads: int, *, in_bytes: bool = True) -> Program:
    """A Program of an ONNX file with one input and one answer. in_bytes False: what is rounded to
    bytes is multiplied in floating point, as the file says it, whatever the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # 4: fatal; what fails is raised as well
    # threads that wait by spinning take the core from whoever else could use it
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(EXACT, "1")
    if not in_bytes:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session: Any = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name, run = session.get_inputs()[0].name, session.run

    def answers(x: np.ndarray) -> np.ndarray:
        shown: np.ndarray = run(None, {name: x})[0]
        return shown

    def again(other: int) -> Program:
        return run_onnx(graph, precision, other, in_bytes=in_bytes)

    return Program(answers, precision, threads, graph, again)
