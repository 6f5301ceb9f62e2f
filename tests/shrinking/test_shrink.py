"""The verb: limits are kept, everything is recorded, what was done is not done again."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise import CNN, DNN, InputError, NothingFitsError
from depthwise import load as load_model
from depthwise.data.dataset import Dataset
from depthwise.families.autoencoder.autoencoder import DeepAutoencoder
from depthwise.journal import Journal
from depthwise.measuring.devices.device_finder import find
from depthwise.measuring.limits import Limits
from depthwise.measuring.scorecard import measure
from depthwise.shrinking import costing as limits_module
from depthwise.shrinking.costing import FLOAT, Costing, Figures
from depthwise.shrinking.search import Search
from depthwise.shrinking.shrink import shrink


@pytest.fixture(scope="module")
def narrow(cnn: CNN, data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A twelfth of the bytes: only pruning or a smaller rung gets there."""
    out = tmp_path_factory.mktemp("shrunk") / "out"
    return shrink(cnn, data, max_size_mb=0.0110, minutes=0.1, out=out)


def test_the_winner_keeps_the_limit_and_passes_the_verbs(
    narrow: Any, cnn: CNN, data: Dataset
) -> None:
    file = narrow.out / "best" / "model.safetensors"
    assert file.stat().st_size <= 11_000
    again = load_model(narrow.out / "best")
    X = data.test.X
    np.testing.assert_array_equal(again.predict_proba(X), narrow.model.predict_proba(X))
    truth = cnn.classes_[data.test.y]
    assert again.score(X, truth) == narrow.record["test"]["winner"]["accuracy"]
    assert cnn.score(X, truth) == narrow.record["test"]["original"]["accuracy"]
    card = measure(again, data, seconds=0.05, flexibility=False)
    assert card.accuracy.value == pytest.approx(again.score(X, truth))
    again.partial_fit(data.train.X, cnn.classes_[data.train.y])
    assert again.shrunk_ == narrow.model.shrunk_


def test_the_record_tells_all_that_was_tried(narrow: Any, data: Dataset) -> None:
    record = json.loads((narrow.out / "shrink.json").read_text())
    tried = {t["name"]: t for t in record["tried"]}
    assert {"original", "original weights-int8", "original weights-int4"} < set(tried)
    assert all(t["misses"][0]["limit"] == "size_mb" for n, t in tried.items() if "original" in n)
    kept = [t for t in tried.values() if not t["misses"]]
    assert tried[record["winner"]]["accuracy"] == max(t["accuracy"] for t in kept)
    items = len(data.validation.y)
    for t in tried.values():
        assert t["low"] <= t["accuracy"] <= t["high"]
        assert (t["accuracy"] * items) % 1 == pytest.approx(0, abs=1e-6)
    assert not (narrow.out / "work").exists()
    assert record["winner"] in str(narrow)


def test_asked_again_it_tells_the_same_and_does_nothing(
    narrow: Any, cnn: CNN, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Search, "run", None)
    again = shrink(cnn, data, max_size_mb=0.0110, minutes=0.1, out=narrow.out)
    assert again.record == json.loads(json.dumps(narrow.record))
    with pytest.raises(InputError, match="another result"):
        shrink(cnn, data, max_size_mb=0.02, minutes=0.1, out=narrow.out)


def test_a_search_that_was_killed_goes_on(
    dnn: DNN, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall, done = Journal.recall, []

    def dying(self: Journal, step: str, do: Any) -> Any:
        if step.startswith("try/prune"):
            raise KeyboardInterrupt
        return recall(self, step, lambda: done.append(step) or do())

    about: dict[str, Any] = {"max_size_mb": 0.0035, "minutes": 0.05, "out": tmp_path / "out"}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "recall", dying)
        shrink(dnn, data, **about)
    before = set(done)
    assert any(step.startswith("make/prune") for step in before)

    def watching(self: Journal, step: str, do: Any) -> Any:
        return recall(self, step, lambda: done.append(step) or do())

    done.clear()
    monkeypatch.setattr(Journal, "recall", watching)
    shrunk = shrink(dnn, data, **about)
    assert done and not before & set(done)
    assert shrunk.record["winner"]


def test_what_costs_no_training_is_enough_where_it_is(dnn: DNN, data: Dataset) -> None:
    shrunk = shrink(dnn, data, max_size_mb=0.012, minutes=0.01)
    assert shrunk.record["winner"] == "original weights-int8"
    assert shrunk.out is None and [e["kind"] for e in shrunk.model.shrunk_] == ["weights-int8"]
    assert shrunk.record["tried"][0]["seconds"] == 0


def test_nothing_fits_and_the_nearest_is_named(dnn: DNN, data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(NothingFitsError, match=r"prune 0\.0\d, .* --max-size-mb"):
        shrink(dnn, data, max_size_mb=1e-4, minutes=0.01, out=tmp_path / "out")
    record = json.loads((tmp_path / "out" / "shrink.json").read_text())
    assert record["winner"] is None and record["nearest_miss"]["limit"] == "size_mb"


def test_a_limit_on_accuracy_alone_is_broken_and_said(dnn: DNN, data: Dataset) -> None:
    said: list[str] = []
    with pytest.raises(NothingFitsError):
        shrink(dnn, data, max_size_mb=0.008, max_accuracy_drop=0.0, minutes=0.01, watch=said.append)
    assert any("points of accuracy, over the limit of 0" in line for line in said)


def test_a_device_that_is_not_here_is_predicted(dnn: DNN, data: Dataset) -> None:
    shrunk = shrink(
        dnn, data, max_latency_ms=5.0, max_size_mb=1, device="raspberry-pi-4", minutes=0.01
    )
    assert shrunk.record["request"]["device"] != "this machine"
    assert {"original int8"} <= {t["name"] for t in shrunk.record["tried"]}


def test_a_latency_limit_is_kept_by_a_runtime(
    dnn: DNN, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setattr(limits_module, "CANDIDATES", ("eager", "onnxruntime"))
    costing = Costing(find("this"), data.train.X[:64])
    eager = costing.program(dnn, FLOAT)
    latency_ms = costing.figures(dnn, FLOAT, costing.counts(dnn), eager).latency_ms
    shrunk = shrink(dnn, data, max_latency_ms=latency_ms / 2, minutes=0.01, out=tmp_path / "out")
    winner = next(t for t in shrunk.record["tried"] if t["name"] == shrunk.record["winner"])
    assert winner["way"]["runtime"] == shrunk.model.runtime_["name"] == "onnxruntime"
    again = load_model(tmp_path / "out" / "best")
    assert again.runtime_ == shrunk.model.runtime_
    np.testing.assert_array_equal(again.predict(data.test.X), shrunk.model.predict(data.test.X))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "nothing to shrink for"),
        ({"max_size_mb": 0}, "above 0"),
        ({"max_latency_ms": float("nan")}, "above 0"),
        ({"max_size_mb": 1, "max_accuracy_drop": -0.1}, "max_accuracy_drop must be at least 0"),
        ({"max_accuracy_drop": 0.1}, "nothing to shrink for"),
        ({"max_size_mb": 1, "minutes": 0}, "minutes"),
        ({"max_size_mb": 1, "device": "no such device"}, "device"),
    ],
)
def test_wrong_arguments_are_told(wrong: dict, told: str, dnn: DNN, data: Dataset) -> None:
    with pytest.raises(InputError, match=told):
        shrink(dnn, data, **wrong)


def test_models_and_data_that_do_not_suit_are_told(
    narrow: Any, dnn: DNN, data: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="gradient descent"):
        shrink(DeepAutoencoder(), data, max_size_mb=1)
    with pytest.raises(InputError, match="gradient descent"):
        shrink(DNN(), data, max_size_mb=1)
    with pytest.raises(InputError, match="final form"):
        shrink(narrow.model, data, max_size_mb=1)
    with pytest.raises(InputError, match="labels"):
        shrink(dnn, data.without_labels(), max_size_mb=1, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(InputError, match="not empty"):
        shrink(dnn, data, max_size_mb=1, out=tmp_path)


def test_classes_are_told_by_name_or_by_index(dnn: DNN, data: Dataset) -> None:
    names = [f"digit {name}" for name in data.classes]
    named = replace(data, classes=names)
    with pytest.raises(InputError, match="'digit 0', which this model was not fitted on"):
        shrink(dnn, named, max_size_mb=1, minutes=0.01)
    by_index = copy.deepcopy(dnn)
    by_index.classes_ = np.arange(10)
    shrunk = shrink(by_index, named, max_size_mb=1, minutes=0.01)
    assert shrunk.record["test"]["winner"]["accuracy"] > 0.9


def test_misses_are_those_over_their_limits_the_worst_first() -> None:
    figures = Figures(size_mb=2.0, latency_ms=3.0, energy_mj=1.0, memory_mb=4.0)
    limits = Limits(size_mb=1.5, latency_ms=1.0, energy_mj=1.0)
    assert [miss.limit for miss in limits.misses(figures.to_dict())] == ["latency_ms", "size_mb"]
    assert limits.worst_share(figures.to_dict()) == 3.0


def test_microcontroller_is_given_bytes_and_its_folder_costs_what_shrink_said(
    dnn: DNN, data: Dataset, tmp_path: Path
) -> None:
    out, chip = tmp_path / "out", "stm32h7a3"
    done = shrink(dnn, data, max_size_mb=0.012, device=chip, minutes=0.01, out=out)
    told = next(t for t in done.record["tried"] if t["name"] == done.record["winner"])
    assert told["way"]["precision"] == "int8"
    card = measure(load_model(out / "best"), device=chip, flexibility=False)
    about = card.hardware_cost.details
    assert told["figures"]["latency_ms"] == pytest.approx(card.latency.value)
    assert told["figures"]["energy_mj"] == pytest.approx(card.energy.value)
    assert told["figures"]["size_mb"] == about["weight_bytes"] / 1e6
    assert (out / "best" / "model.safetensors").stat().st_size == about["weight_bytes"]
    assert (told["parameters"], told["macs"]) == (about["parameters"], about["macs"])
