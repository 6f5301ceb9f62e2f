"""Claim: a network that was pruned is more accurate than one of the same size trained from scratch
with the same total training budget.

    python benchmarks/costs/prune_or_scratch.py                 # three seeds; resumes
    python benchmarks/costs/prune_or_scratch.py --items 60000 --size s --epochs 8

MNIST. The large network trains for `--epochs`, is pruned to a quarter of its products in three
rounds and fine-tuned, taught by the large one, for as many epochs again. The budget of all that is
counted in products (3 a weight use in a training step, 1 where the teacher answers), and the small
network of the very same widths spends it

    scratch    on its labels alone, from new weights
    taught     after the large network has had its part, on labels and the large one's answers

Each is scored on the 10,000 test images. Nothing is chosen by them: settings are CNN's own, shares
and rounds those of `shrink`.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import OUT, SHARED, both_parts
from depthwise import CNN
from depthwise.measuring.counting import count
from depthwise.reshaping.edits import reshape
from depthwise.shrinking.fine_tune import fine_tune
from depthwise.shrinking.pruning import prune

SHARE, ROUNDS = 0.25, 3


def fresh(model: CNN, edits: list[Any], X: np.ndarray, y: np.ndarray, seed: int) -> CNN:
    """A network of the same widths, with new weights of the usual scale for those widths."""
    new = copy.deepcopy(model).set_params(random_state=seed + 100)
    new.network_ = new._new_network(X, y)
    new.network_ = reshape(new.network_, edits)
    torch.manual_seed(seed)
    for module in new.network_.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, torch.nn.Linear):
            module.reset_parameters()
    return new


def one_seed(options: argparse.Namespace, parts: Any, seed: int) -> dict[str, Any]:
    X, y, X_test, y_test = parts
    chosen = np.random.default_rng(seed).permutation(len(X))[: options.items]
    X, y = X[chosen], y[chosen]
    n, epochs, one = len(X), options.epochs, torch.from_numpy(X[:1])
    cpu = time.process_time()
    settings: dict[str, Any] = {"augment": "shift", "random_state": seed, "threads": 1}
    large = CNN(size=options.size, epochs=epochs, precision="float32", **settings).fit(X, y)
    result: dict[str, Any] = {"seed": seed, "large": large.score(X_test, y_test)}
    teacher = copy.deepcopy(large.network_)
    rounds = {"share": SHARE, "rounds": ROUNDS, "epochs": epochs / 6, "seed": seed}
    pruned = prune(large, X, y, final_epochs=epochs * 2 / 3, teacher=teacher, **rounds)
    result["pruned"] = pruned.score(X_test, y_test)
    macs = {"large": count(large.network_, one).macs, "small": count(pruned.network_, one).macs}
    shares = [SHARE ** (r / ROUNDS) for r in range(1, ROUNDS + 1)]
    tuning = sum(s * e for s, e in zip(shares, [epochs / 6] * 2 + [epochs * 2 / 3]))
    budget = macs["large"] * (3 * epochs + 3 * tuning + epochs)  # products, an item
    scratch = fresh(large, pruned.shrunk_, X, y, seed)
    alone = budget / (3 * macs["small"])
    fine_tune(scratch, X, y, epochs=alone, lr=scratch.lr)
    result["scratch"] = scratch.score(X_test, y_test)
    pupil = fresh(large, pruned.shrunk_, X, y, seed)
    together = (budget - 3 * epochs * macs["large"]) / (3 * macs["small"] + macs["large"])
    fine_tune(pupil, X, y, epochs=together, lr=pupil.lr, teacher=teacher)
    result["taught"] = pupil.score(X_test, y_test)
    told = {"items": n, "macs": macs, "epochs": {"scratch": alone, "taught": together}}
    return {**result, **told, "cpu_seconds": time.process_time() - cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--size", default="xs")
    parser.add_argument("--epochs", type=float, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = both_parts(SHARED / "mnist")
    results = []
    for seed in range(options.seeds):
        name = f"prune_or_scratch_{options.size}_{options.items}_{options.epochs:g}_{seed}.json"
        if not (OUT / name).exists():
            (OUT / name).write_text(json.dumps(one_seed(options, parts, seed), indent=1))
        results.append(json.loads((OUT / name).read_text()))
        print(json.dumps(results[-1]), flush=True)
    for kind in ("large", "pruned", "scratch", "taught"):
        errors = [100 * (1 - result[kind]) for result in results]
        spread = statistics.stdev(errors) if len(errors) > 1 else 0.0
        print(f"{kind:8} error {statistics.mean(errors):.2f}% (sd {spread:.2f}) of {len(errors)}")


if __name__ == "__main__":
    main()
