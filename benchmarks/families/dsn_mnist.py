"""Claim: a deep stacking network errs on few of MNIST's test images, without distortions.

    python benchmarks/families/dsn_mnist.py --choose     # 50,000 images; 10,000 held out
    python benchmarks/families/dsn_mnist.py --seed 0     # all 60,000; the test part scored once

Convex modules of `--hidden` logistic units, the first one's lower weights from an RBM, fine-tuned
in batches of `--batch` by the gradient through the closed form (Deng and Yu 2011, whose error is
0.83%). `--choose` prints the held-out score after every epoch and module: settings, epochs and the
number of modules are chosen there, and the test part plays no part. Runs are resumed if cut off.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import OUT, SHARED, both_parts
from depthwise.families.dsn.dsn import DSN
from depthwise.scores.accuracy import wilson_interval
from depthwise.training.stages import stage_files


def main() -> None:
    options = arguments()
    X, y, X_test, y_test = both_parts(SHARED / "mnist")
    validation = None
    if options.choose:
        order = np.random.default_rng(options.seed).permutation(len(X))
        kept, held = np.sort(order[10_000:]), np.sort(order[:10_000])
        X_test, y_test = X[held], y[held]
        validation, X, y = (X_test, y_test), X[kept], y[kept]
    model = DSN(
        variant=options.variant,
        n_hidden=options.hidden,
        n_modules=options.modules,
        init=options.init,
        init_epochs=options.init_epochs,
        epochs=options.epochs,
        batch_size=options.batch,
        lr=options.lr,
        ridge=options.ridge,
        noise=options.noise,
        dropout=options.dropout,
        threads=options.threads,
        precision="bfloat16",
        random_state=options.seed,
    )
    OUT.mkdir(exist_ok=True)
    checkpoint = OUT / f"{options.name}_{options.seed}.ckpt"
    started, cpu = time.monotonic(), time.process_time()
    model.fit(X, y, validation=validation, checkpoint=checkpoint, watch=Teller())
    wrong = round(len(y_test) * (1 - model.score(X_test, y_test)))
    result: dict[str, Any] = {
        "part": "held out" if options.choose else "test",
        "error_percent": round(100 * wrong / len(y_test), 2),
        "interval": [round(100 * side, 2) for side in wilson_interval(wrong, len(y_test))],
        "modules": len(model.network_.stack),
        "wall_seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "curve": [short(e) for e in model.history_["epochs"]],
        "settings": str(model),
    }
    print(json.dumps(result))
    for path in stage_files(checkpoint):
        path.unlink()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--name", default="dsn_mnist", help="of the checkpoint")
    parser.add_argument("--variant", default="dsn")
    parser.add_argument("--hidden", type=int, default=3000)
    parser.add_argument("--modules", type=int, default=2)
    parser.add_argument("--init", default="auto")
    parser.add_argument("--init-epochs", type=float, default=10)
    parser.add_argument("--epochs", type=float, default=30)
    parser.add_argument("--batch", type=int, default=30_000)
    parser.add_argument("--lr", type=float, default=0.03)
    parser.add_argument("--ridge", type=float, default=1.0)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--dropout", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


class Teller:
    """A line every ten seconds."""

    told = 0.0

    def __call__(self, event: Any) -> None:
        if time.monotonic() - self.told >= 10:
            self.told = time.monotonic()
            cpu = time.process_time()
            best = "" if event.score is None else f"  best {100 * (1 - event.score):.2f}%"
            print(f"epoch {event.epoch:.2f}  J {event.loss:.4f}{best}  {cpu:.0f} cpu s", flush=True)


def short(record: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in record.items()}


if __name__ == "__main__":
    main()
