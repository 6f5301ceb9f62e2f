"""A cache of frozen features: each item is embedded once by the same frozen network.

    with keep_features(folder):          for the while; None keeps them in memory
        rows = features_of(key, items, compute)

A row is known by `key` (which network, at which resolution) and the bytes of its item. So heads
share the rows, whichever of them came first; training, validation and test items are each seen
once, also where training and validation are joined later; and what was computed before a kill is
there afterwards, in parts as large as they were asked for. Outside `keep_features` everything is
computed anew.

Shapes: N items, F features.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

import numpy as np

from depthwise.checkpoint import write_atomically

__all__ = ["PART", "are_kept", "features_of", "keep_features", "save_rows"]

PART = 256  # items to ask for at once


class Store:
    """Rows by the names of their items, in memory or in parts in `folder`: NAME.npy holds the rows
    and NAME.txt the names of the items, a line each."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self.rows: dict[str, np.ndarray] = {}
        for names in sorted(folder.glob("*.txt")) if folder else []:
            with contextlib.suppress(OSError, ValueError, EOFError):  # half a file is none
                self._take(names.read_text().split(), _opened(names.with_suffix(".npy")))

    def put(self, names: list[str], rows: np.ndarray) -> None:
        if self.folder is None:
            self._take(names, rows)
            return
        path = self.folder / f"{names[0]}.npy"
        write_atomically(path, lambda scratch: save_rows(scratch, rows))
        text = "\n".join(names)  # last: rows without names are not looked at
        write_atomically(path.with_suffix(".txt"), lambda scratch: scratch.write_text(text))
        self._take(names, _opened(path))

    def _take(self, names: list[str], rows: np.ndarray) -> None:
        if len(names) == len(rows):
            self.rows.update(zip(names, rows))


def _opened(path: Path) -> np.ndarray:
    """The rows, read from the file when they are asked for."""
    rows: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return rows


def save_rows(scratch: Path, rows: np.ndarray) -> None:
    """Write an .npy file, whatever the suffix of its scratch name."""
    with scratch.open("wb") as file:
        np.save(file, rows, allow_pickle=False)


_store: ContextVar[Store | None] = ContextVar("_store", default=None)


@contextlib.contextmanager
def keep_features(folder: Path | None = None) -> Iterator[None]:
    """Inside, `features_of` caches what it computes, in `folder` or in memory."""
    token = _store.set(Store(folder))
    try:
        yield
    finally:
        _store.reset(token)


def are_kept() -> bool:
    """Whether a feature cache is active."""
    return _store.get() is not None


def features_of(
    key: str, items: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """compute(items): (N, ...) -> (N, F), of those that are not kept."""
    store = _store.get()
    if store is None:
        return compute(items)
    names = [_name(key, item) for item in items]
    new = [place for place, name in enumerate(names) if name not in store.rows]
    if new:
        store.put([names[place] for place in new], compute(items[new]))
    return np.stack([store.rows[name] for name in names])


def _name(key: str, item: np.ndarray) -> str:
    digest = hashlib.sha256(f"{key}|{item.dtype}|{item.shape}|".encode())
    digest.update(np.ascontiguousarray(item).data)
    return digest.hexdigest()
