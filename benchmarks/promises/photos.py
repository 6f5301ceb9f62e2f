"""Claim: on photos `depthwise.choose` gets what a backbone that has learnt from a million pictures
gives, in the minutes it was given; and where that is too large, what it can teach.

    python benchmarks/promises/photos.py [--rows few,all,small] [--folder PHOTOS]

few: the first 84 photos of each class of flowers-128.zip and two minutes (at least 69%); all: its
3,238 and five minutes (at least 77%); small: the first 84 again and two minutes, within 1 MB, where
no backbone fits. Scored on its test part, 1,079 photos, of which choosing sees nothing. frozen: the
same training part by `ImageClassifier` alone, all of it learnt from, nothing chosen. --folder: a
folder of class folders or an archive of your own, in two minutes, beside `frozen`.
One thread; wall clock from the data's reading on, and CPU seconds.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from depthwise import Budget, choose, load_data
from depthwise.tasks.image_classification.classifier import ImageClassifier

FLOWERS = Path(__file__).resolve().parents[2] / "../shared/data/flowers-128.zip"
ROWS: dict[str, tuple[int | None, dict[str, float], float]] = {  # photos a class, limits, wanted
    "few": (84, {"minutes": 2}, 0.69),
    "all": (None, {"minutes": 5}, 0.77),
    "small": (84, {"minutes": 2, "size_mb": 1.0}, 0.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--frozen", action="store_true", help="also one frozen backbone, alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| row | wanted | test accuracy | minutes given | wall s | CPU s | shipped |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    if options.folder:
        data = load_data(options.folder, seed=0)
        one("own photos", data, {"minutes": 2}, 0.0)
        frozen("own photos", data)
        return
    for name in options.rows.split(","):
        photos, limits, wanted = ROWS[name]
        with tempfile.TemporaryDirectory() as scratch:
            data = load_data(first(photos, Path(scratch) / "flowers.zip"), seed=0)
            one(name, data, limits, wanted)
            if options.frozen:
                frozen(name, data)


def first(photos: int | None, path: Path) -> Path:
    """An archive with so many training photos of each class."""
    if photos is None:
        return FLOWERS
    taken: Counter[str] = Counter()
    with zipfile.ZipFile(FLOWERS) as all_of_them, zipfile.ZipFile(path, "w") as few:
        for name in sorted(all_of_them.namelist()):
            kind = str(Path(name).parent)
            taken[kind] += 1
            if kind.startswith("test") or taken[kind] <= photos:
                few.writestr(name, io.BytesIO(all_of_them.read(name)).getvalue())
    return path


def one(name: str, data: Any, limits: dict[str, float], wanted: float) -> None:
    started, cpu = time.monotonic(), time.process_time()
    found = choose(data, budget=Budget(**limits))
    wall, cpu = time.monotonic() - started, time.process_time() - cpu
    test = found.record["test"]["value"]
    limit = f"{limits['minutes']:g}" + (" and 1 MB" if "size_mb" in limits else "")
    needed = f"{wanted:.0%}" if wanted else ""
    shipped = found.record["winner"]
    print(f"| {name} | {needed} | {test:.1%} | {limit} | {wall:.0f} | {cpu:.0f} | {shipped} |")
    for record in found.record["candidates"]:
        if record["taught"]:
            print(f"|   {record['name']} | | {record['reason']} | | | | |", flush=True)


def frozen(name: str, data: Any) -> None:
    started, cpu = time.monotonic(), time.process_time()
    model = ImageClassifier(threads=1).fit(data)
    wall, cpu = time.monotonic() - started, time.process_time() - cpu
    X, y = data.test
    right = float((model.predict(X) == [data.classes[i] for i in y]).mean())
    print(f"| {name}, frozen alone | | {right:.1%} | | {wall:.0f} | {cpu:.0f} | |", flush=True)


if __name__ == "__main__":
    main()
