"""A training step that a GPU records once and replays: one launch in place of hundreds.

A small network's step is hundreds of kernels of some microseconds each, and the processor takes
longer to launch one than the GPU to run it. A CUDA graph keeps the launches, and the addresses that
they read and write, so that a replay costs one. What differs from step to step is put where the
recording reads it: the batch, the learning rates, and the state of the GPU's random generator.

    steps 1 .. 10 of a batch's shape   as ever; kernels are loaded and chosen
    step 11                            recorded, then replayed
    from then on                       replayed

Each shape has a recording of its own: batches of an epoch have at most two sizes. A step that asks
the GPU for a number cannot be recorded. Steps are recorded where DEPTHWISE_GRAPHS=1 asks for it,
until benchmarks/gpu.py has been run (benchmarks/RESULTS.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from depthwise.compute import Compute, synchronise
from depthwise.errors import InputError
from depthwise.losses import Weighted
from depthwise.training.pacing import Pace
from depthwise.training.step import GradientUpdate, set_rate

__all__ = ["RecordedUpdate", "are_wanted", "settled_step_seconds"]

WARM_STEPS = 10  # of a shape, before it is recorded: a short run never pays for a recording
TIMED_STEPS, TIMED_SECONDS = 5, 0.15  # at least, of a step whose pace is taken

Targets = Any  # (B, ...), or losses.Weighted


def are_wanted() -> bool:
    """Whether steps are to be recorded."""
    return os.environ.get("DEPTHWISE_GRAPHS") == "1"


@dataclass
class Recording:
    """One shape's step: what is replayed, and what it reads and writes."""

    graph: Any
    inputs: Tensor
    targets: Targets
    loss: Tensor

    def replay(self, inputs: Tensor, targets: Targets) -> Tensor:
        self.inputs.copy_(inputs)
        for own, given in zip(tensors_of(self.targets), tensors_of(targets)):
            own.copy_(given)
        self.graph.replay()
        return self.loss.clone()


class RecordedUpdate:
    """A step of gradient descent as `update` makes it, recorded and replayed.

    `record` (inputs, targets) -> Recording: by a CUDA graph, unless a test says otherwise.
    """

    def __init__(
        self,
        update: GradientUpdate,
        record: Callable[[Tensor, Targets], Recording] | None = None,
    ):
        self.update, self.record = update, record or self._by_graph
        self.seen: dict[Any, int] = {}
        self.recordings: dict[Any, Recording] = {}
        self.stream: Any = None  # one for all that is recorded and for the steps before it
        self.pool: Any = None

    def __call__(self, inputs: Tensor, targets: Targets, progress: float) -> Tensor:
        shape = shape_of(inputs, targets)
        seen = self.seen[shape] = self.seen.get(shape, 0) + 1
        if seen <= WARM_STEPS:
            return self._as_ever(inputs, targets, progress)
        self._set_rates(progress)
        if shape not in self.recordings:
            self.recordings[shape] = self._recording(inputs, targets)
        return self.recordings[shape].replay(inputs, targets)

    def _as_ever(self, inputs: Tensor, targets: Targets, progress: float) -> Tensor:
        """On the stream that will record: autograd remembers where it first met a weight."""
        if not inputs.is_cuda:
            return self.update(inputs, targets, progress)
        self.stream = self.stream or torch.cuda.Stream(inputs.device)
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = self.update(inputs, targets, progress)
        torch.cuda.current_stream().wait_stream(self.stream)
        return loss

    def _set_rates(self, progress: float) -> None:
        """Learning rates are numbers on the GPU, where a recording reads them."""
        for group in self.update.optimizer.param_groups:
            if not isinstance(group["lr"], Tensor):
                device = group["params"][0].device
                group["lr"] = torch.tensor(float(group["lr"]), device=device)
                group.update({"capturable": True} if "capturable" in group else {})
            set_rate(group, self.update.rate(group, progress))

    def _recording(self, inputs: Tensor, targets: Targets) -> Recording:
        try:
            return self.record(inputs, targets)
        except RuntimeError as error:  # CUDA's own are of this kind too
            reason = str(error).splitlines()[0]
            raise InputError(
                f"a training step could not be recorded ({reason}). Unset DEPTHWISE_GRAPHS."
            ) from error

    def _by_graph(self, inputs: Tensor, targets: Targets) -> Recording:
        inputs, targets = inputs.clone(), copied(targets)
        graph = torch.cuda.CUDAGraph()
        self.pool = self.pool or torch.cuda.graph_pool_handle()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            loss = self.update.descend(inputs, targets, 0.0)
        return Recording(graph, inputs, targets, loss)

    # -- kill and resume ------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The update's own, as it is where nothing is recorded."""
        state = self.update.state_dict()
        groups = [dict(group) for group in state["param_groups"]]
        for group in groups:
            if isinstance(group["lr"], Tensor):
                group["lr"] = float(group["lr"])
                group.update({"capturable": False} if "capturable" in group else {})
        return {**state, "param_groups": groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What was recorded reads the moments of before."""
        self.update.load_state_dict(state)
        self.recordings.clear()


def tensors_of(targets: Targets) -> list[Tensor]:
    if isinstance(targets, Weighted):
        values = (getattr(targets, field.name) for field in fields(targets))
        return [value for value in values if isinstance(value, Tensor)]
    return [targets]


def copied(targets: Targets) -> Targets:
    if not isinstance(targets, Weighted):
        return targets.clone()
    own = {field.name: getattr(targets, field.name) for field in fields(targets)}
    return replace(targets, **{k: v.clone() for k, v in own.items() if isinstance(v, Tensor)})


def shape_of(inputs: Tensor, targets: Targets) -> tuple[Any, ...]:
    return tuple((tuple(t.shape), t.dtype) for t in (inputs, *tensors_of(targets)))


def settled_step_seconds(
    update: Callable[[Tensor, Targets, float], Tensor],
    inputs: Tensor,
    targets: Targets,
    compute: Compute,
    seconds: float = TIMED_SECONDS,
) -> float:
    """Mean time of a step once kernels are loaded and a recording is made."""
    pace, taken = Pace(compute.device), 0
    for _ in range(WARM_STEPS + 2):
        update(inputs, targets, 0.5)
    synchronise(compute.device)
    started = time.perf_counter()
    while taken < TIMED_STEPS or time.perf_counter() - started < seconds:
        update(inputs, targets, 0.5)
        pace()
        taken += 1
    synchronise(compute.device)
    return (time.perf_counter() - started) / taken
