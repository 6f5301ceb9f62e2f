"""Copies of one another: exact, and the same picture saved again or made a little brighter.

Two pictures x, y of the same size count as near-duplicates when, with each mean taken away,

    ||x - y||  <=  0.12 min(||x||, ||y||)        and        |mean x - mean y| <= 16 levels,

on at most 32 x 32 pixels. Pixels of a picture saved again differ by some 3% of its contrast;
different digits of one writer by 30% and more. Flat pictures (a contrast under 2 levels) count
only when exactly equal.

Candidates come cheaply. Averaging over an 8 x 8 grid and dividing by the contrast gives each
picture a point; near-duplicates are at most 0.12 apart there, and a k-d tree on the first 8
principal axes, which shorten distances only, finds each picture's few nearest within that
radius. Every candidate is then held to the rule above, and union-find makes the groups.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from depthwise.data.decode import cores

__all__ = ["exact_groups", "near_groups", "row_keys"]

MAX_DISTANCE, MAX_MEAN_DIFFERENCE, MIN_CONTRAST = 0.12, 16.0, 2.0
_GRID, _FULL, _AXES, _NEIGHBOURS = 8, 32, 8, 4
_BLOCK_BYTES = 1 << 23
_PAIRS = 4096


def row_keys(items: np.ndarray) -> np.ndarray:
    """A 128-bit key of the bytes of each item: equal items, equal keys. Any (N, ...) to (N,)."""

    def work(start: int) -> list[bytes]:
        block = np.ascontiguousarray(items[start : start + rows])
        return [
            hashlib.blake2b(row.data, digest_size=16).digest()
            for row in block.reshape(len(block), -1)
        ]

    rows = _rows_in_block(items)
    with ThreadPoolExecutor(cores()) as pool:
        keys = [key for block in pool.map(work, range(0, len(items), rows)) for key in block]
    return np.frombuffer(b"".join(keys), dtype="V16")


def exact_groups(items: np.ndarray) -> np.ndarray:
    """int64 (N,): the position of the first item equal to each."""
    return _first_of_each(row_keys(items))


def near_groups(images_u8: np.ndarray, exact: np.ndarray | None = None) -> np.ndarray:
    """uint8 (N, C, H, W) -> int64 (N,), equal for near-duplicates: the first's position."""
    groups = (exact_groups(images_u8) if exact is None else exact).copy()
    first = np.flatnonzero(groups == np.arange(len(groups)))
    points, contrast = _points(images_u8)
    usable = first[contrast[first] >= MIN_CONTRAST]
    pairs = usable[_close_pairs(points[usable])]
    return _unite(groups, pairs[_same_picture(images_u8, pairs)])


def _rows_in_block(items: np.ndarray) -> int:
    return max(1, _BLOCK_BYTES // max(1, items[:1].nbytes))


def _first_of_each(keys: np.ndarray) -> np.ndarray:
    halves = keys.view("<u8").reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    same = (halves[order[1:]] == halves[order[:-1]]).all(axis=1)
    run = np.concatenate([[0], np.cumsum(~same)]) if len(order) else np.zeros(0, np.int64)
    starts = order[np.concatenate([[True], ~same])] if len(order) else order
    groups = np.empty(len(keys), np.int64)  # lexsort is stable: a run begins with its first item
    groups[order] = starts[run]
    return groups


def _averaging(pixels: int, cells: int) -> np.ndarray:
    """(cells, pixels): each row averages one of `cells` equal stretches of a line of pixels."""
    edges = np.linspace(0, pixels, cells + 1)
    left, right = edges[:-1, None], edges[1:, None]
    covered = np.minimum(right, np.arange(1, pixels + 1)) - np.maximum(left, np.arange(pixels))
    return (np.clip(covered, 0, None) * cells / pixels).astype(np.float32)


def _grid(images: np.ndarray, cells: int) -> np.ndarray:
    """float32 (N, C, H, W) averaged to (N, C, min(H, cells), min(W, cells))."""
    height, width = images.shape[2:]
    if height > cells:
        images = _averaging(height, cells) @ images
    return images @ _averaging(width, cells).T if width > cells else images


def _points(images_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 8 x 8 grey grid over the contrast, float32 (N, 64); and the contrast in levels (N,)."""
    cells = min(images_u8.shape[2], _GRID) * min(images_u8.shape[3], _GRID)
    points = np.empty((len(images_u8), cells), np.float32)
    contrast = np.empty(len(images_u8), np.float32)
    rows = _rows_in_block(images_u8)

    def work(start: int) -> None:
        block = images_u8[start : start + rows].astype(np.float32)
        deviation = block.reshape(len(block), -1).std(axis=1)
        grid = _grid(block.mean(axis=1, keepdims=True), _GRID).reshape(len(block), -1)
        grid -= grid.mean(axis=1, keepdims=True)
        points[start : start + rows] = grid / (np.maximum(deviation, 1)[:, None] * cells**0.5)
        contrast[start : start + rows] = deviation

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(work, range(0, len(images_u8), rows)))
    return points, contrast


def _close_pairs(points: np.ndarray) -> np.ndarray:
    """int64 (P, 2) pairs i < j within MAX_DISTANCE, each point's nearest few only."""
    if len(points) < 2:
        return np.zeros((0, 2), np.int64)
    from scipy.spatial import cKDTree

    sample = points[:: max(1, len(points) // 20_000)]
    _, axes = np.linalg.eigh(np.cov(sample.T.astype(np.float64)).reshape(points.shape[1], -1))
    projected = points @ axes[:, ::-1][:, :_AXES].astype(np.float32)
    tree = cKDTree(projected, balanced_tree=False, compact_nodes=False)
    nearest = min(len(points), _NEIGHBOURS + 1)
    _, found = tree.query(projected, nearest, distance_upper_bound=MAX_DISTANCE, workers=cores())
    i, j = np.repeat(np.arange(len(points)), nearest), found.reshape(-1)
    real = (j < len(points)) & (i != j)
    return np.unique(np.sort(np.stack([i[real], j[real]], axis=1), axis=1), axis=0)


def _same_picture(images_u8: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """bool (P,): which pairs meet the rule at the top of this file."""
    answers = [_compare(images_u8, pairs[k : k + _PAIRS]) for k in range(0, len(pairs), _PAIRS)]
    return np.concatenate(answers) if answers else np.zeros(0, bool)


def _compare(images_u8: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    x, x_mean = _centred(images_u8[pairs[:, 0]])
    y, y_mean = _centred(images_u8[pairs[:, 1]])
    contrast = np.minimum(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
    near = np.linalg.norm(x - y, axis=1) <= MAX_DISTANCE * contrast
    return near & (np.abs(x_mean - y_mean) <= MAX_MEAN_DIFFERENCE)


def _centred(images_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = _grid(images_u8.astype(np.float32), _FULL).reshape(len(images_u8), -1)
    mean = flat.mean(axis=1)
    return flat - mean[:, None], mean


def _unite(groups: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Joins the groups of each pair (union-find, the smallest position leads)."""
    leader = groups.copy()

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = int(leader[i])
        return i

    for a, b in pairs.tolist():
        low, high = sorted((find(a), find(b)))
        leader[high] = low
    return np.array([find(i) for i in range(len(leader))], np.int64) if len(pairs) else leader
