"""Where validation items are few, equals are told apart by parts that none has learnt from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise.choosing import second_look as looking
from depthwise.choosing.clock import Clock
from depthwise.choosing.ladder import Candidate
from depthwise.choosing.second_look import dealt, second_look
from depthwise.choosing.selecting import Selection, standing
from depthwise.choosing.trials import Trials
from depthwise.data.dataset import Dataset
from depthwise.families.shallow.shallow import GradientBoosting, LogisticRegression
from depthwise.journal import Journal
from depthwise.measuring.metric import Metric
from depthwise.measuring.scorecard import Scorecard


def made(n: int = 600) -> Dataset:
    """What a line cannot tell and trees can."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(np.int64)
    parts = np.split(rng.permutation(n), [int(0.7 * n), int(0.85 * n)])
    named = dict(zip(("train", "validation", "test"), parts))
    return Dataset("made", "table", X, y, ["a", "b"], named)


def card(latency: float) -> Scorecard:
    size = Metric(1.0, "MB", "measured", details={"weight_bytes": 100})
    return Scorecard("here", latency=Metric(latency, "ms", "measured"), hardware_cost=size)


def known(folder: Path, seconds: float = 60.0) -> tuple[Trials, Selection, dict[str, Scorecard]]:
    """Logistic regression, cheap, and trees, dear, that validation is said not to tell apart."""
    clock = Clock(seconds)
    data, journal = made(), Journal(folder / "work", {}, clock)
    trials = Trials(data, "classification", journal, folder / "work", lambda line: None, clock)
    for make, size in ((LogisticRegression, None), (GradientBoosting, "xs")):
        candidate = Candidate(make.family, make, size, 0)
        assert trials.train(candidate, 0, candidate.model(), 20.0)
    cheap, dear = (trials.trained[name] for name in ("logistic", "boosting"))
    first = Selection(cheap, dear, ["logistic", "boosting"], {"logistic": 0.5}, "a test", 90)
    return trials, first, {"logistic": card(0.01), "boosting": card(1.0)}


def test_folds_are_the_validation_part_and_the_training_part_dealt_evenly() -> None:
    data = made()
    folds = dealt(data, 0)
    assert folds[0] is data.indices["validation"] and len(folds) == 6
    everything = np.sort(np.concatenate(folds[1:]))
    assert (everything == np.sort(data.indices["train"])).all()
    shares = [np.bincount(data.labels[fold], minlength=2) for fold in folds[1:]]
    assert np.ptp(np.array(shares), axis=0).max() <= 1


def test_copies_of_an_item_are_in_one_fold() -> None:
    data = replace(made(), groups=np.arange(600) // 7)
    owners = (
        [set(data.groups[fold]) for fold in dealt(data, 3)[1:]] if data.groups is not None else []
    )
    assert sum(map(len, owners)) == len(set.union(*owners))


def test_the_better_of_two_that_validation_could_not_tell_apart_is_found(tmp_path: Path) -> None:
    trials, first, cards = known(tmp_path)
    found = second_look(trials, first, cards)
    assert first.winner.candidate.name == "logistic"
    assert found.winner.candidate.name == found.best.candidate.name == "boosting"
    assert found.rounds == 1 and found.p["logistic"] < 0.001  # told apart: nobody trains further
    assert found.items == 84 and found.again["boosting"] > 0.85 > found.again["logistic"]
    told = {name: standing(entry, found)[1] for name, entry in trials.trained.items()}
    assert "84 items of 1 other part" in told["boosting"] and "p = " in told["logistic"]


def test_a_choice_begun_again_trains_nothing_twice_and_finds_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = second_look(*known(tmp_path))
    trials, first, cards = known(tmp_path)
    monkeypatch.setattr(GradientBoosting, "fit", None)
    assert second_look(trials, first, cards).to_dict() == once.to_dict()


def test_no_answer_is_of_an_item_that_was_learnt_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Dataset] = []
    score: Any = looking.scored

    def watched(model: Any, data: Dataset, *about: Any) -> Any:
        seen.append(data)
        return score(model, data, *about)

    monkeypatch.setattr(looking, "scored", watched)
    monkeypatch.setattr(looking, "select_again", lambda trials, first, *about: first)
    trials, first, cards = known(tmp_path)
    second_look(trials, first, cards)
    held_out = set(trials.data.indices["test"])
    for data in seen:
        parts = [set(data.indices[part]) for part in ("train", "validation", "test")]
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert not set.union(*parts) & held_out
    answered = [i for data in seen[::2] for i in data.indices["test"]]
    assert len(answered) == len(set(answered)) == 336


@pytest.mark.parametrize("why", ["no time", "many items", "one equal"])
def test_nothing_is_trained_again_where_that_is_no_use(tmp_path: Path, why: str) -> None:
    trials, first, cards = known(tmp_path)
    if why == "no time":
        trials.clock.seconds = trials.clock.spent
    elif why == "many items":
        many = np.resize(trials.data.indices["validation"], 1000)
        trials.data = replace(trials.data, indices={**trials.data.indices, "validation": many})
    else:
        first.equals.remove("boosting")
    assert second_look(trials, first, cards) is first
