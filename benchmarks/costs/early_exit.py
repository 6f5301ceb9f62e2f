"""Claim: early exits save at least 40% of the average time and energy of a CNN on MNIST's test set
at equal accuracy (within 0.05 points).

    python benchmarks/costs/early_exit.py                   # heads alone learn
    python benchmarks/costs/early_exit.py --joint 1         # the trunk too, for an epoch

The model is the one of `benchmarks/cnn_mnist.py` (99.70%). Its heads learn from 20,000 training
images, the thresholds are chosen on the 9,000 validation images (which the trunk has seen in its
training), the test part is scored once. Time is processor time of one image at a time in eager
torch on one thread, over the same test images, in short turns of the network with exits and
without; of each network the quickest turn of every five images counts. Energy is power x time:
equal shares saved. A model that was made before is timed again.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import OUT, SHARED
from depthwise import load, load_data
from depthwise.scores.accuracy import wilson_interval
from depthwise.shrinking.early_exits import add_exits, all_logits, best_thresholds

TURN = 5  # images


@torch.inference_mode()
def seconds_an_image(networks: list[Any], images: np.ndarray, rounds: int) -> list[float]:
    """Of each network the mean over all turns of the quietest of `rounds` passes."""
    starts = range(0, len(images), TURN)
    best = np.full((len(networks), len(starts)), np.inf)
    for _ in range(rounds):
        for turn, start in enumerate(starts):
            ones = torch.from_numpy(images[start : start + TURN]).split(1)
            for which, network in enumerate(networks):
                begun = time.thread_time()
                for one in ones:
                    network(one)
                took = time.thread_time() - begun
                best[which, turn] = min(best[which, turn], took)
    return (best.mean(axis=1) / TURN).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--joint", type=float, default=0.0)
    parser.add_argument("--images", type=int, default=600, help="timed, of the test part")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    begun, cpu = time.monotonic(), time.process_time()
    model, data = load(OUT / "cnn_mnist"), load_data(SHARED / "mnist")
    X, y = data.train
    made = OUT / f"early_exit_{options.joint:g}"
    if made.exists():
        stopping = load(made)
        record = stopping.history_["exits"]
    else:
        held_out = tuple(data.validation)
        stopping, record = add_exits(model, X, y, held_out, joint_epochs=options.joint)
        stopping.history_ = {**stopping.history_, "exits": record}
        stopping.save(made)
    print(f"heads learnt, {time.process_time() - cpu:.0f} cpu s", flush=True)
    X_test, y_test = data.test
    logits = all_logits(stopping.network_, X_test)
    confidence = torch.softmax(torch.from_numpy(logits), 2).amax(2).numpy()[:-1]
    sure = confidence >= np.array(record["thresholds"])[:, None]
    where = np.concatenate([sure, np.ones((1, len(y_test)), dtype=bool)]).argmax(axis=0)
    right = int((logits[where, np.arange(len(where))].argmax(axis=1) == y_test).sum())
    macs = float(np.array(record["macs"])[where].mean())
    alone = copy.deepcopy(model.network_).eval()
    with torch.inference_mode():
        parts = [alone(torch.from_numpy(X_test[i : i + 500])) for i in range(0, len(X_test), 500)]
    before = int((torch.cat(parts).argmax(1).numpy() == y_test).sum())
    images = X_test[:: len(X_test) // options.images]
    times = seconds_an_image([alone, stopping.network_.eval()], images, options.rounds)
    shown = int((stopping.predict(X_test[:2000]) == y_test[:2000]).sum())
    assert shown == int((logits[where, np.arange(10000)].argmax(1) == y_test)[:2000].sum())
    result = {
        "load": round(os.getloadavg()[0], 1),
        "thresholds": record["thresholds"],
        "places": record["places"],
        "validation": {"whole": record["whole_accuracy"], "exits": record["accuracy"]},
        "test_accuracy": {"original": before / 1e4, "with exits": right / 1e4},
        "intervals": [wilson_interval(n, 10000) for n in (before, right)],
        "shares_leaving": (np.bincount(where, minlength=len(record["macs"])) / 1e4).tolist(),
        "exit_accuracies": [float((row.argmax(1) == y_test).mean()) for row in logits],
        "macs": [record["macs"][-1], macs],
        "ms": [1e3 * seconds for seconds in times],
        "macs_saved": 1 - macs / record["macs"][-1],
        "time_saved": 1 - times[1] / times[0],
        "points_lost": (before - right) / 100,
        "validation_curve": record["curve"],
        "test_curve": best_thresholds(logits, y_test, record["macs"])[1]["curve"],
        "wall_seconds": time.monotonic() - begun,
        "cpu_seconds": time.process_time() - cpu,
    }
    name = f"early_exit_{options.joint:g}"
    (OUT / f"{name}.json").write_text(json.dumps(result, indent=1))
    short = {k: v for k, v in result.items() if not k.endswith("_curve")}
    print(json.dumps(short, indent=1))


if __name__ == "__main__":
    main()
