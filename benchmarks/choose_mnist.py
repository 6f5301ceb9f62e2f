"""Claim: `depthwise choose mnist --max-size-mb 0.5 --max-latency-ms 2 --train-minutes 8` returns a
model that meets both limits when another process measures it again, with at most 0.8% test error.

    python benchmarks/choose_mnist.py [--train-minutes 8]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time

from common import OUT, SHARED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train-minutes", type=float, default=8)
    options = parser.parse_args()
    out = OUT / "choose_mnist"
    shutil.rmtree(out, ignore_errors=True)
    run = [sys.executable, "-m", "depthwise"]
    environment = {**os.environ, "DEPTHWISE_DATA": str(SHARED)}
    limits = ["--max-size-mb", "0.5", "--max-latency-ms", "2"]
    minutes = ["--train-minutes", str(options.train_minutes)]
    started = time.monotonic()
    command = [*run, "choose", "mnist", *limits, *minutes, "--out", str(out)]
    subprocess.run(command, check=True, env=environment)
    seconds = time.monotonic() - started
    again = [*run, "measure", str(out / "best"), "--json"]
    card = json.loads(subprocess.run(again, check=True, capture_output=True, text=True).stdout)
    record = json.loads((out / "choice.json").read_text())
    test = record["test"]
    interval = [round(100 * (1 - test[side]), 2) for side in ("high", "low")]
    print(
        json.dumps(
            {
                "winner": record["winner"],
                "test_error_percent": round(100 * (1 - test["value"]), 2),
                "interval": interval,
                "latency_ms_again": card["latency"]["value"],
                "latency_p95_ms_again": card["latency"]["details"]["p95"],
                "size_mb_again": card["hardware_cost"]["details"]["weight_bytes"] / 1e6,
                "train_seconds": sum(c["train_seconds"] for c in record["candidates"]),
                "wall_seconds": round(seconds, 1),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
