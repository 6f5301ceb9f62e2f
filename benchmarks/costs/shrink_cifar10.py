"""Claim: `shrink` makes a CNN on CIFAR-10 four times smaller and twice as quick for at most
1 point of accuracy.

    python benchmarks/costs/shrink_cifar10.py --minutes 10      # resumes

The model is the one of `benchmarks/cnn_cifar10.py` (--best: width 40, 15 epochs, 87.6%).
How it is compared: see shrink_runs.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shrink_runs import run

from common import SHARED

if __name__ == "__main__":
    run("cnn_cifar10_best", SHARED / "cifar10" / "cifar10-jpeg.zip", 4.0, 2.0, 1.0)
