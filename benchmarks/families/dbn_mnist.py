"""Claim: a deep belief network 784-500-500-2000 with labels at the top, learnt greedily and then by
the up-down algorithm, errs on at most 1.3% of MNIST's test images (published: 1.25%, Hinton,
Osindero and Teh 2006, after 300 passes), and draws digits of the class it is asked for.

    python benchmarks/families/dbn_mnist.py
    python benchmarks/families/dbn_mnist.py --discriminative 0     # as published
    python benchmarks/families/dbn_mnist.py --persistent top       # worse errors, better samples
    python benchmarks/families/dbn_mnist.py --hold 10000             # to choose settings

All 60,000 training images; with `--hold`, the last of them are held out and scored in the place of
the test images. A grid of samples, a row for each class, is written beside the model.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import OUT, SHARED, both_parts
from depthwise.families.dbn.dbn import DBN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, nargs=3, default=(8.0, 6.0, 4.0))
    parser.add_argument("--finetune-epochs", type=float, default=40.0)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--finetune-lr", type=float, default=0.01)
    parser.add_argument("--discriminative", type=float, default=10.0)
    parser.add_argument("--sweeps", type=int, nargs="+", default=(1, 3, 5))
    parser.add_argument("--persistent", default="no")
    parser.add_argument("--seconds-limit", type=float)
    parser.add_argument("--hold", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    X, y, X_test, y_test = both_parts(SHARED / "mnist")
    if options.hold:
        X, X_test, y, y_test = *np.split(X, [-options.hold]), *np.split(y, [-options.hold])
    model = DBN(
        quality="paper",
        size="l",
        epochs=tuple(options.epochs),
        finetune_epochs=options.finetune_epochs,
        lr=options.lr,
        finetune_lr=options.finetune_lr,
        discriminative=options.discriminative,
        sweeps=tuple(options.sweeps),
        persistent=options.persistent,
        random_state=options.seed,
        threads=options.threads,
        verbose=True,
    )
    OUT.mkdir(exist_ok=True)
    name = f"dbn_mnist_{options.persistent}_{options.seed}" + "_hold" * bool(options.hold)
    cpu, wall = time.process_time(), time.monotonic()
    model.fit(X, y, checkpoint=OUT / f"{name}.checkpoint", seconds_limit=options.seconds_limit)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    model.save(OUT / name)
    figures = {
        "error_percent": round(100 * (1 - model.score(X_test, y_test)), 3),
        "training_error_percent": round(100 * (1 - model.score(X[:10_000], y[:10_000])), 3),
        "cpu_seconds": round(cpu, 1),
        "wall_seconds": round(wall, 1),
        "compute": model.history_["compute"],
        "settings": str(model),
    }
    print(json.dumps({"benchmark": name, **figures}, indent=1))
    save_grid(model, OUT / f"{name}.png")


def save_grid(model: DBN, path: Path, columns: int = 16) -> None:
    """One row of samples for each class."""
    samples = model.sample(10 * columns, np.repeat(np.arange(10), columns))[:, 0]
    rows = samples.reshape(10, columns, 28, 28).swapaxes(1, 2).reshape(280, columns * 28)
    Image.fromarray(rows).resize((columns * 56, 560), Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    main()
