"""One training run in a folder of its own, which the same command resumes.

    fit.json                 what was asked for (data, family, settings), and the result at the end
    checkpoint.safetensors   where training stands, while it runs; of a family that learns in
                             stages checkpoint.STAGE.safetensors, one a stage
    model.safetensors, model.json   the model, as `depthwise.load` reads it

A folder that holds something else is left alone, a run that was asked for otherwise is refused,
and a finished run gives its result again.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depthwise.catalog import FAMILIES, TASKS, load_model, makers_for
from depthwise.checkpoint import write_atomically
from depthwise.commands.settings_text import parse_settings, require_known
from depthwise.data.dataset import Dataset
from depthwise.errors import InputError
from depthwise.folder_lock import sole_use
from depthwise.measuring.metric import Metric
from depthwise.measuring.quality import UNITS, quality
from depthwise.models.generative import Generative
from depthwise.models.modelfile import versions
from depthwise.models.supervised import Classifier, Estimator, Watch
from depthwise.reporting.figures import score_of
from depthwise.task import per_cent, task_named
from depthwise.training.stages import stage_files

__all__ = ["Fitted", "claim", "fit_in", "make_model", "require_task", "score_words"]

RUN, CHECKPOINT = "fit.json", "checkpoint.safetensors"


@dataclass
class Fitted:
    """A trained model, how good it is on the test part (None if interrupted), and how it came:
    by its accuracy, or by the log-likelihood of a model that learnt no labels."""

    model: Estimator
    quality: Metric | None
    how: str  # "finished now", "resumed", "finished before" or "interrupted"

    def told(self) -> dict[str, Any]:
        """As JSON, under the metric's name: "accuracy" or "log_likelihood"."""
        if self.quality is None:
            return {"accuracy": None}
        return {score_of(self.quality.unit).key: self.quality.to_dict()}


def make_model(
    family: str, settings: dict[str, Any], more: Sequence[str] = (), task: str | None = None
) -> Estimator:
    """An unfitted model of a family, with these settings (None: the family's default) and `more` as
    NAME=VALUE. task: what the data are for; where it is of numbers and the family learns
    labels, its counterpart that learns numbers.

    Raises InputError for an unknown family, for a setting that the family does not have, and for
    one that is given twice.
    """
    maker = makers_for([family], task)[family]
    given = {name: value for name, value in settings.items() if value is not None}
    known = list(maker().get_params(deep=False))
    for name in given:
        require_known(family, name, known)
    also = parse_settings(maker, more)
    for name in also:
        if name in given and name != "random_state":
            raise InputError(f"{name} is given twice, by its own option and by --set. Give one.")
    return maker(**{**given, **also})


def require_task(model: Estimator, task: str | None) -> None:
    """Raises InputError for a task that the family cannot be scored by."""
    if task is None:
        return
    if not _learns(model, task):
        known = {**FAMILIES, **TASKS}
        able = ", ".join(name for name, each in known.items() if _learns(each, task))
        raise InputError(f"the family {model.family} does not learn the task {task}; {able} do.")


def _learns(family: Estimator | type[Estimator], task: str) -> bool:
    return task_named(task).name in family.tasks


def score_words(model: Estimator, data: Dataset) -> Callable[[float], str]:
    """The format of the score that training watches: in per cent where it is a share."""
    watched = model.own_task(data) or ("classification" if data.classes else "")
    share = UNITS.get(watched) == "fraction" and not isinstance(model, Generative)
    return per_cent if share else "{:.4f}".format


def fit_in(
    folder: Path,
    data: Dataset,
    model: Estimator,
    watch: Watch | None = None,
    task: str | None = None,
    metric: str | None = None,
) -> Fitted:
    """Train `model` on `data` in `folder`, or go on where the same call was stopped. task: what it
    is scored by on the test part; None: by what the model and the data are for. metric: what of
    that task, for which two classes are also cut best on the validation part.

    Raises InputError where the folder is a file, cannot be written, is in use by another run, or
    holds something else.
    """
    with sole_use(folder):
        return _fit_alone(folder, data, model, watch, task, metric)


def _fit_alone(
    folder: Path,
    data: Dataset,
    model: Estimator,
    watch: Watch | None,
    task: str | None,
    metric: str | None,
) -> Fitted:
    request = _request(data, model) | ({"task": task} if task else {})
    request |= {"metric": metric} if metric else {}
    known = claim(folder, request)
    if known and known.get("result"):
        _forget_checkpoints(folder)
        return Fitted(load_model(folder), Metric.from_dict(known["result"]), "finished before")
    resumed = bool(stage_files(folder / CHECKPOINT))
    _write(folder, request, None)
    try:
        model.fit(data, checkpoint=folder / CHECKPOINT, watch=watch)
    except Exception:
        if known is None and not stage_files(folder / CHECKPOINT):
            _withdraw(folder)
        raise
    if model.history_.get("stopped") == "interrupted":
        if not model.history_["epochs"]:
            raise KeyboardInterrupt
        model.save(folder)
        return Fitted(model, None, "interrupted")
    if metric is not None:
        _tune(model, data, metric)
    scored = _scored(model, data, task, metric)
    model.save(folder)  # with what scoring has found out: log Z of a machine
    _write(folder, request, scored.to_dict())
    _forget_checkpoints(folder)
    return Fitted(model, scored, "resumed" if resumed else "finished now")


def _tune(model: Estimator, data: Dataset, metric: str) -> None:
    """Of a model of labels, where there is a validation part."""
    X, y = data.validation
    if isinstance(model, Classifier) and data.classes and len(X):
        model.tune_threshold(X, np.asarray(data.classes)[y], metric)


def _scored(model: Estimator, data: Dataset, task: str | None, metric: str | None) -> Metric:
    """On the test part: by the measure of the task asked for or of its own; accuracy where labels
    were learnt, else the log-likelihood, or how well it tells spoilt items where it has none;
    unknown of a model that has neither."""
    labelled = bool(model.n_outputs and data.classes)
    own = task or model.own_task(data)
    tasks = ("classification",) if labelled else ("generate", "anomaly")
    for each in (own,) if own else tasks:
        try:
            return quality(model, data, "test", each, metric)
        except InputError as error:
            reason = str(error)
    return Metric(math.nan, "nats", "measured", source=reason)


def claim(folder: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    """What the folder already knows of this very run, or None if it is new or empty."""
    try:
        held = sorted(entry.name for entry in folder.iterdir())
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise InputError(f"--out {folder} is a file; give a folder.") from None
    if not held:
        return None
    if RUN not in held:
        raise InputError(
            f"--out {folder} holds {held[0]}, which is not from depthwise fit; give another folder."
        )
    known = _known(folder / RUN)
    before = known["request"]
    differing = [key for key in request if _plain(before.get(key)) != _plain(request[key])]
    if differing:
        raise InputError(
            f"--out {folder} holds a run with other {_difference(known['request'], request)}. "
            "Give another folder, or delete that one."
        )
    return known


def _plain(value: Any) -> Any:
    """A value that compares equal however a single number is written: 64 or [64]."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _withdraw(folder: Path) -> None:
    """Nothing came of it: the folder is free for the same command with the mistake mended."""
    with contextlib.suppress(OSError):
        (folder / RUN).unlink()


def _forget_checkpoints(folder: Path) -> None:
    for path in stage_files(folder / CHECKPOINT):
        with contextlib.suppress(OSError):
            path.unlink()


def _request(data: Dataset, model: Estimator) -> dict[str, Any]:
    asked = {
        "data": data.fingerprint,
        "family": model.family,
        "settings": model.get_params(deep=False),
        "depthwise": versions()["depthwise"],
    }
    return dict(json.loads(json.dumps(asked, default=str)))


def _known(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return {"request": dict(known["request"]), "result": known["result"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read ({error}). Delete {path.parent} to start again."
        ) from None


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """ "settings (epochs 5, now 3)": what a run in the same folder was asked for otherwise."""
    keys = [key for key in now if before.get(key) != now[key]]
    if keys != ["settings"]:
        return " and ".join(keys)
    old, new = before["settings"], now["settings"]
    changed = [k for k in new if old.get(k) != new[k]]
    return "settings (" + ", ".join(f"{k} {old.get(k)}, now {new[k]}" for k in changed) + ")"


def _write(folder: Path, request: dict[str, Any], result: dict[str, Any] | None) -> None:
    text = json.dumps({"format": 1, "request": request, "result": result}, indent=1)
    write_atomically(folder / RUN, lambda scratch: scratch.write_text(text, encoding="utf-8"))
