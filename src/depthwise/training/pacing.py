"""Clocks that tell the truth about a GPU, which is given work long before it does it.

A processor can be hundreds of steps ahead of its GPU: a clock read then tells how long it took to
ask, and a limit of seconds is passed while the queue is emptied. `Pace` lets it be a few steps
ahead, which is enough to keep the GPU busy, and a schedule that is cut to its limit by the pace so
far sees the GPU's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from depthwise.compute import is_gpu

__all__ = ["AHEAD", "Pace"]

AHEAD = 4  # steps that may be asked for before the first of them is done


class Pace:
    """Called once a step. On a processor, which does a step when it is asked to, it does nothing.

    `mark`: makes something with `record()` and `synchronize()`, as torch.cuda.Event has them.
    """

    def __init__(self, device: str, mark: Callable[[], Any] | None = None):
        self.mark = mark or (torch.cuda.Event if is_gpu(device) else None)
        self.asked: deque[Any] = deque()

    def __call__(self) -> None:
        if self.mark is None:
            return
        now = self.mark()
        now.record()
        self.asked.append(now)
        if len(self.asked) > AHEAD:
            self.asked.popleft().synchronize()
