"""Whether `seconds_limit` of `fit` is kept: wall clock at most 1.1 times the limit + 2 s, for every
family and task on real data.

    python benchmarks/promises/fit_limits.py [--limit 10] [--families cnn detector ...]
"""

from __future__ import annotations

import argparse
import time
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
SOURCES = {  # task of the family -> what it learns from, and how that is read
    "classification": ("mnist", {}),
    "transfer": ("flowers-128.zip", {}),
    "generate": ("mnist", {"labelled": False}),
    "regression": ("diabetes", {}),
    "detection": ("bccd.zip", {}),
    "counting": ("bccd.zip", {}),
    "segmentation": ("camvid-240.zip", {}),
    "faces": ("lfw-64.zip", {}),
    "video": ("fight-clips.zip", {}),
    "captions": ("flickr8k-112.zip", {}),
    "retrieval": ("flickr8k-112.zip", {}),
    "text": ("texts", {}),
    "pairs": ("pairs", {}),
    "language": ("prose", {}),
}


@cache
def dataset(source: str, labelled: bool | None) -> Any:
    import tempfile

    from minutes import texts, unpacked
    from sklearn.datasets import load_diabetes, load_digits

    from depthwise import load_data

    scratch = Path(tempfile.mkdtemp())
    options = {} if labelled is None else {"labelled": labelled}
    if source == "diabetes":
        return load_data(*load_diabetes(return_X_y=True))
    if source == "numbers":
        digits = load_digits()
        return load_data((digits.images * 15).astype("uint8"), digits.target.astype(float) + 0.5)
    if source == "texts":
        return load_data(texts(scratch))
    if source == "pairs":
        return load_data(unpacked("sentence-pairs.zip", scratch, "stsb"))
    if source == "prose":
        return load_data(unpacked("language-modelling.zip", scratch, "tinyshakespeare.txt"))
    return load_data(DATA / source, **options)


def source_of(make: Any) -> tuple[str, bool | None]:
    task = next(task for task in make.tasks if task in SOURCES)
    source, options = SOURCES[task]
    if make.image_only and task == "regression":
        source = "numbers"
    return source, options.get("labelled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=float, default=10.0, help="seconds")
    parser.add_argument("--families", nargs="*")
    options = parser.parse_args()

    from depthwise.catalog import FAMILIES, TASKS

    allowed = 1.1 * options.limit + 2
    print(f"limit {options.limit:g} s, allowed {allowed:.1f} s")
    print("family             wall s   CPU s  kept")
    for name in options.families or [*FAMILIES, *TASKS]:
        make = {**FAMILIES, **TASKS}[name]
        try:
            data = dataset(*source_of(make))
            began, cpu = time.monotonic(), time.process_time()
            make().fit(data, seconds_limit=options.limit)
        except Exception as error:
            print(f"{name:18} failed: {type(error).__name__}: {str(error)[:90]}", flush=True)
            continue
        wall, cpu = time.monotonic() - began, time.process_time() - cpu
        kept = "yes" if wall <= allowed else "NO"
        print(f"{name:18} {wall:6.1f}  {cpu:6.1f}  {kept}", flush=True)


if __name__ == "__main__":
    main()
