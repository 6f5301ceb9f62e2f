"""Claim: DSN trains on a file several times larger than the memory it is allowed to hold.

    python benchmarks/families/dsn_larger_than_memory.py                  # 4 GB of items, 1 GB held
    python benchmarks/families/dsn_larger_than_memory.py --copies 10 --cap-mb 900

MNIST's 60,000 training images, `--copies` times as float32 with noise of its own in every copy,
are written to one file (once), then learnt from a memmap with RLIMIT_DATA set: the kernel refuses
any allocation beyond the cap, so that the run ends in a MemoryError where the data were copied.
Pages of the file itself are the kernel's cache and are not counted. By default nothing is
fine-tuned (`--epochs`): every module is one pass. Prints the peak of anonymous memory beside the
file's size.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import SHARED, both_parts
from depthwise.families.dsn.dsn import DSN

MEGABYTE = 2**20


def write(path: Path, images: np.ndarray, copies: int, seed: int) -> None:
    rows = images.reshape(len(images), -1)
    shape = (copies * len(rows), rows.shape[1])
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    noise = np.random.default_rng(seed)
    for start in range(0, len(file), 5000):
        part = rows[np.arange(start, start + 5000) % len(rows)] / np.float32(255)
        part *= 0.8 + 0.4 * noise.random(part.shape, dtype=np.float32)
        file[start : start + 5000] = np.minimum(part, 1)
    file.flush()


def anonymous_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


class Peak(threading.Thread):
    """The largest anonymous memory seen, looked at ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mb = 0.0

    def run(self) -> None:
        while True:
            self.mb = max(self.mb, anonymous_mb())
            time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=21)
    parser.add_argument("--cap-mb", type=int, default=1000)
    parser.add_argument("--hidden", type=int, default=500)
    parser.add_argument("--modules", type=int, default=2)
    parser.add_argument("--epochs", type=float, default=0)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    X, y, X_test, y_test = both_parts(SHARED / "mnist")
    path = options.folder / f"mnist_x{options.copies}_{options.seed}.npy"
    if not path.exists():
        write(path, X, options.copies, options.seed)
    del X
    inputs = np.load(path, mmap_mode="r")
    labels = np.tile(y, options.copies)
    model = DSN(
        n_hidden=options.hidden,
        n_modules=options.modules,
        init="random",
        epochs=options.epochs,
        ridge=float(options.copies),
        n_jobs=options.n_jobs,
        threads=options.threads,
        precision="bfloat16",
        random_state=options.seed,
    )
    resource.setrlimit(resource.RLIMIT_DATA, (options.cap_mb * MEGABYTE,) * 2)
    peak = Peak()
    peak.start()
    started, cpu = time.monotonic(), time.process_time()
    model.fit(inputs, labels)
    wall, cpu = time.monotonic() - started, time.process_time() - cpu
    rows = X_test.reshape(len(X_test), -1).astype(np.float32) / 255
    result = {
        "file_mb": round(path.stat().st_size / MEGABYTE),
        "cap_mb": options.cap_mb,
        "peak_anonymous_mb": round(peak.mb),
        "items": len(inputs),
        "error_percent": round(100 * (1 - model.score(rows, y_test)), 2),
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "modules": [e for e in model.history_["epochs"] if e["stage"].startswith("solve")],
        "settings": str(model),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
