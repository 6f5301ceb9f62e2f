"""Many pictures to one array, uint8 (N, C, H, W), on all cores.

One shape for all: if every size agrees it is kept (the longer side at most 224); otherwise the
median height and width, rounded to a multiple of 8 and at most 128; `largest` replaces both
limits, since boxes, masks and clips want others. One channel if every picture
is grey, else three. Sizes come from the headers. A sample is looked at first: if it agrees, all
are decoded straight away, and only a picture that disagrees makes us read every header.
"""

import contextlib
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from depthwise.data.pictures.deep import Depth, depth_of, pixel_range
from depthwise.data.pictures.images import (
    Levels,
    Unreadable,
    deep_values,
    has_deep_colour,
    is_deep,
    is_grey,
    open_picture,
    upright_size,
)
from depthwise.data.pictures.workers import Disagrees, Expected, NoWorkers, decode_apart, decode_one
from depthwise.host import available_cores

__all__ = ["Allocate", "Decoded", "close_gaps", "decode", "in_chunks", "target_size"]

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
    `broken` position -> reason, `sizes` the (H, W) that occurred before resizing (a sample may do),
    `each_size` int64 (N', 2) those of each picture; `levels` that became 0 and 255, of `deep`
    pictures, where there are some; `cut` in how many of 16 bits a channel (a sample may do) the
    lower 8 were left out.
    """

    pixels: np.ndarray
    kept: np.ndarray
    broken: dict[int, str]
    sizes: set[tuple[int, int]]
    each_size: np.ndarray
    levels: Levels | None = None
    deep: int = 0
    cut: int = 0


def decode(
    n: int,
    read: Read,
    allocate: Allocate,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    largest: int | None = None,
    levels: Levels | None = None,
) -> Decoded:
    """Decodes pictures 0..n-1, whose bytes `read(i)` gives, into the array `allocate` makes.

    image_size (H, W), channels (1 or 3) and largest (pixels of the longer side) override the rules
    above. levels: which of deep pictures become 0 and 255; None to measure. `read` may raise
    Unreadable.
    """
    with warnings.catch_warnings():  # Pillow warns about what we check ourselves
        warnings.simplefilter("ignore")
        return _decode(n, read, allocate, image_size, channels, largest, levels)


def _decode(
    n: int,
    read: Read,
    allocate: Allocate,
    image_size: tuple[int, int] | None,
    channels: int | None,
    largest: int | None,
    levels: Levels | None,
) -> Decoded:
    sample = _survey(range(0, n, max(1, n // _SAMPLE)), read)
    agreed = len(sample.sizes) == len(sample.grey) == len(sample.deep_or_not) == 1
    if agreed:
        size, grey = next(iter(sample.sizes)), next(iter(sample.grey))
        expected = size, grey, bool(sample.deep)
        shape = _shape(sample, image_size, channels, largest)
        deep = range(n) if sample.deep else []
        with contextlib.suppress(Disagrees):
            measured = (levels or _measured(deep, read)) if deep else None
            return _decode_all(n, read, allocate, shape, expected, sample, measured, len(deep))
    everything = _survey(range(n), read)
    shape = _shape(everything, image_size, channels, largest)
    deep = sorted(everything.deep)
    measured = (levels or _measured(deep, read)) if deep else None
    return _decode_all(n, read, allocate, shape, None, everything, measured, len(deep))


def _measured(positions: Sequence[int], read: Read) -> Levels:
    """The levels of these deep pictures that become 0 and 255."""

    def look(chunk: Sequence[int]) -> list[Depth]:
        found = []
        for i in chunk:
            with contextlib.suppress(Unreadable):
                found.append(depth_of(deep_values(read(i))))
        return found

    return pixel_range(depth for chunk in in_chunks(positions, look) for depth in chunk)


@dataclass
class _Survey:
    """The size (H, W) of each position that could be read, which colours occurred, which positions
    are deep, and how many have colours of 16 bits."""

    each: dict[int, tuple[int, int]]
    grey: set[bool]
    deep: set[int]
    cut: int

    @property
    def deep_or_not(self) -> set[bool]:
        return {i in self.deep for i in self.each}

    @property
    def sizes(self) -> set[tuple[int, int]]:
        return set(self.each.values())


class _Header(NamedTuple):
    place: int
    size: tuple[int, int]
    is_grey: bool
    is_deep: bool
    has_deep_colour: bool


def _survey(positions: Sequence[int], read: Read) -> _Survey:
    """Sizes and colour from the headers of these pictures; broken ones do not count."""

    def look(chunk: Sequence[int]) -> list[_Header]:
        seen = []
        for i in chunk:
            with contextlib.suppress(Unreadable):
                image = open_picture(read(i))
                how = is_grey(image), is_deep(image), has_deep_colour(image)
                seen.append(_Header(i, upright_size(image), *how))
        return seen

    found = [one for chunk in in_chunks(positions, look) for one in chunk]
    return _Survey(
        {one.place: one.size for one in found},
        {one.is_grey for one in found},
        {one.place for one in found if one.is_deep},
        sum(one.has_deep_colour for one in found),
    )


def _shape(
    survey: _Survey,
    image_size: tuple[int, int] | None,
    channels: int | None,
    largest: int | None,
) -> Shape:
    sizes = list(survey.each.values())
    heights, widths = [h for h, _ in sizes], [w for _, w in sizes]
    height, width = image_size or target_size(heights, widths, largest)
    return channels or (1 if survey.grey == {True} else 3), height, width


def target_size(
    heights: Sequence[int], widths: Sequence[int], largest: int | None = None
) -> tuple[int, int]:
    """(H, W) for pictures of these sizes: see the rules at the top."""
    if not heights:
        return MULTIPLE, MULTIPLE
    height, width = float(np.median(heights)), float(np.median(widths))
    alike = len(set(heights)) == 1 and len(set(widths)) == 1
    limit = largest or (LARGEST_KEPT if alike else LARGEST_MEDIAN)
    shrink = min(1.0, limit / max(height, width))
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
    survey: _Survey,
    levels: Levels | None,
    deep: int,
) -> Decoded:
    out = allocate((n, *shape))
    height, width = max(survey.sizes, default=(0, 0))
    tiny = height * width <= TINY
    broken = (
        _decode_apart(read, out, expected)
        if tiny and not deep and n >= MANY and available_cores() > 1
        else None
    )
    if broken is None:
        broken = _decode_here(read, out, expected, 1 if tiny else available_cores(), levels)
    kept = np.setdiff1d(np.arange(n), np.fromiter(broken, np.int64, len(broken)))
    one = expected[0] if expected else (0, 0)
    each = np.array([survey.each.get(int(i), one) for i in kept], np.int64).reshape(-1, 2)
    return Decoded(
        close_gaps(out, kept), kept, broken, survey.sizes, each, levels, deep, survey.cut
    )


def _decode_apart(read: Read, out: np.ndarray, expected: Expected | None) -> dict[int, str] | None:
    """Decode in worker processes; None without workers or if the pictures differ in shape."""
    if expected is None:
        return None
    try:
        return decode_apart(read, out, expected, available_cores())
    except NoWorkers:
        return None


def _decode_here(
    read: Read, out: np.ndarray, expected: Expected | None, workers: int, levels: Levels | None
) -> dict[int, str]:
    """In threads: decoding lets go of the interpreter."""
    shape: Shape = (out.shape[1], out.shape[2], out.shape[3])

    def work(chunk: Sequence[int]) -> dict[int, str]:
        broken = {}
        for i in chunk:
            try:
                out[i] = decode_one(read(i), shape, expected, levels)
            except Unreadable as error:
                broken[i] = str(error)
        return broken

    found = in_chunks(range(len(out)), work, workers)
    return {i: why for chunk in found for i, why in chunk.items()}


def in_chunks(
    positions: Sequence[int], work: Callable[[Sequence[int]], T], workers: int = 0
) -> list[T]:
    chunks = [positions[k : k + _CHUNK] for k in range(0, len(positions), _CHUNK)]
    with ThreadPoolExecutor(workers or available_cores()) as pool:
        return list(pool.map(work, chunks))


def close_gaps(out: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The kept rows (rising positions), moved to the front in place: kept[k] >= k, so that no
    unread row is lost."""
    if len(kept) < len(out):
        for k in range(0, len(kept), 1024):
            out[k : k + len(kept[k : k + 1024])] = out[kept[k : k + 1024]]
    return out[: len(kept)]
