"""The support matrix of every family: what ran here, what agreed, and why the rest did not.

    python benchmarks/costs/support_matrix.py [--families cnn dnn ...] [--runtimes onnxruntime ...]

Each family is trained for a moment on scikit-learn's digits (8 x 8 pixels), then the full matrix of
`depthwise.measuring.flexibility` is taken: runtimes x precisions x batch 1, 7, 64 x threads 1 and
all x image sizes. A line a family and runtime: cells that passed, of each precision, and the first
reason of those that failed. The cells are kept in benchmarks/out/support_matrix.json, so that a
second run adds to them: other families, or ExecuTorch from an environment of its own. The CNN of
benchmarks/cnn_mnist.py is measured too where it is saved.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import torch

from depthwise import load, load_data
from depthwise.catalog import FAMILIES
from depthwise.measuring.flexibility import FULL, flexibility

OUT = Path(__file__).resolve().parents[1] / "out"
KEPT = OUT / "support_matrix.json"
CLASSIFIERS = ("logistic", "dnn", "cnn", "dsn", "dbn", "dbm", "autoencoder", "boosting")
BRIEF = {"epochs": 1, "pretrain_epochs": 1, "max_iter": 20, "threads": 1}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--families", nargs="*", default=[*CLASSIFIERS, "cnn_mnist"])
    asked.add_argument("--runtimes", nargs="*", default=list(FULL), choices=FULL)
    given = asked.parse_args()
    torch.set_num_threads(1)
    data = load_data("digits", cache=False)
    say(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, torch {torch.__version__}")
    table: dict[str, Any] = {}
    for family in given.families:
        network, samples = trained(family, data)
        for runtime in given.runtimes:
            began, cpu = time.perf_counter(), time.process_time()
            metric = flexibility(network, torch.from_numpy(samples), full=True, runtimes=[runtime])
            table = json.loads(KEPT.read_text()) if KEPT.exists() else {}
            table[f"{family}/{runtime}"] = metric.details["cells"]
            KEPT.write_text(json.dumps(table))
            took = f"{time.process_time() - cpu:.0f} CPU s, {time.perf_counter() - began:.0f} s"
            say(f"{family:<12} {runtime:<14} {told(metric.details['cells'])}   [{took}]")
    every = [cell for cells in table.values() for cell in cells]
    say(f"{sum(cell['ok'] for cell in every)} of {len(every)} cells ran and agreed")


def trained(family: str, data: Any) -> tuple[Any, Any]:
    """(network, 64 real samples)."""
    if family == "cnn_mnist":
        mnist = load_data(str(OUT.parents[2] / "shared" / "data" / "mnist"))
        return load(OUT / "cnn_mnist").network_, mnist.test.X[:64]
    model = FAMILIES[family]()
    known = model.get_params()
    model.set_params(**{name: value for name, value in BRIEF.items() if name in known})
    return model.fit(data).network_, data.test.X[:64]


def told(cells: list[dict[str, Any]]) -> str:
    parts = []
    for precision in ("fp32", "bf16", "int8"):
        some = [cell for cell in cells if cell["precision"] == precision]
        parts.append(f"{precision} {sum(cell['ok'] for cell in some)}/{len(some)}")
    failed = [cell for cell in cells if not cell["ok"]]
    why = f"  {failed[0]['precision']}: {failed[0]['reason'][:110]}" if failed else ""
    return ", ".join(parts) + why


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
