"""What a choice rests on, as plain values: the record that choice.json and the report show."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import torch
from PIL import Image

from depthwise.choosing.feasibility import Feasible
from depthwise.choosing.ladder import Candidate
from depthwise.choosing.pareto import pareto_front
from depthwise.choosing.selecting import Selection, standing
from depthwise.choosing.trials import Trained, named, told_gain
from depthwise.data.dataset import PARTS, Dataset
from depthwise.measuring.breakdown import breakdown
from depthwise.measuring.devices.device import Device
from depthwise.measuring.scorecard import Scorecard
from depthwise.models.estimator import Estimator
from depthwise.models.supervised import Classifier, Regressor

__all__ = [
    "BLANK", "MISTAKES", "candidate_records", "dataset_record", "decision_record",
    "layers_record", "mistakes", "predicted_numbers",
]  # fmt: skip

MOST_POINTS = 500  # of a scatter chart
BLANK: dict[str, Any] = {  # of a candidate that was not trained
    "validation_accuracy": None,
    "epochs": 0.0,
    "train_seconds": 0.0,
    "pareto": False,
    "p": None,
    "taught": None,
    "history": [],
}
MOST_TEXT = 300  # characters of a mistaken text that are shown


def dataset_record(data: Dataset) -> dict[str, Any]:
    return {
        "name": data.name,
        "kind": data.kind,
        "input_shape": list(data.input_shape),
        "classes": data.classes,  # none where the items have no labels
        "target": target_record(data),
        "counts": {part: len(data.indices[part]) for part in PARTS},
        "fingerprint": data.fingerprint,
        "split_origin": data.split_origin,
        "problems": [vars(problem) for problem in data.problems],
    }


def target_record(data: Dataset) -> dict[str, Any] | None:
    """What the numbers to predict are: the name of their column, how many an item has, and their
    range in the training part; None of data without."""
    if not data.task_row.predicts_numbers:
        return None
    learnt = np.asarray(data.train.y)
    return {
        "name": data.target_name,
        "count": data.n_outputs,
        "least": float(learnt.min()),
        "most": float(learnt.max()),
    }


def layers_record(
    winner: Estimator, data: Dataset, device: Device, card: Scorecard
) -> dict[str, Any]:
    """Where the winner's time, memory and energy go, for one item of the validation part."""
    place = data.indices["validation"][:1]
    one = winner.prepare(data.inputs[place])
    sample = torch.from_numpy(np.asarray(one, winner.input_dtype_))
    return breakdown(winner.answering(winner.network_), sample, device, card)


def candidate_records(
    candidates: list[Candidate],
    found: Feasible,
    trained: dict[str, Trained],
    failed: dict[str, str],
    cards: dict[str, Scorecard],
    selection: Selection | None,
) -> list[dict[str, Any]]:
    """One dict a candidate, the winner first, then by score on validation, then the rest."""
    winner = selection.winner.candidate.name if selection else None
    order = sorted(trained.values(), key=lambda t: (t.candidate.name != winner, -t.score))
    front = pareto_front([_point(t, cards[t.candidate.name]) for t in order])
    records = []
    for entry, on_front in zip(order, front):
        name = entry.candidate.name
        assert selection
        status, reason = standing(entry, selection)
        if entry.taught:
            reason += f"; {told_gain(entry.taught, entry.accuracy.unit)}"
        card = cards[name]
        card.accuracy = entry.accuracy
        extra: dict[str, Any] = {"pareto": on_front, "p": selection.p.get(name)}
        extra |= {"validation_accuracy": entry.accuracy.to_dict(), "taught": entry.taught}
        extra |= {"epochs": entry.epochs, "train_seconds": entry.seconds, "history": entry.history}
        records.append(_record(entry.candidate, status, reason, card, extra))
    for candidate in candidates:
        if candidate.name in trained:
            continue
        status, text = _never_trained(candidate.name, found.reasons, failed)
        records.append(_record(candidate, status, text, found.cards.get(candidate.name), {}))
    return records


def _never_trained(name: str, dropped: dict[str, str], failed: dict[str, str]) -> tuple[str, str]:
    text = dropped.get(name) or failed.get(name, "untried: interrupted before its turn")
    status, _, reason = text.partition(": ")
    return (status, reason) if status in ("untried", "failed") else ("dropped", text)


def decision_record(winner: Estimator) -> dict[str, Any] | None:
    """The class, and the probability from which on an item is called so; None for the likeliest."""
    threshold, classes = winner.decision_threshold_, winner.known_classes
    if threshold is None or classes is None:
        return None
    return {"class": str(classes[1]), "from": threshold}


def _record(
    candidate: Candidate, status: str, reason: str, card: Scorecard | None, extra: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "family": candidate.make.family,
        "size": candidate.size,
        "settings": candidate.settings,
        "status": status,
        "reason": reason,
        "scorecard": card.to_dict() if card else None,
        **BLANK,
        **extra,
    }


def _point(entry: Trained, card: Scorecard) -> tuple[float, ...]:
    """Score (its negative), latency, bytes: less is better in each."""
    assert card.latency and card.hardware_cost
    return -entry.score, card.latency.value, card.hardware_cost.details["weight_bytes"]


def mistakes(
    model: Classifier, data: Dataset, said: dict[str, np.ndarray], most: int = 24
) -> list[dict[str, Any]]:
    """The test items the model is most sure and wrong about, by name, with their pictures. `said`:
    what it answered (kept_answers.py)."""
    X, truth = named(data, "test")
    predicted = said["names"][said["predicted"]]
    wrong = np.flatnonzero(said["predicted"] != said["labels"])
    confidence = np.zeros(len(X))
    if len(wrong):
        asked = model.predict_proba(X[wrong])
        confidence[wrong] = asked[np.arange(len(wrong)), said["predicted"][wrong]]
    worst = wrong[np.argsort(-confidence[wrong])][:most]
    return [
        {
            "png": _png(X[i]) if data.kind == "images" else None,
            "text": str(X[i])[:MOST_TEXT] if data.kind == "text" else None,
            "truth": str(truth[i]),
            "predicted": str(predicted[i]),
            "confidence": float(confidence[i]),
            "index": int(data.indices["test"][i]),
            "name": data.item_name(int(data.indices["test"][i])),
        }
        for i in worst
    ]


def worst_predicted(
    model: Estimator, data: Dataset, said: dict[str, np.ndarray], most: int = 24
) -> list[dict[str, Any]]:
    """The test items whose numbers are furthest off, in units of each target's spread, by name,
    with their pictures. `said`: what was predicted. `confidence`: by how many spreads."""
    X, truth = named(data, "test")
    columns = np.asarray(truth).reshape(len(X), -1)  # (N, T)
    answers = said["answers"].reshape(columns.shape)
    learnt = np.asarray(data.train.y).reshape(-1, columns.shape[1])
    off = abs(answers - columns) / np.maximum(learnt.std(axis=0), 1e-12)
    far = off.max(axis=1)
    places = data.indices["test"]
    return [
        {
            "png": _png(X[i]) if data.kind == "images" else None,
            "text": None,
            "truth": _numbers(columns[i]),
            "predicted": _numbers(answers[i]),
            "confidence": float(far[i]),
            "note": f"off by {far[i]:.2g} standard deviations",
            "index": int(places[i]),
            "name": data.item_name(int(places[i])),
        }
        for i in np.argsort(-far, kind="stable")[:most]
    ]


def predicted_numbers(model: Regressor, data: Dataset) -> dict[str, Any]:
    """Truth and answer of the first target, lists (n,), of test items, MOST_POINTS at most."""
    X, y = data.test
    chosen = np.arange(len(X))
    if len(X) > MOST_POINTS:
        chosen = np.sort(np.random.default_rng(0).choice(len(X), MOST_POINTS, replace=False))
    answers = np.asarray(model.predict(X[chosen])).reshape(len(chosen), -1)
    return {
        "truth": np.asarray(y[chosen], np.float64).reshape(len(chosen), -1)[:, 0].tolist(),
        "predicted": answers[:, 0].astype(np.float64).tolist(),
        "targets": answers.shape[1],
    }


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{value:.5g}" for value in values)


MISTAKES: dict[str, Any] = {  # by answer: what the winner is most wrong about
    "class": mistakes,
    "numbers": worst_predicted,
}


def _png(image_u8: np.ndarray) -> str:
    """(C, H, W) -> base64 of a PNG."""
    channels = image_u8.shape[0]
    pixels = image_u8[0] if channels == 1 else image_u8[:3].transpose(1, 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
