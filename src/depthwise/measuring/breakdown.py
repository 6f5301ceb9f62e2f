"""Where a network's time, memory and energy go, layer by layer, and the ceilings over it.

    time     on this machine each module is timed by hooks as it runs, what its own modules take
             taken off: the median of many passes, scaled so that all together are the latency.
             Elsewhere predicted, each layer under its roofline (predict.by_layer)
    memory   bytes alive while the layer runs, and its weights
    energy   arithmetic and bytes as operation_energy.py has them; the rest is what the device draws
             in the layer's time beyond these: power that waits for memory, or for an operator to
             start. Scaled so that all together are the scorecard's figure
    ceilings of the roofline: operations and bytes a second (Williams, Waterman, Patterson 2009)

The result is a dict that JSON can hold, so that a report can be drawn from it later.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.measuring import speed
from depthwise.measuring.as_run import counts_of
from depthwise.measuring.devices.device import Device
from depthwise.measuring.metric import Metric
from depthwise.measuring.operation_energy import LayerEnergy, layer_energies
from depthwise.measuring.predict import LayerCost, by_layer
from depthwise.measuring.scorecard import Scorecard

PASSES = 30  # that are timed; the median settles what a neighbour disturbs
SECONDS = 2.0  # at most, for all of them


def breakdown(
    network: nn.Module, sample: Tensor, device: Device, card: Scorecard
) -> dict[str, Any]:
    """sample: (1, *input_shape), as the network takes it; card: its Scorecard on the device.

    {"device", "how": "measured" or "predicted", "runtime", "precision", "threads", "macs",
    "seconds", "energy_mj", "energy_how", "weight_bytes", "peak_bytes", "layers": [{"layer", "kind",
    "macs", "moved_bytes", "weight_bytes", "live_bytes", "seconds", "bound", "arithmetic_mj",
    "bytes_mj", "rest_mj"}, ...],
    "ceilings": {"gflops", "reached_gflops", "bandwidth_gb_s"}}
    """
    assert card.latency and card.energy
    precision = card.latency.details.get("precision") or device.precision
    threads = card.latency.details.get("threads") or device.cores
    counts = counts_of(network, sample)
    layers = by_layer(counts, device, precision=precision, threads=threads)
    if device.id == "this-machine":
        layers = _as_measured(layers, layer_seconds(network, sample, threads))
    layers = _scaled(layers, 1e-3 * card.latency.value)
    share = min(1.0, threads / device.cores) if device.id == "this-machine" else 1.0
    energies = layer_energies(layers, device, precision, share)
    watts = None if device.busy_watts is None else device.busy_watts * share
    return {
        "device": device.name,
        "how": "measured" if device.id == "this-machine" else "predicted",
        "runtime": card.latency.details.get("runtime") or "eager",
        "precision": precision,
        "threads": threads,
        "macs": counts.macs,
        "seconds": 1e-3 * card.latency.value,
        "energy_mj": card.energy.value if card.energy.known else None,
        "energy_how": card.energy.how,
        "weight_bytes": sum(cost.weight_bytes for cost in layers),
        "peak_bytes": max(cost.live_bytes for cost in layers),
        "layers": _told(layers, energies, watts, card.energy),
        "ceilings": _ceilings(device, precision, share),
    }


def layer_seconds(network: nn.Module, sample: Tensor, threads: int) -> dict[str, float]:
    """Seconds of each module by name, those of the modules inside it taken off; "" is the network's
    own. The median of up to PASSES passes."""
    passes: list[dict[str, float]] = []
    until = time.perf_counter() + SECONDS
    with speed.using_threads(threads), _timed(network) as spent, torch.inference_mode():
        while len(passes) < PASSES and (not passes or time.perf_counter() < until):
            spent.clear()
            network(sample)
            passes.append(dict(spent))
    counted = passes[1:] or passes  # the first one warms up
    return {name: statistics.median(one[name] for one in counted) for name in counted[0]}


@contextmanager
def _timed(network: nn.Module) -> Iterator[dict[str, float]]:
    """Hooks on every module; the dict fills as it runs, own times by name."""
    spent: dict[str, float] = {}
    begun: list[tuple[float, float]] = []  # when a module began, and what is inside it so far

    def enter(module: nn.Module, args: Any) -> None:
        begun.append((time.perf_counter(), 0.0))

    def leave(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            start, inside = begun.pop()
            whole = time.perf_counter() - start
            spent[name] = spent.get(name, 0.0) + whole - inside
            if begun:
                begun[-1] = (begun[-1][0], begun[-1][1] + whole)

        return hook

    was_training, handles = network.training, []
    network.train(False)
    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave(name), always_call=True))
    try:
        yield spent
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()


def _as_measured(layers: list[LayerCost], seconds: dict[str, float]) -> list[LayerCost]:
    """Layers with their measured seconds; the few microseconds of modules without an operator of
    their own belong to no layer."""
    return [replace(cost, seconds=seconds.get(cost.layer, cost.seconds)) for cost in layers]


def _scaled(layers: list[LayerCost], seconds: float) -> list[LayerCost]:
    whole = sum(cost.seconds for cost in layers)
    factor = seconds / whole if whole > 0 else 0.0
    return [replace(cost, seconds=factor * cost.seconds) for cost in layers]


def _told(
    layers: list[LayerCost], energies: list[LayerEnergy], watts: float | None, whole: Metric
) -> list[dict[str, Any]]:
    """The layers' records; energies add up to `whole` where that is known."""
    rests = [_rest_mj(cost, energy, watts) for cost, energy in zip(layers, energies, strict=True)]
    spent = sum(rests) + sum(energy.arithmetic_mj + energy.bytes_mj for energy in energies)
    factor = whole.value / spent if whole.known and spent else 1.0
    return [
        {
            "layer": cost.layer,
            "kind": cost.kind,
            "macs": cost.macs,
            "moved_bytes": cost.read_bytes + cost.written_bytes + cost.weight_bytes,
            "weight_bytes": cost.weight_bytes,
            "live_bytes": cost.live_bytes,
            "seconds": cost.seconds,
            "bound": cost.bound,
            "arithmetic_mj": factor * energy.arithmetic_mj,
            "bytes_mj": factor * energy.bytes_mj,
            "rest_mj": factor * rest,
        }
        for cost, energy, rest in zip(layers, energies, rests, strict=True)
    ]


def _rest_mj(cost: LayerCost, energy: LayerEnergy, watts: float | None) -> float:
    """What `watts` under load, where known, come to in the layer's time, beyond its work."""
    drawn = 0.0 if watts is None else 1e3 * watts * cost.seconds
    return max(energy.idle_mj, drawn - energy.arithmetic_mj - energy.bytes_mj)


def _ceilings(device: Device, precision: str, share: float) -> dict[str, float]:
    """Operations and bytes a second; of the threads that ran, on this machine."""
    reached = device.gflops_reached(precision)
    efficiency = device.efficiency
    if precision == "int8" and device.efficiency_int8 is not None:
        efficiency = device.efficiency_int8
    return {
        "gflops": share * reached / efficiency,
        "reached_gflops": share * reached,
        "bandwidth_gb_s": device.bandwidth_gb_s,
    }
