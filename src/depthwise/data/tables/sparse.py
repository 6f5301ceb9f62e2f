"""Sparse matrices, held in full: block by block, where that is not too large.

Shapes: N rows, D features.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from depthwise.errors import InputError

__all__ = ["densified", "is_sparse"]

LARGEST_MB, TOLD_MB = 2000, 100  # once it is dense: refused, told by a warning
BLOCK_BYTES = 1 << 26


def is_sparse(given: Any) -> bool:
    """Whether this is one of scipy's sparse matrices or arrays."""
    loaded = sys.modules.get("scipy.sparse")  # nobody has one before it is imported
    return loaded is not None and bool(loaded.issparse(given))


def densified(matrix: Any) -> np.ndarray:
    """A sparse matrix (N, D) as an array of its own floating type, else float32, filled block by
    block. Raises InputError for one that would be too large."""
    rows = matrix.tocsr()
    kind = rows.dtype if rows.dtype in (np.float32, np.float64) else np.dtype(np.float32)
    n, d = rows.shape
    megabytes = n * d * kind.itemsize / 1e6
    if megabytes > LARGEST_MB:
        raise InputError(
            f"X is a sparse matrix of {n:,} x {d:,}, which would be {megabytes:,.0f} MB in full "
            f"(at most {LARGEST_MB:,}): take fewer columns first, say by "
            "sklearn.decomposition.TruncatedSVD or sklearn.feature_selection.SelectKBest."
        )
    if megabytes > TOLD_MB:
        text = f"a sparse matrix of {n:,} x {d:,} is held in full, {megabytes:,.0f} MB"
        warnings.warn(text, UserWarning, stacklevel=2)
    dense = np.empty((n, d), kind)
    step = max(1, BLOCK_BYTES // max(1, d * kind.itemsize))
    for start in range(0, n, step):
        dense[start : start + step] = rows[start : start + step].toarray()
    return dense
