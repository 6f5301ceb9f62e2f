"""Early exit, a network that stops as soon as it is confident: the edit "exits".

    {"kind": "exits", "places": [["stages.0", 16, 4], ["stages.3", 32, 4]], "classes": 10}

A head stands after each place (path of a module, channels or units there, and how many cells a side
its maps are averaged over; 0 for units):  p_e = softmax(A_e pool(h_e) + b_e). An item leaves at the
first head with  max p_e >= threshold_e  (Teerapittayanon et al. 2016, BranchyNet, with confidence
for entropy), and only the others of its batch go on. A threshold above 1 lets nobody leave.

The class of the network stays what it was, but for a forward that can stop; while it learns,
forward gives the answers of all heads and of the network itself, a list. A place must be a cut:
everything after it depends on what comes out of it alone (residual sums must not step over it).

Shapes: B batch, C channels, H W maps, D units, K classes, E exits.
"""

from __future__ import annotations

from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["NEVER", "EarlyExits", "exits", "with_all_answers"]

NEVER = 2.0  # a threshold that no confidence reaches
LARGEST = 1 << 20  # features of a head
_RUN: ContextVar[_Run | None] = ContextVar("the run of this thread", default=None)


class _AllSure(Exception):
    """Every item of the batch has left at an earlier exit."""


class Head(nn.Module):
    """(B, C, H, W) or (B, D) -> logits (B, K)."""

    def __init__(self, width: int, cells: int, classes: int):
        super().__init__()
        self.cells = cells
        self.linear = nn.Linear(width * max(1, cells * cells), classes)

    def features(self, h: Tensor) -> Tensor:
        """What the head reads: (B, F)."""
        if self.cells:
            h = functional.adaptive_avg_pool2d(h, self.cells)
        return torch.flatten(h, 1)

    def forward(self, h: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.features(h))
        return logits


class Exits(nn.Module):
    """The heads of all exits, and the confidence that each requires."""

    thresholds: Tensor

    def __init__(self, places: list[list[Any]], classes: int):
        super().__init__()
        self.places = [str(path) for path, _, _ in places]
        self.heads = nn.ModuleList(Head(width, cells, classes) for _, width, cells in places)
        self.register_buffer("thresholds", torch.full((len(places),), NEVER))


class EarlyExits(nn.Module):
    """Mixed into the class of a network: raw items (B, ...) -> logits (B, K)."""

    exits: Exits

    def forward(self, x: Tensor) -> Any:
        if self.training:
            return with_all_answers(self, x)
        run = _Run(self.exits, len(x))
        try:
            return run.complete(_watched(self, run, run.leave, super().forward, x))
        except _AllSure:
            return run.complete(None)


def with_all_answers(network: Any, x: Tensor) -> list[Tensor]:
    """The logits (B, K) of each head, bottom up, and last of the network; nobody leaves."""
    run = _Run(network.exits, len(x))
    plain = super(EarlyExits, network).forward
    last = _watched(network, run, run.note, plain, x)
    return [*run.noted, last]


def _watched(network: nn.Module, run: _Run, hook: Any, forward: Any, x: Tensor) -> Any:
    """forward(x), `hook(exit, maps)` being called at every place by this run alone."""
    before = _RUN.set(run)
    try:
        with ExitStack() as stack:
            for number, path in enumerate(run.exits.places):

                def at(module: Any, inputs: Any, h: Tensor, number: int = number) -> Tensor | None:
                    return hook(number, h) if _RUN.get() is run else None

                handle = network.get_submodule(path).register_forward_hook(at)
                stack.callback(handle.remove)
            return forward(x)
    finally:
        _RUN.reset(before)


class _Run:
    """The state of one batch: which items go on, and the logits of those that have left."""

    def __init__(self, exits: Exits, items: int):
        self.exits = exits
        self.items = items
        self.waiting: Tensor | None = None  # places in the batch; None: all of them
        self.told: list[tuple[Tensor, Tensor]] = []
        self.noted: list[Tensor] = []
        self.alone: Tensor | None = None  # the answer for a batch of one
        self.thresholds: list[float] = exits.thresholds.tolist()

    def note(self, number: int, h: Tensor) -> None:
        self.noted.append(self.exits.heads[number](h))

    def leave(self, number: int, h: Tensor) -> Tensor | None:
        """The maps of the items that go on; None if all do."""
        logits: Tensor = self.exits.heads[number](h)
        confidence = torch.softmax(logits, dim=1).amax(dim=1)
        if len(confidence) == 1 == self.items:  # one alone: no places to keep
            if confidence.item() < self.thresholds[number]:
                return None
            self.alone = logits
            raise _AllSure
        sure = confidence >= self.thresholds[number]
        leaving = int(sure.sum())
        if not leaving:
            return None
        if self.waiting is None:
            self.waiting = torch.arange(self.items, device=h.device)
        self.told.append((self.waiting[sure], logits[sure]))
        if leaving == len(sure):
            raise _AllSure
        self.waiting = self.waiting[~sure]
        return h[~sure]

    def complete(self, last: Tensor | None) -> Tensor:
        """The logits (B, K) of all items, in their input order."""
        if self.waiting is None:
            only = self.alone if last is None else last
            assert only is not None
            return only
        pieces = self.told if last is None else [*self.told, (self.waiting, last)]
        logits = torch.cat([rows for _, rows in pieces])
        return logits[torch.argsort(torch.cat([places for places, _ in pieces]))]


_CLASSES: dict[type, type] = {}


def exits(network: nn.Module, edit: dict[str, Any]) -> nn.Module:
    """The network with heads at these places, which nobody leaves by yet.

    Raises ValueError for a place that is not there, or sizes that are none.
    """
    places, classes = edit.get("places"), edit.get("classes")
    if not isinstance(places, list) or not places or isinstance(network, EarlyExits):
        raise ValueError('an edit "exits" needs "places", once')
    if type(classes) is not int or not 2 <= classes <= LARGEST:
        raise ValueError(f"exits to {classes!r} classes")
    for place in places:
        _check(network, place)
    kind = type(network)
    if kind not in _CLASSES:
        _CLASSES[kind] = type(f"{kind.__name__}WithExits", (EarlyExits, kind), {})
    network.__class__ = _CLASSES[kind]
    network.add_module("exits", Exits(places, classes))
    return network


def _check(network: nn.Module, place: Any) -> None:
    if not isinstance(place, list) or len(place) != 3 or not isinstance(place[0], str):
        raise ValueError(f"an exit at {place!r}, which is no [path, width, cells]")
    network.get_submodule(place[0])
    whole = all(type(size) is int for size in place[1:])
    if not whole or place[1] < 1 or place[2] < 0 or place[1] * place[2] ** 2 > LARGEST:
        raise ValueError(f"an exit at {place!r}")
