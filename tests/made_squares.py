"""Pictures of bright squares and discs on noise, and where they are."""

from __future__ import annotations

import numpy as np

from depthwise.data.targets.box_table import BoxTable

CLASSES = ("disc", "square")


def squares(
    n: int, seed: int, size: tuple[int, int] = (48, 64), most: int = 3
) -> tuple[np.ndarray, BoxTable]:
    """uint8 (n, 3, H, W), 0 .. `most` objects in each that do not touch."""
    rng = np.random.default_rng(seed)
    height, width = size
    images = rng.integers(0, 60, (n, 3, height, width), dtype=np.uint8)
    rows, columns = np.mgrid[:height, :width] + 0.5
    pairs = []
    for image in images:
        boxes: list[list[int]] = []
        labels = []
        for _ in range(int(rng.integers(0, most + 1))):
            side = int(rng.integers(10, 21))
            left, top = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
            box = [left, top, left + side, top + side]
            if any(_touch(box, other) for other in boxes):
                continue
            kind = int(rng.integers(2))
            away = np.maximum(abs(columns - left - side / 2), abs(rows - top - side / 2))
            round_ = np.hypot(columns - left - side / 2, rows - top - side / 2)
            colour = [(200, 90, 90), (90, 200, 200)][kind]
            image[:, (away if kind else round_) <= side / 2] = np.array(colour)[:, None]
            boxes.append(box)
            labels.append(kind)
        pairs.append((boxes, labels))
    return images, BoxTable.from_lists(pairs)


def _touch(a: list[int], b: list[int]) -> bool:
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
