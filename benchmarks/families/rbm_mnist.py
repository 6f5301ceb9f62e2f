"""Claim: an RBM with 500 hidden units reaches -86.3 nats or better on MNIST's test images.

    python benchmarks/families/rbm_mnist.py                 # the figure: all 60,000 images
    python benchmarks/families/rbm_mnist.py --hold-out      # to choose settings: 50,000, and the
                                                            # likelihood of the other 10,000

Grey values are probabilities: a training image's bits are drawn anew at every visit, a test image's
once with a fixed seed (Salakhutdinov and Murray 2008, whose CD-25 machine has -86.34). log Z by
annealed importance sampling on their schedule: 14,500 temperatures, 100 chains or more. The error
is that of log Z, one standard deviation.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import OUT, SHARED, both_parts
from depthwise.families.rbm import RBM
from depthwise.training.loop import Event


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=40)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--lr", type=float, default=0.4)
    parser.add_argument("--weight-decay", type=float, default=1e-4)
    parser.add_argument("--chains", type=int, default=100)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ais-chains", type=int, default=100)
    parser.add_argument("--ais-steps", type=int, default=14_500)
    parser.add_argument("--hold-out", action="store_true")
    return parser.parse_args()


def told(every: float) -> object:
    """A watcher that prints a line every so many epochs."""
    due = every

    def watch(event: Event) -> None:
        nonlocal due
        if event.epoch >= due:
            due += every
            print(
                f"epoch {event.epoch:.1f} of {event.epochs:.0f}: reconstruction error "
                f"{event.loss:.2f}, {time.process_time():.0f} CPU s",
                flush=True,
            )

    return watch


def main() -> None:
    o = options()
    X, _, X_test, _ = both_parts(SHARED / "mnist")
    if o.hold_out:
        order = np.random.default_rng(0).permutation(len(X))
        X, X_test = X[order[10_000:]], X[order[:10_000]]
    model = RBM(
        quality="paper",
        n_hidden=500,
        k=o.k,
        chains=o.chains,
        epochs=o.epochs,
        lr=o.lr,
        weight_decay=o.weight_decay,
        random_state=o.seed,
        precision=o.precision,
        threads=o.threads,
    )
    name = f"rbm_mnist-{o.seed}{'-held-out' if o.hold_out else ''}"
    OUT.mkdir(exist_ok=True)
    wall, cpu = time.monotonic(), time.process_time()
    model.fit(X, watch=told(5), checkpoint=OUT / f"{name}.checkpoint")
    trained = {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}
    cpu = time.process_time()
    log_z, stderr = model.log_partition("ais", chains=o.ais_chains, steps=o.ais_steps)
    result = {
        "log_likelihood": round(model.score(X_test), 2),
        "on": "10,000 held-out training images" if o.hold_out else "the 10,000 test images",
        "log_z_stderr": round(stderr, 3),
        "train_log_likelihood": round(model.score(X[:10_000]), 2),
        "log_z": round(log_z, 2),
        "training_seconds": {key: round(value, 1) for key, value in trained.items()},
        "ais_cpu_seconds": round(time.process_time() - cpu, 1),
        "compute": model.history_["compute"],
        "settings": vars(o),
    }
    print(json.dumps({"benchmark": "rbm_mnist", **result}, indent=1), flush=True)
    (OUT / f"{name}.json").write_text(json.dumps(result, indent=1))
    model.save(OUT / name)
    (OUT / f"{name}.checkpoint").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
