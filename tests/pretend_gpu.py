"""A GPU that is only pretended: tensors that were moved to "cuda" stay in the processor's memory,
but are refused wherever a real GPU would refuse them.

    with pretend_gpu():
        CNN(device="cuda").fit(X, y)

What lies on the GPU is known by its storage, so that views and a module's moved weights do too. An
operation on large tensors of both devices, `numpy()` of one on the GPU and a processor's generator
for one are errors, as there. Results are the processor's; speed and recorded graphs are not
pretended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

GPU = torch.device("cuda", 0)
aten = torch.ops.aten
CROSSING = {aten.copy_, aten._foreach_copy_}
INDEXED = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
MOVES = {Tensor.to, Tensor.cpu, Tensor.cuda}
MADE_WITHIN = {torch.nn.functional.one_hot}  # from tensors of its own, where its argument lies
AS_ARRAYS = {Tensor.numpy, Tensor.__array__}


class Storages:
    """The memory that is on the GPU, kept so that its address is not given to another tensor."""

    def __init__(self) -> None:
        self.known: dict[int, Any] = {}

    def mark(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self.known[storage._cdata] = storage
        return tensor

    def unmark(self, tensor: Tensor) -> Tensor:
        self.known.pop(tensor.untyped_storage()._cdata, None)
        return tensor

    def has(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.known


class Operations(TorchDispatchMode):
    """Every kernel: its tensors lie on one device, and so does what it makes."""

    def __init__(self, storages: Storages):
        super().__init__()
        self.there = storages

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if op.overloadpacket in CROSSING:
            return op(*args, **kwargs)
        if op.overloadpacket in INDEXED:  # a GPU's tensor takes indices from either
            given = [args[0], *(i for i in args[1] if i is not None and self.there.has(i))]
        here = [t for t in given if t.dim() and not self.there.has(t)]
        on_gpu = [t for t in given if self.there.has(t)]
        if on_gpu and here:
            shapes = [tuple(t.shape) for t in here]
            raise RuntimeError(f"{op}: cuda:0 and cpu, the latter of {shapes}")
        made = op(*args, **kwargs)
        if on_gpu:
            for tensor in tree_leaves(made):
                if isinstance(tensor, Tensor):
                    self.there.mark(tensor)
        return made


class Functions(TorchFunctionMode):
    """What asks for a device or is told one."""

    def __init__(self, storages: Storages):
        super().__init__()
        self.there = storages

    def __torch_function__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if f == Tensor.device.__get__:
            return GPU if self.there.has(args[0]) else f(*args)
        if f == Tensor.is_cuda.__get__:
            return self.there.has(args[0])
        if f in AS_ARRAYS and self.there.has(args[0]):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if f in MADE_WITHIN:
            with _disable_current_modes():
                made = f(*args, **kwargs)
            return self.there.mark(made) if self.there.has(args[0]) else made
        if f in MOVES:
            return self.move(f, args, kwargs)
        device = kwargs.get("device")
        if device is None or f is torch.Generator:
            return f(*args, **kwargs)
        kwargs["device"] = "cpu"
        if torch.device(device).type != "cuda":
            return f(*args, **kwargs)
        if kwargs.get("generator") is not None:
            raise RuntimeError("Expected a 'cuda' device type for generator but found 'cpu'")
        return self.there.mark(f(*args, **kwargs))

    def move(self, f: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
        tensor, rest = args[0], list(args[1:])
        was = self.there.has(tensor)
        device = "cpu" if f is Tensor.cpu else "cuda" if f is Tensor.cuda else kwargs.get("device")
        if rest and isinstance(rest[0], Tensor):
            device = "cuda" if self.there.has(rest[0]) else "cpu"
        elif rest and isinstance(rest[0], str | torch.device):
            device = rest[0]
            rest[0] = "cpu"
        if "device" in kwargs:
            kwargs["device"] = "cpu"
        made: Tensor = f(tensor, *rest, **kwargs)
        goes = was if device is None else torch.device(device).type == "cuda"
        if goes == was:
            return made
        if made.untyped_storage()._cdata == tensor.untyped_storage()._cdata:
            made = made.clone()
        return self.there.mark(made) if goes else self.there.unmark(made)


@contextlib.contextmanager
def pretend_gpu() -> Iterator[Storages]:
    storages, patch = Storages(), pytest.MonkeyPatch()
    answers: dict[str, Any] = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda *_: "a pretended GPU",
        "is_bf16_supported": lambda **_: True,
        "synchronize": lambda *_: None,
        "mem_get_info": lambda *_: (10**10, 10**10),
        "device": lambda device: contextlib.nullcontext(),
        "manual_seed": lambda seed: None,
        "get_rng_state": lambda device: None,
        "set_rng_state": lambda state, device: None,
        "Event": Done,
    }
    for name, answer in answers.items():
        patch.setattr(torch.cuda, name, answer)
    patch.setattr("depthwise.compute._machine", lambda: "a pretended GPU")
    with patch.context(), Functions(storages), Operations(storages):
        try:
            yield storages
        finally:
            patch.undo()


class Done:
    """An event of a GPU that does a thing when it is asked to."""

    def record(self) -> None: ...

    def synchronize(self) -> None: ...
