"""What one forward pass costs, counted by running it once: operations, bytes, live memory.

The network runs on one sample under a TorchDispatchMode, which sees every ATen operator with its
real tensors, so that whatever can run can be counted: no table of layer types, no symbolic trace.

An operator that multiplies matrices is described as the product it is,

    (rows, inner) x (inner, columns), `groups` times:    macs = groups * rows * inner * columns

with rows = B for a linear layer and B H' W' for a convolution, whose inner = C/groups * kernel
area. FLOPs are 2 macs (a multiply and an add); all other operators count bytes only.

    bytes    inputs read once, outputs written once; a view moves nothing; a gather reads what it
             picks; weights are counted apart, since they do not grow with the batch
    memory   peak = weights + the most bytes of tensors alive at once, the sample included; a
             tensor lives until Python and the operators let go of its storage (followed by weak
             references). Kernels' scratch space is not in it: that is a device's (predict.py).
             What a runtime that plans ahead would need is schedule.py's to say.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from depthwise.measuring.operations import Counts, Operation, Product, Storage


def count(network: nn.Module, sample: Tensor) -> Counts:
    """Counts of `network(sample)`; sample: (B, ...) of the network's input. Weights and the
    training flag are as before when it returns."""
    recorder = _Recorder(network, sample)
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad(), recorder.following_layers(network), recorder:
            result = network(sample)
    finally:
        network.train(was_training)
    return Counts(
        batch=sample.shape[0],
        parameters=sum(p.numel() for p in network.parameters()),
        weight_bytes=weight_bytes(network),
        sample_bytes=sample.nbytes,
        operations=recorder.operations,
        storages=recorder.storages,
        results=frozenset(recorder.numbers(_tensors(result))),
    )


def weight_bytes(network: nn.Module) -> int:
    """Bytes of parameters and buffers, shared storage counted once."""
    storages = {_key(t): t.untyped_storage().nbytes() for t in _state(network)}
    return sum(storages.values())


class _Recorder(TorchDispatchMode):
    """Writes down each operator; `alive` holds the storages it has seen born."""

    def __init__(self, network: nn.Module, sample: Tensor) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self.weights = {_key(t) for t in _state(network)}
        self.sample_bytes = sample.nbytes
        self.sample_key = _key(sample)
        self.alive: dict[StorageWeakRef, int] = {}
        self.storages = {0: Storage(sample.nbytes, sample.is_floating_point())}
        self.number_of = {self.sample_key: 0}
        self.layers: list[str] = [""]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: else torch would load its compiler only to skip this mode, which takes longer than
        all else of a prediction."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = list(_tensors((args, kwargs)))
        outputs = list(_tensors(result))
        self._follow(outputs)
        self.operations.append(self._operation(func, args, inputs, outputs))
        return result

    def _follow(self, outputs: list[Tensor]) -> None:
        """Takes in storages that are new and lets go of those that died."""
        for tensor in outputs:
            if _key(tensor) not in self.weights and _key(tensor) != self.sample_key:
                self._meet(tensor)
        self.alive = {ref: size for ref, size in self.alive.items() if not ref.expired()}

    def _meet(self, tensor: Tensor) -> None:
        """Numbers a storage; a key that is alive no more is that of new memory at its place."""
        storage = tensor.untyped_storage()
        reference = StorageWeakRef(storage)
        if reference not in self.alive:
            number = len(self.storages)
            self.storages[number] = Storage(storage.nbytes(), tensor.is_floating_point())
            self.number_of[_key(tensor)] = number
        self.alive[reference] = storage.nbytes()

    def numbers(self, tensors: Iterable[Tensor]) -> tuple[int, ...]:
        """Of the tensors' storages, weights left out."""
        keys = dict.fromkeys(_key(t) for t in tensors)
        return tuple(self.number_of[key] for key in keys if key in self.number_of)

    def _operation(
        self, func: Any, args: tuple[Any, ...], inputs: list[Tensor], outputs: list[Tensor]
    ) -> Operation:
        name = func.overloadpacket.__name__
        product = _product(name, args, outputs)
        kind = _kind(name, product, func, inputs, outputs)
        read, written, weights = (0, 0, 0) if kind == "view" else self._traffic(inputs, outputs)
        if name in GATHERS:
            indices = sum(t.nbytes for t in inputs if not t.is_floating_point())
            read, weights = written + indices, 0
        return Operation(
            name=name,
            layer=self.layers[-1],
            kind=kind,
            product=product,
            channels_last=any(_is_channels_last(t) for t in inputs),
            read_bytes=read,
            written_bytes=written,
            weight_bytes=weights,
            live_bytes=self.sample_bytes + sum(self.alive.values()),
            reads=self.numbers(inputs),
            writes=self.numbers(outputs),
        )

    def _traffic(self, inputs: list[Tensor], outputs: list[Tensor]) -> tuple[int, int, int]:
        unique = {(_key(t), t.storage_offset(), t.shape): t for t in inputs}.values()
        weights = sum(t.nbytes for t in unique if _key(t) in self.weights)
        return sum(t.nbytes for t in unique) - weights, sum(t.nbytes for t in outputs), weights

    @contextmanager
    def following_layers(self, network: nn.Module) -> Iterator[None]:
        """Names the innermost module that is running, for the operations' `layer`."""
        handles = []
        for name, module in network.named_modules():
            handles.append(module.register_forward_pre_hook(self._enter(name)))
            handles.append(module.register_forward_hook(self._leave, always_call=True))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, args: self.layers.append(name)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.layers.pop()


MATRIX_PRODUCTS = {"mm": 0, "bmm": 0, "mv": 0, "dot": 0, "addmm": 1, "baddbmm": 1, "addmv": 1}
GATHERS = ("gather", "index", "index_select", "embedding", "take")
REDUCTIONS = ("mean", "sum", "amax", "amin", "max", "min", "argmax", "_adaptive_avg_pool2d")
ALLOCATIONS = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")


def _product(name: str, args: tuple[Any, ...], outputs: list[Tensor]) -> Product | None:
    """The matrix product an operator computes, or None."""
    if name in ("convolution", "_convolution", "cudnn_convolution"):
        return _convolution(args[0], args[1], transposed=bool(args[6]), groups=args[8], out=outputs)
    if name in MATRIX_PRODUCTS:
        first = MATRIX_PRODUCTS[name]
        return _matrix_product(args[first], args[first + 1])
    if name.startswith("_scaled_dot_product") and "backward" not in name:
        return _attention(args[0], args[1], args[2])
    return None


def _convolution(x: Tensor, weight: Tensor, transposed: bool, groups: int, out: Any) -> Product:
    """x (B, C, *), weight (C', C/groups, *kernel); transposed: the same seen from the output."""
    narrow = x if transposed else out[0]  # the side with one window a position
    area = prod(weight.shape[2:])
    return Product(
        rows=narrow.shape[0] * prod(narrow.shape[2:]),
        inner=weight.shape[1] * area,
        columns=weight.shape[0] // groups,
        groups=groups,
        kernel=max(weight.shape[2:], default=1),
        area=area,
    )


def _matrix_product(a: Tensor, b: Tensor) -> Product:
    """(N,) or (M, N) or (G, M, N) times (N,) or (N, P) or (G, N, P)."""
    groups = a.shape[0] if a.dim() == 3 else 1
    rows = a.shape[-2] if a.dim() > 1 else 1
    return Product(rows, a.shape[-1], b.shape[-1] if b.dim() > 1 else 1, groups)


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Product:
    """Two products, (L, E)(E, S) and (L, S)(S, E'), for each of B * heads, as one of equal cost."""
    groups = prod(query.shape[:-2])
    return Product(query.shape[-2], query.shape[-1] + value.shape[-1], key.shape[-2], groups)


def _kind(
    name: str, product: Product | None, func: Any, inputs: list[Tensor], outputs: list[Tensor]
) -> str:
    if product is not None:
        return _product_kind(name, product)
    if name in ALLOCATIONS:
        return "view"
    if not func._schema.is_mutable and outputs and _aliases(outputs, inputs):
        return "view"
    if "norm" in name:
        return "norm"
    if name in REDUCTIONS:
        return "reduction"
    return "pool" if "pool" in name else "elementwise"


def _product_kind(name: str, product: Product) -> str:
    if "convolution" not in name:
        return "linear"
    if product.groups > 1 and product.columns == 1:
        return "depthwise"
    return "pointwise" if product.kernel == 1 else "conv"


def _aliases(outputs: list[Tensor], inputs: list[Tensor]) -> bool:
    known = {_key(t) for t in inputs}
    return all(_key(t) in known for t in outputs)


def _state(network: nn.Module) -> Iterable[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _is_channels_last(t: Tensor) -> bool:
    return (
        t.dim() == 4
        and t.shape[1] > 1
        and not t.is_contiguous()
        and t.is_contiguous(memory_format=torch.channels_last)
    )
