"""torch.compile: operators fused into C++ of their own, which a compiler on this machine builds.

The first answer takes seconds to a minute; `prepare` waits for it. With a dynamic batch one program
serves all sizes but 1, for which torch compiles another.
"""

from __future__ import annotations

import shutil
import warnings

import torch
from torch import Tensor, nn

from depthwise.runtimes.program import Program, in_precision, torch_program

__all__ = ["Compiled"]

COMPILERS = ("g++", "clang++", "c++", "cl")


class Compiled:
    name = "torch.compile"
    any_batch = True

    def available(self) -> str | None:
        if any(shutil.which(compiler) for compiler in COMPILERS):
            return None
        return "torch.compile needs a C++ compiler: install g++ or clang++"

    def prepare(
        self,
        network: nn.Module,
        example: Tensor,
        *,
        precision: str = "fp32",
        threads: int = 1,
        dynamic: bool = True,
    ) -> Program:
        torch.compiler.reset()  # a frame compiled for another network counts against this one's
        fused = torch.compile(in_precision(network, precision, example), dynamic=dynamic)
        program = torch_program(fused, precision, threads)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program(example[: 2 if dynamic else len(example)].numpy())
        return program
