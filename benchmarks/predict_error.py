"""How far off are latency, throughput and memory when predicted instead of measured, here?

    python benchmarks/predict_error.py [--precisions fp32 bf16 int8] [--threads 1 2] [--rounds 3]
                                       [--report] [--forget]

Networks of the library's ladder with random weights are timed at batch 1 and 64, and predicted from
their counts in two ways:

    calibrated    as `depthwise devices calibrate` leaves this machine: fitted to small chains of
                  layers, no network of the ladder among them
    left out      fitted to the chains and to every other network of the ladder

The error is |predicted - measured| / measured; "inside" is the share of measured times that lie in
the interval of their prediction, which is meant to hold nine in ten. fp32 and bf16 (weights and
activations) run in eager PyTorch, int8 (static, per channel) in ONNX Runtime.

Operators and networks are measured in turn, `rounds` times, and the quickest counts, so that a
rerun on a shared machine only improves what is kept in benchmarks/out/predict_error. One thread is
timed by its own clock; with two the wall counts, which means nothing where others hold a core: the
load is printed. --report: no measuring. --forget: begin anew.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.families.autoencoder.autoencoder import DeepAutoencoder
from depthwise.families.cnn import CNN
from depthwise.families.dbn.dbn import DBN
from depthwise.families.dnn.dnn import DNN
from depthwise.families.dsn.dsn import DSN
from depthwise.measuring.counting import Counts, count
from depthwise.measuring.devices import (
    calibration,
    calibration_int8,
    calibration_networks,
    corrections,
)
from depthwise.measuring.devices.calibration import DTYPES, own_clock, quickest
from depthwise.measuring.devices.corrections import Measured
from depthwise.measuring.devices.device import Device
from depthwise.measuring.predict import predict_memory
from depthwise.measuring.speed import peak_memory, using_threads

OUT = Path(__file__).resolve().parent / "out" / "predict_error"
BATCHES = (1, 64)
GREY, COLOUR = (1, 28, 28), (3, 32, 32)
Network = tuple[Callable[[], nn.Module], tuple[int, ...]]


def of(family: Any, shape: tuple[int, ...], **settings: object) -> Network:
    """A rung of the library's own ladder: raw pixels in."""
    return lambda: family(**settings).build(shape, 10), shape


LADDER: dict[str, Network] = {
    **{f"cnn {size}, grey": of(CNN, GREY, size=size) for size in ("xxs", "xs", "s", "m", "l")},
    **{f"cnn {size}, colour": of(CNN, COLOUR, size=size) for size in ("xs", "s", "m", "xl")},
    "cnn s separable, grey": of(CNN, GREY, size="s", separable=True),
    "cnn m separable, colour": of(CNN, COLOUR, size="m", separable=True),
    **{f"dnn {size}, grey": of(DNN, GREY, size=size) for size in ("xs", "m")},
    "dnn l, colour": of(DNN, COLOUR, size="l"),
    "autoencoder, grey": of(DeepAutoencoder, GREY),
    "dsn, grey": of(DSN, GREY),
    "dbn, grey": of(DBN, GREY),
}
NOT_INT8 = ("dbn, grey",)  # its products are with a transposed weight that is used twice


def build(name: str) -> tuple[nn.Module, Tensor]:
    """(network, one item of raw pixels)."""
    torch.manual_seed(0)
    make, shape = LADDER[name]
    network = make().eval()
    return network, torch.randint(0, 256, (1, *shape), dtype=torch.uint8)


def program(name: str, precision: str, batch: int, threads: int) -> Callable[[], object]:
    """A function that runs the network on a batch."""
    network, one = build(name)
    items = one.repeat(batch, *[1] * (one.dim() - 1))
    if precision == "int8":
        run = _int8(name, network, one, threads)
        array = items.numpy()
        return lambda: run(array)
    network = network.to(DTYPES[precision])
    return lambda: network(items)


def _int8(name: str, network: nn.Module, one: Tensor, threads: int) -> Callable[..., object]:
    """The network quantised by the library, as an ONNX file that is made once."""
    from depthwise.reshaping.quantise import quantise_network
    from depthwise.runtimes.onnx_graph import to_onnx
    from depthwise.runtimes.onnx_runtime import run_onnx

    path = OUT / f"{name.replace(', ', '-').replace(' ', '-')}.int8.onnx"
    if not path.exists():
        samples = torch.randint(0, 256, (16, *one.shape[1:]), dtype=torch.uint8)
        path.write_bytes(to_onnx(quantise_network(network, samples), one, dynamic=True))
    return run_onnx(path.read_bytes(), "int8", threads)


def measure_round(state: dict[str, Any], precision: str, threads: int) -> None:
    """Operators, chains and the ladder, once each; the quickest is kept in state."""
    found = (
        calibration_int8.operators_int8(threads)
        if precision == "int8"
        else calibration.operators(threads, precision)
    )
    kept = state.get("operators")
    state["operators"] = calibration.merged(kept, found) if kept else found
    times: dict[str, float] = state.setdefault("seconds", {})
    for run in calibration_networks.measured(precision, threads):
        _keep(times, f"{run.name}|{run.batch}", run.seconds)
    for name in LADDER:
        for batch in BATCHES:
            if precision != "int8" or name not in NOT_INT8:
                run_once = program(name, precision, batch, threads)
                with using_threads(threads), torch.inference_mode():
                    seconds = quickest(run_once, 8, 0.1, own_clock())
                _keep(times, f"{name}|{batch}", seconds)


def _keep(times: dict[str, float], key: str, seconds: float) -> None:
    times[key] = min(seconds, times.get(key, math.inf))


def runs_of(times: dict[str, float], counted: dict[str, Counts]) -> list[Measured]:
    pairs = [(key.split("|"), seconds) for key, seconds in times.items()]
    return [
        Measured(name, counted[name], int(batch), seconds)
        for (name, batch), seconds in pairs
        if name in counted
    ]


def judge(
    state: dict[str, Any], counted: dict[str, Counts], precision: str, threads: int, show: bool
) -> list[tuple[str, int, float, float, bool, bool]]:
    """(name, batch, errors of both ways, whether inside) of every run of the ladder."""
    chains = {n: count(net, torch.zeros(1, *s)) for n, (net, s) in _chains().items()}
    others, ladder = runs_of(state["seconds"], chains), runs_of(state["seconds"], counted)
    bare = {"operators": state["operators"]}
    calibrated = corrections.fit(others, bare, precision, threads)
    rows = []
    for run in ladder:
        rest = [other for other in ladder if other.name != run.name]
        without = corrections.fit([*others, *rest], bare, precision, threads)
        errors, inside = [], []
        for table in (calibrated, without):
            seconds = corrections.run_seconds(run.counts, run.batch, table, precision, threads)
            errors.append(seconds / run.seconds - 1)
            inside.append(abs(math.log(seconds / run.seconds)) <= math.log(table["spread"]))
        rows.append((run.name, run.batch, *errors, *inside))
        if show:
            ms = 1e3 * run.seconds
            print(f"  {run.name:26}{run.batch:4}{ms:10.3f} ms{errors[0]:+8.0%}{errors[1]:+8.0%}")
    return rows


def _chains() -> Any:
    return calibration_networks.chains()


def summary(title: str, rows: list[tuple[str, int, float, float, bool, bool]]) -> None:
    for way, name in ((0, "calibrated"), (1, "left out")):
        errors = sorted(abs(row[2 + way]) for row in rows)
        inside = statistics.mean(row[4 + way] for row in rows)
        tenth = errors[math.ceil(0.9 * len(errors)) - 1]
        print(
            f"{title}, {name}: median {statistics.median(errors):.1%}, ninth decile {tenth:.0%}, "
            f"largest {errors[-1]:.0%}, inside {inside:.0%} of {len(errors)}",
            flush=True,
        )


def memory(counted: dict[str, Counts]) -> None:
    here = Device("here", "here", 1e5, 10, peak_gflops=1, calibration={"tables": {"fp32": {}}})
    errors = []
    for name, counts in counted.items():
        network, one = build(name)
        errors.append(predict_memory(counts, here).value / peak_memory(network, one).value - 1)
    sizes = sorted(map(abs, errors))
    print(f"peak memory: median error {statistics.median(sizes):.1%}, largest {sizes[-1]:.1%}")


def report(names: list[str], threads: list[int], counted: dict[str, Counts], show: bool) -> None:
    everything = []
    for precision in names:
        for n in threads:
            path = OUT / f"{precision}-{n}.json"
            if path.exists():
                if show:
                    print(f"{precision}, {n} threads{'':30}calibrated, left out")
                rows = judge(json.loads(path.read_text()), counted, precision, n, show)
                summary(f"{precision}, {n} threads", rows)
                everything += rows
    for batch in BATCHES:
        summary(f"all, batch {batch}", [row for row in everything if row[1] == batch])
    summary("all", everything)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16", "int8"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--report", action="store_true", help="no measuring")
    parser.add_argument("--forget", action="store_true", help="begin anew")
    parser.add_argument("--brief", action="store_true", help="no line a network")
    options = parser.parse_args()
    if options.forget:
        shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True, exist_ok=True)
    counted = {name: count(*build(name)) for name in LADDER}
    started, cpu = time.monotonic(), time.process_time()
    for done in range(0 if options.report else options.rounds):
        for precision in options.precisions:
            for threads in options.threads:
                path = OUT / f"{precision}-{threads}.json"
                state = json.loads(path.read_text()) if path.exists() else {}
                measure_round(state, precision, threads)
                path.write_text(json.dumps(state))
                load = os.getloadavg()[0]
                spent = f"{time.process_time() - cpu:.0f} CPU s"
                print(f"round {done + 1}, {precision}, {threads} threads: load {load:.1f}, {spent}")
    report(options.precisions, options.threads, counted, not options.brief)
    memory(counted)
    print(f"{time.monotonic() - started:.0f} s, {time.process_time() - cpu:.0f} CPU s")
