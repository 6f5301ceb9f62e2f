"""How many images does a CPU-second of training get through, here and in other frameworks?

    python3 -m venv benchmarks/.venv-peers
    benchmarks/.venv-peers/bin/python -m pip install \\
        -c constraints.txt -r benchmarks/requirements-peers.txt
    python benchmarks/train_speed.py [--data DIR] [--threads 1 2] [--epochs 2 1] [--only NAME ...]

Data: the first 20,000 training images of Fashion-MNIST as IDX files (Debian: apt-get install
dataset-fashion-mnist). Network: train_speed/worker.py. Batches of 128, Adam; each framework by one
ordinary call of its own, in a process of its own that stays warm.

Method. A run is cut into bursts of 20 steps (2,560 images; an epoch's last batch is smaller). In a
round every framework does one burst, alone, in an order drawn anew; the first two rounds warm up.
A burst is a slice of the one real run, cut by a hook after the batch, so the work once a step and
once an epoch is in it as often as it occurs; what is done once a run (building, and in depthwise
the choice of precision, layout and threads) is not: it is over before the first burst, or falls
into it. Images per CPU-second count the time of all threads, so that a wait for a busy core costs
nothing; a busy neighbour still costs cache, and since it costs those whose turn is near it alike,
ratios are taken within a round. Then each trains on to the end, and all have seen the same number
of images: 20,000 an epoch; accuracy is on the 10,000 test images.

`--threads 2` means at most two for depthwise, which chooses by measurement, and two for the others.
"""

import argparse
import contextlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE / "out"
PEERS_PYTHON = HERE / ".venv-peers" / "bin" / "python"

BATCH = 128  # as in worker.py
OURS = "depthwise"
HAND = ("by hand, in memory, bf16", "by hand, in memory, bf16, fused")
KEPT = HAND[1] + ", freed memory kept"  # an expert's trick that depthwise has too
FRAMEWORKS: dict[str, tuple[str, str]] = {  # name -> script, variant
    OURS: ("with_depthwise.py", ""),
    HAND[0]: ("by_hand.py", "adam"),
    HAND[1]: ("by_hand.py", "adam-fused"),
    KEPT: ("by_hand.py", "fused-kept"),
    "DataLoader": ("by_hand.py", "dataloader"),
    "skorch": ("with_skorch.py", ""),
    "Lightning": ("with_lightning.py", ""),
    "fastai": ("with_fastai.py", ""),
    "Keras (torch)": ("with_keras.py", ""),
}
TARGETS = {
    "best by hand": 0.98,
    KEPT: 0.98,
    "DataLoader": 2.0,
    "skorch": 1.8,
    "Lightning": 2.2,
    "fastai": 2.2,
    "Keras (torch)": 2.4,
}


# -- workers --------------------------------------------------------------------------------------


@dataclass
class Worker:
    name: str
    process: subprocess.Popen[str]
    log: Path
    notes: dict[str, Any] = field(default_factory=dict)
    bursts: list[dict[str, float]] = field(default_factory=list)
    result: dict[str, float] = field(default_factory=dict)

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            last_words = self.log.read_text().strip().rpartition("\n")[2]
            raise SystemExit(f"{self.name}: the worker ended early: {last_words} ({self.log})")
        return json.loads(line)

    @property
    def rates(self) -> list[float]:
        return [burst["images"] / burst["cpu_seconds"] for burst in self.bursts]

    @property
    def wall_rates(self) -> list[float]:
        return [burst["images"] / burst["seconds"] for burst in self.bursts]


def start(name: str, threads: int, epochs: int, options: argparse.Namespace, cache: str) -> Worker:
    script, variant = FRAMEWORKS[name]
    ours = script in ("with_depthwise.py", "by_hand.py")
    log = OUT / f"train_speed-{Path(script).stem}{variant and '-' + variant}-{threads}.log"
    command = [str(sys.executable if ours else PEERS_PYTHON), str(HERE / "train_speed" / script)]
    command += ["--variant", variant, "--data", str(options.data), "--threads", str(threads)]
    command += ["--images", str(options.images), "--epochs", str(epochs)]
    command += ["--burst-steps", str(options.burst_steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "DEPTHWISE_CACHE": cache}
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
    return Worker(name, process, log)


def race(threads: int, epochs: int, options: argparse.Namespace) -> dict[str, Worker]:
    """All rounds with this many threads: name -> worker with its bursts and accuracy."""
    with tempfile.TemporaryDirectory() as cache, contextlib.ExitStack() as ends:
        workers = []
        for name in sorted(options.only, key=lambda name: name != OURS):
            worker = start(name, threads, epochs, options, cache)
            ends.callback(worker.process.kill)
            workers.append(worker)
            if name == OURS:  # its choice by measurement wants quiet
                worker.notes = worker.hear()["ready"]
        for worker in workers:
            worker.notes = worker.notes or worker.hear()["ready"]
        draw = random.Random(threads)
        for round_ in range(rounds(epochs, options) + options.warm_up):
            for worker in draw.sample(workers, len(workers)):
                worker.tell("go")
                burst = worker.hear()["burst"]
                if round_ >= options.warm_up:
                    worker.bursts.append(burst)
            print(f"{threads} threads, round {round_ + 1}", file=sys.stderr, flush=True)
        for worker in workers:
            worker.tell("end")
            worker.result = worker.hear()["done"]
            worker.process.wait()
        return {worker.name: worker for worker in workers}


# -- the table ------------------------------------------------------------------------------------


def best_by_hand(workers: dict[str, Worker]) -> str | None:
    there = [name for name in HAND if name in workers]
    return max(there, key=lambda name: statistics.median(workers[name].rates), default=None)


def ratios(ours: Worker, other: Worker) -> list[float]:
    return [a / b for a, b in zip(ours.rates, other.rates, strict=True)]


def spread(values: list[float], digits: int) -> str:
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def table(workers: dict[str, Worker]) -> str:
    lines = [
        "| training | images per CPU-second | depthwise is faster by | images/s | test accuracy |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for worker in sorted(workers.values(), key=lambda w: -statistics.median(w.rates)):
        ratio = spread(ratios(workers[OURS], worker), 2) if OURS in workers else ""
        wall = f"{statistics.median(worker.wall_rates):.0f}"
        accuracy = f"{worker.result['accuracy']:.4f}"
        cells = [worker.name, spread(worker.rates, 0), ratio, wall, accuracy]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(workers: dict[str, Worker]) -> list[str]:
    """One line a target, and one for accuracy."""
    if OURS not in workers:
        return []
    lines = []
    for name, wanted in TARGETS.items():
        other = best_by_hand(workers) if name == "best by hand" else name
        if other not in workers:
            continue
        ratio = statistics.median(ratios(workers[OURS], workers[other]))
        word = "reached" if ratio >= wanted else "MISSED"
        lines.append(f"- {word}: {ratio:.2f}x {other}; wanted {wanted:g}x")
    ours = workers[OURS].result["accuracy"]
    behind = max(w.result["accuracy"] for w in workers.values()) - ours
    word = "reached" if behind <= 0.005 else "MISSED"
    lines.append(f"- {word}: accuracy {ours:.4f}, {100 * behind:.2f} points behind the best; 0.5")
    return lines


def report(threads: int, workers: dict[str, Worker]) -> None:
    seen = sorted({int(worker.result["images"]) for worker in workers.values()})
    print(f"\n### {threads} thread{'s' * (threads > 1)}\n\n{table(workers)}\n")
    measured = max(len(worker.bursts) for worker in workers.values())
    print(f"Median (lowest-highest) of {measured} rounds; images seen by each: {seen}.")
    if OURS in workers:
        print(f"depthwise chose {workers[OURS].notes}.\n")
    print("\n".join(verdict(workers)), flush=True)


def record(race_: dict[str, Worker]) -> dict[str, Any]:
    return {
        name: {"bursts": worker.bursts, "notes": worker.notes, **worker.result}
        for name, worker in race_.items()
    }


def versions() -> dict[str, str]:
    names = ("torch", "numpy", "skorch", "fastai", "lightning", "keras")
    code = f"from importlib.metadata import version as v; print(*map(v, {names}))"
    peers = subprocess.run([str(PEERS_PYTHON), "-c", code], capture_output=True, text=True)
    return {"python": platform.python_version(), **dict(zip(names, peers.stdout.split()))}


def rounds(epochs: int, options: argparse.Namespace) -> int:
    """Measured rounds; what an epoch leaves over is trained without measuring."""
    return epochs * -(-options.images // BATCH) // options.burst_steps - options.warm_up


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=[2, 1], help="for each of --threads"
    )
    parser.add_argument("--burst-steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=2, help="rounds")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", nargs="+", default=list(FRAMEWORKS), choices=list(FRAMEWORKS))
    options = parser.parse_args()
    if len(options.epochs) < len(options.threads):
        options.epochs *= len(options.threads)
    if rounds(min(options.epochs), options) < 1:
        parser.error("too few images for one measured round")
    if not (options.data / "train-images-idx3-ubyte.gz").exists():
        parser.error(f"no Fashion-MNIST in {options.data}: apt-get install dataset-fashion-mnist")
    if not PEERS_PYTHON.exists():
        parser.error(f"no {PEERS_PYTHON}: see the first lines of this file")
    return options


def main() -> None:
    options = parse()
    OUT.mkdir(exist_ok=True)
    begun = time.monotonic()
    results = {"versions": versions(), "load_before": os.getloadavg(), "threads": {}}
    for threads, epochs in zip(options.threads, options.epochs):
        workers = race(threads, epochs, options)
        report(threads, workers)
        results["threads"][threads] = record(workers)
    results["seconds"] = time.monotonic() - begun
    (OUT / "train_speed.json").write_text(json.dumps(results, indent=1))
    print(f"\n{results['seconds'] / 60:.1f} minutes; load {os.getloadavg()}; {results['versions']}")


if __name__ == "__main__":
    main()
