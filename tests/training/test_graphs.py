"""Recorded steps, held without a GPU: a replay is what was asked when it was recorded."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depthwise.catalog import FAMILIES
from depthwise.checkpoint import write_state
from depthwise.compute import Compute, own_randomness
from depthwise.errors import InputError
from depthwise.families.cnn import CNN
from depthwise.families.dnn.dnn import DNN
from depthwise.losses import Taught, Weighted, smoothed_cross_entropy
from depthwise.training import graphs
from depthwise.training.graphs import (
    WARM_STEPS,
    RecordedUpdate,
    Recording,
    copied,
    settled_step_seconds,
)
from depthwise.training.loop import recorded_compute, train
from depthwise.training.step import GradientUpdate, Recipe


class Replayed:
    """In the part of a CUDA graph: what it replays is what was asked when it was recorded."""

    def __init__(self, run: Any):
        self.run = run

    def replay(self) -> None:
        self.run()


def recorded(update: GradientUpdate, wrong: bool = False) -> RecordedUpdate:
    def record(inputs: Tensor, targets: Any) -> Recording:
        if wrong:
            raise RuntimeError("operation not permitted when stream is capturing")
        own = inputs.clone(), copied(targets)
        loss = torch.zeros(())
        graph = Replayed(lambda: loss.copy_(update.descend(*own, 0.0)))
        return Recording(graph, *own, loss)

    return RecordedUpdate(update, record)


def fitted(way: Any, targets: Any, optimizer: str = "adamw") -> tuple[nn.Module, Any]:
    recipe = Recipe(epochs=9, batch_size=16, optimizer=optimizer, seed=7, lr=0.02)
    with own_randomness(1):
        network = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
        x = torch.randn(101, 5)
    update = way(GradientUpdate(network, smoothed_cross_entropy, recipe, Compute()))
    train(network, update, x, targets, recipe, compute=Compute())
    return network, update


LABELS = torch.arange(101) % 3
WEIGHED = Weighted(LABELS, torch.linspace(0.5, 1.5, 101))
TAUGHT = Taught(LABELS, torch.ones(101), torch.randn(101, 3, generator=torch.Generator()))


@pytest.mark.parametrize("targets", [LABELS, WEIGHED, TAUGHT], ids=["plain", "weighed", "taught"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_learning_by_replays_is_learning(targets: Any, optimizer: str) -> None:
    plain, _ = fitted(lambda update: update, targets, optimizer)
    network, update = fitted(recorded, targets, optimizer)
    assert len(update.recordings) == 2  # of 14 and of 15 items
    for a, b in zip(plain.parameters(), network.parameters()):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_short_run_is_not_recorded() -> None:
    update = recorded(
        GradientUpdate(nn.Linear(5, 3), smoothed_cross_entropy, Recipe(), Compute()), wrong=True
    )
    for _ in range(WARM_STEPS):
        update(torch.randn(4, 5), torch.arange(4) % 3, 0.5)
    with pytest.raises(InputError, match="stream is capturing"):  # says what to do
        update(torch.randn(4, 5), torch.arange(4) % 3, 0.5)


def test_what_is_saved_of_a_recorded_run_is_that_of_any_run() -> None:
    """Rates are numbers again, and what goes on from it learns on."""
    network, update = fitted(recorded, LABELS)
    state = update.state_dict()
    assert all(type(group["lr"]) is float for group in state["param_groups"])
    assert not any(group["capturable"] for group in state["param_groups"])
    plain = GradientUpdate(network, smoothed_cross_entropy, Recipe(), Compute())
    plain.load_state_dict(state)
    plain(torch.randn(4, 5), torch.arange(4) % 3, 0.5)
    update.load_state_dict(state)
    assert not update.recordings


def test_families_say_whether_their_steps_can_be_recorded() -> None:
    assert CNN().records_steps and DNN().records_steps and FAMILIES["tabular"]().records_steps
    assert not DNN(max_norm=3.0).records_steps
    assert (
        not FAMILIES[
            "image-classifier" if "image-classifier" in FAMILIES else "cnn"
        ]().records_steps
        or "image-classifier" not in FAMILIES
    )


@pytest.mark.parametrize("wanted", ["1", ""])
def test_steps_are_recorded_on_a_gpu_where_that_is_asked_for(
    wanted: str, monkeypatch: pytest.MonkeyPatch, digits: Any
) -> None:
    monkeypatch.setenv("DEPTHWISE_GRAPHS", wanted)
    X, y = digits[0][:64], digits[1][:64]
    model = CNN(size="xxs", epochs=1).fit(X, y)
    assert model.history_["compute"]["graph"] is False
    monkeypatch.setattr("depthwise.models.networks.resolve_device", lambda device: "cuda")
    chosen = model._choose_compute(
        torch.from_numpy(X), torch.from_numpy(y), model.recipe(64), model._loss()
    )
    assert chosen == Compute("cuda", "float32", False, 1, wanted == "1")


def test_in_a_hurry_ways_to_compute_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = CNN(size="xl")
    model.network_, model.classes_ = nn.Linear(3 * 2**10, 10**6, device="meta"), np.arange(10)
    choice = "depthwise.models.compute_choice"
    monkeypatch.setattr("depthwise.models.networks.resolve_device", lambda device: "cuda")
    monkeypatch.setattr(f"{choice}.has_bfloat16", lambda device: True)
    monkeypatch.setattr(f"{choice}.own_randomness", lambda **_: own_randomness())
    x = torch.zeros(50_000, 3, 32, 32, device="meta")
    chosen = model._choose_compute(x, None, model.recipe(50_000), model._loss(), 30.0)
    assert chosen == Compute("cuda", "bfloat16", True, 1)


def test_settled_steps_are_timed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that only a step moves on: the first ones a second each."""
    slow, now, made = [1.0] * (WARM_STEPS + 2), [0.0], [0]

    def update(x: Tensor, y: Any, progress: float) -> Tensor:
        made[0] += 1
        now[0] += slow.pop() if slow else 0.001
        return x

    monkeypatch.setattr(graphs, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    seconds = settled_step_seconds(update, torch.zeros(1), None, Compute(), 0.02)
    assert seconds == pytest.approx(0.001)
    assert made[0] >= WARM_STEPS + 2 + 20


def test_a_checkpoint_of_before_says_nothing_of_recordings(tmp_path: Path) -> None:
    path = tmp_path / "run"
    old = {"device": "cpu", "precision": "float32", "channels_last": True, "threads": 2}
    write_state(path, {"history": {"compute": old}})
    assert recorded_compute(path) == Compute("cpu", "float32", True, 2)
