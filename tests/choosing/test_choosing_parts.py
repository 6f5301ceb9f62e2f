"""The pieces of `choose`, one at a time."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bare_model import BareClassifier

from depthwise.catalog import FAMILIES
from depthwise.choosing import choose as choosing
from depthwise.choosing import finishing
from depthwise.choosing.feasibility import Feasible
from depthwise.choosing.halving import _epoch_seconds, fill, rung_sizes
from depthwise.choosing.ladder import ladder
from depthwise.choosing.pareto import pareto_front
from depthwise.choosing.trials import Trained, Trials
from depthwise.choosing.whole_fits import _round_seconds
from depthwise.data.dataset import Dataset
from depthwise.errors import InputError
from depthwise.families.dnn.dnn import DNN
from depthwise.families.shallow.shallow import GradientBoosting
from depthwise.journal import Journal
from depthwise.measuring.devices.device_finder import find
from depthwise.measuring.limits import Budget, advice, misses
from depthwise.measuring.metric import Metric
from depthwise.measuring.scorecard import Scorecard, quality
from depthwise.training.step import GradientUpdate


def card(latency_ms: float = 1.0, size: int = 10**6, memory: int = 2 * 10**6) -> Scorecard:
    cost = {"parameters": size // 4, "weight_bytes": size, "peak_memory_bytes": memory}
    cost |= {"macs": 7_000_000}
    return Scorecard(
        "a device",
        throughput=Metric(1e3, "items/s", "measured"),
        latency=Metric(latency_ms, "ms", "measured", details={"p95": 9 * latency_ms}),
        energy=Metric(3.0, "mJ", "predicted"),
        hardware_cost=Metric(35.0, "USD", "counted", details=cost),
    )


# -- limits ---------------------------------------------------------------------------------------


def test_every_limit_is_compared_with_its_own_figure() -> None:
    limits = {"latency_ms": 1.0, "memory_mb": 2.0, "energy_mj": 3.0, "price_usd": 35, "size_mb": 1}
    limits |= {"parameters": 250_000, "macs": 7_000_000}
    assert misses(card(), Budget(**limits)) == []
    for name, limit in limits.items():
        broken = misses(card(), Budget(**{**limits, name: limit * 0.99}))
        assert [miss.limit for miss in broken] == [name]


def test_the_worst_miss_comes_first() -> None:
    broken = misses(card(), Budget(latency_ms=0.5, size_mb=0.1))
    assert [miss.limit for miss in broken] == ["size_mb", "latency_ms"]
    assert broken[0].ratio == pytest.approx(10)
    assert str(broken[1]) == "latency 1.00 ms is over the limit of 0.5 ms"


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_no_limit_is_named(wrong: float) -> None:
    with pytest.raises(InputError, match="size_mb"):
        Budget(size_mb=wrong)


def test_a_price_nobody_knows_cannot_be_limited() -> None:
    budget = Budget(price_usd=10)
    budget.check_device(find("raspberry-pi-5"))
    with pytest.raises(InputError, match="TOML"):
        budget.check_device(replace(find("raspberry-pi-5"), price_usd=None))


def test_the_nearest_miss_is_the_one_that_needs_least_relaxing() -> None:
    found = Feasible()
    budget = Budget(latency_ms=0.5, size_mb=0.5)
    found.missed = {"far": misses(card(5.0), budget), "near": misses(card(0.6), budget)}
    nearest = found.nearest_miss()
    assert nearest is not None
    name, miss = nearest
    assert (name, miss.limit, miss.ratio) == ("near", "size_mb", pytest.approx(2))
    assert "--max-size-mb 1.05" in advice(name, miss)


def test_counted_limits_are_told_to_the_last_one() -> None:
    few = misses(card(), Budget(parameters=249_999, macs=1_000))
    assert [str(miss) for miss in few] == [
        "7,000,000 macs are over the limit of 1,000",
        "250,000 parameters are over the limit of 249,999",
    ]
    assert advice("cnn-s", few[1]).endswith("Relax it: --max-parameters 250000")


# -- the ladder -----------------------------------------------------------------------------------


def test_the_ladder_runs_from_five_thousand_to_five_million_weights() -> None:
    rungs = [c for c in ladder(FAMILIES, (3, 32, 32), 0) if c.make.family == "cnn"]
    weights = [c.parameters((3, 32, 32), 10) for c in rungs]
    assert weights == sorted(weights)
    assert 4_000 < weights[0] < 10_000
    assert 3_500_000 < weights[-1] < 6_000_000
    assert all(b / a < 5 for a, b in itertools.pairwise(weights))


def test_a_table_has_no_convolutions() -> None:
    assert not any(c.make.image_only for c in ladder(FAMILIES, (13,), 0))
    with pytest.raises(InputError, match="images only"):
        ladder({"cnn": FAMILIES["cnn"]}, (13,), 0)


def test_counting_weights_agrees_with_building() -> None:
    for candidate in ladder(FAMILIES, (1, 9, 7), 0):
        network = candidate.network((1, 9, 7), 4)
        assert candidate.parameters((1, 9, 7), 4) == sum(p.numel() for p in network.parameters())


# -- time -----------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.floats(0, 500))
def test_filling_spends_all_there_is_and_nobody_gets_more_than_needed(
    needs: list[float], available: float
) -> None:
    shares = fill(needs, available)
    assert all(0 <= s <= n + 1e-9 for s, n in zip(shares, needs))
    assert sum(shares) == pytest.approx(min(available, sum(needs)), abs=1e-6)
    unmet = [s for s, n in zip(shares, needs) if s < n - 1e-6]
    assert all(s >= max(shares) - 1e-6 for s in unmet)  # who lacks has the largest share


@given(st.integers(1, 64))
def test_rungs_halve_down_to_two(candidates: int) -> None:
    sizes = rung_sizes(candidates)
    assert sizes[0] == candidates
    assert sizes[-1] <= 2
    assert all(b >= a / 2 for a, b in itertools.pairwise(sizes))


# -- the front ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), max_size=9))
def test_the_front_is_what_brute_force_leaves(points: list[tuple[int, ...]]) -> None:
    a = np.array(points).reshape(len(points), 3)
    expected = [not any((q <= p).all() and (q < p).any() for q in a) for p in a]
    assert pareto_front(points) == expected


# -- the journal ----------------------------------------------------------------------------------


def test_a_step_is_done_once(tmp_path: Path) -> None:
    done: list[int] = []

    def work() -> dict[str, Any]:
        done.append(1)
        return {"x": [1, 2.5, None]}

    for _ in range(3):
        assert Journal(tmp_path / "work", {"seed": 1}).recall("a", work) == {"x": [1, 2.5, None]}
    assert done == [1]


def test_another_request_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "work", {"seed": 1, "data": "a"})
    with pytest.raises(InputError, match=r"differs in seed\)"):
        Journal(tmp_path / "work", {"seed": 2, "data": "a"})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"request": 3}'])
def test_a_damaged_journal_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "journal.json").write_text(text)
    with pytest.raises(InputError, match=r"journal\.json"):
        Journal(tmp_path, {})


# -- training and scoring -------------------------------------------------------------------------


def sorted_rows(per_class: int, classes: list[str]) -> Dataset:
    """Three columns, item after item class by class as folders are read; each part holds all."""
    labels = np.repeat(np.arange(len(classes)), per_class)
    inputs = np.random.default_rng(0).standard_normal((len(labels), 3)).astype(np.float32)
    inputs[:, 0] = labels
    everyone = dict.fromkeys(("train", "validation", "test"), np.arange(len(labels)))
    return Dataset("rows", "table", inputs, labels, classes, everyone)


class SaysTen(BareClassifier):
    """Knows three classes, in the order of text, and takes everything for "10"."""

    def __init__(self) -> None:
        super().__init__(None, (3,), classes=["10", "2", "9"])

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.tile([0.8, 0.1, 0.1], (len(X), 1))


def test_the_confusion_is_in_the_order_of_the_datas_classes() -> None:
    data = sorted_rows(4, ["2", "9", "10"])
    details = quality(SaysTen(), data, "test").details
    assert details["confusion"] == [[0, 0, 4], [0, 0, 4], [0, 0, 4]]
    assert list(details["per_class"].items()) == [("2", 0.0), ("9", 0.0), ("10", 1.0)]


def test_the_pace_of_boosting_is_taken_on_items_of_every_class() -> None:
    data = sorted_rows(1100, ["cat", "dog"])
    assert _round_seconds(GradientBoosting(size="s"), data, most=1) > 0


def test_an_interrupt_while_a_pace_is_taken_is_not_swallowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(GradientUpdate, "__call__", interrupt)
    with pytest.raises(KeyboardInterrupt):
        _epoch_seconds(DNN(size="xxs"), sorted_rows(20, ["cat", "dog"]))


def test_a_cycle_that_leaves_a_network_worse_is_not_kept(tmp_path: Path) -> None:
    scores, told = iter([0.7, 0.9, 0.6]), []

    class Scripted(Trials):
        def _fit(self, model: Any, name: str, folder: Path, limit: float) -> dict[str, Any]:
            about = {"history": [], "epochs": 1.0, "seconds": 1.0, "stopped": "finished"}
            return {"accuracy": Metric(next(scores), "fraction", "measured").to_dict(), **about}

    data = sorted_rows(4, ["a", "b"])
    trials = Scripted(data, "classification", Journal(tmp_path, {}), tmp_path, told.append)
    candidate = ladder({"dnn": DNN}, (3,), 0)[0]
    found = [trials.train(candidate, rung, DNN(), 1.0) for rung in range(3)]
    assert all(entry is found[0] for entry in found) and found[0] is not None
    assert (found[0].score, found[0].rungs, found[0].epochs) == (0.9, 3, 3.0)
    assert found[0].folder == tmp_path / f"{candidate.name}-1"


def test_a_device_described_anew_under_the_same_name_is_another_request() -> None:
    data, board = sorted_rows(4, ["a", "b"]), find("raspberry-pi-5")
    ask = [
        choosing._request(data, device, Budget(), ["cnn"], 0, "classification")
        for device in (board, board, replace(board, memory_mb=board.memory_mb / 2))
    ]
    assert ask[0] == ask[1] != ask[2]


def test_what_an_interruption_left_is_measured_anew_once_it_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latencies = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(finishing, "costs", lambda *args, **options: card(next(latencies)))
    monkeypatch.setattr(Trained, "model", lambda self: DNN().fit(data))
    data = sorted_rows(4, ["a", "b"])
    trials = Trials(data, "classification", Journal(tmp_path, {}), tmp_path, lambda line: None)
    part = Trained(ladder({"dnn": DNN}, (3,), 0)[0], tmp_path, card().latency, 0.5, rungs=1)
    trials.trained["one"] = part
    device: Any = None
    seen = [finishing.final_card(trials, replace(part, epochs=e), device) for e in (0.5, 2.0, 2.0)]
    assert [c.latency.value for c in seen if c.latency] == [1.0, 2.0, 2.0]
