"""Copies of one another: exact, and the same picture saved again or made a little brighter.

Two pictures x, y of the same size count as near-duplicates when, with each mean taken away,

    ||x - y||  <=  t min(||x||, ||y||)        and        |mean x - mean y| <= 16 levels,

on at most 32 x 32 pixels, with t = 0.12 for grey pictures and 0.20 for colour ones. Saved again
as JPEG of quality 75, MNIST's digits move by 0.07 (0.12 at most), while the nearest two different
digits among its 70,000 are 0.134 apart; in CIFAR-10, pairs up to 0.23 are the same photograph.
Flat pictures (a contrast under 2 levels) count only when exactly equal.

Candidates come cheaply. Averaging over an 8 x 8 grid and dividing by the contrast gives each
picture a point. What saving again adds is fine-grained and mostly averages out there: JPEG at
quality 75 moves MNIST's points by 0.02, 0.035 at most. A k-d tree on the first 12 principal axes,
which can only shorten distances, finds each picture's few nearest within 0.05 (0.10 for colour,
more for tiny pictures). Every candidate is then held to the rule above, and union-find makes the
groups.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from depthwise.host import available_cores

__all__ = ["exact_groups", "near_groups", "row_keys", "same_texts", "unite"]

MAX_DISTANCE = {1: 0.12, 3: 0.20}  # by channels
GRID_DISTANCE = {1: 0.05, 3: 0.10}
MAX_MEAN_DIFFERENCE, MIN_CONTRAST = 16.0, 2.0
_GRID, _FULL, _AXES, _NEIGHBOURS = 8, 32, 12, 4
_BLOCK_BYTES = 1 << 20


def row_keys(items: np.ndarray) -> np.ndarray:
    """A 128-bit key of the bytes of each item: equal items, equal keys. Any (N, ...) to (N,)."""

    def work(start: int) -> list[bytes]:
        block = np.ascontiguousarray(items[start : start + rows])
        return [
            hashlib.blake2b(row.data, digest_size=16).digest()
            for row in block.reshape(len(block), -1)
        ]

    rows = _rows_in_block(items)
    with ThreadPoolExecutor(available_cores()) as pool:
        keys = [key for block in pool.map(work, range(0, len(items), rows)) for key in block]
    return np.frombuffer(b"".join(keys), dtype="V16")


def exact_groups(items: np.ndarray) -> np.ndarray:
    """int64 (N,): the position of the first item equal to each."""
    return _first_of_each(row_keys(items))


def same_texts(texts: np.ndarray) -> np.ndarray:
    """int64 (N,): the position of the first text (N,), or pair of them (N, 2), that says the same
    as each, whatever its capitals and spaces."""
    first: dict[tuple[str, ...], int] = {}
    rows = texts.reshape(len(texts), -1).tolist()
    plain = (tuple(" ".join(text.casefold().split()) for text in row) for row in rows)
    return np.array([first.setdefault(text, i) for i, text in enumerate(plain)], np.int64)


def near_groups(images_u8: np.ndarray, exact: np.ndarray | None = None) -> np.ndarray:
    """uint8 (N, C, H, W) -> int64 (N,), equal for near-duplicates: the first's position."""
    groups = (exact_groups(images_u8) if exact is None else exact).copy()
    first = np.flatnonzero(groups == np.arange(len(groups)))
    points, contrast = _points(images_u8)
    usable = first[contrast[first] >= MIN_CONTRAST]
    pairs = usable[_close_pairs(points[usable], _radius(images_u8.shape))]
    return unite(groups, pairs[_same_picture(images_u8, pairs)])


def _radius(shape: tuple[int, ...]) -> float:
    """How far apart near-duplicates may be on the grid: a cell of p pixels averages noise by
    p ** -0.5, so tiny pictures, whose cells are single pixels, get the whole distance."""
    _, channels, height, width = shape
    pixels = max(1, height / _GRID) * max(1, width / _GRID)
    return max(GRID_DISTANCE[channels], MAX_DISTANCE[channels] * pixels**-0.5)


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
        deviation = _deviation(block.reshape(len(block), -1))
        grey = block.mean(axis=1, keepdims=True) if block.shape[1] > 1 else block
        grid = _grid(grey, _GRID).reshape(len(block), -1)
        grid -= grid.mean(axis=1, keepdims=True)
        points[start : start + rows] = grid / (np.maximum(deviation, 1)[:, None] * cells**0.5)
        contrast[start : start + rows] = deviation

    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(work, range(0, len(images_u8), rows)))
    return points, contrast


def _deviation(rows: np.ndarray) -> np.ndarray:
    """Standard deviation of each row, float32 (N, P) -> (N,), from sums, in two passes less."""
    mean = rows.mean(axis=1, dtype=np.float64)
    square = np.einsum("ij,ij->i", rows, rows, dtype=np.float64) / rows.shape[1]
    return np.sqrt(np.maximum(square - mean**2, 0))


def _close_pairs(points: np.ndarray, radius: float) -> np.ndarray:
    """int64 (P, 2) pairs i < j within this radius, each point's nearest few only."""
    if len(points) < 2:
        return np.zeros((0, 2), np.int64)
    from scipy.spatial import cKDTree

    sample = points[:: max(1, len(points) // 20_000)]
    _, axes = np.linalg.eigh(np.cov(sample.T.astype(np.float64)).reshape(points.shape[1], -1))
    projected = points @ axes[:, ::-1][:, :_AXES].astype(np.float32)
    tree = cKDTree(projected, balanced_tree=False)
    nearest = min(len(points), _NEIGHBOURS + 1)
    _, found = tree.query(
        projected, nearest, distance_upper_bound=radius, workers=available_cores()
    )
    i, j = np.repeat(np.arange(len(points)), nearest), found.reshape(-1)
    real = (j < len(points)) & (i != j)
    pairs = np.unique(np.sort(np.stack([i[real], j[real]], axis=1), axis=1), axis=0)
    apart = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    return pairs[apart <= radius]


def _same_picture(images_u8: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """bool (P,): which pairs meet the rule at the top of this file."""
    step = 4 * _rows_in_block(images_u8)
    answers = [_compare(images_u8, pairs[k : k + step]) for k in range(0, len(pairs), step)]
    return np.concatenate(answers) if answers else np.zeros(0, bool)


def _compare(images_u8: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    x, x_mean = _centred(images_u8[pairs[:, 0]])
    y, y_mean = _centred(images_u8[pairs[:, 1]])
    contrast = np.minimum(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
    near = np.linalg.norm(x - y, axis=1) <= MAX_DISTANCE[images_u8.shape[1]] * contrast
    return near & (np.abs(x_mean - y_mean) <= MAX_MEAN_DIFFERENCE)


def _centred(images_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    flat = _grid(images_u8.astype(np.float32), _FULL).reshape(len(images_u8), -1)
    mean = flat.mean(axis=1)
    return flat - mean[:, None], mean


def unite(groups: np.ndarray, pairs: np.ndarray) -> np.ndarray:
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
