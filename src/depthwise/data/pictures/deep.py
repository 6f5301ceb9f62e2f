"""One scale for all pictures of more than 8 bits: 12-bit counts in 16-bit files, float TIFF.

A data set's levels are brought to 0..255 by one rule, (v - low) 255 / (high - low), so that the
same count is the same grey in every picture, and in those that a model is asked about later. With
q(p) the level that a share p of all pixels stays below:

    whole numbers  low = 0 and high = 2^k - 1, the least k >= 8 with high >= q(0.9999); but where
                   q(0.9999) - q(0.0001) < high / 8, few levels on an offset, these two
    fractions      0..1 or 0..255 if all lie there (and the largest is above 128),
                   else from the least q(0.001) of a picture to the greatest q(0.999)

What lies beyond is clipped.
"""

from collections.abc import Iterable

import numpy as np

__all__ = ["Depth", "depth_of", "pixel_range", "to_bytes"]

_LEVELS, _FAR, _OFFSET = 65536, 1e-4, 8
_FAR_IN_ONE = 1e-3
Depth = tuple[np.ndarray | None, tuple[float, float, float, float] | None]


def depth_of(values: np.ndarray) -> Depth:
    """What of one deep picture (H, W) counts for the scale: how many pixels have each level int64
    (65536,), or of fractions the least, q(0.001), q(0.999) and greatest."""
    if values.dtype.kind != "f":
        levels = np.clip(values.astype(np.int64), 0, _LEVELS - 1).reshape(-1)
        return np.bincount(levels, minlength=_LEVELS), None
    sound = values[np.isfinite(values)]
    if not sound.size:
        return None, None
    low, high = np.quantile(sound, [_FAR_IN_ONE, 1 - _FAR_IN_ONE])
    return None, (float(sound.min()), float(low), float(high), float(sound.max()))


def pixel_range(depths: Iterable[Depth]) -> tuple[float, float]:
    """(low, high) for a data set, by the rules at the top; of mixed kinds, of the whole numbers."""
    counts, fractions = np.zeros(_LEVELS, np.int64), []
    for whole, edges in depths:
        if whole is not None:
            counts += whole
        elif edges is not None:
            fractions.append(edges)
    if counts.any():
        return _of_counts(counts)
    return _of_fractions(np.array(fractions)) if fractions else (0.0, 1.0)


def _of_counts(counts: np.ndarray) -> tuple[float, float]:
    below = np.cumsum(counts)
    low, high = (int(np.searchsorted(below, share * below[-1])) for share in (_FAR, 1 - _FAR))
    top = 2 ** max(8, high.bit_length()) - 1
    if 0 < high - low < top / _OFFSET:
        return float(low), float(high)
    return 0.0, float(top)


def _of_fractions(edges: np.ndarray) -> tuple[float, float]:
    """edges: (N, 4), as `depth_of` gives them."""
    least, greatest = edges[:, 0].min(), edges[:, 3].max()
    if least >= 0 and greatest <= 1:
        return 0.0, 1.0
    if least >= 0 and 128 < greatest <= 255:
        return 0.0, 255.0
    low, high = float(edges[:, 1].min()), float(edges[:, 2].max())
    return (low, high) if low < high else (low, low + 1)


def to_bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """uint8 of the same shape; half levels round up."""
    scaled = (values.astype(np.float64) - low) * (255 / (high - low))
    return np.floor(np.clip(scaled, 0, 255) + 0.5).astype(np.uint8)
