"""What default constructors take and give: CPU seconds of one thread, beyond importing torch.

    python benchmarks/promises/default_fits.py                         digits and small tables
    python benchmarks/promises/default_fits.py --rows cnn dbm --quality paper
    python benchmarks/promises/default_fits.py --rows detector flowers predict measure

digits     scikit-learn's 1,797, pixels 0..255: 1,347 learnt from, 450 told; mean over --splits
tables     wine, breast cancer, iris: mean accuracy of 5 folds, twice; DNN() beside DNN(epochs=20)
diabetes   R^2, mean of 5 folds, twice; scikit-learn's MLPRegressor as it is, and standardised
detector   BCCD at 320 x 240: AP50 of its 72 test pictures
flowers    420 photos of 128 pixels, the first 84 of each class; 1,079 told
predict    `depthwise predict` of ten photos, and `measure --device raspberry-pi-5` without data:
measure    the whole process, beside one that only imports torch
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_wine,
)
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from depthwise import CNN, DBM, DBN, DNN, DeepAutoencoder, Detector, DNNRegressor, load_data

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
WANTED = {
    "mlp": "98.0% in 1.2 s (the peer)",
    "dnn": "98.0% in 2 s",
    "cnn": "99.3% in 10 s",
    "dbm": "97.5% in 15 s",
    "dbn": "97.5% in 15 s",
    "autoencoder": "in 8 s",
}
DIGITS: dict[str, Callable[..., Any]] = {
    "dnn": DNN,
    "cnn": CNN,
    "dbm": DBM,
    "dbn": DBN,
    "autoencoder": DeepAutoencoder,
}
TABLES = {"wine": load_wine, "cancer": load_breast_cancer, "iris": load_iris}
ONCE = {"threads": 1}


def row(name: str, seconds: float, score: str, wanted: str = "") -> None:
    print(f"| {name} | {seconds:.1f} | {score} | {wanted} |", flush=True)


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    started = time.process_time()
    return work(*arguments), time.process_time() - started


def folded(model: Any, data: Any, folds: list[Any]) -> float:
    """Mean score of a model over the folds of several cuts."""
    scores = [cross_val_score(model, data.data, data.target, cv=fold) for fold in folds]
    return float(np.mean(scores))


def digits(name: str, quality: str, splits: int) -> None:
    data = load_digits()
    X = np.round(data.images * (255 / 16)).astype(np.uint8)[:, None]
    scores, seconds = [], []
    for seed in range(splits):
        parts = train_test_split(X, data.target, test_size=450, random_state=seed)
        if name == "mlp":
            parts[:2] = [part.reshape(len(part), -1) / 255 for part in parts[:2]]
            model: Any = MLPClassifier(random_state=seed)
        else:
            model = DIGITS[name](quality=quality, random_state=seed, **ONCE)
        _, spent = timed(model.fit, parts[0], parts[2])
        scores.append(float(np.mean(model.predict(parts[1]) == parts[3])))
        seconds.append(spent)
    shown = ", ".join(f"{score:.1%}" for score in scores)
    row(
        f"digits, {name}", float(np.mean(seconds)), f"{np.mean(scores):.2%} ({shown})", WANTED[name]
    )


def table(name: str, quality: str) -> None:
    data, makers = TABLES[name](), {"DNN()": DNN(quality=quality, **ONCE)}
    makers["DNN(epochs=20)"] = DNN(epochs=20, **ONCE)
    makers["MLP, standardised"] = make_pipeline(StandardScaler(), MLPClassifier(random_state=0))
    for title, model in makers.items():
        folds = [StratifiedKFold(5, shuffle=True, random_state=seed) for seed in range(2)]
        score, spent = timed(folded, model, data, folds)
        row(f"{name}, {title}", spent / 10, f"{score:.2%}", "DNN(epochs=20)'s")


def diabetes(quality: str) -> None:
    data, peer = load_diabetes(), MLPRegressor(random_state=0)
    makers = {"DNNRegressor()": DNNRegressor(quality=quality, **ONCE), "MLPRegressor()": peer}
    makers["MLPRegressor(), standardised"] = make_pipeline(StandardScaler(), peer)
    for title, model in makers.items():
        folds = [KFold(5, shuffle=True, random_state=seed) for seed in range(2)]
        score, spent = timed(folded, model, data, folds)
        row(f"diabetes, {title}", spent / 10, f"R2 {score:.3f}", "MLPRegressor's")


def detector(quality: str, settings: dict[str, Any]) -> None:
    data = load_data(SHARED / "bccd.zip")
    model = Detector(quality=quality, **ONCE, **settings)
    _, spent = timed(model.fit, data)
    found = model.assess(*data.test)
    score = f"AP50 {found['value']:.3f} ({found['low']:.3f}-{found['high']:.3f})"
    score += f", {len(data.train.y)} learnt from, {_passes(model)}"
    row("BCCD, Detector()", spent, score, "300 s, within .02 of the long run")


def flowers(quality: str, settings: dict[str, Any]) -> None:
    data = load_data(SHARED / "flowers-128.zip")
    kept = np.sort(np.concatenate([data.indices["train"], data.indices["validation"]]))
    labels = data.labels[kept]
    few = np.concatenate([kept[labels == k][:84] for k in range(5)])
    model = CNN(quality=quality, **ONCE, **settings)
    _, spent = timed(model.fit, np.asarray(data.inputs[few]), data.labels[few])
    X, y = data.test
    score = f"{np.mean(model.predict(X) == y):.1%}, {_passes(model)}"
    row("flowers, CNN()", spent, score, "300 s, 63.0%")


def _passes(model: Any) -> str:
    return f"{len(model.history_['epochs'])} passes"


def process(name: str) -> None:
    """CPU seconds of a whole process, the least of three, beside those of importing torch."""
    with tempfile.TemporaryDirectory() as folder:
        images = np.random.default_rng(0).integers(0, 256, (10, 900, 1200, 3), np.uint8)
        files = [str(Path(folder) / f"{i}.jpg") for i in range(len(images))]
        for image, file in zip(images, files):
            Image.fromarray(image).save(file)
        small = np.ascontiguousarray(images[:, :64, :64].transpose(0, 3, 1, 2))
        model = str(CNN(size="xs", epochs=1).fit(small, np.arange(10) % 2).save(f"{folder}/model"))
        ask = ["predict", model, *files]
        if name == "measure":
            ask = ["measure", model, "--device", "raspberry-pi-5"]
        torch_alone = min(_spent(["-c", "import torch"]) for _ in range(3))
        whole = min(_spent(["-m", "depthwise", *ask]) for _ in range(3))
    wanted = {"predict": "2.5 s where torch takes 2.2", "measure": "3 s where torch takes 2.2"}
    row(f"depthwise {name}", whole, f"importing torch alone: {torch_alone:.1f} s", wanted[name])


def _spent(arguments: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    usual = ["mlp", *DIGITS, *TABLES, "diabetes", "predict", "measure"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", default=usual, choices=[*usual, "detector", "flowers"])
    parser.add_argument("--quality", default="fast", choices=["fast", "paper"])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--epochs", type=float, help="of detector and flowers")
    options = parser.parse_args()
    settings = {"epochs": options.epochs} if options.epochs else {}
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print("| | CPU s | score | wanted |\n| --- | ---: | --- | --- |")
    for name in options.rows:
        if name in ("mlp", *DIGITS):
            digits(name, options.quality, options.splits)
        elif name in TABLES:
            table(name, options.quality)
        elif name in ("predict", "measure"):
            process(name)
        elif name == "diabetes":
            diabetes(options.quality)
        else:
            {"detector": detector, "flowers": flowers}[name](options.quality, settings)


if __name__ == "__main__":
    main()
