"""Reads a pickle of plain containers and numpy arrays without ever running what it names.

A pickle may name any function and have it called. Here the only names it may use are those numpy
writes for an array, and each stands for an inert class of ours, so nothing of numpy's own (whose
state setters trust their input) is reached either. Python's own unpickler in Python is used,
because the one in C allocates whatever a hostile memo index asks for.
"""

import io
import math
import pickle
from typing import Any

import numpy as np

from depthwise.errors import DataError

__all__ = ["loads"]

_MAX_DEPTH = 20
_MAX_VALUES = 500_000


class _Dtype:
    """Stand-in for numpy.dtype that records its name and byte order."""

    def __init__(self, name: Any = "", *_: Any):
        self.name, self.order = _text(name), "|"

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1:
            self.order = _text(state[1])

    def real(self) -> np.dtype[Any]:
        if self.name[:1] not in "buif" or self.order not in "<>|=":
            raise ValueError(f"dtype {self.name!r}")
        return np.dtype(self.name).newbyteorder("<" if self.order in "|=" else self.order)  # type: ignore[arg-type]


class _Array:
    """Stand-in for numpy.ndarray that records its state (version, shape, dtype, Fortran, bytes)."""

    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def real(self) -> np.ndarray:
        _, shape, dtype, fortran, content = self.state
        if isinstance(content, str):
            content = content.encode("latin-1")
        kind = dtype.real()
        if len(content) != math.prod(shape) * kind.itemsize or any(axis < 0 for axis in shape):
            raise ValueError(f"shape {shape} does not match {len(content):,} bytes")
        return np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
    array = _Array()
    array.state = (1, shape, dtype, order == "F", content)
    return array


def _encode(text: Any, encoding: Any = "latin1", *_: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("codec")
    return text.encode("latin-1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers outside itself")


def loads(data: bytes, where: str) -> Any:
    """Dicts, lists, numbers, text and arrays; byte strings become text.

    Raises DataError for anything else, and for broken pickles.
    """
    try:
        return _Plain().value(_Unpickler(io.BytesIO(data), encoding="bytes").load(), _MAX_DEPTH)
    except Exception as error:  # hostile pickles raise anything at all
        text = (str(error) or type(error).__name__).split("\n")[0][:100]
        reason = "".join(ch if ch.isprintable() else "?" for ch in text)
        raise DataError(f"{where} is not a pickle of plain data ({reason}); not opened.") from None


class _Plain:
    """Convert stand-ins to arrays; bounded, since few bytes can refer to one list many times."""

    def __init__(self) -> None:
        self.left = _MAX_VALUES

    def value(self, value: Any, depth: int) -> Any:
        self._spend(1 if depth else self.left + 1)
        if isinstance(value, _Array):
            return value.real()
        if isinstance(value, dict):
            return {_text(key): self.value(item, depth - 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return self._list(value, depth)
        if isinstance(value, bytes):
            return _text(value)
        if value is None or isinstance(value, str | int | float):
            return value
        raise ValueError(f"{type(value).__name__} inside")

    def _list(self, values: Any, depth: int) -> list[Any]:
        if all(type(item) is int for item in values):
            self._spend(len(values))
            return list(values)
        return [self.value(item, depth - 1) for item in values]

    def _spend(self, n: int) -> None:
        self.left -= n
        if self.left < 0:
            raise ValueError("too many or too deeply nested values")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
