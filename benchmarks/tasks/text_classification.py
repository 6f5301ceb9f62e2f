"""SST-2 and TREC: accuracy on the test part of TextClassifier's rungs, from scratch and on the
installed sentence encoder, beside TF-IDF with logistic regression.

    python benchmarks/tasks/text_classification.py --data trec --sizes xs s
    python benchmarks/tasks/text_classification.py --data sst2 --sizes --encoder head tuned

Trained on the training part alone; settings were chosen on SST-2's own development part and on 800
questions held out of TREC's training part. A tuned encoder's best epoch is chosen on SST-2's
development part, or on a tenth of TREC's training part. `--part validation` stops before the test
part is looked at; the model is kept in benchmarks/out, and a later `--part test` scores that one.
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

from depthwise.catalog import load_model
from depthwise.scores.accuracy import wilson_interval
from depthwise.tasks.text_classification.classifier import TextClassifier, TextLogistic

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


ENCODED: dict[str, dict[str, Any]] = {  # all of the encoder as it is; all but its embeddings learn
    "head": {"freeze": "all", "epochs": 30, "batch_size": 128, "lr": 2e-3},
    "tuned": {"freeze": 1, "epochs": 3, "batch_size": 32, "lr": 2e-3, "encoder_rate": 0.05},
}


def on_encoder(name: str, data: str, seed: int) -> TextClassifier:
    held = 0.1 if data == "trec" and name == "tuned" else 0.0
    return TextClassifier(
        encoder="minilm-l6",
        max_words=128,
        precision="bfloat16",
        threads=1,
        random_state=seed,
        validation_fraction=held,
        **ENCODED[name],
    )


def fitted(model: Any, train: Part, held: Part | None, name: str) -> tuple[Any, float]:
    """The model, and the seconds of processor time it took; one that is kept is loaded."""
    folder = OUT / f"text_{name.replace(' ', '_')}_{model.random_state}"
    cost = folder / "cpu_seconds.json"
    if cost.exists():
        return load_model(folder), json.loads(cost.read_text())
    cpu = time.process_time()
    model.fit(*train, validation=held, watch=lambda event: told(name, event))
    seconds = time.process_time() - cpu
    model.save(folder)
    cost.write_text(json.dumps(seconds))
    return model, seconds


def told(name: str, event: Any) -> None:
    if event.step % 25 == 0 or event.step == event.steps:
        score = "" if event.score is None else f", validation {event.score:.4f}"
        print(f"{name} {event.step}/{event.steps} loss {event.loss:.3f}{score}", flush=True)


def measured(model: Any, train: Part, test: Part, held: Part | None, name: str) -> dict[str, Any]:
    started = time.monotonic()
    if getattr(model, "encoder", None) is None:
        cpu = time.process_time()
        model.fit(*train)
        seconds = time.process_time() - cpu
    else:
        model, seconds = fitted(model, train, held, name)
        scores = [record.get("score") for record in model.history_["epochs"]]
        print(f"{name} validation by epoch {scores}", flush=True)
    if not test[0]:
        return {"train_cpu_seconds": round(seconds, 1)}
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
        "train_cpu_seconds": round(seconds, 1),
        "wall_seconds": round(time.monotonic() - started, 1),
        "latency_ms": round(float(np.median(bursts)), 2),
        "size_mb": round(sum(4 * w.numel() for w in model.network_.state_dict().values()) / 1e6, 2),
        "settings": str(model),
    }


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--data", nargs="+", default=["sst2", "trec"])
    ask.add_argument("--sizes", nargs="*", default=["xs", "s"])
    ask.add_argument("--encoder", nargs="*", default=[], choices=list(ENCODED))
    ask.add_argument("--part", default="test", choices=["validation", "test"])
    ask.add_argument("--seed", type=int, default=0)
    given = ask.parse_args()
    torch.set_num_threads(1)
    results: dict[str, Any] = {}
    OUT.mkdir(exist_ok=True)
    for data in given.data:
        train = part(data, "train")
        test = part(data, "test") if given.part == "test" else ([], np.array([]))
        held = part(data, "dev") if data == "sst2" else None
        models: dict[str, Any] = {"tfidf": TextLogistic()} if test[0] else {}
        for size in given.sizes:
            models[size] = TextClassifier(size=size, random_state=given.seed, threads=1)
        for name in given.encoder:
            models[f"minilm-l6 {name}"] = on_encoder(name, data, given.seed)
        for name, model in models.items():
            results[f"{data} {name}"] = measured(model, train, test, held, f"{data} {name}")
            print(json.dumps({f"{data} {name}": results[f"{data} {name}"]}), flush=True)

    name = "_".join(["text_classification", *given.data, *given.encoder])
    (OUT / f"{name}.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
