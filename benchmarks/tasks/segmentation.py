"""What is at each pixel? CamVid at 240 x 180, 11 classes, the usual lists.

    .venv/bin/python benchmarks/tasks/segmentation.py --sizes lite m s xs --frozen --test

../shared/data/camvid-240.zip through `depthwise.load_data`: 367 frames to train, 101 of validation
for the best epoch and for every choice of settings, 233 to test; "Unlabelled" is neither learnt nor
scored. Without `--test` the validation part is scored, and the test list is not touched. Mean IoU
over the 11 classes of all pixels of a list together; 95 % intervals by drawing images anew (frames
of one drive are alike, so the intervals are too narrow for another drive).

Beside it: the most frequent class of the training frames at each pixel, whatever the picture; and,
with `--frozen`, the U-Net on an encoder that does not learn. A run that is killed goes on where it
was; models and figures stay in benchmarks/out/segmentation/.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.data.dataset import Dataset
from depthwise.data.load import load
from depthwise.models.modelfile import read_model
from depthwise.tasks.segmentation.scores import confusions, segmentation_report
from depthwise.tasks.segmentation.segmenter import Segmenter

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "camvid-240.zip"
OUT = ROOT / "benchmarks" / "out" / "segmentation"
OWN = {"lite": {"freeze": 1}}  # its lowest stage knows edges already, and is a quarter of a step


def prior(data: Dataset, part: str) -> dict[str, Any]:
    """The most frequent training class at each pixel."""
    masks, truth = data.train.y, data.part(part).y
    counts = np.stack([(masks == k).sum(axis=0) for k in range(data.n_classes)])
    called = np.broadcast_to(counts.argmax(axis=0), truth.shape)
    return segmentation_report(confusions(truth, called, data.n_classes), data.classes)


def learnt(data: Dataset, name: str, settings: dict[str, Any]) -> tuple[Segmenter, dict[str, Any]]:
    """The model of these settings, trained or from its folder, and what training took."""
    folder, about = OUT / name, OUT / f"{name}.training.json"
    if about.exists():
        return read_model(folder, {"segmenter": Segmenter}), json.loads(about.read_text())
    started, cpu = time.monotonic(), cpu_seconds()
    best = 0.0

    def watch(event: Any) -> None:
        nonlocal best
        if event.score is not None and event.score > best:
            best = event.score
            print(
                f"{name}: epoch {event.epoch:.0f}/{event.epochs:.0f} loss {event.loss:.3f} "
                f"validation {best:.4f} CPU {cpu_seconds() - cpu:.0f} s",
                flush=True,
            )

    model = Segmenter(**settings)
    model.fit(data, checkpoint=OUT / f"{name}.checkpoint", watch=watch)
    model.save(folder)
    took = {
        "wall_seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(cpu_seconds() - cpu, 1),
        "compute": model.history_["compute"],
        "epochs": model.history_["epochs"],
    }
    about.write_text(json.dumps(took, indent=1))
    (OUT / f"{name}.checkpoint").unlink(missing_ok=True)
    return model, took


def latency_ms(model: Segmenter, X: np.ndarray) -> float:
    """One image at a time, by torch on one thread: the median of the quietest of 20 bursts."""
    bursts = []
    for _ in range(20):
        times = []
        for i in range(3):
            started = time.perf_counter()
            model.predict(X[i : i + 1])
            times.append(time.perf_counter() - started)
        bursts.append(float(np.median(times)))
    return round(min(bursts) * 1000, 2)


def told(name: str, result: dict[str, Any]) -> None:
    line = f"{name:28} mIoU {result['value']:.4f} ({result['low']:.3f} .. {result['high']:.3f})"
    print(f"{line}  pixels {result['pixel_accuracy']:.4f}", flush=True)
    each = "  ".join(f"{k} {v:.3f}" for k, v in result["per_class"].items() if v is not None)
    print(f"    {each}", flush=True)
    extra = {k: result[k] for k in ("cpu_seconds", "wall_seconds", "megabytes", "latency_ms")}
    print(f"    {json.dumps(extra)}" if extra["cpu_seconds"] else "", flush=True)


def scored(data: Dataset, part: str, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    model, took = learnt(data, name, settings)
    X, y = data.part(part)
    weights = OUT / name / "model.safetensors"
    result = {
        **model.assess(X, y),
        **took,
        "megabytes": round(weights.stat().st_size / 1e6, 3),
        "latency_ms": latency_ms(model, X),
        "settings": settings,
        "part": part,
    }
    (OUT / f"{name}.{part}.json").write_text(json.dumps(result, indent=1))
    told(name, result)
    return result


def smallest_that_keeps(results: dict[str, dict[str, Any]], share: float = 0.95) -> None:
    """By the bytes of its weights."""
    best = max(result["value"] for result in results.values())
    kept = [name for name, result in results.items() if result["value"] >= share * best]
    name = min(kept, key=lambda each: results[each]["megabytes"])
    found = results[name]
    print(
        f"smallest that keeps {share:.0%} of {best:.4f}: {name}, {found['value']:.4f}, "
        f"{found['megabytes']} MB, {found['latency_ms']} ms an image",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="*", default=["lite"], help="rungs of the ladder")
    parser.add_argument("--frozen", action="store_true", help="also lite, its encoder frozen")
    parser.add_argument("--test", action="store_true", help="score the test list")
    parser.add_argument("--epochs", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], help="other settings, name=value")
    given = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    data, part = load(DATA), "test" if given.test else "validation"
    baseline = {**prior(data, part), "cpu_seconds": 0, "wall_seconds": 0}
    told("class prior of each pixel", {**baseline, "megabytes": 0, "latency_ms": 0})
    common = {"epochs": given.epochs, "random_state": given.seed, "threads": 1}
    common |= {name: _value(text) for name, text in (each.split("=") for each in given.set)}
    mark = "-".join([f"{given.epochs:g}", str(given.seed), *given.set])
    results = {
        size: scored(data, part, f"{size}-{mark}", {"size": size, **OWN.get(size, {}), **common})
        for size in given.sizes
    }
    smallest_that_keeps(results)
    if given.frozen:
        scored(data, part, f"frozen-{mark}", {"size": "lite", **common, "freeze": "all"})


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
