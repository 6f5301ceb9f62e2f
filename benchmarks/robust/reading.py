"""How long data take to be read, checked and split, and how much memory: this checkout beside
another, in turns, CPU seconds of a process each.

    python benchmarks/robust/reading.py --before ../before [--rounds 3] [--rows numbers mixed]

`--before` is a checkout of the version to compare with (`git worktree add ../before COMMIT`). The
files are made once, in --folder. Add a row by a function that makes its file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[2]
MEGABYTES = 100

READ = """
import json, resource, sys, time
from depthwise.data.load import load
begun = time.process_time()
data = load(sys.argv[1], cache=False)
seconds = time.process_time() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "peak_mb": peak, "shape": data.inputs.shape}))
"""


def numbers(path: Path) -> None:
    """A header, 15 columns of fractions, 3 classes."""
    source = np.random.default_rng(0)
    with path.open("w") as file:
        file.write(",".join([*(f"x{k}" for k in range(15)), "label"]) + "\n")
        while file.tell() < MEGABYTES << 20:
            block = source.normal(size=(20_000, 15))
            labels = source.integers(0, 3, 20_000)
            for row, label in zip(block.tolist(), labels.tolist()):
                file.write(",".join(f"{value:.5f}" for value in row) + f",{label}\n")


def mixed(path: Path) -> None:
    """A header, numbers with blanks, dates, truths, a few texts, a free text, 2 classes."""
    source = np.random.default_rng(0)
    days = np.datetime_as_string(np.datetime64("2020-01-01") + np.arange(900))
    with path.open("w") as file:
        file.write("size,age,since,member,city,note,bought\n")
        k = 0
        while file.tell() < MEGABYTES << 20:
            for value, age, day in zip(
                source.normal(size=20_000).tolist(),
                source.integers(18, 90, 20_000).tolist(),
                source.integers(0, 900, 20_000).tolist(),
            ):
                k += 1
                note = f'"note {k}, of many"' if k % 3 else ""
                file.write(
                    f"{value:.5f},{age if k % 9 else ''},{days[day]},{k % 2 == 0},"
                    f"{('Bern', 'Oslo', 'Rome')[k % 3]},{note},{'yn'[k % 7 > 2]}\n"
                )


ROWS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "numbers": ("numbers.csv", numbers),
    "mixed": ("mixed.csv", mixed),
}


def once(checkout: Path, path: Path) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", READ, str(path)], env=environment, capture_output=True, text=True
    )
    if found.returncode:
        sys.exit(f"{checkout}: {found.stderr[-400:]}")
    read: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="checkout to compare with")
    parser.add_argument("--folder", type=Path, default=Path("reading-files"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", nargs="*", choices=[*ROWS], default=[*ROWS])
    given = parser.parse_args()
    given.folder.mkdir(exist_ok=True)
    for name in given.rows:
        file, make = ROWS[name]
        path = given.folder / file
        if not path.exists():
            make(path)
        found: dict[str, list[dict[str, float]]] = {"before": [], "after": []}
        for _ in range(given.rounds):
            found["before"].append(once(given.before, path))
            found["after"].append(once(HERE, path))
        for when, runs in found.items():
            seconds = sorted(run["seconds"] for run in runs)
            peak = max(run["peak_mb"] for run in runs)
            spread = f"({seconds[0]:.2f} to {seconds[-1]:.2f}), peak {peak:,.0f} MB"
            middle = statistics.median(seconds)
            print(f"{name:10} {when:7} {middle:7.2f} CPU s {spread}", flush=True)


if __name__ == "__main__":
    main()
