"""Plain torch, one operator after the other, with images in NCHW or NHWC memory order."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from depthwise.compute import Compute
from depthwise.runtimes.program import Program, in_precision, torch_program

__all__ = ["Eager"]


class Eager:
    """`channels_last`: NHWC order in memory, which convolutions read faster."""

    any_batch = True

    def __init__(self, channels_last: bool = False):
        self.channels_last = channels_last
        self.name = "channels-last" if channels_last else "eager"

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
        network = in_precision(network, precision, example)
        if self.channels_last:
            network = Compute(channels_last=True).place(copy.deepcopy(network))
        return torch_program(network, precision, threads, channels_last=self.channels_last)
