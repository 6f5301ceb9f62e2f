"""Whether the minutes given to `choose` are kept: wall clock, reading excepted, and the longest
silence, by data and by minutes.

    python benchmarks/promises/minutes.py [--rows digits-30 mnist-60 ...] [--beside]

Each row is a process of its own. `--beside` runs it next to a process that holds one core. A row is
kept where the wall clock is at most 1.1 times the budget + 10 s and no silence is longer than 5 s.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "../shared/data"


def unpacked(archive: str, folder: Path, inside: str = "") -> Path:
    """The files of an archive that begin with `inside`, in `folder`."""
    with zipfile.ZipFile(DATA / archive) as packed:
        packed.extractall(folder, [name for name in packed.namelist() if name.startswith(inside)])
    return folder / inside


def large_photos(folder: Path) -> Path:
    """418 flower photos, enlarged to 1200 x 900, in folders by class."""
    from PIL import Image

    with zipfile.ZipFile(DATA / "flowers-128.zip") as packed:
        names = [n for n in packed.namelist() if n.startswith("train/") and n.endswith(".jpg")]
        classes = sorted({n.split("/")[1] for n in names})[:4]
        for kind in classes:
            (folder / "photos" / kind).mkdir(parents=True)
            for name in [n for n in names if n.split("/")[1] == kind][:105]:
                with packed.open(name) as file:
                    Image.open(file).resize((1200, 900)).save(
                        folder / "photos" / kind / Path(name).name, quality=80
                    )
    return folder / "photos"


def texts(folder: Path) -> Path:
    """2,000 sentences of SST-2 with their classes, as a table."""
    lines = (unpacked("text-classification.zip", folder, "sst2") / "train.tsv").read_text()
    rows = lines.splitlines()[:2001]
    (folder / "texts.tsv").write_text("\n".join(rows) + "\n")
    return folder / "texts.tsv"


def table(folder: Path) -> Path:
    """5,000 rows of 20 columns, a fifth of them of the rarer class; made, with a fixed seed."""
    from sklearn.datasets import make_classification

    X, y = make_classification(5000, 20, n_informative=8, weights=[0.8], random_state=0)
    head = ",".join([*(f"column{i}" for i in range(20)), "churn"])
    lines = [",".join([*map("{:.4f}".format, row), "yes" if k else "no"]) for row, k in zip(X, y)]
    (folder / "churn.csv").write_text("\n".join([head, *lines]) + "\n")
    return folder / "churn.csv"


SOURCES: dict[str, Callable[[Path], Any]] = {
    "digits": lambda folder: "digits",
    "mnist": lambda folder: DATA / "mnist",
    "photos": large_photos,
    "texts": texts,
    "table": table,
    "faces": lambda folder: DATA / "lfw-64.zip",
    "cells": lambda folder: DATA / "bccd.zip",
    "masks": lambda folder: DATA / "camvid-240.zip",
    "clips": lambda folder: DATA / "fight-clips.zip",
    "captions": lambda folder: DATA / "flickr8k-112.zip",
    "pairs": lambda folder: unpacked("sentence-pairs.zip", folder, "stsb"),
    "prose": lambda folder: unpacked("language-modelling.zip", folder, "tinyshakespeare.txt"),
}
ROWS = [f"{name}-{seconds}" for name in SOURCES for seconds in (30, 60)] + ["digits-120"]


def one(row: str) -> dict[str, Any]:
    """Reads, then chooses; what it took and how long it was silent."""
    import resource

    from depthwise import Budget, choose, load_data

    name, seconds = row.rsplit("-", 1)
    with tempfile.TemporaryDirectory() as scratch:
        data = load_data(SOURCES[name](Path(scratch)))
        limits = {"size_mb": 1.0, "latency_ms": 2.0} if name == "digits" else {}
        moments = [time.monotonic()]

        def heard(line: str) -> None:
            moments.append(time.monotonic())
            print(f"{moments[-1] - moments[0]:7.1f}  {line}", file=sys.stderr, flush=True)

        out = Path(scratch) / "out"
        budget = Budget(minutes=float(seconds) / 60, **limits)
        choice = choose(data, budget=budget, watch=heard, out=out)
        moments.append(time.monotonic())
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "row": row,
        "wall": moments[-1] - moments[0],
        "cpu": used.ru_utime + used.ru_stime,
        "silence": float(np.diff(moments).max()),
        "winner": choice.record["winner"],
        "test": choice.record["test"]["value"],
        "unit": choice.record["test"]["unit"],
        "peak_mb": used.ru_maxrss / 1e3,
    }


def _spin() -> None:
    while True:
        sum(range(10_000))


@contextlib.contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """A process that holds a core, while this lasts."""
    process = multiprocessing.Process(target=_spin, daemon=True)
    if wanted:
        process.start()
    try:
        yield
    finally:
        if wanted:
            process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", nargs="*", default=ROWS)
    parser.add_argument("--beside", action="store_true", help="next to a process on one core")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one)))
        return
    print("row           wall s  allowed  silence s   CPU s  kept  winner, test score")
    for row in options.rows:
        with neighbour(options.beside):
            command = [sys.executable, __file__, "--one", row]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            print(f"{row:12}  failed")
            continue
        got = json.loads(done.stdout.splitlines()[-1])
        allowed = 1.1 * float(row.rsplit("-", 1)[1]) + 10
        kept = "yes" if got["wall"] <= allowed and got["silence"] <= 5 else "NO"
        print(
            f"{row:12} {got['wall']:7.1f}  {allowed:7.0f}  {got['silence']:9.1f} {got['cpu']:7.1f}"
            f"  {kept:4}  {got['winner']}, {got['test']:.4g} {got['unit']}",
            flush=True,
        )


if __name__ == "__main__":
    main()
