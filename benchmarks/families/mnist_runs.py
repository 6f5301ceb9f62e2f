"""What the DNN and CNN benchmarks share: MNIST's two parts, a fit with its clock, a percentage."""

from __future__ import annotations

import gzip
import time
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.training.loop import Event

HERE = Path(__file__).resolve().parent
MNIST = HERE.parents[2] / "shared" / "data" / "mnist"
OUT = HERE.parent / "out"


def mnist(hold_out: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images (N, 1, 28, 28) uint8 and labels, then those that are scored: the test part,
    or the last `hold_out` training items, where something is to be chosen."""
    X, y = _read("train-images-idx3", 16).reshape(-1, 1, 28, 28), _read("train-labels-idx1", 8)
    if hold_out:
        return X[:-hold_out], y[:-hold_out], X[-hold_out:], y[-hold_out:]
    X_test = _read("t10k-images-idx3", 16).reshape(-1, 1, 28, 28)
    return X, y, X_test, _read("t10k-labels-idx1", 8)


def _read(name: str, header: int) -> np.ndarray:
    path = MNIST / f"{name}-ubyte.gz"
    if not path.exists():
        raise SystemExit(f"{path} is absent: this benchmark needs the shared data sets")
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header).copy()


def fit(name: str, model: Any, *data: Any, **more: Any) -> dict[str, Any]:
    """Fit, tell an epoch a line, and say what it took."""
    OUT.mkdir(exist_ok=True)
    wall, cpu = time.monotonic(), time.process_time()
    model.fit(*data, **more, watch=_Lines(name))
    return {
        "train_wall_seconds": round(time.monotonic() - wall, 1),
        "train_cpu_seconds": round(time.process_time() - cpu, 1),
        "losses": [round(record["loss"], 4) for record in model.history_["epochs"]],
    }


class _Lines:
    def __init__(self, name: str):
        self.name, self.told = name, 0

    def __call__(self, event: Event) -> None:
        if int(event.epoch) > self.told:
            self.told = int(event.epoch)
            cpu = time.process_time()
            print(
                f"{self.name}: epoch {self.told}, loss {event.loss:.4f}, {cpu:.0f} cpu-s",
                flush=True,
            )


def percent_wrong(p: np.ndarray, truth: np.ndarray) -> float:
    """Of answers (N, K)."""
    return round(100 * float((p.argmax(axis=1) != truth).mean()), 3)
