"""A Program is a network prepared by a runtime: arrays in, arrays out.

    runtime = RUNTIMES["onnxruntime"]
    if (remedy := runtime.available()) is None:
        program = runtime.prepare(network, example, precision="int8", threads=1)
        answers = program(X)                      # (B, ...) raw inputs -> (B, K)

A runtime knows nothing of models or families: a torch.nn.Module that takes raw inputs is all.
Preparing may fail in any way, since other people's compilers do it; the caller catches Exception.

Shapes: B batch, K classes or other answers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.reshaping.int8 import is_int8
from depthwise.reshaping.quantise import quantise_network

__all__ = ["PRECISIONS", "Autocast", "Program", "Runtime", "in_precision", "torch_program"]

PRECISIONS = ("fp32", "bf16", "int8")


@dataclass
class Program:
    """Call it with raw inputs (B, ...) as an array. `graph`: the file that holds it, if any;
    `again(threads)`: how to make it for other threads."""

    run: Callable[[np.ndarray], np.ndarray]
    precision: str
    threads: int
    graph: bytes | None = field(default=None, repr=False)
    again: Callable[[int], Program] | None = field(default=None, repr=False)

    def with_threads(self, threads: int) -> Program:
        """The same, run with another number of threads."""
        same = threads == self.threads or self.again is None
        return self if same or self.again is None else self.again(threads)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.run(x)


class Runtime(Protocol):
    """One way to run a network."""

    name: str
    any_batch: bool  # whether one Program serves every batch

    def available(self) -> str | None:
        """None where it can be used, else what to do about it."""

    def prepare(
        self,
        network: nn.Module,
        example: Tensor,
        *,
        precision: str = "fp32",
        threads: int = 1,
        dynamic: bool = True,
    ) -> Program:
        """The network, in eval mode and on the processor, made ready. example: (B, ...) real
        inputs, from which "int8" takes its ranges; dynamic: for any batch, else for this one."""


class Autocast(nn.Module):
    """Weights stay in fp32, products run in bf16, as in training."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            answers: Tensor = self.network(x)
            return answers


def in_precision(network: nn.Module, precision: str, example: Tensor) -> nn.Module:
    """The network in a precision: itself, in autocast, or a quantised copy if it is not int8
    yet."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    if precision == "int8":
        return network if is_int8(network) else quantise_network(network, example)
    if is_int8(network):
        raise ValueError(f"an int8 network does not run in {precision}")
    return Autocast(network).eval() if precision == "bf16" else network


def torch_program(
    run: Any, precision: str, threads: int, *, channels_last: bool = False
) -> Program:
    """A Program that calls a torch function with a given number of threads."""
    compute = Compute(threads=threads, channels_last=channels_last)

    def answers(x: np.ndarray) -> np.ndarray:
        with compute.active(), torch.inference_mode():
            tensor = torch.from_numpy(x if x.flags.writeable else x.copy())
            shown: np.ndarray = run(compute.place_batch(tensor)).float().numpy()
            return shown

    def again(other: int) -> Program:
        return torch_program(run, precision, other, channels_last=channels_last)

    return Program(answers, precision, threads, again=again)
