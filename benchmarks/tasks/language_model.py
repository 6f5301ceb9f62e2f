"""Tiny Shakespeare, the last 10% held out: nats a character of a LanguageModel, beside an n-gram
model with modified Kneser-Ney smoothing.

    python benchmarks/tasks/language_model.py --size m --epochs 10 --set lr=0.01

The last 2% of the training part choose the best epoch and draw the curve; the held-out part is
looked at once, at the end. Resumable: the same command goes on where it was killed.
"""

from __future__ import annotations

import argparse
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.tasks.language.kneser_ney import KneserNey
from depthwise.tasks.language.language_model import LanguageModel
from depthwise.text.tokens import as_bytes

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
OUT = Path(__file__).resolve().parents[1] / "out"
SPOKEN = 20.0  # seconds between two lines of progress


def parts() -> tuple[str, str]:
    """The first 90% of the characters, and the rest."""
    archive = SHARED / "language-modelling.zip"
    if not archive.exists():
        raise SystemExit(f"{archive} is absent: this benchmark needs the shared data sets")
    text = zipfile.ZipFile(archive).read("tinyshakespeare.txt").decode()
    cut = len(text) * 9 // 10
    return text[:cut], text[cut:]


def baseline(train: str, test: str, order: int) -> dict[str, Any]:
    started = time.process_time()
    row = [np.frombuffer(as_bytes(text), dtype=np.uint8) for text in (train, test)]
    nats = KneserNey(order).fit(row[0]).nats(row[1])
    seconds = round(time.process_time() - started, 2)
    return {"nats_per_character": round(float(nats.mean()), 4), "cpu_seconds": seconds}


class Curve:
    """A line of progress now and then, and one an epoch."""

    def __init__(self) -> None:
        self.told, self.cpu = 0.0, time.process_time()

    def __call__(self, event: Any) -> None:
        if time.monotonic() - self.told < SPOKEN and event.step % event.steps:
            return
        self.told = time.monotonic()
        cpu = time.process_time() - self.cpu
        print(
            f"epoch {event.epoch:.2f}/{event.epochs:g} loss {event.loss:.4f} best {event.score} "
            f"wall {event.seconds:.0f} s, cpu of this sitting {cpu:.0f} s",
            flush=True,
        )


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--name", default="language_model")
    ask.add_argument("--size", default="m")
    ask.add_argument("--epochs", type=float, default=10.0)
    ask.add_argument("--seconds-limit", type=float, default=None)
    ask.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    ask.add_argument("--order", type=int, default=5)
    ask.add_argument("--baseline-only", action="store_true")
    given = ask.parse_args()
    train, test = parts()
    result: dict[str, Any] = {f"{given.order}-gram": baseline(train, test, given.order)}
    print(json.dumps(result), flush=True)
    if given.baseline_only:
        return
    settings = {k: json.loads(v) for k, _, v in (pair.partition("=") for pair in given.set)}
    settings = {"validation_fraction": 0.02, **settings}
    model = LanguageModel(size=given.size, epochs=given.epochs, **settings)
    started, cpu = time.monotonic(), time.process_time()
    OUT.mkdir(exist_ok=True)
    options: dict[str, Any] = {"seconds_limit": given.seconds_limit, "watch": Curve()}
    model.fit(train, checkpoint=OUT / f"{given.name}.checkpoint", **options)
    fitted = time.process_time()
    for record in model.history_["epochs"]:
        print(json.dumps(record))
    model.save(OUT / given.name)
    nats = model.token_nats(test)
    half = 1.96 * nats.std() / len(nats) ** 0.5
    result |= {
        "nats_per_character": round(float(nats.mean()), 4),
        "interval": [round(float(nats.mean() - half), 4), round(float(nats.mean() + half), 4)],
        "bits_per_byte": round(float(nats.mean()) / np.log(2), 4),
        "train_wall_seconds": round(model.history_["seconds"], 1),
        "train_cpu_seconds_this_sitting": round(fitted - cpu, 1),
        "score_cpu_seconds": round(time.process_time() - fitted, 1),
        "wall_seconds_this_sitting": round(time.monotonic() - started, 1),
        "parameters": sum(w.numel() for w in model.network_.parameters()),
        "compute": model.history_["compute"],
        "settings": str(model),
    }
    print(json.dumps(result, indent=1))
    (OUT / f"{given.name}.json").write_text(json.dumps(result, indent=1))
    print("".join(model.generate("ROMEO:", temperature=0.8, max_tokens=400)))


if __name__ == "__main__":
    main()
