"""What every worker of train_speed.py shares: the data, the network, the bursts, the score.

A worker is a process that trains one network in one framework by one ordinary call of that
framework. After every batch it calls `Bursts.batch_done`; when the steps of a burst are over, that
call writes what the burst cost and blocks until it is told to go on. So the burst is a slice of a
real run: what a framework does once an epoch, or once a step, is in it as often as it occurs.

    parent -> worker   "go" (one burst, please) or "end" (train to the end without stopping)
    worker -> parent   one JSON object a line: {"ready"}, {"burst"} ..., {"done"}

CPU time is that of the process with all its threads and its ended children. Waiting costs none.

Shapes: N images, B batch. Images are float32 (N, 1, 28, 28), standardised, unless said otherwise.
"""

import gzip
import json
import os
import resource
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np

BATCH = 128
LEARNING_RATE = 1e-3


def settings() -> Namespace:
    parser = ArgumentParser()
    parser.add_argument("--variant", default="")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--burst-steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


# -- data -----------------------------------------------------------------------------------------


def read_idx(path: Path) -> np.ndarray:
    """uint8: labels (N,) or images (N, 28, 28), as the header says."""
    content = gzip.decompress(path.read_bytes())
    sides = np.frombuffer(content, ">i4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sides)


def images_u8(folder: Path, part: str, first: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 1, 28, 28) and labels int64 (N,) of "train" or "t10k"."""
    pixels = read_idx(folder / f"{part}-images-idx3-ubyte.gz")[:first, None].copy()
    return pixels, read_idx(folder / f"{part}-labels-idx1-ubyte.gz")[:first].astype(np.int64)


def images_standardised(
    folder: Path, first: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y for training and x, y for testing, with the mean and deviation of the former."""
    x, y = images_u8(folder, "train", first)
    x_test, y_test = images_u8(folder, "t10k")
    mean, std = np.float32(x.mean()), np.float32(x.std())
    return (x - mean) / std, y, (x_test - mean) / std, y_test


# -- network --------------------------------------------------------------------------------------


def small_cnn():  # -> torch.nn.Module
    """conv32 - conv64 - maxpool - 128 - 10: 1.6 million weights, 16 million products an image."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 14 * 14, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def accuracy(network, x: np.ndarray, y: np.ndarray) -> float:
    """Share of images classified rightly, in float32."""
    import torch

    network.eval()
    with torch.inference_mode():
        parts = [network(part).argmax(dim=1) for part in torch.from_numpy(x).split(500)]
    return float((torch.cat(parts).numpy() == y).mean())


# -- bursts ---------------------------------------------------------------------------------------


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Bursts:
    """The pipe to the parent, and the clock between its commands."""

    def __init__(self, steps: int):
        self.steps_a_burst = steps
        self.steps = self.images = self.images_before = 0
        self.running_free = False
        sys.stdout.flush()
        self.pipe = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)  # what a framework prints goes to the log

    def ready(self, **notes: object) -> None:
        """Blocks until the first burst is asked for. Call it just before training."""
        self._say(ready=notes)
        self._wait()

    def batch_done(self, images: int) -> None:
        self.steps += 1
        self.images += images
        if self.running_free or self.steps % self.steps_a_burst:
            return
        self._say(
            burst={
                "images": self.images - self.images_before,
                "cpu_seconds": cpu_seconds() - self.cpu_start,
                "seconds": time.perf_counter() - self.start,
            }
        )
        self._wait()

    def done(self, test_accuracy: float) -> None:
        self._say(done={"images": self.images, "steps": self.steps, "accuracy": test_accuracy})

    def _wait(self) -> None:
        self.running_free = sys.stdin.readline().strip() != "go"
        self.images_before = self.images
        self.start, self.cpu_start = time.perf_counter(), cpu_seconds()

    def _say(self, **message: object) -> None:
        self.pipe.write(json.dumps(message) + "\n")


Train = Callable[[Namespace, Bursts], float]


def main(train: Train) -> None:
    """`train(options, bursts)` trains, and returns the accuracy on the test images."""
    options = settings()
    bursts = Bursts(options.burst_steps)
    bursts.done(train(options, bursts))
