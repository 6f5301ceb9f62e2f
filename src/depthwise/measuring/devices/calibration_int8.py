"""What 8-bit operators reach on this machine in ONNX Runtime, on graphs made by hand.

A graph of layers becomes integer operators one to one (QLinearConv, QGemm, QLinearAdd, ...), with
scales of 1/64: what they compute does not matter here, how long it takes does not depend on it. An
operator is timed as a chain of CHAIN equal ones, and what an empty run takes is subtracted:

    seconds = (seconds of the chain - seconds of a run of next to nothing) / CHAIN

The grids and curves are those of calibration.py, the layout of the images ONNX Runtime's own.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from depthwise.measuring.devices.calibration import Grid, grid, own_clock, quickest
from depthwise.measuring.speed import using_threads

CHAIN = 3
MOST_FLOPS = 2e9
OWN = "com.microsoft"  # the domain of ONNX Runtime's own operators
Shape = tuple[int, ...]


def available() -> str | None:
    """None, or what is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        return f'8-bit integers need {error.name}: pip install "depthwise[export]"'
    return None


def operators_int8(threads: int) -> dict[str, Any]:
    """Every grid and curve with that many threads."""
    nothing = seconds_of([nn.ReLU()], (1, 4, 2, 2), threads)
    table: dict[str, Any] = {"run_seconds": nothing, "view_seconds": 0.0}

    def alone(layer: nn.Module, shape: Shape) -> float:
        whole = seconds_of([layer] * CHAIN, shape, threads)
        return max(1e-7, (whole - nothing) / CHAIN)

    for many, batch in (("single", 1), ("batched", 16)):
        for kind, widths in (("conv", (4, 16, 64, 128)), ("pointwise", (4, 16, 64, 256))):
            kernel = 3 if kind == "conv" else 1
            table[f"{kind} {many}"] = _conv_grid(alone, kernel, widths, batch)
        table[f"depthwise {many}"] = _conv_grid(alone, 3, (8, 32, 128), batch, depthwise=True)
    table["linear"] = _linear_grid(alone)
    table["elementwise"] = _curve(Doubled(), 3, threads, nothing)
    table["pool"] = _curve(nn.MaxPool2d(2), 1.25, threads, nothing)
    table["reduction"] = _curve(nn.AdaptiveAvgPool2d(1), 1, threads, nothing)
    return table


class Doubled(nn.Module):
    """x + x: the sum of two maps."""


def _conv_grid(
    alone: Any, kernel: int, widths: Sequence[int], batch: int, depthwise: bool = False
) -> Grid:
    def gflops(width: int, side: int) -> float | None:
        groups = width if depthwise else 1
        flops = 2 * batch * side**2 * width * width // groups * kernel**2
        if flops > MOST_FLOPS:
            return None
        layer = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=groups)
        return 1e-9 * flops / float(alone(layer, (batch, width, side, side)))

    sides = (4, 7, 14, 28)
    return grid(widths, sides, gflops, [batch * side * side for side in sides])


def _linear_grid(alone: Any) -> Grid:
    def gflops(width: int, rows: int) -> float | None:
        if rows * width > 200_000:
            return None
        return 2e-9 * rows * width**2 / float(alone(nn.Linear(width, width), (rows, width)))

    rows = (1, 8, 64)
    return grid((16, 64, 256, 512, 1024, 2048), rows, gflops, rows)


def _curve(layer: nn.Module, traffic: float, threads: int, nothing: float) -> dict[str, Any]:
    sizes = (16, 256, 1024, 4096, 32768, 131072)  # positions of 16 channels
    shapes = [(1, 16, n // 4, 4) for n in sizes]
    return {
        "bytes": [traffic * 16 * n for n in sizes],
        "seconds": [max(1e-7, seconds_of([layer], s, threads) - nothing) for s in shapes],
    }


def seconds_of(layers: Sequence[nn.Module], shape: Shape, threads: int) -> float:
    """Of one run of the layers, one after the other, on an input of that shape."""
    with using_threads(threads):
        run = session(layers, shape, threads)
        return quickest(run, bursts=4, clock=own_clock())


def session(layers: Sequence[nn.Module], shape: Shape, threads: int) -> Any:
    """A function without arguments that runs the layers in 8 bits."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    graph = quantised_graph(layers, shape)
    ready = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    feeds = {"x": np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)}
    return lambda: ready.run(None, feeds)


def quantised_graph(layers: Sequence[nn.Module], shape: Shape) -> bytes:
    """An ONNX file of the layers in unsigned 8 bits; ReLU, norm and dropout vanish into the
    operator before them."""
    import onnx
    from onnx import TensorProto, helper

    writer = _Writer()
    for layer in layers:
        writer.add(layer)
    if not writer.nodes:
        writer.node("Identity", [])
    ends = [helper.make_tensor_value_info(writer.value, TensorProto.UINT8, None)]
    start = helper.make_tensor_value_info("x", TensorProto.UINT8, shape)
    graph = helper.make_graph(writer.nodes, "layers", [start], ends, writer.constants)
    sets = [helper.make_opsetid("", 17), helper.make_opsetid(OWN, 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=9)
    return bytes(onnx.ModelProto.SerializeToString(model))


class _Writer:
    """Nodes of a chain; `value` is the name of the last output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.value = "x"
        self.scale = self.constant(np.array(1 / 64, np.float32))
        self.zero = self.constant(np.array(0, np.uint8))
        self.signed_zero = self.constant(np.array(0, np.int8))
        self.now = [self.scale, self.zero]

    def add(self, layer: nn.Module) -> None:
        if isinstance(layer, nn.Conv2d):
            self._conv(layer)
        elif isinstance(layer, nn.Linear):
            weight = self._weights(layer.weight.shape)
            inputs = [*self.now, weight, self.scale, self.signed_zero, "", *self.now]
            self.node("QGemm", inputs, domain=OWN, transB=1)
        elif isinstance(layer, nn.MaxPool2d):
            self.node("MaxPool", [], kernel_shape=[2, 2], strides=[2, 2])
        elif isinstance(layer, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            self.node("QLinearGlobalAveragePool", [*self.now, *self.now], domain=OWN)
        elif isinstance(layer, Doubled):
            inputs = [*self.now, self.value, *self.now, *self.now]
            self.node("QLinearAdd", inputs, domain=OWN)
        elif isinstance(layer, nn.Flatten):
            self.node("Flatten", [])

    def _conv(self, layer: nn.Conv2d) -> None:
        weight = self._weights(layer.weight.shape)
        inputs = [*self.now, weight, self.scale, self.signed_zero, *self.now]
        sides = [int(p) for p in layer.padding]
        self.node(
            "QLinearConv",
            inputs,
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=[*sides, *sides],
            group=layer.groups,
        )

    def _weights(self, shape: Sequence[int]) -> str:
        draw = np.random.default_rng(0).integers(-127, 128, tuple(shape))
        return self.constant(draw.astype(np.int8))

    def constant(self, value: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, operator: str, inputs: Sequence[str], domain: str = "", **settings: Any) -> None:
        from onnx import helper

        after = f"v{len(self.nodes)}"
        given = [self.value, *inputs]
        self.nodes.append(helper.make_node(operator, given, [after], domain=domain, **settings))
        self.value = after
