"""What is subtracted from numbers, in float64, before they become float32: Unix times that are 24 s
apart are one and the same float32, less their middle they are not.

A column has an offset where its middle is far larger than its spread; others are as they were.

Shapes: N items, D features.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from depthwise.data.tables.columns import NUMBER, Column

__all__ = ["less_offsets", "offset_columns", "offset_of", "rebased"]

FAR, LOOKED_AT = 1e4, 10_000  # middle over spread that wants an offset; rows it is found by
FIRST = 200  # rows that say which columns are looked at


def offset_of(numbers: np.ndarray) -> float:
    """Of float64 (N,), NaN for a blank: their middle where it is far larger than their spread, else
    0."""
    some = numbers[:: max(1, len(numbers) // LOOKED_AT)]
    some = some[np.isfinite(some)]
    if len(some) < 2:
        return 0.0
    low, middle, high = np.quantile(some, [0.25, 0.5, 0.75], method="nearest")
    spread = (high - low) or np.ptp(some)
    return float(middle) if abs(middle) > FAR * spread > 0 else 0.0


def offset_columns(rows: np.ndarray) -> list[Column] | None:
    """The columns of an array (N, D) of float64 or whole numbers, where one has an offset."""
    if rows.ndim != 2 or rows.dtype.kind not in "iuf" or rows.dtype == np.float32 or not len(rows):
        return None
    some = rows[:: max(1, len(rows) // FIRST)].astype(np.float64)
    low, middle, high = np.quantile(some, [0.25, 0.5, 0.75], axis=0)
    may = np.abs(middle) > FAR / 100 * (high - low)  # nearly no column
    offsets = [offset_of(rows[:, k].astype(np.float64)) if may[k] else 0.0 for k in range(len(may))]
    if not any(offsets):
        return None
    return [Column(f"column {k + 1}", NUMBER, offset=offset) for k, offset in enumerate(offsets)]


def less_offsets(rows: np.ndarray, columns: Sequence[Column] | None) -> np.ndarray:
    """Features (N, D) of rows (N, D) of numbers. Those of float32 are features already, as a
    Dataset has them, but where they are near the offset itself."""
    offsets = _offsets(columns)
    if offsets is None or rows.shape[1:] != offsets.shape or not len(rows):
        return rows
    if rows.dtype == np.float32:
        middle = np.median(rows[:LOOKED_AT].astype(np.float64), axis=0)
        offsets = np.where(np.abs(middle) > np.abs(offsets) / 2, offsets, 0.0)
    return (rows.astype(np.float64) - offsets).astype(
        rows.dtype if rows.dtype.kind == "f" else float
    )


def rebased(
    features: np.ndarray, own: Sequence[Column] | None, known: Sequence[Column]
) -> np.ndarray:
    """Features (N, D) with the offsets of `known` in the place of their own."""
    wanted, had = _offsets(known), _offsets(own)
    if wanted is None and had is None:
        return features
    shift = (0.0 if had is None else had) - (0.0 if wanted is None else wanted)
    if not np.any(shift):
        return features
    return (features.astype(np.float64) + shift).astype(np.float32)


def _offsets(columns: Sequence[Column] | None) -> np.ndarray | None:
    """The offsets float64 (D,) of the features; None without any."""
    if not any(column.offset for column in columns or ()):
        return None
    return np.array([column.offset for column in columns or () for _ in range(column.width)])
