"""Twenty images a class: what a backbone that was learnt before is worth.

    .venv/bin/python benchmarks/tasks/transfer_few.py

CIFAR-10 (JPEG copy), the first 20 images of each class of the training part, tested on the first
100 of each of the test part. Three contenders: EfficientNet-lite0 frozen, images made four times
larger, the output layer learnt; the CNN family from scratch; logistic regression on the pixels.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from depthwise.families.cnn import CNN
from depthwise.families.shallow.shallow import LogisticRegression
from depthwise.scores.accuracy import wilson_interval
from depthwise.tasks.image_classification.classifier import ImageClassifier

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar10" / "cifar10-jpeg.zip"


def part(name: str, each: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `each` images of every class: (N, 3, 32, 32), (N,)."""
    pixels, labels = [], []
    with zipfile.ZipFile(DATA) as file:
        names = sorted(n for n in file.namelist() if n.startswith(f"{name}/") and "." in n)
        classes = sorted({n.split("/")[1] for n in names})
        for label, wanted in enumerate(classes):
            for image in [n for n in names if n.split("/")[1] == wanted][:each]:
                pixels.append(np.asarray(Image.open(io.BytesIO(file.read(image)))))
                labels.append(label)
    return np.stack(pixels).transpose(0, 3, 1, 2).copy(), np.array(labels)


CONTENDERS = {
    "EfficientNet-lite0, frozen": lambda: ImageClassifier(),
    "EfficientNet-lite0, upper half adapted": lambda: ImageClassifier(
        freeze=2, epochs=4, batch_size=20
    ),
    "CNN-s from scratch": lambda: CNN(size="s", quality="paper"),
    "logistic regression on pixels": lambda: LogisticRegression(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--each", type=int, default=20, help="training images a class")
    parser.add_argument("--only", help="contenders whose name contains this")
    given = parser.parse_args()
    X, y = part("train", given.each)
    X_test, y_test = part("test", 100)
    for name, make in CONTENDERS.items():
        if given.only and given.only not in name:
            continue
        started, cpu = time.monotonic(), _cpu_seconds()
        model = make().fit(X, y)
        fitted = time.monotonic() - started, _cpu_seconds() - cpu
        right = int((model.predict(X_test) == y_test).sum())
        told = {
            "accuracy": right / len(y_test),
            "interval": [round(edge, 3) for edge in wilson_interval(right, len(y_test))],
            "fit_wall_seconds": round(fitted[0], 1),
            "fit_cpu_seconds": round(fitted[1], 1),
        }
        print(f"{name:40} " + json.dumps(told), flush=True)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
