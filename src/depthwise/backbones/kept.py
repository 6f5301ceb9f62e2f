"""Features that are computed once and kept: of the same items by the same frozen network.

    with keep_features(folder):          for the while; None keeps them in memory
        rows = features_of(key, items, compute)

Items are taken in parts of PART, and a part's rows are known by `key` (which network, at which
resolution) and the bytes of the items. So heads share the rows, whichever of them came first; a
part that was computed before a kill is there afterwards; and training, validation and test items
are each seen once. Outside `keep_features` everything is computed anew.

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

__all__ = ["PART", "are_kept", "features_of", "keep_features"]

PART = 256  # items


class Store:
    """Rows by their key, in `folder` or in memory."""

    def __init__(self, folder: Path | None):
        self.folder, self.rows = folder, dict[str, np.ndarray]()

    def get(self, key: str) -> np.ndarray | None:
        if self.folder is None:
            return self.rows.get(key)
        try:
            found: np.ndarray = np.load(self.folder / f"{key}.npy", allow_pickle=False)
            return found
        except (OSError, ValueError, EOFError):  # none, or half a file
            return None

    def put(self, key: str, rows: np.ndarray) -> None:
        if self.folder is None:
            self.rows[key] = rows
            return
        self.folder.mkdir(parents=True, exist_ok=True)

        def write(scratch: Path) -> None:
            with scratch.open("wb") as file:
                np.save(file, rows, allow_pickle=False)

        write_atomically(self.folder / f"{key}.npy", write)


_store: ContextVar[Store | None] = ContextVar("_store", default=None)


@contextlib.contextmanager
def keep_features(folder: Path | None = None) -> Iterator[None]:
    """What `features_of` computes meanwhile is kept, in `folder` or in memory."""
    token = _store.set(Store(folder))
    try:
        yield
    finally:
        _store.reset(token)


def are_kept() -> bool:
    """Whether features that are computed now are kept."""
    return _store.get() is not None


def features_of(
    key: str, items: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """compute(items), at most PART of them (N, ...) -> (N, F): from what is kept, if it is."""
    store = _store.get()
    if store is None:
        return compute(items)
    name = hashlib.sha256(f"{key}|{items.dtype}|{items.shape}|".encode())
    name.update(np.ascontiguousarray(items).data)
    known = store.get(name.hexdigest())
    if known is None or len(known) != len(items):
        known = compute(items)
        store.put(name.hexdigest(), known)
    return known
