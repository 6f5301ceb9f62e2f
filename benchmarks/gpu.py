"""What a GPU makes of training: how fast, how soon right, how much memory, and whether a killed run
goes on.

    python benchmarks/gpu.py                             # all parts, about ten minutes on an H200
    python benchmarks/gpu.py --parts speed boltzmann
    python benchmarks/gpu.py --parts soon --quick        # a smoke of it

| part        | what is measured                                                               |
| ----------- | ------------------------------------------------------------------------------ |
| `speed`     | CNN s, m, xl on CIFAR-10: pictures a second of a settled epoch (the third), by |
|             | batch size, precision, and steps recorded or not; peak memory of the GPU       |
| `soon`      | seconds from the call of `fit` until 90 and 94% of 5,000 held-out training     |
|             | pictures are right, scored after every epoch; the test part is scored once     |
| `boltzmann` | RBM 500 and DBM 500-1000 on MNIST: passes over 60,000 pictures a second, by    |
|             | stage                                                                          |
| `scoring`   | `predict` on 10,000 test pictures, from the GPU and from the processor         |
| `killed`    | a fit that is killed (kill -9) and begun again: the weights that it ends with  |
|             | beside those of a run never killed, and those of two such runs                 |

float32 is torch's default on a GPU: convolutions in TF32. Each line that is printed is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common import SHARED, both_parts
from depthwise import CNN, DBM, RBM
from depthwise.compute import Compute, own_randomness
from depthwise.data.pictures.augment import augmenter
from depthwise.losses import smoothed_cross_entropy
from depthwise.models import networks
from depthwise.training.graphs import RecordedUpdate
from depthwise.training.loop import train
from depthwise.training.step import GradientUpdate, Recipe

HELD_OUT = 5000
MARKS = (0.90, 0.94)
# how the accuracies are reached: a size, its settings beside the default ones
SOON: dict[str, dict[str, Any]] = {
    "m, batch 128": {"size": "m", "epochs": 40},
    "m, batch 512": {"size": "m", "epochs": 40, "batch_size": 512, "lr": 0.02},
    "xl, batch 128": {"size": "xl", "epochs": 30},
    "xl, batch 512": {"size": "xl", "epochs": 30, "batch_size": 512, "lr": 0.02},
}
Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--out", type=Path, help="a file for the same lines")
    parser.add_argument("--quick", action="store_true", help="little of everything")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a GPU that torch can use")
    if options.child:
        child(options, *map(Path, options.child))
        return
    about = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    note(options, "machine", **about, cores=os.cpu_count())
    for name in options.parts:
        begun = time.monotonic()
        PARTS[name](options)
        note(options, name, part_seconds=round(time.monotonic() - begun, 1))


def note(options: argparse.Namespace, part: str, **figures: Any) -> None:
    line = json.dumps({"part": part, **figures})
    print(line, flush=True)
    if options.out:
        with options.out.open("a") as file:
            file.write(line + "\n")


def cifar(options: argparse.Namespace) -> Parts:
    parts = both_parts(options.data / "cifar10" / "cifar10-jpeg.zip")
    return cut(parts, 4000) if options.quick else parts


def mnist(options: argparse.Namespace) -> Parts:
    parts = both_parts(options.data / "mnist")
    return cut(parts, 4000) if options.quick else parts


def cut(parts: Parts, items: int) -> Parts:
    X, y, X_test, y_test = parts
    some = np.random.default_rng(0).permutation(len(X))[:items]
    return X[some], y[some], X_test[:items], y_test[:items]


def held_out(parts: Parts) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training pictures and labels without HELD_OUT of them, and these."""
    X, y = parts[:2]
    order = np.random.default_rng(0).permutation(len(X))
    held = min(HELD_OUT, len(X) // 5)
    return X[order[held:]], y[order[held:]], X[order[:held]], y[order[:held]]


# -- speed ----------------------------------------------------------------------------------------


def speed(options: argparse.Namespace) -> None:
    X, y = cifar(options)[:2]
    x, labels = torch.from_numpy(X), torch.from_numpy(y)
    sizes = ("s",) if options.quick else ("s", "m", "xl")
    for size in sizes:
        for batch in (128, 512, 2048):
            for precision in ("float32", "bfloat16"):
                for graph in (False, True):
                    way = Compute("cuda", precision, True, 1, graph)
                    figures = settled_epoch(size, x, labels, batch, way)
                    about = {"size": size, "batch": batch, "precision": precision}
                    note(options, "speed", **about, recorded=graph, **figures)


def settled_epoch(size: str, x: Tensor, y: Tensor, batch: int, way: Compute) -> dict[str, Any]:
    """Pictures a second of the third epoch, and the most memory that was taken."""
    recipe = Recipe(epochs=3, batch_size=batch, lr=1e-3)
    shape = tuple(x.shape[1:])
    with own_randomness(0):
        network = way.place(CNN(size=size).build(shape, 10))
    loss = partial(smoothed_cross_entropy, smoothing=0.05)
    update: Any = GradientUpdate(network, loss, recipe, way, augmenter("auto", shape))
    update = RecordedUpdate(update) if way.graph else update
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    history = train(network, update, x, y, recipe, compute=way)
    ends = [record["seconds"] for record in history.epochs]
    return {
        "pictures_per_second": round(len(x) / (ends[2] - ends[1])),
        "first_epoch_seconds": round(ends[0], 2),
        "peak_mb": round(torch.cuda.max_memory_allocated() / 1e6),
    }


# -- how soon right -------------------------------------------------------------------------------


def soon(options: argparse.Namespace) -> None:
    parts = cifar(options)
    X, y, X_held, y_held = held_out(parts)
    for name, settings in SOON.items():
        for precision in ("float32", "bfloat16"):
            settings = {**settings, **({"epochs": 2} if options.quick else {})}
            model = CNN(**settings, precision=precision, device="cuda", random_state=0)
            model.set_params(label_smoothing=0.1, patience=None)
            torch.cuda.reset_peak_memory_stats()
            begun = time.monotonic()
            model.fit(X, y, validation=(X_held, y_held))
            wall = time.monotonic() - begun
            records = model.history_["epochs"]
            before = wall - records[-1]["seconds"]  # checks, uploading, choosing how to compute
            figures = {f"seconds_to_{mark:.0%}": reached(records, mark, before) for mark in MARKS}
            figures |= {"best_held_out": max(record["score"] for record in records)}
            figures |= {"test": round(float(model.score(*parts[2:])), 4)}
            figures |= {"fit_seconds": round(wall, 1), "before_seconds": round(before, 1)}
            figures |= {"peak_mb": round(torch.cuda.max_memory_allocated() / 1e6)}
            way = {k: model.history_["compute"][k] for k in ("channels_last", "graph")}
            note(options, "soon", setting=name, precision=precision, **figures, **way)


def reached(records: list[dict[str, Any]], mark: float, before: float) -> float | None:
    seconds = [record["seconds"] for record in records if record["score"] >= mark]
    return round(before + seconds[0], 1) if seconds else None


# -- Boltzmann machines ---------------------------------------------------------------------------


def boltzmann(options: argparse.Namespace) -> None:
    X, y, *_ = mnist(options)
    for precision in ("float32", "bfloat16"):
        about: dict[str, Any] = {"precision": precision, "device": "cuda", "random_state": 0}
        for k in (1, 5):
            model: Any = RBM(n_hidden=500, k=k, epochs=4, **about)
            torch.cuda.reset_peak_memory_stats()
            passes(options, f"RBM 500, PCD-{k}", model.fit(X), precision)
        deep = DBM(hidden=(500, 1000), epochs=3, pretrain_epochs=3, finetune_epochs=3, **about)
        torch.cuda.reset_peak_memory_stats()
        passes(options, "DBM 500-1000", deep.fit(X, y), precision)


def passes(options: argparse.Namespace, name: str, model: Any, precision: str) -> None:
    """By stage, of the passes after the first."""
    stages: dict[str, list[float]] = {}
    for record in model.history_["epochs"]:
        stages.setdefault(record["stage"], []).append(record["seconds"])
    rates = {s: round((len(t) - 1) / (t[-1] - t[0]), 2) for s, t in stages.items() if len(t) > 1}
    memory = round(torch.cuda.max_memory_allocated() / 1e6)
    note(options, "boltzmann", model=name, precision=precision, passes=rates, peak_mb=memory)


# -- scoring --------------------------------------------------------------------------------------


def scoring(options: argparse.Namespace) -> None:
    X, y, X_test, _ = cifar(options)
    for size in ("s", "xl"):
        model = CNN(size=size, epochs=0.1, device="cuda", random_state=0).fit(X, y)
        there, answers = seconds_of(lambda model=model: model.predict_proba(X_test))
        model.set_params(device="cpu")
        with Compute(threads=os.cpu_count() or 1).active():
            home, at_home = seconds_of(lambda model=model: model.predict_proba(X_test))
        apart = float(np.abs(answers - at_home).max())
        note(
            options,
            "scoring",
            size=size,
            gpu_pictures_per_second=round(len(X_test) / there),
            processor_pictures_per_second=round(len(X_test) / home),
            largest_difference=apart,
        )


def seconds_of(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Of the quicker of two."""
    taken = []
    for _ in range(2):
        begun = time.monotonic()
        answers = run()
        taken.append(time.monotonic() - begun)
    return min(taken), answers


# -- killed and begun again -----------------------------------------------------------------------


def killed(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        for name in ("whole", "again", "killed"):
            checkpoint, out = Path(folder) / f"{name}.run", Path(folder) / f"{name}.npz"
            if name == "killed":
                begin_and_kill(options, checkpoint, out)
            subprocess.run(child_command(options, checkpoint, out), check=True)
            results[name] = dict(np.load(out))
    whole, again, resumed = results["whole"], results["again"], results["killed"]
    note(
        options,
        "killed",
        sittings_first_step=int(resumed["first"]),
        steps=int(resumed["steps"]),
        resumed_from_never_killed=round(distance(whole["weights"], resumed["weights"]), 4),
        two_never_killed=round(distance(whole["weights"], again["weights"]), 4),
        test={name: round(float(result["test"]), 4) for name, result in results.items()},
    )


def child_command(options: argparse.Namespace, checkpoint: Path, out: Path) -> list[str]:
    command = [sys.executable, __file__, "--data", str(options.data), "--child"]
    return [*command, str(checkpoint), str(out), *(["--quick"] if options.quick else [])]


def begin_and_kill(options: argparse.Namespace, checkpoint: Path, out: Path) -> None:
    """Once there is a checkpoint, and some more work that is lost."""
    process = subprocess.Popen(child_command(options, checkpoint, out))
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()


def child(options: argparse.Namespace, checkpoint: Path, out: Path) -> None:
    """One fit, its state written down every second."""
    first: list[int] = []
    networks.train = partial(train, checkpoint_seconds=1.0)  # type: ignore[attr-defined]
    X, y, X_test, y_test = cifar(options)
    model = CNN(size="m", epochs=12, device="cuda", precision="bfloat16", random_state=0)
    model.fit(X, y, checkpoint=checkpoint, watch=lambda event: first.append(event.step))
    weights = nn.utils.parameters_to_vector(model.network_.parameters()).detach().numpy()
    about = {"first": first[0], "steps": model.history_["steps"]}
    np.savez(out, weights=weights, test=model.score(X_test, y_test), **about)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(a))


PARTS = {
    "speed": speed,
    "soon": soon,
    "boltzmann": boltzmann,
    "scoring": scoring,
    "killed": killed,
}

if __name__ == "__main__":
    main()
