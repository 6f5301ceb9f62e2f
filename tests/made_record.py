"""A choice.json made by hand: what `choose` would write of the digits."""

from __future__ import annotations

import base64
import copy
import io
import math
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

FAMILIES = {
    # name: (status, validation accuracy, latency ms, weights B, memory B, energy mJ, reason)
    "cnn-m": ("winner", 0.9889, 0.62, 560_000, 910_000, 3.1, "the most accurate of those that fit"),
    "cnn-s": ("trained", 0.9852, 0.31, 148_000, 240_000, 1.55, "0.4 points less accurate"),
    "cnn-xs": ("trained", 0.9704, 0.24, 41_000, 76_000, 1.2, "1.8 points less accurate"),
    "cnn-xxs": ("stopped", 0.9296, 0.21, 13_000, 31_000, 1.05, "stopped after 4 epochs: behind"),
    "dnn-s": ("trained", 0.9667, 0.08, 112_000, 126_000, 0.4, "2.2 points less accurate"),
    "dnn-xs": ("stopped", 0.9407, 0.06, 21_000, 25_000, 0.3, "stopped after 4 epochs: behind"),
    "logistic": ("trained", 0.9556, 0.04, 2_600, 3_900, 0.2, "3.3 points less accurate"),
    "boosting": ("trained", 0.9593, 0.9, 410_000, 420_000, 4.5, "3.0 points less accurate"),
    "cnn-l": ("dropped", None, 1.6, 2_220_000, 3_100_000, 8.0, "size 2.22 MB is over 1 MB"),
    "cnn-xl": ("dropped", None, 3.4, 4_990_000, 6_600_000, 17.0, "latency 3.4 ms is over 2 ms"),
    "dnn-xl": ("untried", None, None, None, None, None, "train_minutes ran out before its turn"),
}


def metric(value: float, unit: str, how: str = "measured", spread: float = 0.05) -> dict[str, Any]:
    return {
        "value": value,
        "unit": unit,
        "how": how,
        "low": value * (1 - spread),
        "high": value * (1 + spread),
        "source": "made by hand",
        "details": {},
    }


def fraction(value: float, items: int) -> dict[str, Any]:
    half = 1.96 * math.sqrt(value * (1 - value) / items)
    made = metric(value, "fraction")
    made.update(low=value - half, high=min(1.0, value + half), details={"items": items})
    return made


def confusion() -> list[list[int]]:
    counts = np.diag([27, 27, 26, 25, 27, 27, 27, 26, 24, 26])
    counts[2, 3] = counts[3, 5] = counts[7, 9] = counts[9, 7] = 1
    counts[3, 8], counts[8, 1] = 1, 2
    return counts.tolist()


def scorecard(latency: float, size: int, memory: int, energy: float) -> dict[str, Any]:
    cost = metric(80.0, "USD", "counted", 0)
    cost["details"] = {
        "parameters": size // 4,
        "weight_bytes": size,
        "peak_memory_bytes": memory,
        "peak_memory_how": "measured",
        "usd_per_million_items": 0.021,
    }
    pairs = [
        (r, p, b) for r in ("eager", "torch.export") for p in ("fp32", "bf16") for b in (1, 64)
    ]
    cells = [
        {
            "runtime": runtime,
            "precision": precision,
            "batch": batch,
            "ok": (runtime, precision) != ("torch.export", "bf16") or batch == 1,
            "reason": "agrees: by at most 2.1e-03, 100% same class",
            "max_difference": 0.0021,
        }
        for runtime, precision, batch in pairs
    ]
    cells[-1]["reason"] = "differs: by at most 9.0e-02, 97% same class"
    flexibility = {**metric(7 / 8, "fraction"), "details": {"cells": cells}}
    speed = metric(latency, "ms")
    speed["details"] = {"p50": latency, "p95": 1.4 * latency, "p99": 2 * latency, "threads": 1}
    throughput = metric(60_000 / latency, "items/s")
    throughput["details"] = {"batch": 256}
    return {
        "device": "this machine",
        "accuracy": None,
        "throughput": throughput,
        "latency": speed,
        "energy": metric(energy, "mJ", "predicted", 0.5),
        "hardware_cost": cost,
        "flexibility": flexibility,
    }


def history(best: float, epochs: int, seconds: float) -> list[dict[str, float]]:
    return [
        {
            "epoch": float(e),
            "loss": 2.3 * math.exp(-3 * e / epochs),
            "score": best - (best - 0.3) * math.exp(-6 * e / epochs),
            "seconds": seconds * e / epochs,
        }
        for e in range(1, epochs + 1)
    ]


def candidate(name: str, figures: tuple[Any, ...]) -> dict[str, Any]:
    status, accuracy, latency, size, memory, energy, reason = figures
    family, _, size_name = name.partition("-")
    epochs = {"stopped": 4, "trained": 24, "winner": 24}.get(status, 0)
    seconds = epochs * 4 * (latency or 0)
    return {
        "name": name,
        "family": family,
        "size": size_name,
        "settings": {"size": size_name},
        "status": status,
        "reason": reason,
        "scorecard": scorecard(latency, size, memory, energy) if latency else None,
        "validation_accuracy": fraction(accuracy, 270) if accuracy else None,
        "epochs": float(epochs),
        "train_seconds": seconds,
        "pareto": name in ("logistic", "dnn-s", "cnn-s", "cnn-m"),
        "history": history(accuracy, epochs, seconds) if accuracy and family != "logistic" else [],
    }


def png(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray((image * 15.9).astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def mistakes() -> list[dict[str, Any]]:
    images = load_digits().images
    pairs = [("2", "3"), ("3", "5"), ("3", "8"), ("7", "9"), ("8", "1"), ("8", "1"), ("9", "7")]
    return [
        {
            "png": png(images[13 + 7 * k]),
            "truth": truth,
            "predicted": predicted,
            "confidence": 0.93 - 0.07 * k,
            "index": 100 + k,
        }
        for k, (truth, predicted) in enumerate(pairs)
    ]


def problems() -> list[dict[str, Any]]:
    return [
        {
            "kind": "unreadable image",
            "where": "7/a.png",
            "detail": "the file is cut off",
            "count": 1,
        },
        {"kind": "duplicates", "where": "", "detail": "kept on one side of the split", "count": 12},
    ]


def make_record() -> dict[str, Any]:
    """A fresh record: eleven candidates, cnn-m wins under 2 ms and 1 MB."""
    test = fraction(0.9704, 270)
    test["details"] |= {"confusion": confusion(), "calibration_error": 0.012}
    test["details"]["per_class"] = {
        str(k): row[k] / sum(row) for k, row in enumerate(test["details"]["confusion"])
    }
    return {
        "format": 1,
        "depthwise": "0.1.0",
        "created": "2026-11-22T23:30:00+00:00",
        "command": "depthwise choose digits --max-latency-ms 2 --max-size-mb 1 --out demo-out",
        "seed": 0,
        "versions": {"python": "3.11.2", "torch": "2.13.0", "numpy": "2.3.5"},
        "seconds": 74.2,
        "dataset": {
            "name": "digits",
            "kind": "images",
            "input_shape": [1, 8, 8],
            "classes": [str(k) for k in range(10)],
            "counts": {"train": 1257, "validation": 270, "test": 270},
            "fingerprint": "9f2b" * 16,
            "split_origin": "seeded split 70/15/15",
            "problems": problems(),
        },
        "device": {
            "id": "this-machine",
            "name": "this machine",
            "kind": "computer",
            "cores": 2,
            "clock_ghz": 2.6,
            "peak_gflops": 189.0,
            "memory_mb": 25277,
            "bandwidth_gb_s": 22.2,
            "busy_watts": 10.0,
            "price_usd": None,
            "sources": {"peak_gflops": ["A", "measured here"], "busy_watts": ["C", "assumed"]},
            "calibration": {"threads": {"1": {"conv": [1, 2, 3]}}},
        },
        "budget": {
            "latency_ms": 2.0,
            "size_mb": 1.0,
            "memory_mb": None,
            "energy_mj": None,
            "price_usd": None,
            "train_minutes": 1.0,
        },
        "candidates": [candidate(name, figures) for name, figures in FAMILIES.items()],
        "winner": "cnn-m",
        "nearest_miss": None,
        "test": test,
        "mistakes": mistakes(),
    }


def nothing_fits() -> dict[str, Any]:
    """The same run under a limit of 0.01 ms, which nothing meets."""
    record = copy.deepcopy(make_record())
    record["budget"].update(latency_ms=0.01, size_mb=None)
    for entry in record["candidates"]:
        entry.update(status="dropped", reason="latency is over 0.01 ms", validation_accuracy=None)
        entry.update(history=[], pareto=False)
    record.update(winner=None, test=None, mistakes=[])
    record["nearest_miss"] = {
        "candidate": "logistic",
        "limit": "latency_ms",
        "value": 0.04,
        "allowed": 0.01,
        "advice": "No network keeps the limits. logistic comes nearest: latency 0.0400 ms is over "
        "the limit of 0.01 ms. Relax it: --max-latency-ms 0.042",
    }
    return record


GENERATIVE = {"cnn-m": "dbm-l", "cnn-s": "dbm-m", "dnn-s": "dbn-l", "logistic": "rbm-s"}


def score(task: str, accuracy: float) -> dict[str, Any]:
    """The same order in another unit: nats between -100 and 0, or an AUROC."""
    value = 100 * (accuracy - 1) - 84.62 if task == "generate" else accuracy
    unit, half = ("nats", 0.7) if task == "generate" else ("AUROC", 0.004)
    made = metric(value, unit)
    made.update(low=value - half, high=value + half, details={"items": 270})
    return made


def of_the_data(task: str) -> dict[str, Any]:
    """A choice among models of the data itself, "generate" or "anomaly": no labels, no mistakes."""
    record = make_record()
    record.update(task=task, mistakes=[], test=score(task, 0.985))
    record["dataset"]["classes"] = []
    for entry in record["candidates"]:
        entry["name"] = GENERATIVE.get(entry["name"], entry["name"].replace("cnn", "autoencoder"))
        entry["family"] = entry["name"].partition("-")[0]
        entry["reason"] = entry["reason"].replace("accurate", "fit")
        accuracy = entry["validation_accuracy"]
        entry["validation_accuracy"] = accuracy and score(task, accuracy["value"])
        for epoch in entry["history"]:
            epoch["score"] = -30 * epoch["loss"]  # of some other kind
    record["winner"] = "dbm-l"
    record["pictures"] = {
        name: png(load_digits().images[k])
        for k, name in enumerate(("filters", "samples", "reconstructions"))
    }
    return record
