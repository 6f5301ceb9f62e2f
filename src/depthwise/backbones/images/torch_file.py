"""Reads the tensors of a file that torch.save wrote before version 1.6, running nothing of it.

    pickle  the magic number 0x1950a86a20f9469cfc6c
    pickle  1001, the version of the layout
    pickle  the writer's byte order and sizes of C's types
    pickle  the object: names -> tensors, each (storage, offset, shape, strides)
    pickle  the keys of the storages, in the order in which they follow
    each    8 bytes: how many numbers; then the numbers

A pickle may name any function and have it called, which is why torch.load is not used. Here the
only names it may use stand for inert classes of ours, and every size it claims is held against the
bytes that are there.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from depthwise.errors import ModelFileError

__all__ = ["read_tensors"]

MAGIC, LAYOUT = 0x1950A86A20F9469CFC6C, 1001
LARGEST_BYTES = 1 << 30
TYPES = {"FloatStorage": torch.float32, "LongStorage": torch.int64}


class _Storage(NamedTuple):
    dtype: torch.dtype
    key: str
    numbers: int


class _View(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Names(dict):
    """Stands for collections.OrderedDict."""


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _View:
    numbers = (offset, *shape, *strides)
    whole = all(type(number) is int and number >= 0 for number in numbers)
    if not isinstance(storage, _Storage) or not whole or len(shape) != len(strides) > 8:
        raise ValueError("a tensor that is none")
    return _View(storage, offset, tuple(shape), tuple(strides))


class _Unpickler(pickle._Unpickler):
    """Python's own, because the one in C allocates whatever a hostile index asks for."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return _Names
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in TYPES:
            return TYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, _, numbers, part_of = pid
        if kind not in ("storage", b"storage") or dtype not in TYPES.values() or part_of:
            raise pickle.UnpicklingError("it refers outside itself")
        return _Storage(dtype, str(key), int(numbers))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Names -> tensors, contiguous. Raises ModelFileError for anything that is not such a file."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ValueError(f"more than {LARGEST_BYTES:,} bytes")
        return _tensors(path.read_bytes())
    except Exception as error:  # hostile pickles raise anything at all
        reason = (str(error) or type(error).__name__).split("\n")[0][:100]
        raise ModelFileError(
            f"{path} is not a file of plain tensors ({reason}); not opened. Install the package "
            "that it comes from again."
        ) from None


def _tensors(data: bytes) -> dict[str, Tensor]:
    file = io.BytesIO(data)
    magic, layout, about, views, keys = (_Unpickler(file).load() for _ in range(5))
    if magic != MAGIC or layout != LAYOUT or about.get("little_endian") is not True:
        raise ValueError("another layout")
    if not isinstance(views, dict) or not all(isinstance(v, _View) for v in views.values()):
        raise ValueError("something else than tensors")
    storages = {view.storage.key: view.storage for view in views.values()}
    if not isinstance(keys, list) or sorted(keys) != sorted(storages):
        raise ValueError("storages that are missing")
    numbers = {key: _numbers(file, data, storages[key]) for key in keys}
    return {str(name): _shaped(view, numbers[view.storage.key]) for name, view in views.items()}


def _numbers(file: io.BytesIO, data: bytes, storage: _Storage) -> Tensor:
    """(numbers,), from where the file stands."""
    count = int.from_bytes(file.read(8), "little")
    start, length = file.tell(), count * storage.dtype.itemsize
    if count != storage.numbers or count == 0 or start + length > len(data):
        raise ValueError("a lying length")
    file.seek(length, io.SEEK_CUR)
    return torch.frombuffer(bytearray(data[start : start + length]), dtype=storage.dtype)


def _shaped(view: _View, numbers: Tensor) -> Tensor:
    reach = view.offset + sum((n - 1) * s for n, s in zip(view.shape, view.strides, strict=True))
    if not 0 < math.prod(view.shape) <= len(numbers) or reach >= len(numbers):
        raise ValueError("a tensor larger than its storage")
    return numbers.as_strided(view.shape, view.strides, view.offset).clone(
        memory_format=torch.contiguous_format
    )
