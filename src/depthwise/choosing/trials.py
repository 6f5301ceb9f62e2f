"""Candidates that are tried: each trained, scored on the validation part, saved, and written down,
so that what was done is not done again when the choice is begun again.

A candidate that fails (its loss explodes, its memory does not suffice, its family refuses the data)
is left out with the reason; it never ends the choice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from depthwise.choosing.clock import Clock
from depthwise.choosing.heartbeat import Heartbeat
from depthwise.choosing.kept_answers import ItemScores, compared, read, scored, write
from depthwise.choosing.ladder import Candidate
from depthwise.compute import (
    Compute,
    has_bfloat16,
    is_gpu,
    keep_freed_memory,
    resolve_device,
    synchronise,
)
from depthwise.data.dataset import Dataset
from depthwise.data.inputs import as_tensor
from depthwise.errors import DepthwiseError, InputError
from depthwise.journal import Journal
from depthwise.measuring.classes import ClassMetric
from depthwise.measuring.metric import Metric
from depthwise.models.estimator import Estimator
from depthwise.models.modelfile import read_model
from depthwise.models.supervised import Classifier
from depthwise.progress import line
from depthwise.task import SCORES, in_words, task_named
from depthwise.training.loop import Event
from depthwise.training.stages import stage_files

__all__ = ["FAILURES", "Interrupted", "Trained", "Trials", "named", "told_gain"]

FAILURES = (DepthwiseError, ArithmeticError, MemoryError, RuntimeError, np.linalg.LinAlgError)
BATCH, FEW, WINDOWS, REPEATS = 128, 8, 8, 3
QUICK = 0.3  # seconds
FOLDED = 0.7  # of the time, for a look by a copy with its batch norms folded away
BACKWARD = 2  # a training step takes at least as long as this many looks forward: 1.5 to 2.1 were
# measured of CNN "xs" on MNIST, on a processor with AVX2 alone


class Interrupted(Exception):
    """Ctrl-C: the best so far is to be shown."""


@dataclass
class Trained:
    """A candidate that was trained: where its best model is, how it did, rung by rung;
    `complete` once it had its full schedule or stopped improving."""

    candidate: Candidate
    folder: Path
    accuracy: Metric
    epochs: float = 0.0
    seconds: float = 0.0
    rungs: int = 0
    complete: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    taught: dict[str, Any] | None = None  # by whom, and what that gained: teaching.py

    @property
    def score(self) -> float:
        return self.accuracy.value

    def model(self) -> Estimator:
        model: Estimator = read_model(
            self.folder, {self.candidate.make.family: self.candidate.make}
        )
        return model


@dataclass
class Trials:
    """All candidates tried so far in one choice: the data, the task, the journal, the folder for
    models, who is told, and the metric, None for the task's own. `failed`: by name, "failed: " or
    "untried: " and the reason."""

    data: Dataset
    task: str
    journal: Journal
    folder: Path
    tell: Callable[[str], None]
    clock: Clock = field(default_factory=lambda: Clock(math.inf))
    metric: ClassMetric = None
    trained: dict[str, Trained] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tell = self.heart = Heartbeat.of(self.tell)

    def leave_out(self, candidate: Candidate, reason: str) -> None:
        self.failed[candidate.name] = reason
        self.tell(f"{candidate.name}: {reason}")

    def train(
        self, candidate: Candidate, rung: int, model: Estimator, limit: float
    ) -> Trained | None:
        """Train `model` within `limit` seconds; what is known of the candidate then, or None if
        it failed. Raises Interrupted after Ctrl-C, with what was trained until then noted."""
        folder, step = self.folder / f"{candidate.name}-{rung}", f"train/{rung}/{candidate.name}"
        result = self.journal.steps.get(step)
        if result is None:
            result = self._fit(model, candidate.name, folder, limit)
            if not result.get("interrupted"):
                self.journal.recall(step, lambda: result)
        if "failed" in result:
            self.failed[candidate.name] = result["failed"]
            return None
        self._add(candidate, rung, folder, result)
        if result.get("interrupted"):
            raise Interrupted
        return self.trained.get(candidate.name)

    def _fit(self, model: Estimator, name: str, folder: Path, limit: float) -> dict[str, Any]:
        checkpoint, begun = folder.with_suffix(".checkpoint"), time.monotonic()
        self.heart.doing(f"{name}: training")
        try:
            watch = _Reporter(name, self.tell)
            model.fit(self.data, checkpoint=checkpoint, seconds_limit=limit, watch=watch)
            if not model.history_["epochs"]:
                raise Interrupted
            self.heart.doing(f"{name}: scoring it on the validation part")
            self.tune(model)
            score, said = scored(model, self.data, "validation", self.task, self.metric)
            _require_number(score, self.data)
        except FAILURES as error:
            self._forget(checkpoint)
            return self._failure(name, error)
        model.save(folder)
        write(said, folder)
        record = model.history_["epochs"][-1]
        told = in_words(score.value, score.unit)
        self.tell(f"{name}: {told} on validation, epoch {record['epoch']:.3g}")
        interrupted = model.history_["stopped"] == "interrupted"
        if not interrupted:
            self._forget(checkpoint)
        return {
            "accuracy": score.to_dict(),
            "history": model.history_["epochs"],
            "epochs": record["epoch"],
            # with what lies around the loop; of a run taken up again at least what the loop took
            "seconds": max(model.history_["seconds"], time.monotonic() - begun),
            "stopped": model.history_["stopped"],
            "limit": limit,
            **({"interrupted": True} if interrupted else {}),
        }

    def tune(self, model: Estimator) -> None:
        """Set the decision threshold that is best for the metric that was asked for."""
        if self.metric is not None and isinstance(model, Classifier):
            model.tune_threshold(*named(self.data, "validation"), metric=self.metric)

    def item_scores(self, entry: Trained) -> ItemScores | None:
        """What it is compared by, item by item; None where nothing was kept."""
        return compared(self.task, read(entry.folder), self.metric)

    def _failure(self, name: str, error: BaseException) -> dict[str, Any]:
        kind = "" if isinstance(error, DepthwiseError) else f"{type(error).__name__}: "
        detail = " ".join(str(error).split())[:300]
        self.tell(f"{name}: failed: {kind}{detail}")
        return {"failed": f"failed: {kind}{detail}"}

    def _add(self, candidate: Candidate, rung: int, folder: Path, result: dict[str, Any]) -> None:
        score = Metric.from_dict(result["accuracy"])
        if strange := self._incomparable(score):
            self.leave_out(candidate, f"failed: {strange}")
            return
        known = self.trained.setdefault(candidate.name, Trained(candidate, folder, score))
        known.history += [
            {**r, "epoch": r["epoch"] + known.epochs, "seconds": r["seconds"] + known.seconds}
            for r in result["history"]
        ]
        if score.value >= known.score:  # a short new cycle may leave a network worse than it was
            known.folder, known.accuracy = folder, score
        known.rungs = rung + 1
        known.epochs += result["epochs"]
        known.seconds += result["seconds"]
        known.complete = result["stopped"] == "patience"

    def _incomparable(self, score: Metric) -> str:
        """Why a likelihood cannot be ranked beside the others': all families choose the kind of
        their visible units from the data in the same way, unless one of them is new to that."""
        kinds = {t.accuracy.details.get("visible") for t in self.trained.values()}
        kind = score.details.get("visible")
        if not task_named(self.task).is_likelihood or not kinds or kind in kinds:
            return ""
        return f"its likelihood is of {kind} units, the others' of {next(iter(kinds))} ones"

    def _forget(self, checkpoint: Path) -> None:
        for path in stage_files(checkpoint):
            path.unlink(missing_ok=True)

    # -- how fast it learns ---------------------------------------------------------------------

    def quick_pace(self, candidate: Candidate) -> float | None:
        """`least_pass_seconds`, remembered; of what counts in rounds the seconds of one."""
        return self.pace(candidate, partial(self.least_pass_seconds, candidate), "quick pace")

    def pace(
        self, candidate: Candidate, take: Callable[[], float], step: str = "pace"
    ) -> float | None:
        """Seconds that `take` measures, remembered; None where that fails, and so the candidate."""

        def attempt() -> Any:
            try:
                return take()
            except FAILURES as error:
                return self._failure(candidate.name, error)

        result = self.journal.recall(f"{step}/{candidate.name}", attempt)
        if isinstance(result, dict):
            self.failed[candidate.name] = result["failed"]
            return None
        return float(result)

    def _seconds_of_texts(self, candidate: Candidate) -> float:
        """From some texts seen by a pretrained encoder, which sees each once; of TF-IDF little."""
        model = candidate.model()
        if not model.is_frozen:
            return QUICK
        items = self.data.indices["train"]
        spread = items[np.linspace(0, len(items) - 1, min(BATCH, len(items))).astype(np.int64)]
        tokens = model.prepare(self.data.inputs[spread], learn=True)
        network = model.build(tokens.shape[1:], self.data.n_classes)
        best = _best_of(REPEATS, lambda: model._rows(tokens, lambda n, x: n.vectors(x), network))
        return best * len(items) / len(spread)

    def _seconds_of_prose(self, candidate: Candidate) -> float:
        model = candidate.model()
        windows = torch.from_numpy(model.prepare(self.data.train.X, learn=True))
        device = resolve_device(model.device)
        network = model.build(windows.shape[1:], model.n_outputs).eval().to(device)
        some = windows[:WINDOWS].to(device)
        best = _best_of(REPEATS, lambda: network(some), device)
        return BACKWARD * best * len(windows) / len(some)

    def least_pass_seconds(self, candidate: Candidate) -> float:
        """What a pass over the training part takes at least, from the network's own speed."""
        keep_freed_memory()  # as training has it: without, some networks take half as long again
        if self.data.task_row.continues_text:
            return self._seconds_of_prose(candidate)
        if self.data.kind == "text":
            return self._seconds_of_texts(candidate)
        network = candidate.network(self.data.input_shape, candidate.outputs(self.data))
        items = len(self.data.indices["train"])
        x = as_tensor(self.data.inputs[self.data.indices["train"][:BATCH]])
        if candidate.model().keeps_features:  # it looks once, never back
            looked = items + len(self.data.indices["validation"])
            way = Compute(_device(candidate))
            return FOLDED * _batch_seconds(network, x, way) * looked / len(x)
        ways = _likely_ways(candidate)
        return BACKWARD * min(_batch_seconds(network, x, way) for way in ways) * items / len(x)


def _likely_ways(candidate: Candidate) -> list[Compute]:
    """How a family that chooses for itself may compute, on one thread, where it will learn."""
    chooses, device = candidate.model().get_params().get("precision") == "auto", _device(candidate)
    quick = Compute(device, "bfloat16", channels_last=candidate.make.image_only)
    return [Compute(device), quick] if chooses and has_bfloat16(device) else [Compute(device)]


def _device(candidate: Candidate) -> str:
    """Where it will compute."""
    return resolve_device(candidate.model().device)


def _batch_seconds(network: nn.Module, x: Tensor, way: Compute) -> float:
    """Of a pass forward; where a batch takes long, from a few of its items."""
    network, x = way.place(network), way.place_batch(x)

    def run(items: int) -> None:
        with way.autocast():
            network(x[:items])

    if is_gpu(way.device):  # it is as quick with a whole batch as with a few items
        return _best_of(REPEATS, lambda: run(len(x)), way.device)
    few = min(FEW, len(x))
    seconds = _best_of(REPEATS, lambda: run(few)) * len(x) / few
    return seconds if seconds > QUICK else _best_of(REPEATS, lambda: run(len(x)))


@torch.inference_mode()
def _best_of(times: int, run: Callable[[], Any], device: str = "cpu") -> float:
    """Seconds of the quickest, on one thread: where a neighbour holds a core, more wait for it. A
    GPU has done it all when the clock is read."""
    seconds = math.inf
    with Compute(device, threads=1).active():
        for _ in range(times):
            synchronise(device)
            started = time.perf_counter()
            run()
            synchronise(device)
            seconds = min(seconds, time.perf_counter() - started)
    return seconds


def named(data: Dataset, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs of a part and their class names, or the numbers to predict."""
    X, y = data.part(part)
    return X, np.asarray(data.classes)[y] if data.classes else y


def _require_number(score: Metric, data: Dataset) -> None:
    if not score.known:
        raise InputError(
            f"its score on the validation part of {data.name} is not a number "
            f"({score.details.get('metric', score.unit)}): look whether that part has items of "
            "every class (depthwise inspect)."
        )


def told_gain(taught: dict[str, Any], unit: str) -> str:
    """What a teacher gained (`Trained.taught`), in words."""
    gained, passes = taught["gained"], f"{taught['passes']:.3g} passes"
    is_share = unit in SCORES and SCORES[unit].is_share
    lag = f"{abs(gained) * 100:.1f} points" if is_share else f"{abs(gained):.4f} {unit}"
    if taught["passes"] < taught["passes_without"] * 0.99:
        passes += f" instead of {taught['passes_without']:.3g}"
    more = "more" if gained >= 0 else "less"
    return f"taught by {taught['teacher']}, {lag} {more} than {taught['without']} in {passes}"


class _Reporter:
    """Turns the loop's events into a line every few seconds."""

    def __init__(self, name: str, tell: Callable[[str], None], seconds: float = 5.0):
        self.name, self.tell, self.seconds = name, tell, seconds
        self.told = time.monotonic()

    def __call__(self, event: Event) -> None:
        if time.monotonic() - self.told >= self.seconds:
            self.told = time.monotonic()
            self.tell(f"{self.name}: {line(event)}")
