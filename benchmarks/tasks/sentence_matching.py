"""Pairs of sentences: Spearman's correlation on the test part of STS-B, F1 of paraphrases on that
of MRPC, from scratch and on the installed sentence encoder, each beside its baseline: the cosine of
TF-IDF, and "paraphrase" said of every pair.

    python benchmarks/tasks/sentence_matching.py --data stsb --models tfidf xs s as-it-is head
    python benchmarks/tasks/sentence_matching.py --data mrpc --models all-positive xs head cross

Trained on the training part alone; settings, and the epoch of `cross`, were chosen on the
development part. `--part validation` scores that one and keeps a tuned model in benchmarks/out, and
a later `--part test` scores the model that was kept.
"""

from __future__ import annotations

import argparse
import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from depthwise.backbones.texts.named import sentence_encoder
from depthwise.catalog import load_model
from depthwise.tasks.sentence_matching.matcher import SentenceMatcher
from depthwise.tasks.sentence_matching.scores import f1, f1_interval, spearman, spearman_interval

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
OUT = Path(__file__).resolve().parents[1] / "out"
PARTS = {"stsb": ("train", "dev", "test"), "mrpc": ("train", "val", "test")}
Part = tuple[list[tuple[str, str]], np.ndarray]

ENCODED: dict[str, Any] = {"encoder": "minilm-l6", "max_words": 128, "precision": "bfloat16"}
SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "stsb": {
        "xs": {"size": "xs", "epochs": 3, "lr": 3e-3},
        "s": {"size": "s", "epochs": 3, "lr": 3e-3},
        "head": {**ENCODED, "epochs": 10, "lr": 5e-4},
    },
    "mrpc": {
        "xs": {"size": "xs", "epochs": 3, "lr": 3e-3},
        "s": {"size": "s", "epochs": 3, "lr": 3e-3},
        "head": {**ENCODED, "epochs": 10, "lr": 2e-4, "dropout": 0.3},
        "cross": {**ENCODED, "cross": True, "freeze": 1, "epochs": 3, "encoder_rate": 0.1},
    },
}


def part(data: str, name: str) -> Part:
    """Pairs, and similarities 0 .. 5 or 1 for a paraphrase."""
    archive = SHARED / "sentence-pairs.zip"
    if not archive.exists():
        raise SystemExit(f"{archive} is absent: this benchmark needs the shared data sets")
    lines = zipfile.ZipFile(archive).read(f"{data}/{name}.tsv").decode().splitlines()[1:]
    rows = [line.split("\t") for line in lines]
    if data == "stsb":
        return [(a, b) for a, b, _ in rows], np.array([float(score) for *_, score in rows])
    return [(a, b) for *_, a, b in rows], np.array([int(label) for label, *_ in rows])


def similarities_scored(answers: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    value = spearman(answers, truth)
    low, high = spearman_interval(value, len(truth))
    return {"metric": "spearman", "value": value, "low": low, "high": high, "items": len(truth)}


def tfidf(train: Part, held: Part) -> dict[str, Any]:
    counts = TfidfVectorizer().fit([text for pair in train[0] for text in pair])
    left, right = (counts.transform([pair[side] for pair in held[0]]) for side in (0, 1))
    return similarities_scored(np.asarray(left.multiply(right).sum(axis=1)).ravel(), held[1])


def as_it_is(train: Part, held: Part) -> dict[str, Any]:
    """The encoder's cosine; nothing is learnt."""
    encoder = sentence_encoder("minilm-l6")
    with torch.autocast("cpu", torch.bfloat16):
        left, right = (encoder.encode([pair[side] for pair in held[0]]) for side in (0, 1))
    return similarities_scored((left * right).sum(axis=1), held[1])


def all_positive(train: Part, held: Part) -> dict[str, Any]:
    told, truth = np.ones(len(held[1]), dtype=bool), held[1] == 1
    low, high = f1_interval(told, truth)
    return {"metric": "f1 of 1", "value": f1(told, truth), "low": low, "high": high}


BASELINES: dict[str, Callable[[Part, Part], dict[str, Any]]] = {
    "tfidf": tfidf,
    "as-it-is": as_it_is,
    "all-positive": all_positive,
}


def learnt(data: str, name: str, seed: int, train: Part, dev: Part, held: Part) -> dict[str, Any]:
    targets = (0, 5) if data == "stsb" else "classes"
    settings = {"targets": targets, "threads": 1, "random_state": seed, **SETTINGS[data][name]}
    model = SentenceMatcher(**settings)
    folder = OUT / f"pairs_{data}_{name}_{seed}"
    cost = folder / "cost.json"
    if cost.exists():
        model, about = load_model(folder), json.loads(cost.read_text())
    else:
        model, about = fitted(model, train, dev if name == "cross" else None)
        model.save(folder)
        cost.write_text(json.dumps(about))
    bursts = []
    for pair in held[0][:30]:
        began = time.perf_counter()
        model.predict([pair])
        bursts.append(1000 * (time.perf_counter() - began))
    weights = sum(4 * tensor.numel() for tensor in model.network_.state_dict().values())
    return {
        **model.assess(*held),
        **about,
        "latency_ms": round(float(np.median(bursts)), 2),
        "size_mb": round(weights / 1e6, 2),
        "settings": str(SETTINGS[data][name]),
    }


def fitted(model: SentenceMatcher, train: Part, dev: Part | None) -> tuple[Any, dict[str, Any]]:
    started, cpu = time.monotonic(), time.process_time()
    model.fit(*train, validation=dev, watch=told)
    return model, {
        "train_cpu_seconds": round(time.process_time() - cpu, 1),
        "train_wall_seconds": round(time.monotonic() - started, 1),
        "validation": [record.get("score") for record in model.history_["epochs"]],
    }


def told(event: Any) -> None:
    if event.step % 25 == 0 or event.step == event.steps:
        score = "" if event.score is None else f", validation {event.score:.4f}"
        print(f"{event.step}/{event.steps} loss {event.loss:.4f}{score}", flush=True)


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--data", default="stsb", choices=list(PARTS))
    ask.add_argument("--models", nargs="+", default=["xs", "head"])
    ask.add_argument("--part", default="test", choices=["validation", "test"])
    ask.add_argument("--seed", type=int, default=0)
    given = ask.parse_args()
    torch.set_num_threads(1)
    OUT.mkdir(exist_ok=True)
    train, dev, test = (
        part(given.data, name) if name != "test" or given.part == "test" else None
        for name in PARTS[given.data]
    )
    held = dev if test is None else test
    results: dict[str, Any] = {}
    for name in given.models:
        results[name] = (
            BASELINES[name](train, held)
            if name in BASELINES
            else learnt(given.data, name, given.seed, train, dev, held)
        )
        print(json.dumps({f"{given.data} {given.part} {name}": results[name]}), flush=True)
    out = OUT / f"sentence_matching_{given.data}_{given.part}_{'_'.join(given.models)}.json"
    out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
