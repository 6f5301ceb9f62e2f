"""torch.export: the network as one graph of torch's operators, free of its Python."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.runtimes.program import Program, in_precision, torch_program

__all__ = ["Exported", "export_program"]

LARGEST_BATCH = 4096


class Exported:
    name = "torch.export"
    any_batch = True

    def available(self) -> str | None:
        return None

    def prepare(
        self,
        network: nn.Module,
        example: Tensor,
        *,
        precision: str = "fp32",
        threads: int = 1,
        dynamic: bool = True,
    ) -> Program:
        graph = export_program(in_precision(network, precision, example), example, dynamic=dynamic)
        return torch_program(graph.module(), precision, threads)


def export_program(network: nn.Module, example: Tensor, *, dynamic: bool = True) -> Any:
    """A torch.export.ExportedProgram of a network that takes one tensor, for any batch up to 4096
    or for the example's."""
    shapes = ({0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH)},) if dynamic else None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        some = example[:2] if dynamic else example
        return torch.export.export(network, (some,), dynamic_shapes=shapes)
