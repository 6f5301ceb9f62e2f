"""Tables like Caravan's: 6% "yes". Where nothing can be known the verdict says so; where something
can, the metric that is asked for finds it. Referee: the signal was put in, or left out, here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise import Budget, Choice, Dataset, choose, load_data
from depthwise.choosing.baselines import Majority
from depthwise.errors import InputError
from depthwise.reporting.choice_page import render_report
from depthwise.reporting.judging import headline, score_rows, why_this_one, worthless
from depthwise.reporting.verdict import verdict

FEW = {"families": ["logistic"], "budget": Budget(train_minutes=0.2)}


def rare_yes(items: int, signal: float, seed: int = 0, rate: float = 0.06) -> Dataset:
    """Six columns, of which two say something if `signal` is above 0."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(items, 6)).astype(np.float32)
    z = signal * (X[:, 0] - X[:, 1]) + random.normal(size=items)
    data: Dataset = load_data((X, np.where(z > np.quantile(z, 1 - rate), "yes", "no")))
    return data


@pytest.fixture(scope="module")
def hopeless(tmp_path_factory: pytest.TempPathFactory) -> Choice:
    return choose(rare_yes(900, 0.0), out=tmp_path_factory.mktemp("h") / "o", **FEW)


def test_where_nothing_can_be_known_the_verdict_says_so_first(hopeless: Choice) -> None:
    record = hopeless.record
    assert hopeless.winner is not None
    assert record["baseline"]["beaten"] is False
    told = worthless(record)
    assert told.startswith("No network is better than always answering 'no': that has 9")
    assert "McNemar's exact test, p = " in told
    assert "Nor do its probabilities tell the classes apart: AUROC 0." in told
    assert headline(record) == ("No network is better than always answering", "no")
    assert verdict(record).startswith("The best of them all the same is logistic.")
    assert str(hopeless).startswith(told)
    page = render_report(record)
    assert page.index("No network is better") < page.index("Candidates")
    assert "<h1>Ship" not in page


def test_uneven_classes_are_told_before_anything_is_tried() -> None:
    told = Majority(rare_yes(300, 0.0), None).warning()
    assert told.startswith("94.3% of the training items are 'no' (yes 5.7%): accuracy says little")
    assert Majority(rare_yes(300, 0.0), "f1").warning() == ""
    assert Majority(rare_yes(300, 0.0, rate=0.4), None).warning() == ""


def test_the_majority_is_a_row_that_costs_nothing(hopeless: Choice) -> None:
    row = hopeless.record["candidates"][-1]
    assert row["name"] == "majority"
    assert row["reason"].startswith("always answers 'no', as 94.0% of the training items are")
    assert row["validation_accuracy"]["value"] == pytest.approx(0.94, abs=0.02)
    assert "Of 1 candidates" in verdict(hopeless.record)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "auroc"])
def test_where_something_can_be_known_the_metric_finds_it(tmp_path: Path, metric: str) -> None:
    choice = choose(rare_yes(1500, 2.0), metric=metric, out=tmp_path / "o", **FEW)
    record = choice.record
    assert (record["metric"], record["request"]["metric"]) == (metric, metric)
    assert record["baseline"]["beaten"] is True
    cut, winner = record["decision"], choice.winner
    assert winner is not None
    if metric == "auroc":
        assert cut is None
    else:
        assert cut == {"class": "yes", "from": winner.decision_threshold_}
        assert 0 < cut["from"] < 0.5
        assert any("'yes' from a probability of" in told for told in why_this_one(record))
    assert record["test"]["details"]["metric"] == metric
    assert record["test"]["low"] > 0.5
    assert worthless(record) == ""
    assert [name for name, _, _ in score_rows(record)] == [
        *("accuracy", "balanced accuracy", "f1 of yes", "auroc", "log loss")
    ]
    assert any("paired bootstrap" in sentence for sentence in why_this_one(record)[1:])
    assert "Why this one" in render_report(record)


def test_a_function_of_ones_own_ranks_the_candidates(tmp_path: Path) -> None:
    def found_yes(y_true: Any, y_pred: Any) -> float:
        return float((y_pred[y_true == "yes"] == "yes").mean())

    choice = choose(rare_yes(600, 3.0, rate=0.3), metric=found_yes, out=tmp_path / "o", **FEW)
    assert choice.record["metric"] == "found_yes"
    data = rare_yes(600, 3.0, rate=0.3)
    truth = np.asarray(data.classes)[data.test.y]
    assert choice.winner is not None
    expected = found_yes(truth, choice.winner.predict(data.test.X))
    assert choice.record["test"]["value"] == pytest.approx(expected)
    assert choice.record["test"]["low"] <= expected <= choice.record["test"]["high"]


def test_a_metric_that_is_unknown_or_not_for_the_task_is_named(tmp_path: Path) -> None:
    data = rare_yes(200, 1.0)
    with pytest.raises(InputError, match="one of accuracy, balanced_accuracy, f1, auroc, log_loss"):
        choose(data, metric="precision", **FEW)
    with pytest.raises(InputError, match="anomaly is scored by AUROC alone"):
        choose(data, task="anomaly", metric="f1")
    with pytest.raises(InputError, match=r"metric broken fails .* division by zero"):
        choose(data, metric=broken, **FEW)


def broken(y_true: Any, y_pred: Any) -> float:
    return 1 / 0


def test_numbers_that_nothing_tells_are_held_against_their_mean(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    X, y = random.normal(size=(400, 3)).astype(np.float32), random.normal(100, 3, 400)
    data = load_data((X, y), task="regression")
    options: dict[str, Any] = {"families": ["mean", "linear"], "budget": Budget(train_minutes=0.2)}
    record = choose(data, out=tmp_path / "o", **options).record
    assert record["baseline"]["name"] == "mean"
    assert record["baseline"]["beaten"] is False
    assert worthless(record).startswith("No network is better than always answering '")
    assert [c["name"] for c in record["candidates"]].count("mean") == 1
    assert "paired bootstrap" in why_this_one(record)[0]


def test_a_record_of_before_is_shown_as_ever(hopeless: Choice) -> None:
    old = dict(hopeless.record)
    for key in ("baseline", "selection", "metric"):
        del old[key]
    old["candidates"] = [{k: v for k, v in c.items() if k != "p"} for c in old["candidates"][:-1]]
    assert worthless(old) == ""
    assert why_this_one(old) == []
    assert headline(old) == ("Ship", "logistic")
    assert "<h1>Ship <em>logistic</em>" in render_report(old)
