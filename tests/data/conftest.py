"""Small hand-made data, a cache of its own for each test, and the real data where it is."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DEPTHWISE_CACHE", str(folder))
    monkeypatch.delenv("DEPTHWISE_DATA", raising=False)
    return folder


@pytest.fixture
def real():
    """A file of the shared real data, or a skip that says what is missing."""

    def find(name):
        if not (REAL / name).exists():
            pytest.skip(f"real data {name} is not in {REAL}")
        return REAL / name

    return find


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
