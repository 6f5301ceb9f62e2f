"""Which channels must go together, found by running the network once.

Every layer that mixes channels (convolution, linear) makes new ones; every other operator either
passes channels through, each by itself, or does not. Which, is tried out:

    f passes channels through  <=>  f(x[:, s]) = f(x)[:, s]  for a random selection s,

where flattening C maps of P positions makes P places of each channel. What is added, multiplied or
otherwise joined place by place becomes one channel (union-find); concatenation keeps them apart;
whatever passes nothing through freezes what it read. No table of operators, no hand-written map of
one network: what was executed is what counts, and an operator never seen before is safe.

A channel is then the set of places that hold it, slot by slot: its outputs where it is made, its
inputs where it is read, its norms in between. Removing it everywhere is the same as setting to zero
the weights that read it. Frozen are the network's inputs and outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from depthwise.reshaping.widths import AXES, NORMS, Slot, is_depthwise, keep, sides, widths_edit

__all__ = ["Channel", "Channels", "channels_of"]


@dataclass
class Channel:
    """One channel or unit: its places in every slot that holds it. `bundle` numbers the layers
    that are pruned together, such as a residual stream."""

    places: dict[Slot, np.ndarray]
    bundle: int = 0


@dataclass
class Channels:
    """All that can be removed from one network.

    `products` {path: macs of one (output, input) pair of channels and one item}; `numbers` likewise
    {path: weights of one pair}; `widths` {slot: places it has}.
    """

    channels: list[Channel]
    products: dict[str, float]
    numbers: dict[str, float]
    widths: dict[Slot, int]

    def macs(self, removed: Iterable[int] = ()) -> float:
        """Multiplications of one item without the channels `removed` (their indices)."""
        return self.cost(self.products, self.narrow(dict(self.widths), removed))

    def weights(self, removed: Iterable[int] = ()) -> float:
        """Weights of the layers that make channels, without the channels `removed`."""
        return self.cost(self.numbers, self.narrow(dict(self.widths), removed))

    def savings(self, numbers: dict[str, float]) -> np.ndarray:
        """What removing each channel alone would save of `products`, `numbers`, or any like them:
        (channels,)."""
        return np.array([self._saving(channel, numbers) for channel in self.channels])

    def bundles(self) -> dict[int, list[int]]:
        """{bundle: indices of its channels}."""
        found: dict[int, list[int]] = {}
        for index, channel in enumerate(self.channels):
            found.setdefault(channel.bundle, []).append(index)
        return found

    def without(self, network: nn.Module, removed: set[int]) -> tuple[nn.Module, dict[str, Any]]:
        """A smaller copy of the network, and the edit "widths" that records its layer sizes."""
        gone: dict[Slot, list[np.ndarray]] = {}
        for index in removed:
            for slot, places in self.channels[index].places.items():
                gone.setdefault(slot, []).append(places)
        kept = {
            slot: torch.from_numpy(np.setdiff1d(np.arange(self.widths[slot]), np.concatenate(all_)))
            for slot, all_ in gone.items()
        }
        smaller = keep(copy.deepcopy(network), kept)
        return smaller, widths_edit(smaller, (path for path, _ in kept))

    def cost(self, numbers: dict[str, float], left: dict[Slot, int] | None = None) -> float:
        """What the layers cost together, when their slots hold `left` places: by default all."""
        widths = left or self.widths
        return sum(n * _area(path, widths) for path, n in numbers.items())

    def narrow(self, left: dict[Slot, int], removed: Iterable[int]) -> dict[Slot, int]:
        """`left`, less the places of these channels, changed in place."""
        for index in removed:
            for slot, places in self.channels[index].places.items():
                left[slot] -= len(places)
        return left

    def _saving(self, channel: Channel, numbers: dict[str, float]) -> float:
        saved = 0.0
        for (path, side), places in channel.places.items():
            other = "in" if side == "out" else "out"
            saved += numbers.get(path, 0.0) * len(places) * self.widths.get((path, other), 1)
        return saved


def _area(path: str, left: dict[Slot, int]) -> int:
    return left[path, "out"] * left.get((path, "in"), 1)


def channels_of(network: nn.Module, sample: Tensor) -> Channels:
    """What can be removed from `network`, by one run on noise like `sample` (B, ...)."""
    generator = torch.Generator().manual_seed(0)
    trial = copy.deepcopy(network).cpu().double().eval()
    for tensor in [*trial.parameters(), *trial.buffers()]:
        if tensor.is_floating_point():  # generic numbers: nothing is zero or equal by chance
            noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.data = (0.1 + 0.9 * noise) * _signs(tensor.shape, generator, tensor.dim() > 1)
    tracer = _Tracer(trial)
    shape = (2, *sample.shape[1:])
    with torch.no_grad(), tracer.watching_layers(), tracer:
        output = trial(torch.rand(shape, generator=generator, dtype=torch.float64))
    return tracer.found(output)


def _signs(shape: torch.Size, generator: torch.Generator, both: bool) -> Tensor:
    """Weights of both signs; means, scales and variances positive."""
    coins = torch.randint(0, 2, shape, generator=generator, dtype=torch.float64)
    return 2 * coins - 1 if both else torch.ones(shape, dtype=torch.float64)


@dataclass
class _Labels:
    """Union-find over labels: which are the same channel, and which must stay."""

    parents: list[int] = field(default_factory=list)
    frozen: list[bool] = field(default_factory=list)

    def new(self, n: int, frozen: bool = False) -> np.ndarray:
        first = len(self.parents)
        self.parents += range(first, first + n)
        self.frozen += [frozen] * n
        return np.arange(first, first + n)

    def root(self, label: int) -> int:
        while self.parents[label] != label:
            self.parents[label] = label = self.parents[self.parents[label]]
        return label

    def join(self, a: np.ndarray, b: np.ndarray) -> None:
        for one, other in zip(a.tolist(), b.tolist(), strict=True):
            one, other = self.root(one), self.root(other)
            self.parents[other] = one
            self.frozen[one] |= self.frozen[other]

    def freeze(self, labels: np.ndarray) -> None:
        for label in labels.tolist():
            self.frozen[self.root(label)] = True


class _Tracer(TorchFunctionMode):
    """Follows channels along dimension 1 of every tensor of one run."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.layers = {name: m for name, m in network.named_modules() if sides(m) is not None}
        self.owners = {id(p): n for n, m in self.layers.items() for p in m._parameters.values()}
        self.labels = _Labels()
        self.of: dict[int, np.ndarray] = {}  # id of a tensor -> labels of its places
        self.alive: list[Tensor] = []  # so that an id means one tensor
        self.slots: dict[Slot, np.ndarray] = {}
        self.products: dict[str, float] = {}
        self.touched: set[str] = set()  # layers whose weights are used otherwise than by a call
        self.inside = 0

    # -- what runs --------------------------------------------------------------------------------

    def watching_layers(self) -> Any:
        from contextlib import ExitStack

        stack = ExitStack()
        for name, module in self.layers.items():
            for handle in (
                module.register_forward_pre_hook(lambda *_: self._enter()),
                module.register_forward_hook(
                    lambda m, x, y, name=name: self._layer(name, m, x[0], y)
                ),
            ):
                stack.callback(handle.remove)
        return stack

    def _enter(self) -> None:
        self.inside += 1

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not self.inside:
            self._operator(func, args, kwargs, result)
        return result

    def _operator(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        outputs = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        if not outputs:
            return
        self.touched |= {self.owners[id(t)] for t in inputs if id(t) in self.owners}
        followed = [t for t in inputs if id(t) in self.of]
        if not followed:
            return
        if func in (torch.cat, torch.concat) and self._joined(args, kwargs, outputs[0]):
            return
        width = max(len(self.of[id(t)]) for t in followed)
        passed = [t for t in followed if len(self.of[id(t)]) == width]
        if len(outputs) == 1 and self._passes(func, (args, kwargs), outputs[0], width):
            for other in passed[1:]:
                self.labels.join(self.of[id(passed[0])], self.of[id(other)])
            times = outputs[0].shape[1] // width
            self._follow(outputs[0], np.repeat(self.of[id(passed[0])], times))
            passed_ids = {id(t) for t in passed}
            followed = [t for t in followed if id(t) not in passed_ids]
        for tensor in followed:
            self.labels.freeze(self.of[id(tensor)])

    def _passes(self, func: Any, given: Any, output: Tensor, width: int) -> bool:
        """Whether the operator treats each of `width` channels by itself."""
        if output.dim() < 2 or output.shape[1] % width:
            return False
        times = output.shape[1] // width
        chosen = torch.from_numpy(np.random.default_rng(width).permutation(width)[: -(-width // 2)])

        def select(value: Any) -> Any:
            followed = isinstance(value, Tensor) and len(self.of.get(id(value), ())) == width
            return value.index_select(1, chosen) if followed else value

        try:
            args, kwargs = tree_map(select, given)
            small = func(*args, **kwargs)
        except (RuntimeError, ValueError, IndexError, TypeError):
            return False
        places = (chosen[:, None] * times + torch.arange(times)).flatten()
        wanted = output.index_select(1, places)
        return small.shape == wanted.shape and bool(torch.allclose(small, wanted))

    def _joined(self, args: Any, kwargs: Any, output: Tensor) -> bool:
        """Concatenation along the channels."""
        tensors = kwargs.get("tensors", args[0] if args else ())
        dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
        if dim % output.dim() != 1:
            return False
        parts = [self.of.get(id(t), None) for t in tensors]
        labels = [
            self.labels.new(t.shape[1], frozen=True) if part is None else part
            for t, part in zip(tensors, parts, strict=True)
        ]
        self._follow(output, np.concatenate(labels))
        return True

    # -- layers -----------------------------------------------------------------------------------

    def _layer(self, name: str, module: nn.Module, x: Tensor, y: Tensor) -> None:
        self.inside -= 1
        axis = 1 if not isinstance(module, nn.Linear) or x.dim() == 2 else None
        read = self.of.get(id(x))
        if axis is None or read is None:
            frozen = x.shape[1] if axis else (sides(module) or (0, 0))[1] or 0
            if read is not None:
                self.labels.freeze(read)
            read = self.labels.new(frozen, frozen=True)
        if isinstance(module, NORMS) or is_depthwise(module):
            made = self._bind((name, "out"), np.repeat(read, y.shape[1] // len(read)))
        else:
            self._bind((name, "in"), read)
            outputs = (sides(module) or (0,))[0]
            made = self._bind((name, "out"), self.labels.new(outputs, frozen=axis is None))
        if not isinstance(module, NORMS):
            self.products[name] = self.products.get(name, 0.0) + _products(module, x, y)
        if axis:
            self._follow(y, made)

    def _bind(self, slot: Slot, labels: np.ndarray) -> np.ndarray:
        """The places of a slot hold these channels; a layer that runs twice makes both one."""
        if slot in self.slots:
            self.labels.join(self.slots[slot], labels)
        return self.slots.setdefault(slot, labels)

    def _follow(self, tensor: Tensor, labels: np.ndarray) -> None:
        self.of[id(tensor)] = labels
        self.alive.append(tensor)

    # -- the outcome ------------------------------------------------------------------------------

    def found(self, output: Any) -> Channels:
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor) and id(tensor) in self.of:
                self.labels.freeze(self.of[id(tensor)])
        for (path, _), labels in self.slots.items():
            if path in self.touched:
                self.labels.freeze(labels)
        places: dict[int, dict[Slot, list[int]]] = {}
        for slot, labels in self.slots.items():
            for place, label in enumerate(labels.tolist()):
                root = self.labels.root(label)
                if not self.labels.frozen[root]:
                    places.setdefault(root, {}).setdefault(slot, []).append(place)
        channels = [
            Channel({slot: np.array(where) for slot, where in held.items()})
            for held in places.values()
        ]
        _number_bundles(channels)
        widths = {slot: len(labels) for slot, labels in self.slots.items()}
        numbers = {p: _numbers(self.layers[p]) for p in self.products}
        return Channels(channels, self.products, numbers, widths)


def _products(module: Any, x: Tensor, y: Tensor) -> float:
    """Macs of one item and one pair of channels."""
    if type(module) in AXES and not isinstance(module, nn.Linear):
        places = x if isinstance(module, nn.ConvTranspose2d) else y
        return float(np.prod(module.kernel_size) * np.prod(places.shape[2:]))
    return float(np.prod(y.shape[1:-1]))


def _numbers(module: nn.Module) -> float:
    """Weights of one pair of channels."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        return float(np.prod(module.kernel_size))
    return 1.0


def _number_bundles(channels: list[Channel]) -> None:
    """Channels that share a slot's outputs are pruned together."""
    names: dict[Slot, int] = {}
    same = _Labels()
    for channel in channels:
        made = [slot for slot in channel.places if slot[1] == "out"]
        for slot in made:
            if slot not in names:
                names[slot] = int(same.new(1)[0])
        first = np.array([names[made[0]]] * len(made))
        same.join(first, np.array([names[slot] for slot in made]))
    for channel in channels:
        slot = next(slot for slot in channel.places if slot[1] == "out")
        channel.bundle = same.root(names[slot])
