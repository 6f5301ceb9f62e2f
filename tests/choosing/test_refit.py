"""The winner learns again from training and validation items, where there is time for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise.choosing import winner_refit as refitting
from depthwise.choosing.clock import Clock
from depthwise.choosing.ladder import Candidate
from depthwise.choosing.trials import Trained, Trials
from depthwise.choosing.winner_refit import (
    best_length,
    needed_seconds,
    refit,
    refit_seconds,
    together,
)
from depthwise.data.dataset import Dataset
from depthwise.families.dnn.dnn import DNN
from depthwise.families.dsn.dsn import DSN
from depthwise.families.shallow.shallow import GradientBoosting
from depthwise.journal import Journal
from depthwise.measuring.metric import Metric


def made() -> Dataset:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(330, 4)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=330) > 0).astype(np.int64)
    parts = dict(zip(("train", "validation", "test"), np.split(np.arange(330), [211, 270])))
    return Dataset("made", "table", X, y, ["a", "b"], parts)


def trials(folder: Path, told: list[str], seconds: float = 60) -> Trials:
    clock = Clock(seconds)
    journal = Journal(folder, {"data": "made"}, clock)
    return Trials(made(), "classification", journal, folder, told.append, clock)


def trained(known: Trials, make: Any = GradientBoosting, size: str = "xs") -> Trained:
    candidate = Candidate(f"{make.family}-{size}", make, size, seed=0)
    model = candidate.model()
    if make is DNN:
        model.set_params(epochs=4)
    done = known.train(candidate, 0, model, 30.0)
    assert done is not None
    return done


@pytest.mark.parametrize("make, size", [(GradientBoosting, "xs"), (DNN, "xxs"), (DSN, "s")])
def test_the_winner_learns_from_both_parts_as_long_as_validation_found_best(
    tmp_path: Path, make: Any, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    known = trials(tmp_path, told)
    best = trained(known, make, size)
    seen: list[Any] = []
    fit = make.fit

    def watched(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((X, self.get_params()))
        return fit(self, X, *args, **kwargs)

    monkeypatch.setattr(make, "fit", watched)
    monkeypatch.setattr(
        refitting, "quality", lambda *about: Metric(1.0, "fraction", "measured", {})
    )
    again, what = refit(known, best)
    assert what is not None and what["items"] == 270 and what["length"] == best_length(best)
    data, settings = seen[0]
    assert sorted(data.indices["train"]) == list(range(270)) and not len(data.indices["validation"])
    if make is DSN:
        assert settings["n_modules"] == best.model().describe_network()["modules"]
    else:
        assert settings["max_iter" if make is GradientBoosting else "epochs"] == what["length"]
    assert best.folder != again.folder and known.trained[best.candidate.name] is best
    model, before = again.model(), best.model()
    assert model.get_params() == before.get_params() and model.split_ == before.split_
    X = made().test.X
    assert not np.array_equal(model.predict_proba(X), before.predict_proba(X))
    # begun again, nothing is trained again
    monkeypatch.setattr(make, "fit", None)
    assert refit(trials(tmp_path, told), best) == (again, what)


def test_without_time_or_gain_the_validated_network_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    known = trials(tmp_path / "a", told)
    best = trained(known)
    known.clock.seconds = known.clock.spent + 0.001
    assert refit(known, best) == (best, None) and "are left" in told[-1]
    known = trials(tmp_path / "b", told)
    best = trained(known)
    worse = Metric(best.score - 0.1, "fraction", "measured", {})
    monkeypatch.setattr(refitting, "quality", lambda *about: worse)
    assert refit(known, best) == (best, None) and "came out worse" in told[-1]


def test_what_testing_and_the_report_do_not_need_is_enough_for_it(tmp_path: Path) -> None:
    told: list[str] = []
    known = trials(tmp_path, told)
    best = trained(known)
    best.seconds = 0.5
    known.clock.before = 60.0 - 5.0 - known.clock.spent  # 3.6 s of the last 5 are kept
    assert refit(known, best)[1] is not None or "came out worse" in told[-1]


def test_an_interrupted_refit_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = trials(tmp_path, [])
    best = trained(known)
    fit = GradientBoosting.fit

    def interrupted(self: Any, *args: Any, **kwargs: Any) -> Any:
        fit(self, *args, **kwargs).history_["stopped"] = "interrupted"
        return self

    monkeypatch.setattr(GradientBoosting, "fit", interrupted)
    assert refit(known, best) == (best, None)
    assert not [step for step in known.journal.steps if step.startswith("refit")]


def test_the_best_length_is_over_all_rungs_and_the_last_of_equals() -> None:
    entry = Trained(
        Candidate("dnn-s", DNN, "s", 0), Path(), Metric(0.9, "fraction", "measured", {})
    )
    assert best_length(entry) is None
    entry.history = [
        {"epoch": 1.0, "loss": 1.0},
        {"epoch": 2.0, "score": 0.8},
        {"epoch": 3.5, "score": 0.9},
        {"epoch": 4.5, "score": 0.9},
        {"epoch": 5.5, "score": 0.7},
    ]
    assert best_length(entry) == 4.5


def test_time_is_kept_for_it_unless_it_would_be_much_of_all(tmp_path: Path) -> None:
    known = trials(tmp_path, [])
    best = trained(known, DNN, "xxs")
    best.seconds = 2.0
    growth = 270 / 211
    length = best_length(best)
    assert length is not None
    needed = 1.3 * growth * 2.0 * length / best.epochs
    assert refit_seconds(known, best, 60.0) == pytest.approx(needed)
    assert refit_seconds(known, best, 60.0, 3.0) == pytest.approx(needed + 1.3 * growth * 3.0)
    assert refit_seconds(known, best, needed / 0.3 - 0.1) == 0.0
    assert needed_seconds(known, best) == pytest.approx(needed)  # however much it is


def test_test_items_stay_apart() -> None:
    both = together(made())
    assert both is not None
    assert not set(both.indices["train"]) & set(both.indices["test"])
    assert together(both) is None
