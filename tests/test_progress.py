"""What is said while something trains: how long it takes in all, all stages counted."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from depthwise import CNN, DBN
from depthwise.commands.fit_folder import score_words
from depthwise.data.load import load
from depthwise.progress import PACE_SECONDS, ConsoleProgress, as_duration, line
from depthwise.task import per_cent
from depthwise.training.loop import Event
from depthwise.training.stages import Stages

EVENT = Event(1.0, 4.0, 10, 40, 0.5, 0.7163, 1000.0, 10.0, 30.0)


def of(name: str, event: Event, shares: dict[str, float], done: dict[str, float], limit=None):
    """Seconds left of a run in stages, some of which took so many seconds."""
    run: Any = SimpleNamespace(shares=shares, seconds_limit=limit, seconds_used=sum(done.values()))
    run.done = {stage: SimpleNamespace(seconds=seconds) for stage, seconds in done.items()}
    return Stages._seconds_left(run, name, event)


def test_the_stages_ahead_count_by_their_shares_and_the_pace_so_far():
    shares = {"a": 1.0, "b": 1.0, "c": 4.0}
    assert of("a", EVENT, shares, {}) == 30 + 5 * 40  # 40 s a share, five shares ahead
    assert of("b", EVENT, shares, {"a": 80.0}) == 30 + 4 * 60  # 120 s for two shares
    assert of("c", EVENT, shares, {"a": 80.0, "b": 40.0}) == 30
    assert of("c", EVENT, {}, {}) == 30  # nothing planned: its own


def test_a_limit_is_never_overstepped_by_what_is_foreseen():
    assert of("a", EVENT, {"a": 1.0, "b": 9.0}, {}, limit=50.0) == 50
    assert of("b", EVENT, {"a": 1.0, "b": 9.0}, {"a": 45.0}, limit=50.0) == 5


def test_events_of_a_staged_fit_speak_of_the_whole_run():
    X = np.random.default_rng(0).random((300, 30), dtype=np.float32)
    told: list[Event] = []
    model = DBN(hidden=(16, 16), epochs=12, batch_size=10, finetune_epochs=0, threads=1)
    model.fit(X, watch=told.append)
    assert told and {event.stage for event in told} <= {"rbm-1", "rbm-2"}
    for event in told:
        rate = event.step / event.seconds
        own = (event.steps - event.step) / rate
        if event.stage == "rbm-1":  # as much again is ahead, at this pace
            assert event.seconds_left == pytest.approx(own + event.seconds + own, rel=0.02)


@pytest.mark.parametrize(
    "seconds, text",
    [(3.25, "3.2 s"), (42.4, "42 s"), (60, "1 minute"), (150, "2.5 minutes"), (7200, "2 hours")],
)
def test_durations_in_words(seconds, text):
    assert as_duration(seconds) == text


def test_how_long_it_takes_is_said_once_when_the_pace_is_known(capsys):
    bar = ConsoleProgress("cnn-s", per_cent)
    bar.begun -= 23.0
    for event in (
        replace(EVENT, seconds=PACE_SECONDS / 2),
        replace(EVENT, seconds_left=math.inf),
        replace(EVENT, seconds_left=150.0),
        replace(EVENT, seconds_left=600.0),
    ):
        bar(event)
    assert capsys.readouterr().err == "cnn-s: about 3 minutes in all\n"


def test_short_runs_are_not_foreseen(capsys):
    ConsoleProgress("dnn")(replace(EVENT, seconds_left=4.0))
    assert capsys.readouterr().err == ""


def test_a_line_tells_the_stage_and_a_share_in_per_cent():
    assert "best 0.7163  1,000 items/s  0:30 left" in line(EVENT)
    told = line(replace(EVENT, stage="rbm-2"), per_cent)
    assert told.startswith("rbm-2  epoch 1.0/4") and "best 71.6%" in told


def test_what_is_no_share_is_not_told_as_one():
    data = load("digits")
    assert score_words(CNN(), data)(0.7163) == "71.6%"
    assert score_words(DBN(), data)(0.7163) == "0.7163"
