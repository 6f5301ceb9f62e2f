"""Pictures made by hand for the tests of data/."""

import io

import numpy as np
from PIL import Image


def noise_u8(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(pixels, suffix="PNG", **options):
    """uint8 (H, W) or (H, W, C) as a picture file's bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, suffix, **options)
    return buffer.getvalue()


def make_folder(root, classes=("cat", "dog"), each=7, size=(9, 11, 3), parts=("",)):
    """`each` different PNGs for every class (and part) below root."""
    seed = 0
    for part in parts:
        for name in classes:
            folder = root / part / name
            folder.mkdir(parents=True)
            for k in range(each):
                seed += 1
                (folder / f"{k}.png").write_bytes(encoded(noise_u8(*size, seed=seed)))
    return root
