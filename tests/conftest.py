"""Shared by all tests: a private cache, real digits, and where the real data sets may lie."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

# one thread: small networks gain nothing from two, and tests share the machine
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["DEPTHWISE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data sets; tests that ask for it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real data sets at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's 1,797 scanned digits: 1,200 and 597 images uint8 (N, 1, 8, 8), int labels."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    images_u8 = np.round(data.images * (255 / 16)).astype(np.uint8)[:, None]
    parts = train_test_split(
        images_u8, data.target, train_size=1200, random_state=0, stratify=data.target
    )
    return parts[0], parts[2], parts[1], parts[3]
