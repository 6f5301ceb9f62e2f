"""Whether a runtime's 8-bit products saturate on this processor: found by letting it multiply.

x86 processors with AVX2 or AVX-512 but without VNNI multiply unsigned by signed bytes in pairs and
add the two products in 16 bits, which hold at most 32,767. The probe is a convolution whose every
pair is 2 * 255 * 127 = 64,770: what saturates answers with about half of the truth.

Networks whose weights are within 64 never get there (reshaping/int8.py); this is for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["probe", "saturates"]

INPUTS, OUTPUTS, SIDE = 64, 16, 4
STEP = 1e-4  # scale of the weights
TRUTH = INPUTS * 255 * 127 * STEP


def saturates(run: Callable[[bytes], Callable[[np.ndarray], np.ndarray]]) -> bool:
    """run: the file of an ONNX graph -> what answers by it."""
    pixels = np.full((1, INPUTS, SIDE, SIDE), 255, np.uint8)
    return bool(np.asarray(run(probe())(pixels)).max() < 0.9 * TRUTH)


def probe() -> bytes:
    """The file: (1, 64, 4, 4) bytes -> (1, 16, 4, 4), each answer the sum of 64 times 127."""
    from onnx import TensorProto, helper, numpy_helper

    whole = np.uint8(0)
    values = {
        "weights": np.full((OUTPUTS, INPUTS, 1, 1), 127, np.int8),
        "weight_scale": np.full(OUTPUTS, STEP, np.float32),
        "weight_zero": np.zeros(OUTPUTS, np.int8),
        "one": np.float32(1),
        "zero": whole,
        "step": np.float32(TRUTH / 200),
    }
    nodes: list[Any] = [
        helper.make_node("DequantizeLinear", ["bytes", "one", "zero"], ["x"]),
        helper.make_node(
            "DequantizeLinear", ["weights", "weight_scale", "weight_zero"], ["w"], axis=0
        ),
        helper.make_node("Conv", ["x", "w"], ["y"]),
        helper.make_node("QuantizeLinear", ["y", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["answers"]),
    ]
    shapes = [1, INPUTS, SIDE, SIDE], [1, OUTPUTS, SIDE, SIDE]
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("bytes", TensorProto.UINT8, shapes[0])],
        [helper.make_tensor_value_info("answers", TensorProto.FLOAT, shapes[1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    made: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return made
