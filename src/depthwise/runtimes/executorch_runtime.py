"""ExecuTorch with XNNPACK's kernels: torch's own runtime for phones and boards.

It is large (365 MB with what it needs) and may want another version of torch, so that it is an
extra of its own; better install it into an environment of its own too.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.runtimes.exported import export_program
from depthwise.runtimes.program import Program, in_precision

__all__ = ["ExecuTorch", "to_executorch"]


class ExecuTorch:
    name = "executorch"
    any_batch = False

    def available(self) -> str | None:
        found = find_spec("executorch")
        return None if found else 'needs executorch: pip install "depthwise[mobile]"'

    def prepare(
        self,
        network: nn.Module,
        example: Tensor,
        *,
        precision: str = "fp32",
        threads: int = 1,
        dynamic: bool = True,
    ) -> Program:
        whole = in_precision(network, precision, example)
        return run_executorch(to_executorch(whole, example), precision, threads)


def to_executorch(network: nn.Module, example: Tensor) -> bytes:
    """The .pte file, for batches of the example's size, whose memory is planned in it: what XNNPACK
    has kernels for it computes, the rest portable ones."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    exported = export_program(network, example, dynamic=False)
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer)


def run_executorch(graph: bytes, precision: str, threads: int) -> Program:
    """A Program of a .pte file with one input and one answer."""
    from executorch.runtime import Runtime

    method: Any = Runtime.get().load_program(graph).load_method("forward")

    def answers(x: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(x if x.flags.writeable else x.copy())
        shown: np.ndarray = method.execute([tensor])[0].float().numpy().copy()
        return shown

    return Program(answers, precision, threads, graph)
