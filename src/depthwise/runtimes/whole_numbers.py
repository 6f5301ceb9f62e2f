"""Rewrites a quantised ONNX graph so that runtimes fuse it into integer operators.

The graph holds QuantizeLinear (Q) and DequantizeLinear (D) where a network's numbers are rounded;
runtimes fuse D -> operator -> Q into one operator on bytes, if nothing stands between. Four
rewritings, none of which changes an answer:

    Relu next to a rounding whose zero point is 0    left out: bytes below 0 there are none
    D -> MaxPool, Reshape, Flatten                   these move bytes as well: MaxPool -> D
    bias of a convolution of bytes                   int32 in steps of s_x s_o, which is what it is
                                                     added to; rounds by half a step, 1e-5 of a
                                                     step of the answer
    D of weights and of a bias                       with a zero point, 0, that some ask for

s_x is the scale of the bytes that go in, s_o that of the weights of output o (reshaping/int8.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["compute_in_whole_numbers"]

MOVES_BYTES = ("MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
Q, D = "QuantizeLinear", "DequantizeLinear"


def compute_in_whole_numbers(model: Any) -> Any:
    """Apply the rewritings to an onnx.ModelProto in place; returns it."""
    graph = _Graph(model.graph)
    for node in list(graph.nodes):
        if node.op_type == "Relu":
            graph.leave_out_relu(node)
    graph.remove_unused()
    for node in list(graph.nodes):
        if node.op_type in MOVES_BYTES:
            graph.move_before_rounding(node)
    for node in list(graph.nodes):
        if node.op_type in ("Conv", "Gemm"):
            graph.make_bias_whole(node)
    for node in graph.nodes:
        if node.op_type == D and len(node.input) == 2:
            graph.write_zero_point(node)
    graph.remove_unused()
    return model


class _Graph:
    """Producer and consumers of each value of an onnx.GraphProto."""

    def __init__(self, graph: Any):
        self.graph = graph
        self.initial = {tensor.name: tensor for tensor in graph.initializer}

    @property
    def nodes(self) -> Any:
        return self.graph.node

    def maker(self, value: str) -> Any:
        return next((node for node in self.nodes if value in node.output), None)

    def takers(self, value: str) -> list[Any]:
        return [node for node in self.nodes if value in node.input]

    def numbers(self, value: str) -> np.ndarray | None:
        from onnx import numpy_helper

        return numpy_helper.to_array(self.initial[value]) if value in self.initial else None

    def is_floored(self, rounding: Any) -> bool:
        """Whether the quantised value is never negative (zero point 0)."""
        zero = self.numbers(rounding.input[2]) if len(rounding.input) > 2 else None
        return zero is not None and zero.dtype == np.uint8 and not zero.any()

    def leave_out_relu(self, node: Any) -> None:
        before, after = self.maker(node.input[0]), self.takers(node.output[0])
        floored_before = before is not None and before.op_type == D and self.is_floored(before)
        floored_after = all(taker.op_type == Q and self.is_floored(taker) for taker in after)
        if floored_before or (after and floored_after):
            self.redirect(node.output[0], node.input[0])

    def move_before_rounding(self, node: Any) -> None:
        """Turn D -> node into node -> D, where the node is the only consumer of D."""
        rounding = self.maker(node.input[0])
        if rounding is None or rounding.op_type != D or len(self.takers(node.input[0])) != 1:
            return
        if rounding.input[0] in self.initial:
            return
        answer, middle = node.output[0], f"{node.output[0]}_bytes"
        node.input[0], node.output[0] = rounding.input[0], middle
        rounding.input[0], rounding.output[0] = middle, answer
        self.nodes.remove(rounding)
        self.nodes.insert(list(self.nodes).index(node) + 1, rounding)

    def make_bias_whole(self, node: Any) -> None:
        from onnx import helper

        if len(node.input) < 3 or node.input[2] not in self.initial:
            return
        given, weights = self.maker(node.input[0]), self.maker(node.input[1])
        if not all(n is not None and n.op_type == D for n in (given, weights)):
            return
        steps, scales = self.numbers(given.input[1]), self.numbers(weights.input[1])
        bias = self.numbers(node.input[2])
        if steps is None or scales is None or bias is None:
            return
        step = (steps * scales).astype(np.float32)  # (O,)
        name = f"{node.output[0]}_bias"
        most = np.iinfo(np.int32).max
        whole = np.clip(np.round(bias / step), -most, most).astype(np.int32)
        for suffix, array in (("int32", whole), ("scale", step)):
            self.add(f"{name}_{suffix}", array)
        rounding = helper.make_node(D, [f"{name}_int32", f"{name}_scale"], [name], name, axis=0)
        self.nodes.insert(list(self.nodes).index(node), rounding)
        node.input[2] = name

    def write_zero_point(self, rounding: Any) -> None:
        values, scales = (self.numbers(name) for name in rounding.input)
        if values is None or scales is None:
            return
        name = f"{rounding.output[0]}_zero_point"
        self.add(name, np.zeros(scales.shape, values.dtype))
        rounding.input.append(name)

    def add(self, name: str, array: np.ndarray) -> None:
        from onnx import numpy_helper

        self.initial[name] = numpy_helper.from_array(array, name)
        self.graph.initializer.append(self.initial[name])

    def redirect(self, old: str, new: str) -> None:
        """Make every consumer of `old` read `new`; the graph's outputs keep their names."""
        if any(output.name == old for output in self.graph.output):
            return
        for node in self.takers(old):
            for i, value in enumerate(node.input):
                if value == old:
                    node.input[i] = new

    def remove_unused(self) -> None:
        answers = {output.name for output in self.graph.output}
        while True:
            taken = {value for node in self.nodes for value in node.input} | answers
            idle = [node for node in self.nodes if not taken & set(node.output)]
            for node in idle:
                self.nodes.remove(node)
            if not idle:
                break
        for tensor in [t for t in self.graph.initializer if t.name not in taken]:
            self.graph.initializer.remove(tensor)
