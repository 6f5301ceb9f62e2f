"""What a shrunk model costs on the device; measuring/limits.py compares it with the limits.

| limit        | unit                 | compared with                                              |
| ------------ | -------------------- | ---------------------------------------------------------- |
| size_mb      | 10^6 bytes           | the file that it runs from: model.safetensors, or the      |
|              |                      | graph of another runtime, model.onnx                       |
| latency_ms   | ms, one item         | median of the quietest burst here, or predicted            |
| energy_mj    | mJ an item           | predicted from that latency and the device                 |
| memory_mb    | 10^6 bytes           | that file, and the most activations alive at once          |
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.measuring.as_run import counts_of, precision_on, size_bytes
from depthwise.measuring.counting import Counts
from depthwise.measuring.devices.device import Device
from depthwise.measuring.energy import predict_energy
from depthwise.measuring.limits import Limits
from depthwise.measuring.metric import Metric
from depthwise.measuring.predict import by_layer, predict_latency, predict_memory
from depthwise.measuring.speed import ByRuntime
from depthwise.measuring.speed import latency as measured_latency
from depthwise.models.estimator import Estimator
from depthwise.models.networks import NetworkEstimator
from depthwise.reshaping.quantise import quantise
from depthwise.runtimes import RUNTIMES, Program
from depthwise.runtimes.attached import Running
from depthwise.shrinking.storing import store

__all__ = ["FLOAT", "Costing", "Figures", "Way"]

BYTES = {"int8": 0.25}  # of a value, as a share of fp32's


@dataclass(frozen=True)
class Figures:
    """What a model costs on the device; see the table above."""

    size_mb: float
    latency_ms: float
    energy_mj: float
    memory_mb: float

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class Way:
    """How a network is stored and run: "fp32", "int8", "weights-int8" or "weights-int4", by one
    of RUNTIMES."""

    precision: str
    runtime: str = "eager"

    def __str__(self) -> str:
        return self.precision if self.runtime == "eager" else f"{self.precision} {self.runtime}"


FLOAT = Way("fp32")
CANDIDATES = ("eager", "onnxruntime", "openvino")


@dataclass
class Costing:
    """Finishes models in a way, and takes their figures. samples: (N, ...) real training items."""

    device: Device
    samples: np.ndarray
    seconds: float = 0.3
    finished: tuple[Any, dict[str, Any]] = field(default=(None, {}), repr=False)

    def ways(self, limits: Limits) -> list[Way]:
        """All that may help to keep these limits, and can be done here."""
        found = [FLOAT]
        if self.in_bytes:
            return [FLOAT, Way("int8")]
        if limits.size_mb is not None:
            found += [Way("weights-int8"), Way("weights-int4")]
        if limits.latency_ms is None and limits.energy_mj is None and limits.memory_mb is None:
            return found
        if not self.device.is_here:
            return [*found, Way("int8")]
        names = [name for name in CANDIDATES[1:] if RUNTIMES[name].available() is None]
        return [*found, *(Way(p, name) for name in names for p in ("fp32", "int8"))]

    @property
    def in_bytes(self) -> bool:
        """Whether the device runs networks in 8-bit numbers alone, as microcontrollers do: what is
        in floating point is no answer there, but what others are compared with."""
        return not self.device.is_here and self.device.precision == "int8"

    def can_run(self, way: Way) -> bool:
        return way.precision == "int8" or not self.in_bytes

    def finish(self, model: NetworkEstimator, way: Way) -> NetworkEstimator:
        """A copy of the model, stored and computed in that precision; asked for the same one again,
        it is the same copy, so that runtimes share its graph."""
        known, made = self.finished
        if known is not model:
            known, made = model, {FLOAT.precision: model}
            self.finished = known, made
        if way.precision not in made:
            bits = {"weights-int8": 8, "weights-int4": 4}.get(way.precision)
            made[way.precision] = store(model, bits) if bits else quantise(model, self.samples)
        return made[way.precision]

    def figures(self, model: Estimator, way: Way, counts: Counts, program: Program) -> Figures:
        """What a finished model costs; counts: of it, as `counts` has them."""
        network = model.network_
        precision, here = precision_on(network, self.device), self.device.is_here
        if here:
            latency = self._measured(network, program)
        else:
            latency = predict_latency(counts, self.device, precision=precision)
        energy = predict_energy(
            self.device,
            latency,
            power_share=1 / self.device.cores if here else 1.0,
            layers=by_layer(counts, self.device, precision=None if here else precision),
        )
        running = Running(network, {}, program.graph) if here and program.graph else None
        size = size_bytes(network, self.device, running) / 1e6
        if not here:
            memory = predict_memory(counts, self.device, precision=precision).value / 1e6
            return Figures(size, latency.value, energy.value, memory)
        live = counts.peak_live_bytes / 1e6 * BYTES.get(way.precision, 1.0)
        return Figures(size, latency.value, energy.value, size + live)

    def attached(self, model: NetworkEstimator, way: Way) -> NetworkEstimator:
        """The model, which predicts by that runtime from now on, here and after loading."""
        program = self.program(model, way)
        choice = {"name": way.runtime, "precision": program.precision, "threads": program.threads}
        model.running_ = Running(model.network_, choice, program.graph, program)
        return model

    def counts(self, model: Estimator) -> Counts:
        """Of a finished model, one item."""
        return counts_of(model.network_, self.one())

    def one(self) -> Tensor:
        return torch.from_numpy(self.samples[:1].copy())

    def program(self, model: Estimator, way: Way) -> Program:
        precision = "int8" if way.precision == "int8" else "fp32"
        example = torch.from_numpy(self.samples[:8].copy())
        runtime = RUNTIMES[way.runtime]
        return runtime.prepare(model.network_, example, precision=precision, threads=1)

    def _measured(self, network: nn.Module, program: Program) -> Metric:
        """Time of one item on one thread, as `measure` takes it."""
        sample = self.one()
        network = ByRuntime(network, program)
        return measured_latency(network, sample, seconds=self.seconds, threads=1)
