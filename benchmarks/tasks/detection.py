"""Blood cells found and counted: BCCD, its own lists, at 320 x 240 pixels.

    .venv/bin/python benchmarks/tasks/detection.py --sizes lite s xs m
    .venv/bin/python benchmarks/tasks/detection.py --sizes lite --no-pretrained

205 pictures are learnt from; the 87 of the validation list choose the best pass and the thresholds
of counting; the 72 of the test list are scored once (`--part validation` for choices). Printed for
each contender: AP50 with its interval over pictures, AP at 0.5:0.95, both by class; the mean
absolute error of counts by class, beside that of always telling the training mean; size; latency;
wall and CPU seconds. A run goes on from its checkpoint in benchmarks/out/detection.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from depthwise.data.load import load
from depthwise.data.targets.box_table import BoxTable
from depthwise.models.modelfile import read_model
from depthwise.tasks.detection.counts import true_counts
from depthwise.tasks.detection.detector import SIZES, Detector

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "bccd.zip"
OUT = Path(__file__).resolve().parents[1] / "out" / "detection"
EPOCHS = {"xs": 25, "s": 25, "m": 25, "lite": 8}
CELLS = ("window", "mirror", "upside", "colours")  # a microscope has no above and below


class Untaught(Detector):
    """The same network, from random weights."""

    is_transfer = False  # type: ignore[assignment]


def by_class(values: np.ndarray, classes: list[str]) -> dict[str, float]:
    return {name: round(float(value), 3) for name, value in zip(classes, values, strict=True)}


def told_mean(train: BoxTable, test: BoxTable, classes: list[str]) -> dict[str, float]:
    """Mean absolute errors of always telling the mean count of the training pictures."""
    mean = true_counts(train, len(classes)).mean(axis=0)
    return by_class(abs(true_counts(test, len(classes)) - mean).mean(axis=0), classes)


def latency_ms(folder: Path, X: np.ndarray, clock: Callable[[], float]) -> float:
    """One picture, suppression included: the median of the quietest of 20 bursts."""
    model, bursts = read_model(folder, {"detector": Detector}), []
    for _ in range(20):
        times = []
        for i in range(5):
            started = clock()
            model.predict(X[i : i + 1])
            times.append(clock() - started)
        bursts.append(float(np.median(times)))
    return round(min(bursts) * 1000, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="*", default=["lite"], choices=SIZES)
    parser.add_argument("--no-pretrained", action="store_true", help="from random weights")
    parser.add_argument("--epochs", type=float, help="in place of each size's own")
    parser.add_argument("--set", default="{}", help="other settings, JSON")
    parser.add_argument("--part", default="test", choices=("validation", "test"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    data = load(DATA)
    X, y = data.part(given.part)
    means = told_mean(data.train.y, y, data.classes)
    print(f"{given.part}: {len(X)} pictures; errors of the training mean: {means}", flush=True)
    for size in given.sizes:
        settings = {
            "size": size,
            "epochs": EPOCHS[size] if given.epochs is None else given.epochs,
            "batch_size": 8,
            "augment": CELLS,
            "quality": "paper",
            "patience": None,
            "random_state": given.seed,
            **json.loads(given.set),
        }
        kind = Untaught if given.no_pretrained else Detector
        marks = [f"{key}={value}" for key, value in json.loads(given.set).items()]
        rest = [f"{settings['epochs']:g}", str(given.seed), *marks]
        name = "-".join([size + "-untaught" * given.no_pretrained, *rest])
        started, cpu = time.monotonic(), _cpu_seconds()
        model = kind(**settings, precision="bfloat16", threads=1, verbose=True)
        model.fit(data, checkpoint=OUT / f"{name}.checkpoint")
        folder = model.save(OUT / name)
        report, counts = model.assess(X, y), model.count_errors(X, y)
        result = {
            "contender": name,
            "part": given.part,
            "ap50": round(report["value"], 4),
            "interval": [round(report[end], 4) for end in ("low", "high")],
            "ap50_by_class": {k: round(v, 4) for k, v in report["per_class"].items()},
            "ap": round(report["ap"], 4),
            "ap_by_class": {k: round(v, 4) for k, v in report["ap_per_class"].items()},
            "count_errors": {k: round(v, 3) for k, v in counts["per_class"].items()},
            "count_errors_of_the_mean": means,
            "thresholds": by_class(model.thresholds_, data.classes),
            "megabytes": round((folder / "model.safetensors").stat().st_size / 1e6, 2),
            "latency_ms": latency_ms(folder, X, time.perf_counter),
            "cpu_ms": latency_ms(folder, X, time.process_time),
            "learning_seconds": round(model.history_["seconds"], 1),
            "wall_seconds": round(time.monotonic() - started, 1),
            "cpu_seconds": round(_cpu_seconds() - cpu, 1),
            "curve": [round(epoch["score"], 3) for epoch in model.history_["epochs"]],
            "settings": settings,
        }
        print(json.dumps(result), flush=True)
        (OUT / f"{name}-{given.part}.json").write_text(json.dumps(result, indent=1))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
