"""Claim: in CIFAR-10 `depthwise inspect` finds planted label errors, flags few right labels, and
finds test pictures that have a twin in training.

    python benchmarks/data/inspect_cifar10.py labels    # 10,000 training pictures, 3 draws each
    python benchmarks/data/inspect_cifar10.py leaks     # all 60,000

labels: 0, 5 and 20% of the labels become another class, each alike; precision and recall of what is
flagged, and the estimated share of wrong labels. leaks: test pictures with a twin in training, and
OUT/leaks.png, a sheet of 100 such pairs drawn at random, to be looked at.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from depthwise.backbones.embedding import embed, leading_components
from depthwise.data.load import load
from depthwise.inspecting.label_errors import find_label_errors
from depthwise.inspecting.twins import find_twins

DATA = Path(__file__).parents[2].parent / "shared/data/cifar10/cifar10-jpeg.zip"
OUT = Path(__file__).parents[1] / "out"
CLASSES = 10


def main() -> None:
    if not DATA.exists():
        sys.exit(f"{DATA} is not there")
    {"labels": labels, "leaks": leaks}[sys.argv[1]]()


def labels() -> None:
    data = load(str(DATA))
    chosen = np.sort(np.random.default_rng(0).permutation(data.indices["train"])[:10_000])
    truth, rows = data.labels[chosen], embed(np.array(data.inputs[chosen]), "images").rows
    print("planted draw estimated flagged precision recall CPU s")
    for share in (0.0, 0.05, 0.2):
        for draw in range(3 if share else 1):
            rng = np.random.default_rng(draw)
            wrong = rng.random(len(truth)) < share
            other = (truth + rng.integers(1, CLASSES, len(truth))) % CLASSES
            begun = time.process_time()
            found = find_label_errors(rows, np.where(wrong, other, truth), CLASSES)
            assert found is not None
            flagged = found.flagged
            precision = wrong[flagged].mean() if len(flagged) else float("nan")
            recall = np.isin(np.flatnonzero(wrong), flagged).mean() if share else float("nan")
            print(
                f"{share:7.0%} {draw:4} {found.rate:9.3f} {len(flagged):7} {precision:9.3f} "
                f"{recall:6.3f} {time.process_time() - begun:5.1f}",
                flush=True,
            )


def leaks() -> None:
    data = load(str(DATA))
    begun = time.process_time()
    rows = embed(data.inputs, "images").rows
    embedded = time.process_time()
    pairs, _ = find_twins(data.inputs, leading_components(rows))
    is_test = np.zeros(len(rows), bool)
    is_test[data.indices["test"]] = True
    across = pairs[is_test[pairs].sum(axis=1) == 1]
    tests = np.unique(across[is_test[across]])
    print(
        f"{len(pairs):,} pairs, {len(tests):,} test pictures with a twin in training; "
        f"embedding {embedded - begun:.0f} CPU s, pairs {time.process_time() - embedded:.0f}"
    )
    OUT.mkdir(exist_ok=True)
    shown = np.random.default_rng(0).permutation(across)[:100]
    tiles = [
        np.concatenate(np.pad(data.inputs[pair], ((0, 0), (0, 0), (1, 1), (1, 1))), 2)
        for pair in shown
    ]
    lines = [np.concatenate(tiles[k : k + 10], axis=2) for k in range(0, len(tiles), 10)]
    sheet = np.concatenate(lines, axis=1).transpose(1, 2, 0)
    Image.fromarray(sheet).resize((2 * sheet.shape[1], 2 * sheet.shape[0])).save(OUT / "leaks.png")


if __name__ == "__main__":
    main()
