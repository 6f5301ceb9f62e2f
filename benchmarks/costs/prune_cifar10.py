"""Claim: a CNN on CIFAR-10 with a tenth of its weights pruned and the rest in whole numbers, none
trained, takes four times fewer bytes and half the time for at most 1 point of accuracy.

    python benchmarks/costs/prune_cifar10.py               # about a minute

The model is the one of `benchmarks/cnn_cifar10.py --best` (87.6%); what goes is chosen by gradient
times activation on training images, ranges come from 256 of them, the test part is scored once.
Bytes are of model.safetensors before and of the ONNX graph after; times of one image, one thread:
see shrink_runs.py.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import OUT, SHARED
from depthwise import load, load_data
from depthwise.measuring.devices.device_finder import find
from depthwise.shrinking.costing import FLOAT, Costing, Way
from depthwise.shrinking.pruning import prune

SHARE = 0.9


def main() -> None:
    torch.set_num_threads(1)
    cpu = time.process_time()
    data = load_data(SHARED / "cifar10" / "cifar10-jpeg.zip")
    model = load(OUT / "cnn_cifar10_best")
    (X, y), (X_test, y_test) = data.train, data.test
    costing = Costing(find("this"), X[:256])
    program = costing.program(model, FLOAT)
    before = costing.figures(model, FLOAT, costing.counts(model), program)
    small = prune(model, X, y, share=SHARE, cost="weights", rounds=1, epochs=0, final_epochs=0)
    way = Way("int8", "onnxruntime")
    finished = costing.finish(small, way)
    program = costing.program(finished, way)
    after = costing.figures(finished, way, costing.counts(small), program)
    told = [program(X_test[i : i + 250]).argmax(axis=1) for i in range(0, len(X_test), 250)]
    right = (np.concatenate(told) == y_test).mean()
    print(f"before {before}\nafter  {after}")
    print(f"bytes: {before.size_mb / after.size_mb:.2f} times fewer")
    print(f"latency: {before.latency_ms / after.latency_ms:.1f} times lower")
    print(f"test accuracy: {100 * right:.2f}%; cpu {time.process_time() - cpu:.0f} s")


if __name__ == "__main__":
    main()
