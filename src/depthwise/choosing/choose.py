"""choose: give it data and a device, get the network to ship and the evidence.

The task says what is best: accuracy (classification, video), or, without labels, the log-likelihood
of items not seen (generate), or how well spoilt items are told from sound ones (anomaly); for
boxes, masks and faces see measuring/quality.py.

    1  every family at every size is built with random weights and its cost on the device taken:
       latency, memory, energy and size do not depend on what a network has learnt
    2  what breaks a limit is dropped, with the reason, before a single training step
    3  the rest train under successive halving as long as the minutes given allow
    4  the cheapest wins of those that the validation items cannot tell from the best (selecting.py)
    5  it is trained once more, on training and validation part together, where the time allows
    6  its score is taken once on the test part, which no choice has seen, and held against always
       answering the most common class

`out/` then holds `best/` (the winner, `depthwise.load` opens it), `choice.json` (all of it) and
`report.html`; while it runs also `work/`, from which the same command goes on after a kill.
"""

from __future__ import annotations

import datetime
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from depthwise.backbones.kept import keep_features
from depthwise.catalog import FAMILIES, TASKS, makers_for
from depthwise.checkpoint import write_atomically
from depthwise.choosing.baselines import baseline
from depthwise.choosing.choice import Choice, finished, refuse_strangers
from depthwise.choosing.clock import Clock
from depthwise.choosing.evidence import (
    MISTAKES,
    candidate_records,
    dataset_record,
    decision_record,
    layers_record,
    predicted_numbers,
)
from depthwise.choosing.feasibility import Feasible, feasible
from depthwise.choosing.finishing import (
    final_card,
    final_cards,
    layers_seconds,
    testing_seconds,
)
from depthwise.choosing.halving import halve
from depthwise.choosing.heartbeat import Heartbeat
from depthwise.choosing.kept_answers import compared, scored
from depthwise.choosing.ladder import Candidate, able, deciding, ladder, worthwhile
from depthwise.choosing.near_miss import Shrink, near_misses, train_and_shrink
from depthwise.choosing.parts import within
from depthwise.choosing.second_look import second_look
from depthwise.choosing.selecting import Selection, select
from depthwise.choosing.teaching import lesson_seconds, teach, teacher_of
from depthwise.choosing.trials import Interrupted, Trials
from depthwise.choosing.winner_refit import refit
from depthwise.data.dataset import Dataset
from depthwise.data.load import load
from depthwise.data.tables.column_summary import label_line
from depthwise.errors import InputError, NothingFitsError
from depthwise.folder_lock import sole_use
from depthwise.inference.boxes_and_masks import SHOWN, answers_png
from depthwise.inference.drawing import encoded, pictures
from depthwise.journal import Journal
from depthwise.measuring.classes import ClassMetric
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.device_finder import find
from depthwise.measuring.limits import Budget, advice
from depthwise.measuring.quality import likely_task, metric_name, reading, require_metric
from depthwise.measuring.scorecard import Scorecard
from depthwise.models.estimator import Estimator
from depthwise.models.modelfile import versions
from depthwise.models.supervised import Regressor
from depthwise.reporting.choice_page import write_report
from depthwise.reporting.judging import worthless
from depthwise.scores.custom import require_works
from depthwise.scratch import remove_whole
from depthwise.task import task_named

__all__ = ["Choice", "choose"]

Tell = Callable[[str], None]
SPARE = 0.2  # of the time: worth going back for, and what screening has of it then
RESCUE_SHARE = 0.4  # of the time, where other candidates keep the limits as they are


def choose(
    data: Any,
    *,
    task: str | None = None,
    device: str | Path | Device = "this",
    budget: Budget | None = None,
    families: Sequence[str] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    watch: Tell | None = None,
    command: str = "",
    rescue: Shrink | None = None,
    metric: ClassMetric = None,
) -> Choice:
    """The best network for `data` that keeps every limit of `budget` on `device`.

    `data`: a Dataset, or anything `load_data` takes. `task`: "classification", "generate",
    "anomaly", or one that has data of its own ("detection", "counting", "captions", "retrieval",
    ...: the rows of task.py); None for what the data say, else classification where there
    are labels, anomaly where not.
    `device`: "this", a name of the catalogue, or a TOML file. `families`: names to try, by default
    all that can do the task. `out`: a folder for the results; the same
    call on the same folder goes on where it was interrupted. `watch` is told a line at a time.
    `metric`: what candidates are ranked by, for labels of tables, pictures, texts and clips:
    "accuracy", "balanced_accuracy", "f1", "auroc", "log_loss", or a function of which more is
    better: metric(y_true, y_pred), metric(y_true, probabilities), or a scorer of scikit-learn's
    (scores/custom.py); a choice is known again by the function's name.
    `rescue`: what to do with the classifier that misses a limit by least, such as
    `depthwise.shrink_near_miss`, which shrinks it; it has RESCUE_SHARE of the time.

    Raises InputError for wrong arguments or data, NothingFitsError (after writing the evidence)
    when no candidate can keep the limits.
    """
    budget, tell = budget or Budget(), watch or (lambda text: None)
    names = list(families or {**FAMILIES, **TASKS})
    makers_for(names, None)  # raises for a misspelt one before anything is read
    target = find(device)
    budget.check_device(target)
    dataset, task = _understood(data, task, seed, tell)
    require_metric(task, metric)
    if task_named(task).is_labelled:
        require_works(metric, dataset.classes)
    makers = able(makers_for(names, task), task, asked_for=bool(families))
    if not families:
        makers = worthwhile(makers, dataset.input_shape, tell)
    request = _request(dataset, target, budget, list(makers), seed, task)
    request |= {"rescue": True} if rescue else {}
    request |= {"metric": metric_name(task, metric)} if metric is not None else {}

    def run(folder: Path) -> Choice:
        about = (dataset, task, target, budget, makers, seed, metric)
        with keep_features(folder / "work" / "features"):
            return _Run(*about, folder, request, tell, command, rescue).choose()

    if out is None:
        with tempfile.TemporaryDirectory() as scratch:
            choice = run(Path(scratch))
            return Choice(choice.record, choice.winner, None)
    with sole_use(Path(out)):
        return finished(Path(out), request) or run(Path(out))


def _understood(given: Any, asked: str | None, seed: int, tell: Tell) -> tuple[Dataset, str]:
    """The data as the task needs it, and the task: `asked`, or the likely one, which is logged."""
    if asked is not None:
        task_named(asked)  # raises for a misspelt one before anything is read
    data = given if isinstance(given, Dataset) else _loaded(given, asked, seed, tell)
    task = asked or likely_task(data)
    row = task_named(task)
    if row.data:
        data.require_task(row.data)
        if asked is None:
            tell(f"{data.name} is data for {task} ({row.seen_in}); --task says otherwise")
        return data, task
    data.require_task("classification", "unlabelled", "faces")
    if asked is None and not row.is_labelled:
        tell(f"{data.name} has no labels: looking for what tells strange items best (task anomaly)")
    if row.is_labelled and not data.classes:
        raise InputError(
            f"{data.name} has no labels to tell apart. Give task='anomaly' or 'generate' "
            "(--task anomaly)."
        )
    if not row.is_labelled and data.classes:
        tell(f"{data.name}: its labels are not used (task {task})")
        data = data.without_labels()
    return data, task


def _loaded(given: Any, asked: str | None, seed: int, tell: Tell) -> Dataset:
    """The data, read; logs which column of a table was taken for the label."""
    data = load(given, seed=seed, **reading(asked))
    if label := label_line(data):
        tell(f"label: {label}")
    return data


def _request(
    data: Dataset, device: Device, budget: Budget, families: list[str], seed: int, task: str
) -> dict[str, Any]:
    """What makes two choices the same choice."""
    return {
        "data": data.fingerprint,
        "task": task,
        # another description under the same name is another device
        "device": device.name if device.is_here else json.loads(json.dumps(device.to_dict())),
        "budget": {name: value for name, value in asdict(budget).items() if name != "minutes"},
        "families": families,
        "seed": seed,
        "depthwise": versions()["depthwise"],
    }


class _Run:
    """One choice from beginning to end, in the folder `out`."""

    def __init__(
        self,
        data: Dataset,
        task: str,
        device: Device,
        budget: Budget,
        families: dict[str, type[Estimator]],
        seed: int,
        metric: ClassMetric,
        out: Path,
        request: dict[str, Any],
        tell: Tell,
        command: str,
        rescue: Shrink | None,
    ):
        self.data, self.task, self.device = data, task, device
        self.budget, self.seed = budget, seed
        self.out, self.request, self.command = out, request, command
        self.tell = Heartbeat.of(tell)
        self.begun = time.monotonic()
        rungs = ladder(families, data.input_shape, seed)
        self.candidates = deciding(rungs, data, task, metric)
        refuse_strangers(out)
        self.clock = Clock(budget.seconds)
        self.journal = Journal(out / "work", request, self.clock)
        about = (data, task, self.journal, out / "work", self.tell, self.clock)
        self.trials = Trials(*about, metric=metric)
        self.rescue = rescue if task_named(task).can_shrink else None
        self.nothing = baseline(data, task, metric)
        self.interrupted = False

    def choose(self) -> Choice:
        with self.tell:
            return self._choose()

    def _choose(self) -> Choice:
        self.tell(self.clock.outlook(len(self.candidates)))
        if self.nothing and (warning := self.nothing.warning()):
            self.tell(warning)
        found = feasible(
            self.candidates,
            self.data,
            self.device,
            self.budget,
            self.journal,
            self.tell,
            self.clock,
        )
        self._use_parts(found)
        near = next(iter(near_misses(found, self.candidates)), None) if self.rescue else None
        if not found.kept and near is None:
            return self._nothing_fits(found)
        try:
            self._train(found, near)
            self._train_more(found)
        except (Interrupted, KeyboardInterrupt):
            self.interrupted = True
            self.tell("interrupted: finishing with the best so far; repeat the command to go on")
        if not self.trials.trained:
            if self.interrupted:
                raise KeyboardInterrupt
            if not found.kept:
                return self._nothing_fits(found)
            self._write(self._record(found, {}))
            raise NothingFitsError(_all_failed(self.trials.failed))
        return self._conclude(found)

    def _use_parts(self, found: Feasible) -> None:
        """Of the validation and the test part what the minutes suffice for."""
        data = within(self.trials, found.kept, found.cards)
        if len(data.problems) > len(self.data.problems):
            self.data = self.trials.data = data
            self.nothing = baseline(data, self.task, self.trials.metric)

    def _train(self, found: Feasible, near: Candidate | None) -> None:
        kept = found.kept
        seconds = self.clock.training(testing_seconds(self.data, kept, found.cards))
        spare = seconds * (RESCUE_SHARE if kept else 1.0) if near else 0.0
        teachers = teacher_of(found, self.candidates)
        lesson = 0.0
        if teachers:
            lesson = lesson_seconds(self.trials, teachers, kept, seconds - spare)
        if kept:
            halve(self.trials, kept, seconds - spare - lesson)
        if lesson:
            self.candidates += teach(self.trials, teachers, lesson)
        if near and self.rescue:
            about = (self.trials, self.budget, self.device, spare, self.rescue)
            if shrunk := train_and_shrink(near, *about):
                self.candidates.append(shrunk)

    def _train_more(self, found: Feasible) -> None:
        """Where training left time: the candidates that there was no time to screen at first."""
        waiting, spare = found.unscreened(self.candidates), self.clock.left - self.clock.finishing
        if not waiting or spare < SPARE * self.clock.seconds:
            return
        about = (self.data, self.device, self.budget, self.journal, self.tell)
        more = feasible(waiting, *about, self.clock, until=self.clock.spent + SPARE * spare)
        found.add(more)
        if more.kept:
            seconds = self.clock.left - self.clock.finishing
            halve(self.trials, more.kept, max(0.0, seconds), step="more")

    def _conclude(self, found: Feasible) -> Choice:
        cards = final_cards(self.trials, found.cards, self.device)
        nothing = self.nothing
        found_best = select(self.trials, cards, nothing.items("validation") if nothing else None)
        if not self.interrupted:
            found_best = self._second_look(found_best, cards)
        best, again = found_best.winner, None
        if not self.interrupted:
            best, again = refit(self.trials, best)
        name = best.candidate.name
        cards[name] = final_card(self.trials, best, self.device, cards.get(name))
        winner = best.model()
        if "warm_start" in winner.get_params():
            winner.set_params(warm_start=False)
        self.tell.doing(f"{best.candidate.name}: testing it on the test part")
        test, said = scored(winner, self.data, "test", self.task, self.trials.metric)
        record = self._record(found, cards, found_best)
        record["test"] = test.to_dict()
        if nothing:
            record["baseline"] = nothing.record(compared(self.task, said, self.trials.metric))
            record["candidates"] += nothing.rows(record["baseline"])
        record["decision"] = decision_record(winner)
        self.tell(worthless(record) or f"{name} wins; on the test part: {test}")
        record["refit"] = again
        if said and (worst := MISTAKES.get(task_named(self.task).answer)):
            record["mistakes"] = worst(winner, self.data, said)
        if isinstance(winner, Regressor):
            record["predicted"] = predicted_numbers(winner, self.data)
        record["pictures"] = self._pictures(winner)
        record["answered"] = [
            self.data.item_name(int(i)) for i in self.data.indices["test"][:SHOWN]
        ]
        if self.clock.left > layers_seconds(cards[name]):
            self.tell.doing("looking where the winner's time goes")
            record["layers"] = layers_record(winner, self.data, self.device, cards[name])
        winner.save(self.out / "best")
        self._write(record)
        return Choice(record, winner, self.out)

    def _second_look(self, first: Selection, cards: dict[str, Scorecard]) -> Selection:
        try:
            return second_look(self.trials, first, cards)
        except (Interrupted, KeyboardInterrupt):
            self.interrupted = True
            return first

    def _pictures(self, winner: Estimator) -> dict[str, str | None] | None:
        if self.data.kind == "text":
            return None
        X = self.data.test.X
        return {"answers": encoded(lambda: answers_png(winner, X)), **pictures(winner, X)}

    def _nothing_fits(self, found: Feasible) -> Choice:
        record = self._record(found, {})
        nearest = found.nearest_miss()
        text = "No candidate can be built for this data on this device."
        if nearest:
            name, miss = nearest
            text = "No network keeps the limits. " + advice(name, miss)
            record["nearest_miss"] = {"candidate": name, **miss.to_dict(), "advice": text}
        self._write(record)
        raise NothingFitsError(text)

    def _record(
        self, found: Feasible, cards: dict[str, Scorecard], selection: Selection | None = None
    ) -> dict[str, Any]:
        trials = self.trials
        return {
            "format": 1,
            "depthwise": versions()["depthwise"],
            "complete": not self.interrupted,
            "task": self.task,
            "metric": metric_name(self.task, self.trials.metric),
            "request": self.request,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": self.command,
            "seed": self.seed,
            "versions": versions(),
            "seconds": time.monotonic() - self.begun,
            "dataset": dataset_record(self.data),
            "device": self.device.to_dict(),
            "budget": asdict(self.budget),
            "candidates": candidate_records(
                self.candidates, found, trials.trained, trials.failed, cards, selection
            ),
            "winner": selection.winner.candidate.name if selection else None,
            "selection": selection.to_dict() if selection else None,
            "baseline": None,
            "decision": None,
            "nearest_miss": None,
            "test": None,
            "refit": None,
            "mistakes": [],
            "pictures": None,
            "layers": None,
        }

    def _write(self, record: dict[str, Any]) -> None:
        self.tell.doing("writing the report")
        text = json.dumps(record, indent=1, allow_nan=False)
        write_report(record, self.out / "report.html")
        write_atomically(self.out / "choice.json", lambda scratch: scratch.write_text(text))
        if record["complete"]:
            remove_whole(self.out / "work")


def _all_failed(failed: dict[str, str]) -> str:
    reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    reasons = reasons or "the time does not suffice for a fiftieth of an epoch of any"
    return f"No candidate could be trained ({reasons}). Give more --minutes."
