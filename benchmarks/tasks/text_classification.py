"""SST-2 and TREC from scratch: accuracy on the test part of TextClassifier's rungs, beside TF-IDF
with logistic regression.

    python benchmarks/tasks/text_classification.py --data trec --sizes xs s

Trained on the training part alone; settings were chosen on SST-2's own development part and on 800
questions held out of TREC's training part.
"""

from __future__ import annotations

import argparse
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from depthwise.scores import wilson_interval
from depthwise.tasks.text_classification import TextClassifier, TextLogistic

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
OUT = Path(__file__).resolve().parents[1] / "out"
Part = tuple[list[str], np.ndarray]


def part(data: str, name: str) -> Part:
    """Texts and labels."""
    archive = SHARED / "text-classification.zip"
    if not archive.exists():
        raise SystemExit(f"{archive} is absent: this benchmark needs the shared data sets")
    lines = zipfile.ZipFile(archive).read(f"{data}/{name}.tsv").decode().splitlines()
    rows = [line.split("\t") for line in lines]
    return [" ".join(row[1:]) for row in rows], np.array([row[0] for row in rows])


def measured(model: Any, train: Part, test: Part) -> dict[str, Any]:
    started, cpu = time.monotonic(), time.process_time()
    model.fit(*train)
    fitted = time.process_time() - cpu
    correct = int((model.predict(test[0]) == test[1]).sum())
    low, high = wilson_interval(correct, len(test[1]))
    bursts = []
    for text in test[0][:50]:
        began = time.perf_counter()
        model.predict([text])
        bursts.append(1000 * (time.perf_counter() - began))
    return {
        "accuracy": round(correct / len(test[1]), 4),
        "interval": [round(low, 4), round(high, 4)],
        "train_cpu_seconds": round(fitted, 1),
        "wall_seconds": round(time.monotonic() - started, 1),
        "latency_ms": round(float(np.median(bursts)), 2),
        "size_mb": round(sum(4 * w.numel() for w in model.network_.state_dict().values()) / 1e6, 2),
        "settings": str(model),
    }


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--data", nargs="+", default=["sst2", "trec"])
    ask.add_argument("--sizes", nargs="*", default=["xs", "s"])
    ask.add_argument("--seed", type=int, default=0)
    given = ask.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    for data in given.data:
        train, test = part(data, "train"), part(data, "test")
        models: dict[str, Any] = {"tfidf": TextLogistic()}
        for size in given.sizes:
            models[size] = TextClassifier(size=size, random_state=given.seed, threads=1)
        for name, model in models.items():
            results[f"{data} {name}"] = measured(model, train, test)
            print(json.dumps({f"{data} {name}": results[f"{data} {name}"]}), flush=True)
    OUT.mkdir(exist_ok=True)
    name = "text_classification_" + "_".join(given.data)
    (OUT / f"{name}.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
