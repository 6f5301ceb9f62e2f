"""Clips, whatever files their frames come from, made a Raw: uint8 (N, T, C, H, W).

Every reader of clips says how large the frames of clip i are, and gives T of them. T is 16 or as
`frames` says, evenly spaced from the first frame of a clip to its last (of n frames those at
k (n - 1) / (T - 1), rounded); a clip with fewer shows some of them again. All frames are squeezed
to one size, by the rules of `decode`, their longer side at most 128 pixels.
"""

from collections.abc import Callable, Sequence

import numpy as np

from depthwise.data.dataset import Problem
from depthwise.data.options import Options
from depthwise.data.pictures.decode import Allocate, close_gaps, in_chunks, target_size
from depthwise.data.pictures.images import Unreadable
from depthwise.data.raw import Raw
from depthwise.data.readers.pictures import (
    Placed,
    labelled_by_folder,
    require_every_class,
    require_most,
)
from depthwise.data.readers.trees.tree import Tree
from depthwise.errors import DataError

__all__ = ["FRAMES", "LARGEST", "assemble", "evenly"]

FRAMES, LARGEST = 16, 128
_SAMPLE = 32
Shape = tuple[int, int, int]


def evenly(n: int, t: int) -> np.ndarray:
    """int64 (T,): positions of t frames among n, evenly spaced from the first to the last; the
    middle one for t = 1."""
    if t == 1:
        return np.array([n // 2], np.int64)
    return np.floor(np.linspace(0, n - 1, t) + 0.5).astype(np.int64)


def assemble(
    tree: Tree,
    clips: Sequence[Placed],
    look: Callable[[int], tuple[tuple[int, int], bool]],
    take: Callable[[int, int, Shape], np.ndarray],
    allocate: Allocate,
    options: Options,
    problems: Sequence[Problem] = (),
) -> Raw:
    """look(i): (H, W) of clip i and whether it is grey. take(i, t, (C, H, W)): uint8 (T, C, H, W).
    Both may raise Unreadable.

    Raises DataError if there are no clips, or if most or all of a class are broken.
    """
    if not clips:
        raise DataError(f"{tree.where} holds no clips; expected a folder of them for each class.")
    t, shape = options.frames or FRAMES, _shape(len(clips), look, options)
    out = allocate((len(clips), t, *shape))

    def work(chunk: Sequence[int]) -> dict[int, str]:
        broken = {}
        for i in chunk:
            try:
                out[i] = take(i, t, shape)
            except Unreadable as error:
                broken[i] = str(error)
        return broken

    broken = {i: why for some in in_chunks(range(len(clips)), work) for i, why in some.items()}
    if broken:
        require_most(tree, [clip.name for clip in clips], broken, "clip")
        require_every_class(tree, clips, broken, "clip")
    good = np.setdiff1d(np.arange(len(clips)), list(broken)).astype(np.int64)
    kept = [clips[i] for i in good.tolist()]
    lost = [Problem("unreadable clip", clips[i].name, why) for i, why in broken.items()]
    noticed = [*tree.problems, *problems, *lost]
    raw = labelled_by_folder("video", close_gaps(out, good), kept, noticed)
    raw.task = "video"
    return raw


def _shape(n: int, look: Callable[[int], tuple[tuple[int, int], bool]], options: Options) -> Shape:
    """(C, H, W) for all, going by a sample of the clips."""
    seen = []
    for i in range(0, n, max(1, n // _SAMPLE)):
        try:
            seen.append(look(i))
        except Unreadable:
            continue
    sizes = [size for size, _ in seen]
    fitting = target_size([h for h, _ in sizes], [w for _, w in sizes], LARGEST)
    height, width = options.image_size or fitting
    grey = bool(seen) and all(is_grey for _, is_grey in seen)
    return options.channels or (1 if grey else 3), height, width
