"""Pictures that can be told in a sentence: one coloured shape on noisy ground."""

from __future__ import annotations

import numpy as np

COLOURS = {"red": (220, 40, 40), "green": (40, 200, 40), "blue": (40, 60, 220)}
SHAPES = ("square", "disc", "bar")
SIDE = 20


def told_shapes(n: int, seed: int = 0) -> tuple[np.ndarray, list[list[str]]]:
    """Images uint8 (n, 3, 20, 20), and for each one or two captions."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 130, (n, 3, SIDE, SIDE)).astype(np.uint8)
    down, right = np.mgrid[:SIDE, :SIDE]
    captions = []
    for i, image in enumerate(images):
        colour, shape = rng.choice(list(COLOURS)), rng.choice(SHAPES)
        top, left = rng.integers(7, SIDE - 7, 2)
        away = np.abs(down - top), np.abs(right - left)
        inside = {
            "square": np.maximum(*away) <= 5,
            "disc": np.hypot(*away) <= 5,
            "bar": (away[0] <= 1) & (away[1] <= 7),
        }[shape]
        image[:, inside] = np.array(COLOURS[colour])[:, None]
        said = f"A {colour} {shape} on grey ground ."
        captions.append([said] if i % 3 else [said, f"There is a {colour} {shape} ."])
    return images, captions
