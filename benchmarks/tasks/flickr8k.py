"""Flickr8k for the benchmarks of captions: its parts, and what a backbone sees, computed once.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/tasks/flickr8k.py        2 CPU minutes

What is seen of a thousand images is one file in benchmarks/out/flickr8k/, named after the images'
fingerprint, so that a run that is killed goes on where it was. The backbone runs by OpenVINO: 7 ms
an image in float32, where eager torch takes 45 (28 with channels last), with answers that differ by
2e-5 at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from torch import nn

from depthwise.data.dataset import Dataset
from depthwise.data.inputs import as_tensor, fingerprint_arrays
from depthwise.data.load import load
from depthwise.runtimes import RUNTIMES

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "flickr8k-112.zip"
OUT = ROOT / "benchmarks" / "out" / "flickr8k"
BLOCK = 1000


@cache
def flickr8k() -> Dataset:
    """8,000 images of 112 x 112 with five captions each, in the official split."""
    return load(DATA)


def kept(name: str, items: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """compute(items), in blocks each of which is computed once and kept."""
    OUT.mkdir(parents=True, exist_ok=True)
    return np.concatenate(
        [_block(name, items[i : i + BLOCK], compute) for i in range(0, len(items), BLOCK)]
    )


def _block(name: str, items: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    path = OUT / f"{name}-{fingerprint_arrays(items)[:16]}.npy"
    if not path.exists():
        started, cpu = time.monotonic(), time.process_time()
        found = compute(items)
        scratch = path.with_suffix(".part.npy")
        np.save(scratch, found)
        scratch.rename(path)
        wall, cpu = time.monotonic() - started, time.process_time() - cpu
        print(f"{name}: {len(items)} items, {wall:.1f} s, CPU {cpu:.1f} s", flush=True)
    return np.load(path)


def by_openvino(network: nn.Module, images: np.ndarray) -> np.ndarray:
    """network(images) in float32 by one thread, as float16."""
    program = RUNTIMES["openvino"].prepare(network.eval(), as_tensor(images[:2]), threads=1)
    parts = [program(images[i : i + 50]).astype(np.float16) for i in range(0, len(images), 50)]
    return np.concatenate(parts)


def see_all() -> None:
    from captioning import KeptCaptioner

    data = flickr8k()
    model = KeptCaptioner(size="lite", threads=1)
    model.start(data)
    for part in ("validation", "test", "train"):
        print(part, model._features(data.part(part).X).shape, flush=True)


if __name__ == "__main__":
    see_all()
