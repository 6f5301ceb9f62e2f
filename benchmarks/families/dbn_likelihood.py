"""Claim: a deep belief network 784-500-2000 assigns the binarised test images of MNIST at least
-90 nats each, by the lower bound with annealed importance sampling at the top (published: -86.22,
Salakhutdinov and Murray 2008).

    python benchmarks/families/dbn_likelihood.py
    python benchmarks/families/dbn_likelihood.py --epochs 40 20 --chains 500

All 60,000 training images, without labels; greedy learning only: the second machine begins as the
first one upside down, where the bound is the first one's likelihood, and raises it from there. The
test images are binarised once, by drawing, with a fixed seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import OUT, SHARED, both_parts
from depthwise.families.dbn.dbn import DBN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, nargs=2, default=(30.0, 10.0))
    parser.add_argument("--lr", type=float, nargs=2, default=(0.1, 0.02))
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--chains", type=int, default=100)
    parser.add_argument("--steps", type=int, default=14_500)
    options = parser.parse_args()
    X, _, X_test, _ = both_parts(SHARED / "mnist")
    OUT.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    model = DBN(
        quality="paper",
        hidden=(500, 2000),
        epochs=tuple(options.epochs),
        finetune_epochs=0,
        lr=tuple(options.lr),
        k=options.k,
        persistent="all",
        momentum=0.0,
        weight_decay=0.0,
        random_state=options.seed,
        verbose=True,
    )
    cpu, wall = time.process_time(), time.monotonic()
    model.fit(X, checkpoint=OUT / f"dbn_likelihood_{options.seed}.checkpoint")
    print(f"learnt in {time.process_time() - cpu:.0f} CPU s, {time.monotonic() - wall:.0f} s")
    model.save(OUT / f"dbn_likelihood_{options.seed}")
    log_z, stderr = model.log_partition("ais", chains=options.chains, steps=options.steps)
    print(f"log Z of the top machine {log_z:.2f} +- {stderr:.2f} nats")
    for name, images in (("test", X_test), ("training", X[:10_000])):
        scores = model.score_samples(images)
        error = scores.std() / len(scores) ** 0.5
        print(f"bound on log p, {name}: {scores.mean():.2f} nats (+- {error:.2f} by the items)")
    print(f"{time.process_time() - cpu:.0f} CPU s, {time.monotonic() - wall:.0f} s in all")
    print(f"settings: {model}", options)


if __name__ == "__main__":
    main()
