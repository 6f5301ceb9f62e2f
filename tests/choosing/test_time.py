"""The minutes given are kept: how they are shared out, and that nothing lasts long in silence."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthwise import Budget, choose
from depthwise.choosing import beginning, feasibility, halving
from depthwise.choosing.beginning import begin
from depthwise.choosing.clock import Clock
from depthwise.choosing.halving import _Rungs
from depthwise.choosing.heartbeat import Heartbeat
from depthwise.choosing.ladder import Candidate, ladder
from depthwise.choosing.trials import Trials
from depthwise.choosing.whole_fits import _round_seconds
from depthwise.data.load import load
from depthwise.errors import InputError
from depthwise.families.cnn import CNN
from depthwise.families.dnn.dnn import DNN
from depthwise.families.shallow.shallow import GradientBoosting
from depthwise.journal import Journal

# -- the budget -----------------------------------------------------------------------------------


def test_minutes_have_an_older_name() -> None:
    assert Budget(minutes=2).train_minutes == Budget(train_minutes=2).minutes == 2
    assert Budget(minutes=2) == Budget(train_minutes=2) != Budget()
    assert Budget().minutes == 10 and Budget(minutes=0.5).seconds == 30
    with pytest.raises(InputError, match=r"minutes=1 and train_minutes=2 are one limit"):
        Budget(minutes=1, train_minutes=2)


@given(st.floats(1, 1e5), st.floats(0, 1e5), st.floats(0, 1e4))
def test_training_ends_in_time_and_has_its_least(seconds: float, spent: float, test: float) -> None:
    clock = Clock(seconds, before=spent)
    training = clock.training(test)
    assert training >= 0.4 * seconds
    assert training == pytest.approx(0.4 * seconds, rel=1e-3) or spent + training <= seconds


def test_what_was_spent_before_a_kill_counts(tmp_path: Path) -> None:
    first = Clock(100.0, before=30.0)
    Journal(tmp_path / "work", {}, first).recall("a", lambda: 1)
    again = Clock(100.0)
    Journal(tmp_path / "work", {}, again)
    assert 30 <= again.spent < 40 and 60 < again.left <= 70


# -- what is begun --------------------------------------------------------------------------------


def some_trials(folder: Path, tell: Any = lambda line: None) -> Trials:
    images = np.random.default_rng(0).integers(0, 256, (300, 1, 8, 8), dtype=np.uint8)
    data = load(images, labels=np.arange(300) % 3)
    return Trials(data, "classification", Journal(folder / "work", {}), folder / "work", tell)


def begun_with(
    seconds: float, needs: dict[str, float], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Trials, list[str]]:
    monkeypatch.setattr(beginning, "_least_seconds", lambda trials, c: needs[c.name])
    trials = some_trials(folder)
    candidates = [c for c in ladder({"cnn": CNN, "dnn": DNN}, (1, 8, 8), 0) if c.name in needs]
    return trials, [c.name for c in begin(trials, candidates, seconds)]


NEEDS = {"cnn-xs": 3.0, "cnn-s": 6.0, "cnn-m": 20.0, "dnn-s": 1.0, "dnn-xl": 2.0}


def test_with_time_enough_all_are_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials, names = begun_with(50, NEEDS, tmp_path, monkeypatch)
    assert set(names) == set(NEEDS) and not trials.failed


def test_the_best_prospects_come_first_and_what_does_not_fit_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials, names = begun_with(12.5, NEEDS, tmp_path, monkeypatch)  # 10 seconds may be promised
    assert names == ["cnn-xs", "cnn-s", "dnn-s"]  # 6 + 3 + 1; m is too long, xl has no room left
    assert "at least 20.0 s" in trials.failed["cnn-m"] and "--minutes" in trials.failed["cnn-m"]


def test_a_round_of_trees_on_very_many_columns_is_timed_on_some_of_them(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 3, 40, 40), dtype=np.uint8)
    data = load(images, labels=np.arange(300) % 3)
    begun = time.monotonic()
    seconds = _round_seconds(GradientBoosting(size="xs"), data)
    assert time.monotonic() - begun < seconds  # 2,000 of 4,800
    few = _round_seconds(GradientBoosting(size="xs"), load(images[..., :13], labels=data.labels))
    assert 1.2 < seconds / few < 8  # three times as many columns


def test_somebody_is_always_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _trials, names = begun_with(0.1, NEEDS, tmp_path, monkeypatch)
    assert names == ["dnn-s"]


def test_paces_are_taken_of_those_with_the_best_prospects_until_they_fill_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def pace(trials: Trials, candidate: Candidate, seconds: float = 0.0) -> float:
        asked.append(candidate.name)
        return 1.0

    monkeypatch.setattr(halving, "_pace", pace)
    monkeypatch.setattr(halving, "least_passes", lambda trials, candidate: 3.0)
    trials = some_trials(tmp_path)
    candidates = [Candidate(f"cnn-{size}", CNN, size, 0) for size in CNN.sizes]
    best_first = [c.name for c in sorted(candidates, key=lambda c: c.rank("images"))]
    ends = trials.clock.spent + 8.0  # 7.4 of it are planned: the third of 3 seconds is over it
    kept = _Rungs(trials, 8.0, ends, "plan").paced(candidates, 8.0)
    assert list(dict.fromkeys(asked)) == best_first[:3]
    assert {c.name for c in kept} == set(best_first[:3])
    assert set(trials.failed) == set(best_first[3:])


def test_a_pace_that_was_too_gloomy_does_not_end_training_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(halving, "_pace", lambda trials, candidate, seconds=0.0: 2.0)
    trials = some_trials(tmp_path)
    rungs = _Rungs(trials, 10.0, trials.clock.spent + 10.0, "plan")
    (epochs, seconds) = rungs._plan([Candidate("cnn-s", CNN, "s", 0)], 1)["cnn-s"]
    assert seconds == pytest.approx(0.92 * 10.0, abs=0.1)
    assert epochs == pytest.approx(1.4 * seconds / 2.0, abs=0.01)  # the seconds end it, not these


def test_where_paces_were_too_hopeful_the_best_prospects_keep_their_least(tmp_path: Path) -> None:
    rungs = _Rungs(some_trials(tmp_path), 1.0, 0.0, "plan")
    made = {"xs": 6.0, "s": 9.0, "m": 5.0, "xxs": 2.0}
    candidates = [Candidate(f"cnn-{size}", CNN, size, 0) for size in made]
    assert rungs._by_rank(candidates, list(made.values()), 17.5) == [6.0, 9.0, 0.0, 2.0]
    assert rungs._by_rank(candidates, list(made.values()), 4.0) == [0.0, 4.0, 0.0, 0.0]


def test_those_that_keep_their_least_share_what_the_others_cannot_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paces = {"cnn-s": 1.0, "cnn-xxs": 20.0}
    monkeypatch.setattr(halving, "_pace", lambda trials, candidate: paces[candidate.name])
    monkeypatch.setattr(halving, "least_passes", lambda trials, candidate: 1.0)
    trials = some_trials(tmp_path)
    rungs = _Rungs(trials, 12.0, trials.clock.spent + 12.0, "plan")
    candidates = [Candidate(name, CNN, name[4:], 0) for name in paces]
    plan = rungs._plan(candidates, 1)
    assert plan["cnn-xxs"][0] == 0.0
    assert plan["cnn-s"][1] == pytest.approx(0.92 * 12.0, abs=0.1)


def test_sizes_are_tried_from_the_middle_outwards() -> None:
    sizes = sorted(CNN.sizes, key=lambda size: Candidate("c", CNN, size, 0).rank("images"))
    assert sizes == ["s", "xs", "m", "xxs", "l", "xl"]
    assert Candidate("c", DNN, "s", 0).rank("images") > Candidate("c", CNN, "xs", 0).rank("images")


def test_what_was_not_screened_is_looked_at_where_training_left_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, asked = feasibility._is_late, []

    def two_are_late_at_first(journal: Journal, candidate: Candidate, until: float) -> bool:
        asked.append(candidate.name)
        return len(asked) <= 2 or late(journal, candidate, until)

    monkeypatch.setattr(feasibility, "_is_late", two_are_late_at_first)
    data = some_trials(tmp_path).data.without_labels()
    options: dict[str, Any] = {"families": ["rbm"], "task": "anomaly"}
    choice = choose(data, budget=Budget(minutes=0.3), **options)
    tried = {c["name"] for c in choice.record["candidates"] if c["validation_accuracy"]}
    assert asked[:2] == ["rbm-m", "rbm-l"] and len(asked) > 2
    assert tried == {"rbm-s", "rbm-m", "rbm-l"}


# -- no silence -----------------------------------------------------------------------------------


def test_what_takes_long_says_so_and_a_line_resets_the_wait() -> None:
    told: list[str] = []
    with Heartbeat(told.append, silence=0.2) as tell:
        tell.doing("counting sheep")
        time.sleep(0.1)
        tell("one line")
        time.sleep(0.15)
        assert told == ["one line"]
        time.sleep(0.2)
    assert len(told) == 2 and told[1].startswith("counting sheep, ")
    time.sleep(0.3)
    assert len(told) == 2  # over


def test_nothing_lasts_long_in_silence_and_the_promise_is_kept(tmp_path: Path) -> None:
    lines: list[tuple[float, str]] = []
    begun, worked = time.monotonic(), time.process_time()
    choose(
        load("digits", cache=False),
        budget=Budget(minutes=0.1),
        families=["cnn", "dnn", "logistic"],
        watch=lambda line: lines.append((time.monotonic() - begun, line)),
    )
    wall, worked = time.monotonic() - begun, time.process_time() - worked
    held_up = max(1.0, wall / worked)  # by other processes of this machine
    assert wall <= (1.1 * 6 + 10) * held_up
    assert lines[0][1].startswith("6 s in all: ")
    moments = [0.0, *(moment for moment, _ in lines), wall]
    assert max(np.diff(moments)) < 5 * held_up
