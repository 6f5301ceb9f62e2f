"""What the two benchmarks of `shrink` share: the limits from the original, one run, its figures.

Bytes are those of the file that is run from (model.safetensors; of the shrunk model the graph, if
another runtime has one). Latency is that of one image, one thread, of the original in eager torch.
The limit comes from the least of TURNS timings of it, seconds apart; the ratio is taken at the end,
original and winner in turn, the least of TURNS of each. Choices are made on the validation part,
which the original has seen in its training; the test part is scored once.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from common import OUT
from depthwise import load, load_data
from depthwise.measuring.devices.device_finder import find
from depthwise.shrinking.costing import FLOAT, Costing, Figures, Way
from depthwise.shrinking.shrink import shrink

TURNS, PAUSE = 6, 2.0  # timings, and seconds between them


def run(name: str, data: Path, smaller: float, quicker: float, points: float) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun, cpu = time.monotonic(), time.process_time()
    model, dataset = load(OUT / name), load_data(data)
    kept = OUT / f"shrink_{name}_{options.seed}.json"
    if not kept.exists():  # a run begun again asks for the same
        timings = []
        for _ in range(TURNS):
            timings.append(figures_of(model, FLOAT, dataset.train.X[:256]))
            time.sleep(PAUSE)
        kept.write_text(json.dumps([timings[0].size_mb, min(t.latency_ms for t in timings)]))
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
    shrunk, way = load(kept.with_suffix("") / "best"), Way(**won["way"])
    pairs = ((model, FLOAT), (shrunk, way))
    turns = [
        [figures_of(m, w, dataset.train.X[:256]).latency_ms for m, w in pairs] for _ in range(TURNS)
    ]
    was, became = (min(times) for times in zip(*turns, strict=True))
    lost = 100 * (test["original"]["accuracy"] - test["winner"]["accuracy"])
    print(f"bytes: {size_mb / figures['size_mb']:.1f} times fewer (of {smaller:g})")
    print(f"latency: {was:.3f} to {became:.3f} ms, {was / became:.1f} times lower (of {quicker:g})")
    print(f"accuracy on the test part: {lost:.2f} points lost (at most {points:g})")
    print(f"wall {time.monotonic() - begun:.0f} s, cpu {time.process_time() - cpu:.0f} s")


def figures_of(model: Any, way: Way, samples: np.ndarray) -> Figures:
    costing = Costing(find("this"), samples)
    program = costing.program(model, way)
    return costing.figures(model, way, costing.counts(model), program)
