"""Claim: one epoch of CD-1 (784 -> 500, batches of 100, 60,000 binarised MNIST images) takes less
CPU time here than in other libraries, and runs near the processor's matrix-product peak.

    benchmarks/.venv-peers/bin/python -m pip install -c constraints.txt learnergy==2.0.2 rbms==0.5.0
    python benchmarks/families/rbm_speed.py [--threads 1 2] [--rounds 3] [--images 60000]

Every contender does one epoch by one ordinary call of its own, in a process of its own that stays
warm; in a round each does one, alone, in an order drawn anew; the first round warms up. Its time is
the least CPU time of all threads over the rounds (noise only adds), of the whole call: in depthwise
that includes checking the data, base rates and the anomaly threshold.

The work is five products of 2 x 100 x 784 x 500 operations a step. The peak is the best float32
product measured in the same rounds, of any library here (torch, numpy, oneDNN), at the RBM's own
shape and at 1024 x 1024.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
DATA = HERE.parents[2] / "shared" / "data" / "mnist" / "train-images-idx3-ubyte.gz"
BATCH, VISIBLE, HIDDEN = 100, 784, 500
OURS = ("depthwise bfloat16", "depthwise float32")
TARGETS = {
    "scikit-learn float32": 1.6,
    "scikit-learn float64": 2.7,
    "learnergy": 3.5,
    "rbms": 2.4,
}
PLAIN = "plain torch loop"
PEAK = "peak"


# -- one contender, in its own process ------------------------------------------------------------


def images(n: int) -> np.ndarray:
    import gzip

    with gzip.open(DATA) as file:
        raw = np.frombuffer(file.read(), np.uint8, offset=16)
    return (raw.reshape(-1, VISIBLE)[:n] > 127).astype(np.float32)


def with_depthwise(X: np.ndarray, threads: int, precision: str) -> Callable[[], object]:
    from depthwise import RBM

    model = RBM(n_hidden=HIDDEN, persistent=False, centred=False, epochs=1, batch_size=BATCH)
    model.set_params(lr=0.05, precision=precision, threads=threads)

    def fit() -> dict[str, float]:
        """Also the CPU seconds of a step in the loop, from what the watcher sees of it."""
        seen: list[tuple[int, float]] = []
        model.fit(X, watch=lambda event: seen.append((event.step, time.process_time())))
        (first, began), (last, ended) = seen[0], seen[-1]
        return {"step": (ended - began) / (last - first)} if last > first else {}

    return fit


def with_sklearn(X: np.ndarray, dtype: str) -> Callable[[], object]:
    from sklearn.neural_network import BernoulliRBM

    rows = X.astype(dtype)
    model = BernoulliRBM(HIDDEN, learning_rate=0.05, batch_size=BATCH, n_iter=1, random_state=0)
    return lambda: model.fit(rows)


def with_learnergy(X: np.ndarray) -> Callable[[], object]:
    import logging

    import torch
    from learnergy.models.bernoulli import RBM
    from torch.utils.data import TensorDataset

    logging.disable(logging.CRITICAL)
    items = TensorDataset(torch.from_numpy(X), torch.zeros(len(X)))
    model = RBM(n_visible=VISIBLE, n_hidden=HIDDEN, steps=1, learning_rate=0.05)
    return lambda: model.fit(items, batch_size=BATCH, epochs=1)


def with_rbms(X: np.ndarray) -> Callable[[], object]:
    """Its own update and optimiser in a bare loop: its `train` rewrites an archive every update."""
    import torch
    from rbms.bernoulli_bernoulli.classes import BBRBM
    from rbms.training.pcd import fit_batch_pcd

    v, ones = torch.from_numpy(X), torch.ones(len(X), 1)
    parameters = BBRBM(
        torch.randn(VISIBLE, HIDDEN) * 0.01, torch.zeros(VISIBLE), torch.zeros(HIDDEN)
    )
    for parameter in parameters.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer = torch.optim.SGD(parameters.parameters(), lr=0.05, maximize=True)
    chains = parameters.init_chains(BATCH)

    def fit() -> None:
        nonlocal chains
        with torch.no_grad():
            for rows in torch.randperm(len(v)).split(BATCH):
                optimizer.zero_grad(set_to_none=False)
                batch = (v[rows], ones[rows])
                chains, _ = fit_batch_pcd(batch, chains, parameters, gibbs_steps=1, beta=1.0)
                optimizer.step()

    return fit


def plain_torch(X: np.ndarray) -> Callable[[], object]:
    """What one writes in ten lines."""
    import torch

    items, weight = torch.from_numpy(X), torch.randn(VISIBLE, HIDDEN) * 0.01
    a, b = torch.zeros(VISIBLE), torch.zeros(HIDDEN)

    def fit() -> None:
        rate = 0.05 / BATCH
        for rows in torch.randperm(len(items)).split(BATCH):
            v0 = items[rows]
            h0 = torch.sigmoid(v0 @ weight + b)
            h = (torch.rand_like(h0) < h0).float()
            p = torch.sigmoid(h @ weight.t() + a)
            v1 = (torch.rand_like(p) < p).float()
            h1 = torch.sigmoid(v1 @ weight + b)
            weight.add_(v0.t() @ h0 - v1.t() @ h1, alpha=rate)
            a.add_((v0 - v1).sum(0), alpha=rate)
            b.add_((h0 - h1).sum(0), alpha=rate)

    return fit


def peak() -> Callable[[], object]:
    """GFLOP/s of float32 products, the best of many short bursts."""
    import torch

    from depthwise.families.boltzmann.products import full_speed

    v, w = torch.rand(BATCH, VISIBLE), torch.rand(VISIBLE, HIDDEN)
    square = torch.rand(1024, 1024)
    pairs = {"100x784x500": (v, w), "1024x1024x1024": (square, square)}

    def rate(product: Callable[[], object], operations: float) -> float:
        best, repeats = float("inf"), max(1, int(1e9 / operations))
        for _ in range(12):
            began = time.process_time()
            for _ in range(repeats):
                product()
            best = min(best, (time.process_time() - began) / repeats)
        return operations / best / 1e9

    def measure() -> dict[str, float]:
        found = {}
        for name, (a, b) in pairs.items():
            work, x, y = 2.0 * a.shape[0] * a.shape[1] * b.shape[1], a.numpy(), b.numpy()
            found[f"torch {name}"] = rate(lambda a=a, b=b: torch.mm(a, b), work)
            found[f"numpy {name}"] = rate(lambda x=x, y=y: x @ y, work)
            with full_speed():
                found[f"torch, oneDNN {name}"] = rate(lambda a=a, b=b: torch.mm(a, b), work)
        return found

    return measure


def work(name: str, n: int, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    X = images(n)
    makers: dict[str, Callable[[], Callable[[], object]]] = {
        OURS[0]: lambda: with_depthwise(X, threads, "bfloat16"),
        OURS[1]: lambda: with_depthwise(X, threads, "float32"),
        "scikit-learn float32": lambda: with_sklearn(X, "float32"),
        "scikit-learn float64": lambda: with_sklearn(X, "float64"),
        "learnergy": lambda: with_learnergy(X),
        "rbms": lambda: with_rbms(X),
        PLAIN: lambda: plain_torch(X),
        PEAK: peak,
    }
    run = makers[name]()
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        told = run()
        result = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        print(json.dumps({**result, "told": told if isinstance(told, dict) else {}}), flush=True)


# -- the race -------------------------------------------------------------------------------------


def start(name: str, n: int, threads: int) -> subprocess.Popen[str]:
    python = PEERS if name in ("learnergy", "rbms") else Path(sys.executable)
    count = str(threads)
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), count)
    command = [str(python), "-W", "ignore", __file__, "--worker", name]
    command += ["--images", str(n), "--threads", count]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **limits},
    )


def ask(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    while True:  # peers print what they like
        line = process.stdout.readline()
        if line.startswith('{"cpu"'):
            return json.loads(line)
        if not line:
            raise SystemExit("a worker ended early; its error is above.")


def race(names: list[str], n: int, threads: int, rounds: int) -> dict[str, list[dict[str, Any]]]:
    workers = {name: start(name, n, threads) for name in names}
    try:
        for process in workers.values():
            while (line := process.stdout.readline() if process.stdout else "") != "ready\n":
                if not line:
                    raise SystemExit("a worker did not start; its error is above.")
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        draw = random.Random(threads)
        for round_ in range(rounds + 1):
            for name in draw.sample(names, len(names)):
                result = ask(workers[name])
                if round_:
                    results[name].append(result)
    finally:
        for process in workers.values():
            process.kill()
    return results


def report(results: dict[str, list[dict[str, Any]]], n: int, threads: int) -> None:
    work_done = 5 * 2 * n * VISIBLE * HIDDEN / 1e9
    rates: dict[str, float] = {}
    for result in results[PEAK]:
        for shape, rate in result["told"].items():
            rates[shape] = max(rates.get(shape, 0.0), rate)
    best = max(rates.values())
    print(f"\n{threads} thread{'s' if threads > 1 else ''}, {n:,} images; float32 products, GF/s:")
    print("  " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()))
    least = {
        name: {way: min(r[way] for r in rows) for way in ("cpu", "wall")}
        for name, rows in results.items()
        if name != PEAK
    }
    ours, exact = (least[name]["cpu"] for name in OURS)
    print(f"{'':26}CPU s   wall s   GF/s   of peak   x bfloat16   x float32   target")
    for name, time_ in least.items():
        rate = work_done / time_["cpu"]
        target = f"{TARGETS[name]:.1f}" if name in TARGETS else ""
        print(
            f"{name:24}{time_['cpu']:7.2f} {time_['wall']:8.2f} {rate:6.0f} {rate / best:8.0%} "
            f"{time_['cpu'] / ours:11.2f} {time_['cpu'] / exact:11.2f}   {target}",
            flush=True,
        )
    for name in OURS:
        steps = [result["told"]["step"] for result in results[name] if "step" in result["told"]]
        if steps:
            rate = 10 * BATCH * VISIBLE * HIDDEN / min(steps) / 1e9
            print(f"{name}, in the loop alone: {rate:.0f} GF/s, {rate / best:.0%} of the peak")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--only", nargs="+", default=[*OURS, *TARGETS, PLAIN])
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.images, options.threads[0])
        return
    for threads in options.threads:
        names = [*options.only, PEAK]
        report(race(names, options.images, threads, options.rounds), options.images, threads)


if __name__ == "__main__":
    main()
