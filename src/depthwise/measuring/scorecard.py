"""Scorecard: the six key metrics of one Model on one Device (Sze, Chen, Yang, Emer, "Efficient
Processing of Deep Neural Networks", ch. 3), each with its unit, interval and how it was come by.

    measure(model, data, device)      all six, of a trained model
    costs(network, shape, dtype, ...) all but accuracy: these do not depend on the weights, so
                                      they are taken before any training

On this machine latency, throughput, memory (and energy, where there are counters) are measured;
on any other device they are predicted from the network's counts. What "accuracy" is of, the task
says: quality.py. Where an answer takes many passes of the network, as a caption does that is
written token by token, all of them are one answer (`Estimator.answering`).
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from depthwise.data.dataset import Dataset
from depthwise.errors import InputError
from depthwise.layers import ManyPasses
from depthwise.measuring import cost, predict, speed
from depthwise.measuring.as_run import counts_of, precision_on, size_bytes
from depthwise.measuring.classes import ClassMetric, told_scores
from depthwise.measuring.cost import Prices
from depthwise.measuring.counting import Counts
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.device_finder import find
from depthwise.measuring.energy import measure_energy, predict_energy
from depthwise.measuring.energy_counters import find_counter
from depthwise.measuring.flexibility import flexibility as support
from depthwise.measuring.metric import Metric, readable
from depthwise.measuring.quality import accuracy, assessment, quality
from depthwise.models.estimator import Estimator
from depthwise.models.supervised import Classifier
from depthwise.runtimes.attached import Running
from depthwise.task import SCORES, task_named

__all__ = ["METRICS", "Scorecard", "accuracy", "costs", "example", "measure", "quality"]

METRICS = ("accuracy", "throughput", "latency", "energy", "hardware_cost", "flexibility")


@dataclass
class Scorecard:
    """The metrics of one model on one device; None for those that were not asked for."""

    device: str
    accuracy: Metric | None = None
    throughput: Metric | None = None
    latency: Metric | None = None
    energy: Metric | None = None
    hardware_cost: Metric | None = None
    flexibility: Metric | None = None

    def to_dict(self) -> dict[str, Any]:
        metrics = {name: getattr(self, name) for name in METRICS}
        return {
            "device": self.device,
            **{name: m.to_dict() if m else None for name, m in metrics.items()},
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Scorecard":
        """The inverse of to_dict. Raises InputError for a key it does not know."""
        unknown = set(stored) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(f"a stored scorecard has no {sorted(unknown)[0]!r}.")
        metrics = {n: Metric.from_dict(stored[n]) for n in METRICS if stored.get(n)}
        return cls(device=stored.get("device", ""), **metrics)

    def __str__(self) -> str:
        rows = [(self._title(name), self._cell(name)) for name in METRICS]
        others = told_scores(self.accuracy.details) if self.accuracy else []
        rows = [*rows[:1], *others, *rows[1:], *self._extras()]
        wide = max(len(name) for name, _ in rows)
        return "\n".join([f"on {self.device}", *(f"  {n:<{wide}}  {v}" for n, v in rows)])

    def _title(self, name: str) -> str:
        """What was taken for accuracy is called by its name: models of the data have none."""
        unit = self.accuracy.unit if self.accuracy and name == "accuracy" else ""
        return SCORES[unit].name if unit in SCORES else name.replace("_", " ")

    def _cell(self, name: str) -> str:
        metric = getattr(self, name)
        return str(metric) if metric else "not taken"

    def _extras(self) -> list[tuple[str, str]]:
        if not self.hardware_cost:
            return []
        about = self.hardware_cost.details
        answer = (self.latency.details if self.latency else {}).get("answer")
        return [
            *([("an answer", answer)] if answer else []),
            ("parameters", f"{about['parameters']:,}"),
            ("weights", f"{about['weight_bytes'] / 1e6:,.3f} MB"),
            ("peak memory", f"{about['peak_memory_bytes'] / 1e6:,.3f} MB"),
            *self._charges(about),
        ]

    def _charges(self, about: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What a million items cost and how many a battery pays for, where known."""
        rows = []
        if about.get("usd_per_million_items") is not None:
            cost = f"{readable(about['usd_per_million_items'])} USD a million items"
            ends = [about.get(f"usd_per_million_{end}") for end in ("low", "high")]
            known = [readable(end) for end in ends if end is not None]
            rows.append(("running cost", f"{cost} ({'-'.join(known)})" if known else cost))
        charge = self.energy.details.get("items_per_charge") if self.energy else None
        return [*rows, ("per charge", f"{readable(charge)} items")] if charge else rows


def measure(
    model: Estimator,
    data: Any = None,
    device: str | Device = "this",
    seconds: float = 1.0,
    flexibility: bool | str = True,
    task: str | None = None,
    prices: Prices | None = None,
    metric: ClassMetric = None,
) -> Scorecard:
    """The Scorecard of a trained model, timed by its runtime (`runtime_`) where it has one.

    data: a Dataset (its test part is used), or (X, y) held out, y as class labels or, where
    these are not integers, their indices; None leaves accuracy out. seconds: time for latency
    and throughput together; from 60 on, a machine that runs from its battery reads its gauge.
    flexibility: True takes the quick matrix, "full" the whole one, in minutes. task: what accuracy
    is of, as `quality` has it. prices: of power and of the device's wear. metric: what stands in
    accuracy's place, as `quality` has it.
    Raises InputError: unknown device, data of another shape or unknown labels.
    """
    target = find(device)
    if metric is not None and data is None:
        raise InputError("metric says what held-out data are scored by: give data too.")
    own = _own_measure(model)
    X, y = (None, None) if data is None else _held_out(data, own)
    card = costs(
        model.network_,
        model.input_shape_,
        model.input_dtype_,
        target,
        seconds=seconds,
        flexibility=flexibility,
        samples=None if X is None else model.prepare(X[:64]),
        logits=model.gives_logits,
        prices=prices,
        running=model.running_,
        answering=model.answering(model.network_),
    )
    if isinstance(data, Dataset):
        card.accuracy = quality(model, data, "test", task, metric)
    elif X is not None:
        card.accuracy = _of_arrays(model, X, y, own, metric)
    return card


def _own_measure(model: Estimator) -> str | None:
    """The task that the model has a measure of its own for; None of classes."""
    own = model.own_task()
    return None if own is None or task_named(own).is_labelled else own


def _of_arrays(model: Estimator, X: Any, y: Any, own: str | None, metric: ClassMetric) -> Metric:
    if own:
        return assessment(model, X, y, own, metric)
    if isinstance(model, Classifier) and model.n_outputs:
        return accuracy(model, X, y, metric)
    raise InputError(
        f"{model.family} was fitted without labels, so (X, y) cannot be scored. Give a Dataset, "
        "which load_data makes."
    )


def costs(
    network: nn.Module,
    input_shape: tuple[int, ...],
    input_dtype: str = "float32",
    device: str | Device = "this",
    *,
    seconds: float = 1.0,
    flexibility: bool | str = True,
    samples: NDArray[Any] | None = None,
    logits: bool = True,
    prices: Prices | None = None,
    running: Running | None = None,
    answering: nn.Module | None = None,
    matrix_seconds: float = math.inf,
) -> Scorecard:
    """The Scorecard without accuracy, weights of no matter. input_shape: of one item, (C, H, W)
    or (D,); input_dtype: "uint8", "float32" or, of tokens, "int64"; samples: (N, *input_shape) real
    ones, None: made; logits: whether the network answers with classes, or with numbers such as a
    reconstruction;
    prices and flexibility: as in `measure`; running: what runs this network, if not torch;
    answering: what answers in full, if not the network alone; matrix_seconds: for flexibility."""
    if flexibility not in (True, False, "full"):
        raise InputError(f'flexibility must be True, False or "full"; got {flexibility!r}.')
    running = running if running and running.network is (answering or network) else None
    target = find(device)
    items = _samples(input_shape, input_dtype, samples)
    network, whole = _placed(network, "cpu"), _placed(answering or network, "cpu")
    with speed.using_threads(1):  # where other work has the cores, more wait at every operator
        counts = counts_of(whole, items[:1])
    if target.is_here:
        card = _measured(whole, items, counts, target, seconds, prices, running)
    else:
        card = _predicted(counts, target, precision_on(network, target), prices)
    if isinstance(whole, ManyPasses):
        _name_answers(card, whole.one_answer)
    if card.hardware_cost:
        card.hardware_cost.details["weight_bytes"] = size_bytes(network, target, running)
    if flexibility:
        full = flexibility == "full"
        found = support(network, items, logits, full=full, seconds=matrix_seconds)
        card.flexibility = found if target.is_here else _of_another(found, target)
    return card


def _of_another(found: Metric, device: Device) -> Metric:
    """What ran here, as a word about a device that is not here."""
    return replace(found, how="predicted", source=f"{found.source}; {device.name} ran none of them")


def _name_answers(card: Scorecard, answer: str) -> None:
    """Put into each metric's source what an answer is, where it takes more than one pass."""
    for name in ("latency", "throughput", "energy"):
        metric = getattr(card, name)
        metric.details["answer"] = answer
        setattr(card, name, replace(metric, source=f"{answer}; {metric.source}"))


def _measured(
    network: nn.Module,
    items: Tensor,
    counts: Counts,
    device: Device,
    seconds: float,
    prices: Prices | None,
    running: Running | None,
) -> Scorecard:
    where = "cuda" if device.id == "cuda" else "cpu"
    network, one = _placed(network, where), items[:1].to(where)
    memory = speed.peak_memory(network, one)
    timed, threads = _by_runtime(network, running if where == "cpu" else None)
    latency = speed.latency(timed, one, seconds=0.4 * seconds, threads=threads)
    known: dict[str, Any] = {"alone": latency, "live_bytes": memory.details["live_bytes"]}
    throughput = speed.throughput(timed, one, seconds=0.6 * seconds, threads=threads, **known)
    for metric in (latency, throughput):
        metric.details["runtime"] = (
            running.choice["name"] if running and timed is not network else "torch"
        )
    energy = _energy(timed, one, counts, device, latency, seconds)
    return Scorecard(
        device=device.name,
        latency=latency,
        throughput=throughput,
        energy=energy,
        hardware_cost=cost.hardware_cost(counts, device, throughput, energy, memory, prices),
    )


def _by_runtime(network: nn.Module, running: Running | None) -> tuple[nn.Module, int | None]:
    """What to time, and with how many threads; None lets the timing choose."""
    program = running.program() if running else None
    if running is None or program is None:
        return network, None
    return speed.ByRuntime(network, program), running.choice["threads"]


def _energy(
    network: nn.Module,
    one: Tensor,
    counts: Counts,
    device: Device,
    latency: Metric,
    seconds: float,
) -> Metric:
    """From the counter where there is one, with the threads that latency was best with."""
    threads = latency.details["threads"]
    counter = find_counter(device, seconds)
    if counter is None:
        share = 1.0 if device.id == "cuda" else min(1.0, threads / device.cores)
        layers = predict.by_layer(counts, device, threads=threads)
        return predict_energy(device, latency, power_share=share, layers=layers)
    with speed.using_threads(threads), speed.inference(network, one) as run:
        return measure_energy(run, device, counter)


def _predicted(counts: Counts, device: Device, precision: str, prices: Prices | None) -> Scorecard:
    latency = predict.predict_latency(counts, device, precision=precision)
    throughput = predict.predict_throughput(counts, device, precision)
    layers = predict.by_layer(counts, device, precision=precision)
    energy = predict_energy(device, latency, layers=layers)
    memory = predict.predict_memory(counts, device, precision=precision)
    return Scorecard(
        device=device.name,
        latency=latency,
        throughput=throughput,
        energy=energy,
        hardware_cost=cost.hardware_cost(counts, device, throughput, energy, memory, prices),
    )


def _placed(network: nn.Module, where: str) -> nn.Module:
    """The network itself if it is there already, else a copy: the caller's stays where it is."""
    first = next(network.parameters(), None)
    if where == "cpu" and (first is None or first.device.type == "cpu"):
        return network
    return copy.deepcopy(network).to(where)


def example(input_shape: tuple[int, ...], input_dtype: str) -> Tensor:
    """(1, *input_shape), made: for what does not depend on what is in an item."""
    return _samples(input_shape, input_dtype, None)[:1]


def _samples(shape: tuple[int, ...], dtype: str, given: NDArray[Any] | None) -> Tensor:
    """(64, *shape) of the network's dtype: the given ones, repeated, or noise from a fixed seed; of
    tokens the one of unknown words."""
    if dtype not in ("uint8", "float32", "int64"):
        raise InputError(f'input_dtype must be "uint8", "float32" or "int64"; got {dtype!r}.')
    if given is not None and len(given):
        if dtype == "int64":
            shape = given.shape[1:]  # texts are as long as they are
        if tuple(given.shape[1:]) != tuple(shape):
            raise InputError(f"data must be (N, {_commas(shape)}); got {tuple(given.shape)}.")
        rows = np.resize(np.asarray(given, dtype=dtype), (64, *shape))
        return torch.from_numpy(rows)
    if dtype == "int64":
        return torch.ones((64, *shape), dtype=torch.int64)
    noise = np.random.default_rng(0)
    if dtype == "uint8":
        return torch.from_numpy(noise.integers(0, 256, (64, *shape), dtype=np.uint8))
    return torch.from_numpy(noise.standard_normal((64, *shape), dtype=np.float32))


def _held_out(data: Any, own: str | None) -> tuple[Any, Any]:
    """(X, y) of a Dataset's test part, or of a pair; of a task with a measure of its own y is left
    as it is."""
    if isinstance(data, Dataset):
        return np.asarray(data.test.X), None
    X, y = data
    if own:
        return np.asarray(X), y
    X, y = np.asarray(X), np.asarray(y)
    if len(X) != len(y) or not len(X):
        raise InputError(f"held-out data needs one label an item; got {len(X)} and {len(y)}.")
    return X, y


def _commas(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
