"""Pictures whose masks are known: a red square and a blue disc on noisy ground."""

from __future__ import annotations

import numpy as np

CLASSES = ["ground", "square", "disc"]


def shapes(n: int, size: tuple[int, int] = (34, 42), seed: int = 0) -> tuple[np.ndarray, ...]:
    """Images uint8 (n, 3, H, W) and masks uint8 (n, H, W), the outermost row ignored."""
    rng = np.random.default_rng(seed)
    images = rng.integers(60, 140, (n, 3, *size)).astype(np.uint8)
    masks = np.zeros((n, *size), np.uint8)
    down, right = np.mgrid[: size[0], : size[1]]
    for image, mask in zip(images, masks, strict=True):
        for k in (1, 2):
            reach = int(rng.integers(5, 8))
            top, left = (int(rng.integers(reach, side - reach)) for side in size)
            away = np.abs(down - top), np.abs(right - left)
            inside = np.maximum(*away) <= reach if k == 1 else np.hypot(*away) <= reach
            image[0 if k == 1 else 2][inside] = 230
            image[1][inside] = 30
            image[2 if k == 1 else 0][inside] = 30
            mask[inside] = k
        mask[0] = 255
    return images, masks
