"""Claim: `shrink` makes a CNN on MNIST ten times smaller and three times quicker for at most
0.2 points of accuracy.

    python benchmarks/costs/shrink_mnist.py --minutes 10      # resumes

The model is the one of `benchmarks/cnn_mnist.py` (size "s", 5 epochs: 99.70%).
How it is compared: see shrink_runs.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from shrink_runs import run

from common import SHARED

if __name__ == "__main__":
    run("cnn_mnist", SHARED / "mnist", 10.0, 3.0, 0.2)
