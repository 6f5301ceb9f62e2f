"""Inference runtimes, one file each, imported on first use.

    eager, channels-last   eager.py               torch.compile   compiled.py
    torch.export           exported.py            onnxruntime     onnx_runtime.py
    openvino               openvino_runtime.py    executorch      executorch_runtime.py
    program.py             what a Program and a Runtime are
    onnx_graph.py, whole_numbers.py    a network as an ONNX file

LiteRT is not among them: its converter (litert-torch 0.10) brings JAX and 27 other packages.
"""

from __future__ import annotations

from collections.abc import Callable

from depthwise.runtimes.compiled import Compiled
from depthwise.runtimes.eager import Eager
from depthwise.runtimes.executorch_runtime import ExecuTorch
from depthwise.runtimes.exported import Exported
from depthwise.runtimes.onnx_runtime import OnnxRuntime, run_onnx
from depthwise.runtimes.openvino_runtime import OpenVino, run_openvino
from depthwise.runtimes.program import PRECISIONS, Program, Runtime

__all__ = ["PRECISIONS", "READERS", "RUNTIMES", "Program", "Runtime"]

_ALL: list[Runtime] = [
    Eager(),
    Eager(channels_last=True),
    Compiled(),
    Exported(),
    OnnxRuntime(),
    OpenVino(),
    ExecuTorch(),
]
RUNTIMES: dict[str, Runtime] = {runtime.name: runtime for runtime in _ALL}
# what runs a graph that was made before: (file, precision, threads)
READERS: dict[str, Callable[[bytes, str, int], Program]] = {
    "onnxruntime": run_onnx,
    "openvino": run_openvino,
}
