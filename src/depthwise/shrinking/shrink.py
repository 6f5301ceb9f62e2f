"""shrink: give it a trained model, data and limits, get a model that keeps them, and the evidence.

How it searches is in search.py. Everything is chosen on the validation part; the test part is
scored once, at the end, for the winner and the original side by side. With `out`, the folder holds
`best/` (the winner, which every verb takes), `shrink.json` (all that was tried) and, until it is
done, `work/`, from which the same call goes on after a kill.
"""

from __future__ import annotations

import copy
import json
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depthwise.checkpoint import write_atomically
from depthwise.data.dataset import Dataset
from depthwise.data.inputs import fingerprint_arrays
from depthwise.data.load import load
from depthwise.errors import InputError, NothingFitsError
from depthwise.folder_lock import sole_use
from depthwise.journal import Journal, is_begun
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.device_finder import find
from depthwise.measuring.limits import Limits, Miss, advice, require_above_zero
from depthwise.models.estimator import Estimator
from depthwise.models.modelfile import read_model, versions
from depthwise.models.networks import NetworkEstimator
from depthwise.models.supervised import Classifier, Regressor
from depthwise.scratch import remove_whole
from depthwise.shrinking.comparing import Scoring, scoring_named, scoring_of
from depthwise.shrinking.costing import Costing
from depthwise.shrinking.search import Search
from depthwise.shrinking.trying import Parts, Tried, Trying

__all__ = ["Shrunk", "shrink"]

LIMITED = ("size_mb", "latency_ms", "energy_mj", "memory_mb")
SAMPLES = 512  # training items that ranges and times are taken with
ROUNDED = {"int8", "weights-int8", "weights-int4", "exits"}
Tell = Callable[[str], None]


@dataclass
class Shrunk:
    """The outcome. `record` is what shrink.json holds."""

    model: Estimator
    record: dict[str, Any]
    out: Path | None

    def __str__(self) -> str:
        return "\n".join(table(self.record))


def shrink(
    model: Estimator,
    data: Any,
    *,
    max_size_mb: float | None = None,
    max_latency_ms: float | None = None,
    max_energy_mj: float | None = None,
    max_memory_mb: float | None = None,
    max_accuracy_drop: float | None = None,
    device: str | Path | Device = "this",
    minutes: float = 10.0,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Tell | None = None,
) -> Shrunk:
    """The most accurate model made of `model` that keeps every limit on `device`.

    model: a fitted CNN or DNN classifier. data: a Dataset, or anything `load_data` takes, of the
    kind it was fitted on. Limits in the units of their names, of one item; max_accuracy_drop as a
    share, say 0.002. minutes: of training, all together. out: a folder for the results.

    Raises InputError for wrong arguments, NothingFitsError (after writing the record) where nothing
    keeps the limits; it names who comes nearest and which limit to relax.
    """
    limits = _limits(max_size_mb, max_latency_ms, max_energy_mj, max_memory_mb)
    _require_drop(max_accuracy_drop)
    target = find(device)
    if not minutes > 0:
        raise InputError(f"minutes must be above 0; got {minutes!r}.")
    predicts = isinstance(model, Classifier | Regressor) and model.is_fitted
    if not isinstance(model, NetworkEstimator) or not predicts:
        raise InputError(
            "shrink takes a fitted model that learns classes or numbers by gradient descent, a CNN "
            "or a DNN; "
            f"got {type(model).__name__}. {_instead(model)}"
        )
    if model.input_dtype_ == "int64":
        raise InputError(
            f"shrink does not know networks of texts, as this {model.family} is one. "
            f"{_instead(model)}"
        )
    if {edit["kind"] for edit in model.shrunk_} & ROUNDED:
        raise InputError(
            "this model has been shrunk to its final form already. Shrink the one it was made of."
        )
    dataset = data if isinstance(data, Dataset) else load(data, seed=seed)
    tell = watch or (lambda text: None)
    about = (model, dataset, limits, max_accuracy_drop, target, minutes, seed, tell)
    if out is None:
        with tempfile.TemporaryDirectory() as scratch:
            done = _shrink(*about, Path(scratch))
            return Shrunk(done.model, done.record, None)
    with sole_use(Path(out)):
        return _shrink(*about, Path(out))


def _limits(
    max_size_mb: float | None,
    max_latency_ms: float | None,
    max_energy_mj: float | None,
    max_memory_mb: float | None,
) -> Limits:
    """The limits. Raises InputError for one that is not above 0, or where no limit is given."""
    given = {
        "size_mb": max_size_mb,
        "latency_ms": max_latency_ms,
        "energy_mj": max_energy_mj,
        "memory_mb": max_memory_mb,
    }
    require_above_zero({f"max_{name}": limit for name, limit in given.items()})
    if all(limit is None for limit in given.values()):
        raise InputError(
            "there is nothing to shrink for: give a limit, max_size_mb, max_latency_ms, "
            "max_energy_mj or max_memory_mb."
        )
    return Limits(**given)


def _require_drop(drop: float | None) -> None:
    if drop is not None and not (math.isfinite(drop) and drop >= 0):
        raise InputError(
            f"max_accuracy_drop must be at least 0; got {drop!r}. Leave it out for no limit."
        )


def _instead(model: Estimator) -> str:
    """The remedy for a model that cannot be shrunk: its smaller sizes."""
    sizes = ", ".join(model.sizes)
    return f"Fit a smaller size of it: {sizes}." if sizes else "Fit one of these."


def _shrink(
    model: NetworkEstimator,
    data: Dataset,
    limits: Limits,
    accuracy_drop: float | None,
    device: Device,
    minutes: float,
    seed: int,
    tell: Tell,
    out: Path,
) -> Shrunk:
    begun = time.monotonic()
    request = {
        "model": fingerprint_arrays(*(t.numpy() for t in model.network_.state_dict().values())),
        "data": data.fingerprint,
        "limits": {name: getattr(limits, name) for name in LIMITED}
        | {"accuracy_drop": accuracy_drop},
        "device": device.name,
        "minutes": minutes,
        "seed": seed,
    }
    if (before := _finished(out, request, type(model))) is not None:
        return before
    parts = _parts(model, data)  # before the journal: data of another kind leaves no folder behind
    journal = Journal(out / "work", request)
    costing = Costing(device, parts.inputs[:SAMPLES])
    about = (parts, limits, costing, journal, out / "work", tell)
    trying = Trying(*about, scoring=scoring_of(model), accuracy_drop=accuracy_drop)
    search = Search(copy.deepcopy(model), trying, 60 * minutes, seed)
    winner = search.run()
    record = _record(request, trying, winner, time.monotonic() - begun)
    if winner is None:
        name, worst = search.nearest()
        text = "Nothing keeps the limits. " + _advice(name, worst, trying.scoring)
        record["nearest_miss"] = {"name": name, **worst.to_dict(), "advice": text}
        _write(out, record)
        raise NothingFitsError(text)
    best = trying.model(winner.name, type(model))
    if device.is_here and winner.way.runtime != "eager":
        best = costing.attached(best, winner.way)
    record["test"] = {
        "original": _test_score(model, data, model),
        "winner": _test_score(best, data, model),
    }
    best.save(out / "best")
    _write(out, record)
    remove_whole(out / "work")
    return Shrunk(best, record, out)


# -- data -----------------------------------------------------------------------------------------


def _parts(model: NetworkEstimator, data: Dataset) -> Parts:
    """Training and validation items as the model takes them."""
    known = data.classes or data.targets is not None
    if not known or not len(data.indices["validation"]):
        raise InputError(
            f"{data.name} has no {'validation part' if known else 'labels'}: shrink needs "
            "labelled items to learn from and others to choose by."
        )
    train, held = data.train, data.validation
    inputs, _ = model._take(train.X, None, reset=False)
    held_inputs, _ = model._take(held.X, None, reset=False)
    targets = scoring_of(model).targets
    return Parts(inputs, targets(model, data, train.y), held_inputs, targets(model, data, held.y))


def _test_score(model: Estimator, data: Dataset, original: NetworkEstimator) -> dict[str, Any]:
    """Accuracy, or R2, on the test part, with its interval."""
    X, y = data.test
    scoring = scoring_of(original)
    truth = scoring.targets(original, data, y)
    value, low, high = scoring.score(scoring.answers(model, X), truth)
    return {"accuracy": value, "low": low, "high": high, "items": len(y)}


# -- the record -----------------------------------------------------------------------------------


def _record(
    request: dict[str, Any], trying: Trying, winner: Tried | None, seconds: float
) -> dict[str, Any]:
    return {
        "format": 1,
        "depthwise": versions()["depthwise"],
        "versions": versions(),
        "request": request,
        "seconds": seconds,
        "score": trying.scoring.name,
        "tried": [tried.to_dict() for tried in trying.done.values()],
        "winner": None if winner is None else winner.name,
        "nearest_miss": None,
        "test": None,
    }


def _advice(name: str, worst: Miss, scoring: Scoring) -> str:
    if worst.limit != "accuracy_drop":
        return advice(name, worst)
    return (
        f"{name} comes nearest: {scoring.miss_in_words(worst)}. Relax it: --max-accuracy-drop "
        f"{worst.value * 1.05:.2g}, or give more --minutes"
    )


def table(record: dict[str, Any]) -> list[str]:
    """What was tried, a line each, and what the winner does on the test part."""
    wide = max(len(tried["name"]) for tried in record["tried"])
    scoring = scoring_named(record.get("score", ""))
    told, times = scoring.told, scoring.times
    heading = f"{scoring.heading} on validation"
    lines = [f"  {'':<{wide}}  {heading:<23}  size MB   latency ms"]
    for tried in record["tried"]:
        mark = "*" if tried["name"] == record["winner"] else " " if not tried["misses"] else "x"
        interval = f"({times * tried['low']:.2f}-{times * tried['high']:.2f})"
        figures = tried["figures"]
        lines.append(
            f"{mark} {tried['name']:<{wide}}  {told(tried['accuracy']):>7} {interval:<15} "
            f"{figures['size_mb']:9.4f}   {figures['latency_ms']:9.4f}"
        )
    if record["test"]:
        tests = {name: told(score["accuracy"]) for name, score in record["test"].items()}
        lines.append(f"test: {tests['winner']}, of the original {tests['original']}")
    return lines


def _write(out: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=1, allow_nan=False)
    write_atomically(out / "shrink.json", lambda scratch: scratch.write_text(text))


def _finished(out: Path, request: dict[str, Any], family: Any) -> Shrunk | None:
    """What `out` already holds, if it is this and found a winner; another's is never replaced."""
    try:
        record = json.loads((out / "shrink.json").read_text(encoding="utf-8"))
        same = record["request"] == json.loads(json.dumps(request))
        if record["winner"] and not same:
            raise InputError(
                f"--out {out} holds another result (other model, data, limits or seed). Give "
                "another folder, or delete that one."
            )
        if record["winner"] and record["test"]:
            if (out / "work").exists():
                remove_whole(out / "work")
            return Shrunk(read_model(out / "best", {family.family: family}), record, out)
    except FileNotFoundError:
        if out.is_dir() and any(out.iterdir()) and not is_begun(out):
            raise InputError(
                f"--out {out} is not empty and not depthwise's. Give another."
            ) from None
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
    return None
