"""What the two benchmarks of `shrink` share: the limits from the original, one run, its figures.

Bytes are those of the file that is run from (model.safetensors; of the shrunk model the graph, if
another runtime has one). Latency is that of one image: of the original in eager torch with one
thread, taken in the same process as all others, the quietest of ten bursts. Choices are made on the
validation part, which the original has seen in its training; the test part is scored once.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from common import OUT
from depthwise import load, load_data
from depthwise.measuring.devices import find
from depthwise.shrinking.limits import FLOAT, Costing
from depthwise.shrinking.shrink import shrink


def run(name: str, data: Path, smaller: float, quicker: float, points: float) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun, cpu = time.monotonic(), time.process_time()
    model, dataset = load(OUT / name), load_data(data)
    kept = OUT / f"shrink_{name}_{options.seed}.json"
    if not kept.exists():  # a run begun again asks for the same
        costing = Costing(find("this"), dataset.train.X[:256])
        program = costing.program(model, FLOAT)
        before = costing.figures(model, FLOAT, costing.counts(model), program)
        kept.write_text(json.dumps([before.size_mb, before.latency_ms]))
    size_mb, latency_ms = json.loads(kept.read_text())
    print(f"load {os.getloadavg()[0]:.1f}; {name}: {size_mb:.4f} MB, {latency_ms:.3f} ms")
    done = shrink(
        model,
        dataset,
        max_size_mb=size_mb / smaller,
        max_latency_ms=latency_ms / quicker,
        minutes=options.minutes,
        seed=options.seed,
        out=kept.with_suffix(""),
        watch=lambda text: print(f"{time.monotonic() - begun:6.0f} s  {text}", flush=True),
    )
    print(done)
    won = next(t for t in done.record["tried"] if t["name"] == done.record["winner"])
    figures, test = won["figures"], done.record["test"]
    lost = 100 * (test["original"]["accuracy"] - test["winner"]["accuracy"])
    print(f"bytes: {size_mb / figures['size_mb']:.1f} times fewer (wanted {smaller:g})")
    print(f"latency: {latency_ms / figures['latency_ms']:.1f} times lower (wanted {quicker:g})")
    print(f"accuracy on the test part: {lost:.2f} points lost (at most {points:g})")
    print(f"wall {time.monotonic() - begun:.0f} s, cpu {time.process_time() - cpu:.0f} s")
