"""Where the numbers of a network can be rounded to 8 bits: a plan made by tracing it.

For every convolution and linear layer the plan asks where its input comes from:

    raw pixels          standardisation goes into the layer's weights; the pixels are not rounded
    another layer       the answer of that layer is rounded: after its rectifier if it has one,
                        which the rounding then does itself
    a sum of two such   both sides are rounded and the sum too, so that a residual block is
                        computed in whole numbers from end to end
    anything else       the layer rounds what it is given

What only passes numbers on, such as flattening or a maximum over positions, is looked through. The
last layer's answer stays in floating point: it is small, and its differences are what counts.

Our names: a value is a node of the traced graph (torch.fx), its maker the layer that computed it.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn

from depthwise.errors import InputError
from depthwise.layers import Standardise
from depthwise.reshaping.int8 import KINDS, Int8Layer, Pixels, Quantised
from depthwise.reshaping.storage import Stored

__all__ = ["Plan"]

RECTIFIERS = (torch.relu, nn.functional.relu)
SUMS = (operator.add, torch.add)
PASSED = (nn.Identity, nn.Dropout, nn.Flatten, nn.Unflatten, nn.MaxPool2d)


class _Tracer(fx.Tracer):
    """A tracer that records the innermost module that produced each value."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[fx.Node, str] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        ours = isinstance(m, Standardise | Int8Layer | Quantised | Stored)
        return ours or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: Any, forward: Any, args: Any, kwargs: Any) -> Any:
        path = self.path_of_module(m)
        answer = super().call_module(m, forward, args, kwargs)
        if isinstance(answer, fx.Proxy) and path:
            self.answers.setdefault(answer.node, path)
        return answer


class Plan:
    """What to round in a network whose samples are like `samples`.

    `layers` {path: [incoming, outgoing]}, `sums` [path] and `pixels` are an edit's (int8.py);
    `rounded` maps each value to the paths of the quantisers that its range belongs to. Raises
    InputError for a network that cannot be traced.
    """

    def __init__(self, network: nn.Module, samples: Tensor):
        self.network, tracer = network, _Tracer()
        try:
            self.graph = tracer.trace(network)
        except Exception as error:  # control flow that depends on values fails in many ways
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"this network cannot be traced to be quantised: {reason}") from None
        self.answers = tracer.answers
        self.modules = dict(network.named_modules())
        self.makers = self._makers()
        self.layers: dict[str, list[bool]] = {p: [False, False] for p in self.makers.values()}
        self.sums: list[str] = []
        self.pixels: dict[str, Any] | None = None
        self.rounded: dict[fx.Node, list[str]] = {}
        bytes_in = samples.dtype == torch.uint8 and samples.dim() == 4
        for node in self.graph.nodes:
            if node in self.makers:
                self._round_input(node, bytes_in)
            elif _is_call(node, SUMS):
                self._round_sum(node)

    def edit(self) -> dict[str, Any]:
        about = {"layers": self.layers, "sums": self.sums, "pixels": self.pixels}
        return {"kind": "int8", **about}

    # -- what is to be rounded ------------------------------------------------------------------

    def _makers(self) -> dict[fx.Node, str]:
        """The layers that are called once, keyed by their output node."""
        calls = [node for node in self.graph.nodes if node.op == "call_module"]
        targets = [node.target for node in calls]
        return {
            node: str(node.target)
            for node in calls
            if targets.count(node.target) == 1 and _is_layer(self.modules[str(node.target)])
        }

    def _round_input(self, node: fx.Node, bytes_in: bool) -> None:
        path, value = self.makers[node], self._source(node.args[0])
        if bytes_in and self.pixels is None and self._is_pixels(value, path):
            self._take_pixels(str(value.target), path)
        elif self._can_round(value):
            self._round(value)
        else:
            self.layers[path][0] = True
            self.rounded.setdefault(value, []).append(f"{path}.incoming")

    def _round_sum(self, node: fx.Node) -> None:
        """Both sides and the sum, where it is what a module answers; else it stays as it was."""
        users = list(node.users)
        value = users[0] if len(users) == 1 and self._rectifies(users[0]) else node
        path = self.answers.get(value)
        sides = [self._source(side) for side in node.args if isinstance(side, fx.Node)]
        if path is None or next(self.modules[path].children(), None) is None:
            return
        if len(sides) == 2 and all(map(self._can_round, sides)):
            for side in sides:
                self._round(side)
            self.sums.append(path)
            self.rounded[value] = [f"{path}.outgoing"]

    def _can_round(self, value: fx.Node) -> bool:
        return value in self.rounded or self._maker(value) is not None

    def _round(self, value: fx.Node) -> None:
        """Quantise this value in the layer that made it, once."""
        maker = self._maker(value)
        if maker is not None and not self.layers[maker][1]:
            self.layers[maker][1] = True
            self.rounded.setdefault(value, []).append(f"{maker}.outgoing")

    def _maker(self, value: fx.Node) -> str | None:
        """The path of the layer that answers with this value, rectified or not."""
        maker: Any = value
        if self._rectifies(value):
            maker = value.args[0]
            while self._passes(maker) and len(maker.users) == 1:
                maker = maker.args[0]
            if len(maker.users) != 1:
                return None
        return self.makers.get(maker)

    # -- where values come from -----------------------------------------------------------------

    def _source(self, value: Any) -> fx.Node:
        """The node a value came from, through flattening, pooling and identities."""
        while self._passes(value):
            value = value.args[0]
        node: fx.Node = value
        return node

    def _passes(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return isinstance(self.modules[str(node.target)], PASSED)
        return _is_call(node, (torch.flatten,))

    def _rectifies(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return isinstance(self.modules[str(node.target)], nn.ReLU)
        return _is_call(node, RECTIFIERS)

    # -- pixels ---------------------------------------------------------------------------------

    def _is_pixels(self, value: fx.Node, path: str) -> bool:
        """Standardised bytes that nobody else looks at: not the sampling of new ones either
        (`raw`), unless one scale serves every channel."""
        if value.op != "call_module" or len(value.users) != 1:
            return False
        standardise, layer = self.modules[str(value.target)], self.modules[path]
        given: Any = value.args[0]
        if type(standardise) is not Standardise or given.op != "placeholder":
            return False
        alike = not hasattr(self.network, "raw") or bool(
            (standardise.inverse_std == standardise.inverse_std.flatten()[0]).all()
        )
        return alike and not (isinstance(layer, nn.Conv2d) and layer.groups > 1)

    def _take_pixels(self, path: str, layer_path: str) -> None:
        """One zero point pads every channel with its mean, or the means are put around first."""
        layer: Any = self.modules[layer_path]
        mean: Any = self.modules[path].mean
        means = [int(m) for m in mean.flatten().round().clamp(0, 255)]
        padded = isinstance(layer, nn.Conv2d) and any(layer.padding) and len(set(means)) > 1
        self.pixels = {
            "path": path,
            "layer": layer_path,
            "border": means if padded else [],
            "pad": [int(layer.padding[i]) for i in (1, 1, 0, 0)] if padded else [],
        }


def pixel_quantiser(standardise: Standardise | Pixels) -> tuple[float, int]:
    """(s, z) of raw pixels: the standardisation's own scale if the channels share it, else 1."""
    inverse = standardise.inverse_std.flatten()
    scale = float(inverse[0]) if bool((inverse == inverse[0]).all()) else 1.0
    return scale, int(standardise.mean.mean().round().clamp(0, 255))


def _is_call(node: fx.Node, functions: tuple[Any, ...]) -> bool:
    return node.op == "call_function" and node.target in functions


def _is_layer(module: nn.Module) -> bool:
    if type(module) in KINDS and isinstance(module, nn.Conv2d):
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return type(module) in KINDS
