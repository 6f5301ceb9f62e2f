"""Small hand-made data, a cache of its own for each test, and the real data where it is."""

from pathlib import Path

import pytest

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
