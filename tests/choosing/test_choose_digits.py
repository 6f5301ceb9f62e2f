"""The main job on real scanned digits, small enough for a test: from data to a winner on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import depthwise
from depthwise import Budget, Choice, choose
from depthwise.choosing import choose as choosing
from depthwise.choosing import trials
from depthwise.data.load import load
from depthwise.errors import InputError, NothingFitsError

BUDGET = Budget(size_mb=0.2, minutes=0.2)
FAMILIES = ["logistic", "dnn", "cnn"]


@pytest.fixture(scope="module")
def digits_data() -> Any:
    return load("digits", cache=False)


@pytest.fixture(scope="module")
def chosen(digits_data: Any, tmp_path_factory: pytest.TempPathFactory) -> Choice:
    out = tmp_path_factory.mktemp("choose") / "out"
    return choose(digits_data, budget=BUDGET, families=FAMILIES, seed=3, out=out)


def test_the_winner_is_good_and_keeps_its_limits(chosen: Choice) -> None:
    card = chosen.scorecard
    assert card is not None
    assert card.accuracy is not None
    assert card.accuracy.value > 0.9
    assert card.hardware_cost is not None
    assert card.hardware_cost.details["weight_bytes"] <= 200_000


def test_the_winner_cannot_be_told_from_the_most_accurate_on_validation(chosen: Choice) -> None:
    candidates = {c["name"]: c for c in chosen.record["candidates"] if c["validation_accuracy"]}
    scores = {name: c["validation_accuracy"]["value"] for name, c in candidates.items()}
    selection, name = chosen.record["selection"], chosen.record["winner"]
    assert scores[selection["best"]] == max(scores.values())
    assert selection["winner"] == name == selection["equals"][0]
    assert name == selection["best"] or candidates[name]["p"] > selection["level"]
    assert selection["compared"] == len(candidates) - 2  # without the best and the majority


def test_networks_are_better_than_always_the_same_digit(chosen: Choice) -> None:
    base = chosen.record["baseline"]
    assert base["beaten"]
    assert base["p"] < 1e-6
    assert 0.05 < base["test"]["value"] < 0.15
    row = chosen.record["candidates"][-1]
    assert (row["name"], row["status"], row["scorecard"]) == ("majority", "baseline", None)


def test_what_is_on_disk_is_what_was_returned(chosen: Choice, digits_data: Any) -> None:
    out = chosen.out
    assert out is not None
    assert sorted(p.name for p in out.iterdir()) == ["best", "choice.json", "report.html"]
    again = depthwise.load(out / "best")
    X, _y = digits_data.test
    assert np.array_equal(again.predict_proba(X), chosen.winner.predict_proba(X))
    assert json.loads((out / "choice.json").read_text()) == chosen.record


def test_the_test_accuracy_is_that_of_the_test_part(chosen: Choice, digits_data: Any) -> None:
    X, y = digits_data.test
    right = chosen.winner.predict(X) == np.asarray(digits_data.classes)[y]
    assert chosen.record["test"]["value"] == pytest.approx(right.mean())
    assert chosen.record["test"]["details"]["items"] == len(y)


def test_every_candidate_has_a_status_and_a_reason(chosen: Choice) -> None:
    candidates = {c["name"]: c for c in chosen.record["candidates"]}
    assert set(candidates) >= {"logistic", "dnn-xxs", "dnn-xl", "cnn-xxs", "cnn-xl"}
    assert all(c["reason"] for c in candidates.values())
    assert candidates["cnn-xl"]["status"] == "dropped"
    assert "size" in candidates["cnn-xl"]["reason"]
    assert candidates["cnn-xl"]["train_seconds"] == 0


def test_the_winner_has_all_six_metrics_and_the_others_what_time_allowed(chosen: Choice) -> None:
    for candidate in chosen.record["candidates"]:
        if candidate["scorecard"] and candidate["validation_accuracy"]:
            missing = {m for m, value in candidate["scorecard"].items() if not value}
            allowed = set() if candidate["status"] == "winner" else {"flexibility"}
            assert missing <= allowed, candidate["name"]


def test_mistakes_are_mistakes(chosen: Choice, digits_data: Any) -> None:
    for mistake in chosen.record["mistakes"]:
        image = digits_data.inputs[mistake["index"]][None]
        assert chosen.winner.predict(image)[0] == mistake["predicted"] != mistake["truth"]


def test_repeating_a_finished_choice_only_reads_it(
    chosen: Choice, digits_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "halve", lambda *a: pytest.fail("trained again"))
    again = choose(digits_data, budget=BUDGET, families=FAMILIES, seed=3, out=chosen.out)
    assert again.record == chosen.record


def test_another_choice_does_not_overwrite_it(chosen: Choice, digits_data: Any) -> None:
    with pytest.raises(InputError, match="another choice"):
        choose(digits_data, budget=BUDGET, families=FAMILIES, seed=4, out=chosen.out)


def test_a_folder_that_is_not_ours_is_not_touched(tmp_path: Path, digits_data: Any) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not empty"):
        choose(digits_data, budget=BUDGET, families=["logistic"], out=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_limits_nothing_can_meet_give_the_nearest_miss(tmp_path: Path, digits_data: Any) -> None:
    with pytest.raises(NothingFitsError, match=r"logistic comes nearest: size .* --max-size-mb"):
        choose(
            digits_data,
            budget=Budget(size_mb=0.001),
            families=["logistic", "dnn"],
            out=tmp_path / "o",
        )
    record = json.loads((tmp_path / "o" / "choice.json").read_text())
    assert record["winner"] is None
    assert record["nearest_miss"]["candidate"] == "logistic"
    assert (tmp_path / "o" / "report.html").exists()


def test_where_nothing_fitted_the_same_call_says_so_again_and_a_relaxed_one_goes_on(
    tmp_path: Path, digits_data: Any
) -> None:
    options: dict[str, Any] = {"families": ["logistic"], "out": tmp_path / "o"}
    for _ in range(2):
        with pytest.raises(NothingFitsError, match="comes nearest"):
            choose(digits_data, budget=Budget(size_mb=0.001), **options)
    relaxed = choose(digits_data, budget=Budget(size_mb=1, train_minutes=0.01), **options)
    assert relaxed.record["winner"] == "logistic"


def test_too_little_time_for_anything_leaves_the_evidence_and_more_time_is_taken(
    tmp_path: Path, digits_data: Any
) -> None:
    options: dict[str, Any] = {"families": ["boosting"], "out": tmp_path / "o"}
    for minutes in (1e-6, 2e-6):
        with pytest.raises(NothingFitsError, match="boosting-s: untried"):
            choose(digits_data, budget=Budget(train_minutes=minutes), **options)
        record = json.loads((tmp_path / "o" / "choice.json").read_text())
        assert {c["status"] for c in record["candidates"]} == {"untried"}
        assert record["budget"]["train_minutes"] == minutes


def test_a_described_device_is_predicted_and_said_so(digits_data: Any) -> None:
    choice = choose(
        digits_data,
        device="raspberry-pi-5",
        budget=Budget(train_minutes=0.02, price_usd=500),
        families=["logistic"],
    )
    card = choice.scorecard
    assert card is not None
    assert card.latency is not None
    assert card.latency.how == "predicted"
    assert card.accuracy is not None
    assert card.accuracy.how == "measured"


def test_an_interrupt_ends_with_the_best_so_far_and_can_go_on(
    tmp_path: Path, digits_data: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = trials.Trials._fit
    calls: list[str] = []

    def interrupted(self: Any, model: Any, name: str, folder: Path, limit: float) -> Any:
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, model, name, folder, limit)

    families = ["logistic", "dnn"]
    options: dict[str, Any] = {"budget": BUDGET, "families": families, "out": tmp_path / "o"}
    monkeypatch.setattr(trials.Trials, "_fit", interrupted)
    first = choose(digits_data, **options)
    assert first.winner is not None
    assert not first.record["complete"]
    whole = choose(digits_data, **options)
    assert whole.record["complete"]
    assert calls.count("logistic") == 1  # what was trained was not trained again


COMMAND = """
import sys
from depthwise import Budget, choose
from depthwise.data.load import load
choice = choose(load("digits", cache=False), budget=Budget(size_mb=0.2, minutes=0.2),
                families=["logistic", "dnn"], out=sys.argv[1],
                watch=lambda line: print(line, flush=True))
"""


def test_killed_with_kill_9_the_same_command_goes_on(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COMMAND, str(tmp_path / "o")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("dnn-") and " on validation" in line:  # logistic is over and noted
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.1)
    steps = json.loads((tmp_path / "o" / "work" / "journal.json").read_text())["steps"]
    again = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    trained_again = [line.split(":")[0] for line in again.stdout.splitlines() if " on val" in line]
    assert "logistic" not in trained_again
    assert "dnn-s" in trained_again
    record = json.loads((tmp_path / "o" / "choice.json").read_text())
    measured = [c for c in record["candidates"] if c["scorecard"]]
    kept = {c["name"]: c["scorecard"]["latency"]["value"] for c in measured}
    dropped = [c["name"] for c in measured if c["status"] == "dropped"]
    for name in dropped:  # measured before the kill, remembered after it
        assert kept[name] == steps[f"costs/{name}"]["latency"]["value"]
    assert record["complete"]
