"""Candidates of `choose` that only just miss."""

from __future__ import annotations

from pathlib import Path

import pytest

import depthwise
from depthwise import DNN, Budget, choose, load, load_data
from depthwise.choosing.feasibility import Feasible
from depthwise.choosing.ladder import ladder
from depthwise.choosing.near_miss import near_misses, shrink_near_miss
from depthwise.data.dataset import Dataset
from depthwise.families.shallow.shallow import LogisticRegression
from depthwise.measuring.limits import Miss


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_data("digits", cache=False)


@pytest.fixture(scope="module")
def dnn(data: Dataset) -> DNN:
    return DNN(hidden=(48, 33), epochs=15, threads=1).fit(data)


def test_who_is_just_over_a_limit_that_shrinking_helps_is_worth_it() -> None:
    candidates = ladder({"dnn": DNN, "logistic": LogisticRegression}, (8,), seed=0)
    names = [candidate.name for candidate in candidates if candidate.make is DNN]
    found = Feasible()
    found.missed = {
        "logistic": [Miss("size_mb", 1.1, 1.0)],  # nothing to fine-tune by gradients
        names[0]: [Miss("latency_ms", 3.0, 1.0)],
        names[1]: [Miss("size_mb", 1.5, 1.0)],
        names[2]: [Miss("size_mb", 9.0, 1.0)],  # too far
        names[3]: [Miss("latency_ms", 2.0, 1.0), Miss("price_usd", 1.2, 1.0)],
    }
    assert [candidate.name for candidate in near_misses(found, candidates)] == [names[1], names[0]]


def test_shrunk_model_keeps_the_budget_or_there_is_none(dnn: DNN, data: Dataset) -> None:
    done = shrink_near_miss(dnn, data, Budget(size_mb=0.012), minutes=0.01)
    assert done is not None and not done.record["nearest_miss"]
    assert shrink_near_miss(dnn, data, Budget(size_mb=1e-4), minutes=0.01) is None


def test_choice_takes_in_what_was_shrunk(data: Dataset, tmp_path: Path) -> None:
    choice = choose(
        data,
        families=["dnn"],
        budget=Budget(size_mb=0.012, minutes=0.3),
        out=tmp_path / "out",
        rescue=shrink_near_miss,
    )
    names = {entry["name"]: entry for entry in choice.record["candidates"]}
    assert names["dnn-xs"]["status"] == "dropped"
    assert names["dnn-xs-shrunk"]["status"] in ("winner", "trained")
    figures = names["dnn-xs-shrunk"]["scorecard"]["hardware_cost"]["details"]
    assert figures["weight_bytes"] <= 0.012e6
    assert choice.record["winner"] in ("dnn-xxs", "dnn-xs-shrunk")
    again = load(tmp_path / "out" / "best")
    assert again.predict(data.test.X[:3]).shape == (3,)


def test_the_old_name_works_for_one_release_and_warns() -> None:
    with pytest.warns(DeprecationWarning, match="rescue is now depthwise.shrink_near_miss"):
        assert depthwise.rescue is shrink_near_miss
