"""Are these two faces one person? Labeled Faces in the Wild, View 2, trained on LFW alone.

    .venv/bin/python benchmarks/tasks/face_verification.py --sizes s m xs

64 x 64 grey faces of ../shared/data/lfw-64.zip; nothing but LFW is learnt from, and no face of a
test fold's people is: View 2 has ten folds of 600 pairs with people of their own, they are put in
`--groups` groups, and for each group one model learns from the people who are in none of its folds
(those with two pictures and more, at most 50 of each). Every pair of a fold is thus scored by a
model that never saw either person. The threshold for a fold is the best on the nine others, each
scored by the model of its own group. An embedding is that of the picture and its mirror image.

Beside it eigenfaces (Turk and Pentland 1991) from the same training images: cosines of the first
principal components, whitened and not.

The recipe was chosen on `--view 1` (pairsDevTest, people unseen), never on View 2. A run that is
killed goes on where it was; each group's similarities stay in benchmarks/out/.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.decomposition import PCA

from depthwise.models.modelfile import read_model
from depthwise.scores.accuracy import mean_interval
from depthwise.tasks.faces.recognizer import FaceRecognizer
from depthwise.tasks.faces.scores import fold_accuracies, threshold_at

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "lfw-64.zip"
OUT = ROOT / "benchmarks" / "out" / "face_verification"
FOLD = 600  # pairs in a fold of View 2
FEWEST, MOST = 2, 50  # pictures of a person in training
COMPONENTS = 150
FALSE_ACCEPTS = 0.01


class Faces:
    """The images, who they show, and the pairs of a view, numbered by image."""

    def __init__(self, pairs_file: str):
        with zipfile.ZipFile(DATA) as file:
            names = sorted(name for name in file.namelist() if name.endswith(".jpg"))
            self.X = np.stack([np.asarray(Image.open(io.BytesIO(file.read(n)))) for n in names])
            lines = file.read(pairs_file).decode().splitlines()
        self.X = self.X[:, None]
        self.people = np.array([name.split("/")[0] for name in names])
        self.place = {name.split("/")[1]: i for i, name in enumerate(names)}
        cells = [line.split("\t") for line in lines]
        self.pairs = np.array([self._pair(cell) for cell in cells if len(cell) >= 3])
        self.same = self.people[self.pairs[:, 0]] == self.people[self.pairs[:, 1]]

    def _pair(self, cells: list[str]) -> tuple[int, int]:
        first, i, second, j = (*cells[:2], *cells[-2:]) if len(cells) == 4 else self._own(cells)
        return self.place[f"{first}_{int(i):04}.jpg"], self.place[f"{second}_{int(j):04}.jpg"]

    @staticmethod
    def _own(cells: list[str]) -> tuple[str, str, str, str]:
        name, i, j = cells
        return name, i, name, j

    def training(self, pairs: np.ndarray) -> np.ndarray:
        """Images to learn from where the people of `pairs` must stay unseen."""
        unseen = np.isin(self.people, np.unique(self.people[pairs]))
        chosen = []
        for who in np.unique(self.people[~unseen]):
            pictures = np.flatnonzero(self.people == who)
            chosen += list(pictures[:MOST]) if len(pictures) >= FEWEST else []
        return np.array(chosen)


def similarities(embed, faces: Faces, pairs: np.ndarray) -> np.ndarray:
    """Cosines of the embeddings of each pair."""
    images, places = np.unique(pairs, return_inverse=True)
    embedded = embed(faces.X[images])
    embedded = embedded / np.linalg.norm(embedded, axis=1, keepdims=True)
    left, right = places.reshape(-1, 2).T
    return (embedded[left] * embedded[right]).sum(axis=1)


def learnt(faces: Faces, pairs: np.ndarray, name: str, settings: dict) -> np.ndarray:
    """Similarities of `pairs` by a model that saw none of their people."""
    kept = OUT / f"{name}.npy"
    if kept.exists():
        return np.load(kept)
    images = faces.training(pairs)
    print(f"{name}: {len(images)} images, {len(set(faces.people[images]))} people", flush=True)
    model = FaceRecognizer(**settings)
    model.fit(faces.X[images], faces.people[images], checkpoint=OUT / f"{name}.checkpoint")
    found = similarities(model.transform, faces, pairs)
    model.save(OUT / name)
    np.save(kept, found)
    (OUT / f"{name}.checkpoint").unlink(missing_ok=True)
    return found


def eigenfaces(faces: Faces, pairs: np.ndarray, whiten: bool) -> np.ndarray:
    def rows(X: np.ndarray) -> np.ndarray:
        return X.reshape(len(X), -1).astype(np.float32)

    pca = PCA(COMPONENTS, whiten=whiten, svd_solver="randomized", random_state=0)
    pca.fit(rows(faces.X[faces.training(pairs)]))
    return similarities(lambda X: pca.transform(rows(X)), faces, pairs)


def told(name: str, found: np.ndarray, same: np.ndarray, folds: np.ndarray) -> dict:
    """Accuracy over the folds, and true accepts where one in a hundred false ones is let in."""
    accuracies = fold_accuracies(found, same, folds)
    accepted, let_in = [], []
    for fold in np.unique(folds):
        inside = folds == fold
        threshold = threshold_at(FALSE_ACCEPTS, found[~inside & ~same])
        accepted.append((found[inside & same] > threshold).mean())
        let_in.append((found[inside & ~same] > threshold).mean())
    low, high = mean_interval(accuracies)
    area = float((found[same][:, None] > found[~same][None]).mean())
    result = {
        "accuracy": float(accuracies.mean()),
        "interval": [low, high],
        "true_accepts": float(np.mean(accepted)),
        "false_accepts": float(np.mean(let_in)),
        "area": area,
    }
    print(f"{name:24} " + json.dumps(result), flush=True)
    return result


def latency_ms(folder: Path, X: np.ndarray) -> float:
    """One embedding at a time, mirror image included: the median of the quietest of 40 bursts."""
    model = read_model(folder, {"faces": FaceRecognizer})
    bursts = []
    for _ in range(40):
        times = []
        for i in range(5):
            started = time.perf_counter()
            model.transform(X[i : i + 1])
            times.append(time.perf_counter() - started)
        bursts.append(float(np.median(times)))
    return min(bursts) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="*", default=["m"], help="rungs of the ladder")
    parser.add_argument("--groups", type=int, default=2, help="models, each for its test folds")
    parser.add_argument("--view", type=int, default=2, choices=(1, 2))
    parser.add_argument("--epochs", type=float, default=12)
    parser.add_argument("--loss", default="arcface", choices=("arcface", "cosface"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    faces = Faces("pairs.txt" if given.view == 2 else "pairsDevTest.txt")
    if given.view == 2:
        folds = np.arange(len(faces.pairs)) // FOLD
    else:  # one list: ten parts in turn, for the threshold only
        folds, given.groups = np.arange(len(faces.pairs)) % 10, 1
    group = folds * given.groups // 10
    for whiten in (False, True):
        found = np.concatenate(
            [eigenfaces(faces, faces.pairs[group == g], whiten) for g in range(given.groups)]
        )
        told("eigenfaces, whitened" if whiten else "eigenfaces", found, faces.same, folds)
    for size in given.sizes:
        started, cpu = time.monotonic(), _cpu_seconds()
        settings = {
            "size": size,
            "epochs": given.epochs,
            "loss": given.loss,
            "batch_size": 128,
            "validation_fraction": 0.0,
            "random_state": given.seed,
            "verbose": True,
        }
        stem = f"view{given.view}-{size}-{given.loss}-{given.epochs:g}-{given.seed}-{given.groups}"
        parts = [
            learnt(faces, faces.pairs[group == g], f"{stem}-{g}", settings)
            for g in range(given.groups)
        ]
        result = told(f"size {size}", np.concatenate(parts), faces.same, folds)
        weights = OUT / f"{stem}-0" / "model.safetensors"
        result |= {
            "wall_seconds": round(time.monotonic() - started, 1),
            "cpu_seconds": round(_cpu_seconds() - cpu, 1),
            "megabytes_with_people": round(weights.stat().st_size / 1e6, 3),
            "latency_ms": round(latency_ms(weights.parent, faces.X), 2),
        }
        print(json.dumps({"size": size, **result}), flush=True)
        (OUT / f"{stem}.json").write_text(json.dumps(result, indent=1))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
