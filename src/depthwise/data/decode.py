"""Many pictures to one array, uint8 (N, C, H, W), on all cores.

One shape for all: if every size agrees it is kept (the longer side at most 224); otherwise the
median height and width, rounded to a multiple of 8 and at most 128. One channel if every picture
is grey, else three. Sizes come from the headers. A sample is looked at first: if it agrees, all
are decoded straight away, and only a picture that disagrees makes us read every header.
"""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from depthwise.data.images import Unreadable, is_grey, open_picture, upright_size
from depthwise.data.workers import Disagrees, Expected, NoWorkers, decode_apart, decode_one
from depthwise.host import available_cores

__all__ = ["Decoded", "decode", "target_size"]

T = TypeVar("T")
Shape = tuple[int, int, int]
Read = Callable[[int], bytes]
Allocate = Callable[[tuple[int, ...]], np.ndarray]
LARGEST_KEPT, LARGEST_MEDIAN, MULTIPLE = 224, 128, 8
TINY, MANY = 64 * 64, 10_000  # pixels and pictures for which processes are worth their start
_SAMPLE, _CHUNK = 32, 64


@dataclass
class Decoded:
    """pixels uint8 (N', C, H, W) of the readable pictures, `kept` int64 (N',) their positions,
    `broken` position -> reason, `sizes` the (H, W) that occurred before resizing (a sample may do).
    """

    pixels: np.ndarray
    kept: np.ndarray
    broken: dict[int, str]
    sizes: set[tuple[int, int]]


def decode(
    n: int,
    read: Read,
    allocate: Allocate,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> Decoded:
    """Decodes pictures 0..n-1, whose bytes `read(i)` gives, into the array `allocate` makes.

    image_size (H, W) and channels (1 or 3) override the rules above. `read` may raise Unreadable.
    """
    with warnings.catch_warnings():  # Pillow warns about what we check ourselves
        warnings.simplefilter("ignore")
        return _decode(n, read, allocate, image_size, channels)


def _decode(
    n: int,
    read: Read,
    allocate: Allocate,
    image_size: tuple[int, int] | None,
    channels: int | None,
) -> Decoded:
    sample = _survey(range(0, n, max(1, n // _SAMPLE)), read)
    agreed = len(sample.sizes) == 1 and len(sample.grey) == 1
    if agreed:
        expected = next(iter(sample.sizes)), next(iter(sample.grey))
        shape = _shape(sample, image_size, channels)
        try:
            return _decode_all(n, read, allocate, shape, expected, sample.sizes)
        except Disagrees:
            pass
    everything = _survey(range(n), read)
    shape = _shape(everything, image_size, channels)
    return _decode_all(n, read, allocate, shape, None, everything.sizes)


@dataclass
class _Survey:
    heights: list[int]
    widths: list[int]
    sizes: set[tuple[int, int]]
    grey: set[bool]


def _survey(positions: Sequence[int], read: Read) -> _Survey:
    """Sizes and colour from the headers of these pictures; broken ones do not count."""

    def look(chunk: Sequence[int]) -> list[tuple[tuple[int, int], bool]]:
        seen = []
        for i in chunk:
            try:
                image = open_picture(read(i))
            except Unreadable:
                continue
            seen.append((upright_size(image), is_grey(image)))
        return seen

    found = [pair for chunk in _in_chunks(positions, look) for pair in chunk]
    sizes = [size for size, _ in found]
    return _Survey([h for h, _ in sizes], [w for _, w in sizes], set(sizes), {g for _, g in found})


def _shape(survey: _Survey, image_size: tuple[int, int] | None, channels: int | None) -> Shape:
    height, width = image_size or target_size(survey.heights, survey.widths)
    return channels or (1 if survey.grey == {True} else 3), height, width


def target_size(heights: Sequence[int], widths: Sequence[int]) -> tuple[int, int]:
    """(H, W) for pictures of these sizes: see the rules at the top."""
    if not heights:
        return MULTIPLE, MULTIPLE
    height, width = float(np.median(heights)), float(np.median(widths))
    alike = len(set(heights)) == 1 and len(set(widths)) == 1
    shrink = min(1.0, (LARGEST_KEPT if alike else LARGEST_MEDIAN) / max(height, width))
    if alike:
        return max(1, round(height * shrink)), max(1, round(width * shrink))
    return _to_multiple(height * shrink), _to_multiple(width * shrink)


def _to_multiple(pixels: float) -> int:
    return max(MULTIPLE, MULTIPLE * round(pixels / MULTIPLE))


def _decode_all(
    n: int,
    read: Read,
    allocate: Allocate,
    shape: Shape,
    expected: Expected | None,
    sizes: set[tuple[int, int]],
) -> Decoded:
    out = allocate((n, *shape))
    height, width = max(sizes, default=(0, 0))
    tiny = height * width <= TINY
    broken = (
        _decode_apart(read, out, expected) if tiny and n >= MANY and available_cores() > 1 else None
    )
    if broken is None:
        broken = _decode_here(read, out, expected, 1 if tiny else available_cores())
    kept = np.setdiff1d(np.arange(n), np.fromiter(broken, np.int64, len(broken)))
    if broken:
        _close_gaps(out, kept)
    return Decoded(out[: len(kept)], kept, broken, sizes)


def _decode_apart(read: Read, out: np.ndarray, expected: Expected | None) -> dict[int, str] | None:
    """In processes; None if there are none to be had or the pictures are not alike."""
    if expected is None:
        return None
    try:
        return decode_apart(read, out, expected, available_cores())
    except NoWorkers:
        return None


def _decode_here(
    read: Read, out: np.ndarray, expected: Expected | None, workers: int
) -> dict[int, str]:
    """In threads: decoding lets go of the interpreter."""
    shape: Shape = (out.shape[1], out.shape[2], out.shape[3])

    def work(chunk: Sequence[int]) -> dict[int, str]:
        broken = {}
        for i in chunk:
            try:
                out[i] = decode_one(read(i), shape, expected)
            except Unreadable as error:
                broken[i] = str(error)
        return broken

    found = _in_chunks(range(len(out)), work, workers)
    return {i: why for chunk in found for i, why in chunk.items()}


def _in_chunks(
    positions: Sequence[int], work: Callable[[Sequence[int]], T], workers: int = 0
) -> list[T]:
    chunks = [positions[k : k + _CHUNK] for k in range(0, len(positions), _CHUNK)]
    with ThreadPoolExecutor(workers or available_cores()) as pool:
        return list(pool.map(work, chunks))


def _close_gaps(out: np.ndarray, kept: np.ndarray) -> None:
    """Moves the kept rows to the front, in place: kept[k] >= k, so no unread row is lost."""
    for k in range(0, len(kept), 1024):
        out[k : k + len(kept[k : k + 1024])] = out[kept[k : k + 1024]]
