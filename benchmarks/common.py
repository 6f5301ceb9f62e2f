"""What the accuracy benchmarks share: real data, a clock, one line of result."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.data.load import load
from depthwise.models.supervised import Classifier
from depthwise.scores.accuracy import wilson_interval

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
OUT = Path(__file__).resolve().parent / "out"


def both_parts(source: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All training images and labels, and the test part, of a set that brings its own split: no
    choice is made on validation here, so nothing is held out."""
    if not source.exists():
        raise SystemExit(f"{source} is absent: this benchmark needs the shared data sets")
    data = load(source)
    kept = np.concatenate([data.indices["train"], data.indices["validation"]])
    X_test, y_test = data.test
    return np.asarray(data.inputs[np.sort(kept)]), data.labels[np.sort(kept)], X_test, y_test


def fit_and_score(
    name: str,
    model: Classifier,
    parts: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    mirror: bool = False,
) -> None:
    """Train, score once on the test part, print and keep one line. `mirror`: also average the
    answers for each image and its mirror image."""
    X, y, X_test, y_test = parts
    OUT.mkdir(exist_ok=True)
    checkpoint = OUT / f"{name}.checkpoint"
    started, cpu = time.monotonic(), _cpu_seconds()
    model.set_params(verbose=True).fit(X, y, checkpoint=checkpoint)
    result: dict[str, Any] = {
        "wall_seconds": round(time.monotonic() - started, 1),
        "cpu_seconds": round(_cpu_seconds() - cpu, 1),
        "train_seconds": round(model.history_["seconds"], 1),
    }
    p = model.predict_proba(X_test)
    result |= _errors("error_percent", p, y_test)
    if mirror:
        q = model.predict_proba(np.ascontiguousarray(X_test[..., ::-1]))
        result |= _errors("error_percent_with_mirror", p + q, y_test)
    result |= {"parameters": sum(w.numel() for w in model.network_.parameters())}
    result |= {"compute": model.history_["compute"], "settings": str(model)}
    print(json.dumps({"benchmark": name, **result}, indent=1))
    (OUT / f"{name}.json").write_text(json.dumps(result, indent=1))
    model.save(OUT / name)
    checkpoint.unlink(missing_ok=True)


def _errors(name: str, p: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    wrong = int((p.argmax(axis=1) != truth).sum())
    low, high = wilson_interval(wrong, len(truth))
    interval = [round(100 * low, 3), round(100 * high, 3)]
    return {name: round(100 * wrong / len(truth), 3), f"{name}_interval": interval}


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
