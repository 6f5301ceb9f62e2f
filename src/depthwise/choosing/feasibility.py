"""Measure before training: what each candidate costs, and which cannot keep the limits."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from depthwise.choosing.clock import Clock
from depthwise.choosing.heartbeat import Heartbeat
from depthwise.choosing.ladder import TOO_LARGE, Candidate
from depthwise.data.dataset import Dataset
from depthwise.errors import InputError, MissingExtraError
from depthwise.journal import Journal
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.roofline import SCALES
from depthwise.measuring.limits import Budget, Miss, misses
from depthwise.measuring.scorecard import Scorecard, costs

__all__ = ["Feasible", "feasible"]

SECONDS = 0.5  # of measuring, a candidate,
ALTOGETHER = 6.0  # and all of them, or
FLOAT_BYTES = 4
SHARE = 0.4  # of the time that screening has: the rest is building and counting


UNSCREENED = "untried: the time for screening was over before its turn; give more --minutes"


@dataclass
class Feasible:
    """Candidates that may be trained, the costs of all that were built, and why the rest were
    dropped; `missed` are the broken limits by candidate, the worst first."""

    kept: list[Candidate] = field(default_factory=list)
    cards: dict[str, Scorecard] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    missed: dict[str, list[Miss]] = field(default_factory=dict)

    def drop(self, name: str, reason: str) -> None:
        self.reasons[name] = reason

    def unscreened(self, candidates: list[Candidate]) -> list[Candidate]:
        """Those that there was no time for."""
        return [c for c in candidates if self.reasons.get(c.name) == UNSCREENED]

    def add(self, more: Feasible) -> None:
        """What was found later of candidates that had not been screened."""
        self.kept += more.kept
        self.missed |= more.missed
        self.cards |= more.cards
        for name in more.cards:
            self.reasons.pop(name, None)
        self.reasons |= more.reasons

    def nearest_miss(self) -> tuple[str, Miss] | None:
        """The candidate whose worst miss is the smallest, and that miss."""
        worst = {name: broken[0] for name, broken in self.missed.items()}
        if not worst:
            return None
        name = min(worst, key=lambda candidate: worst[candidate].ratio)
        return name, worst[name]


def feasible(
    candidates: list[Candidate],
    data: Dataset,
    device: Device,
    budget: Budget,
    journal: Journal,
    tell: Callable[[str], None],
    clock: Clock,
    until: float | None = None,
) -> Feasible:
    """Build each candidate with random weights, take its costs, keep what keeps the limits. Once
    the time for it is over (`until` on the clock), the rest are left unscreened; never all."""
    found, tell = Feasible(), Heartbeat.of(tell)
    until = clock.screening if until is None else until
    share = min(ALTOGETHER, SHARE * clock.screening)
    seconds = min(SECONDS, share / len(candidates))
    for candidate in sorted(candidates, key=lambda c: c.rank(data.kind)):
        tell.doing(f"{candidate.name}: building and measuring it")
        if found.kept and _is_late(journal, candidate, until):
            miss = _counted_miss(candidate, data, budget, device)
            found.drop(candidate.name, miss or UNSCREENED)
            continue
        if reason := _unbuildable(candidate, data):
            found.drop(candidate.name, reason)
            tell(f"{candidate.name}: dropped: {reason}")
            continue
        measure = partial(_costs, candidate, data, device, seconds)
        card = Scorecard.from_dict(journal.recall(f"costs/{candidate.name}", measure))
        found.cards[candidate.name] = card
        _sort_in(found, candidate, card, device, budget)
        tell(f"{candidate.name}: {_one_line(card)}{_verdict(found, candidate.name)}")
    return found


def _is_late(journal: Journal, candidate: Candidate, until: float) -> bool:
    """Whether it has not been measured, and there is no time for it any more."""
    step = f"costs/{candidate.name}"
    return step not in journal.steps and journal.clock.spent > until


def _counted_miss(candidate: Candidate, data: Dataset, budget: Budget, device: Device) -> str:
    """The limit of size that it breaks by its count of weights alone, without building it."""
    if budget.size_mb is None or _unbuildable(candidate, data):
        return ""
    weights = candidate.parameters(data.input_shape, candidate.outputs(data))
    each = FLOAT_BYTES if device.is_here else FLOAT_BYTES * SCALES[device.precision]
    miss = Miss("size_mb", each * weights / 1e6, budget.size_mb)
    return str(miss) if miss.ratio > 1 else ""


def _unbuildable(candidate: Candidate, data: Dataset) -> str:
    """Why it is not built for such items; "" if it is."""
    try:
        weights = candidate.parameters(data.input_shape, candidate.outputs(data))
    except (InputError, MissingExtraError) as error:
        return str(error)
    return f"{weights:,} weights: too many to build for a first choice" * (weights > TOO_LARGE)


def _costs(candidate: Candidate, data: Dataset, device: Device, seconds: float) -> dict[str, Any]:
    if data.kind == "text":
        return _costs_of_texts(candidate, data, device, seconds)
    network = candidate.network(data.input_shape, candidate.outputs(data))
    dtype = "float32" if data.kind == "table" else "uint8"
    options: dict[str, Any] = {"seconds": seconds, "flexibility": False}
    options["answering"] = candidate.model().answering(network)
    return costs(
        network, data.input_shape, dtype, device, samples=data.inputs[:64], **options
    ).to_dict()


def _costs_of_texts(
    candidate: Candidate, data: Dataset, device: Device, seconds: float
) -> dict[str, Any]:
    """With the vocabulary that the training part gives it, on texts as tokens."""
    model = candidate.model()
    model.prepare(data.train.X, learn=True)
    tokens = model.prepare(data.train.X[:64])
    network = model.build(tokens.shape[1:], candidate.outputs(data)).eval()
    card = costs(
        network,
        tokens.shape[1:],
        "int64",
        device,
        seconds=seconds,
        flexibility=False,
        samples=tokens,
        answering=model.answering(network),
    )
    return card.to_dict()


def _sort_in(
    found: Feasible, candidate: Candidate, card: Scorecard, device: Device, budget: Budget
) -> None:
    broken = misses(card, budget)
    if broken:
        found.missed[candidate.name] = broken
        found.drop(candidate.name, "; ".join(map(str, broken)))
    elif not _fits(card, device):
        found.drop(candidate.name, f"does not fit into the memory of {device.name}")
    else:
        found.kept.append(candidate)


def _fits(card: Scorecard, device: Device) -> bool:
    assert card.hardware_cost
    memory = device.memory_mb
    if memory is None or math.isnan(memory):
        return True
    return bool(card.hardware_cost.details["peak_memory_bytes"] <= memory * 1e6)


def _one_line(card: Scorecard) -> str:
    assert card.latency and card.hardware_cost
    megabytes = card.hardware_cost.details["weight_bytes"] / 1e6
    return f"{card.latency}, {megabytes:.3f} MB"


def _verdict(found: Feasible, name: str) -> str:
    return f" - dropped: {found.reasons[name]}" if name in found.reasons else ""
