"""Stages: each resumable, within its time, and together one history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import depthwise.training.loop as training
from depthwise.errors import ModelFileError
from depthwise.models.estimator import Estimator
from depthwise.training.loop import Event
from depthwise.training.run import Run
from depthwise.training.stages import Interrupted, Stages, compute_for, stage_file, stage_files
from depthwise.training.step import Recipe
from depthwise.training.training_data import TrainingData


class Walk:
    """w <- w + noise: the same noise again only if the loop's randomness is."""

    def __init__(self, network: nn.Linear, pause: float = 0.0):
        self.network, self.pause = network, pause

    def __call__(self, inputs: Tensor, targets: Tensor, progress: float) -> Tensor:
        with torch.no_grad():
            self.network.weight += torch.rand_like(self.network.weight) + inputs.mean()
        if self.pause:
            import time

            time.sleep(self.pause)
        return self.network.weight.detach().mean()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state == {}


class Model(Estimator):
    family = "walk"
    verbose = False
    precisions = ("float32",)
    data_fingerprint_ = ""

    def __init__(self, *, device: str = "cpu", precision: str = "auto", threads: Any = 1):
        self.device = device
        self.precision = precision
        self.threads = threads
        self.random_state = 3

    def build(self, input_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
        return nn.Linear(input_shape[0], 2)

    def _training_data(self, X: Any, y: Any, sample_weight: Any, validation: Any) -> TrainingData:
        raise NotImplementedError

    def _train(self, data: TrainingData, run: Run) -> None:
        raise NotImplementedError


ITEMS = np.random.default_rng(0).random((30, 5)).astype(np.float32)
RECIPE = Recipe(epochs=2, batch_size=7, average=0.0)


def stages(**options: Any) -> Stages:
    torch.manual_seed(0)
    run = Run.begin(**options)
    return Stages(Model(), nn.Linear(5, 2), TrainingData(ITEMS), run)


def walk(run: Stages, names: tuple[str, ...] = ("a", "b", "c")) -> Tensor:
    with run:
        for name in names:
            run.run(name, Walk(run.network), RECIPE)  # type: ignore[arg-type]
    return run.network.weight.detach().clone()  # type: ignore[union-attr,operator]


@pytest.mark.parametrize("killed_at", [0.5, 2.5, 5.9])
def test_killed_in_any_stage_it_goes_on_as_never_killed(
    killed_at: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(training.train.__kwdefaults__, "checkpoint_seconds", 0.0)
    whole = walk(stages())

    class Killed(Exception):
        pass

    def kill(event: Event) -> None:
        if event.epoch >= killed_at:
            raise Killed

    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        walk(stages(checkpoint=path, watch=kill))
    assert torch.equal(walk(stages(checkpoint=path)), whole)


def test_stage_files_lie_beside_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    walk(stages(checkpoint=path), ("a", "b"))
    assert stage_files(path) == [stage_file(path, "a"), stage_file(path, "b")]
    assert stage_file(path, "a") == tmp_path / "run.a.safetensors"


def test_a_stage_of_another_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    walk(stages(checkpoint=path), ("a",))
    other = stages(checkpoint=path)
    other.network.weight.data += 1  # type: ignore[operator]
    with pytest.raises(ModelFileError, match="other data or settings"):
        walk(other, ("a",))


def test_epochs_count_on_from_stage_to_stage() -> None:
    told: list[Event] = []
    run = stages(watch=told.append)
    walk(run)
    history = run.history()
    assert [record["epoch"] for record in history["epochs"]] == [1, 2, 3, 4, 5, 6]
    assert [record["stage"] for record in history["epochs"]] == list("aabbcc")
    assert history["stopped"] == "finished"
    assert told[-1].epoch == 6


def test_ctrl_c_in_a_stage_begins_no_other() -> None:
    def stop(event: Event) -> None:
        raise KeyboardInterrupt

    run = stages(watch=stop)
    with pytest.raises(Interrupted):
        walk(run)
    assert list(run.done) == ["a"]
    assert run.history()["stopped"] == "interrupted"


def test_a_limit_of_seconds_shortens_the_schedules_as_planned() -> None:
    run = stages(seconds_limit=1.0)
    run.plan({"a": 1, "b": 3})
    with run:
        for name in ("a", "b"):
            update = Walk(run.network, pause=0.01)  # type: ignore[arg-type]
            run.run(name, update, Recipe(epochs=1000, batch_size=7, average=0.0))
    seconds = {name: history.seconds for name, history in run.done.items()}
    assert sum(seconds.values()) <= 1.1
    assert 1.5 < seconds["b"] / seconds["a"] < 6  # 3, but for what a busy machine does to it
    assert all(history.stopped == "finished" for history in run.done.values())


def test_a_shortened_schedule_is_kept_on_resuming(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    planned = []
    for _ in range(2):
        run = stages(seconds_limit=0.3, checkpoint=path)
        with run:
            update = Walk(run.network, pause=0.01)  # type: ignore[arg-type]
            history = run.run("a", update, Recipe(epochs=500, batch_size=7, average=0.0))
        planned.append(history.recipe["epochs"])
    assert planned[0] == planned[1] < 500


def test_a_tiny_network_is_computed_plainly() -> None:
    compute = compute_for(Model(precision="auto", threads="auto"), nn.Linear(5, 2))
    assert (compute.device, compute.precision, compute.threads) == ("cpu", "float32", 1)


@pytest.mark.parametrize(
    ("name", "value"), [("precision", "fp16"), ("threads", 0), ("device", "tpu")]
)
def test_a_wrong_way_to_compute_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        compute_for(Model(**{name: value}), nn.Linear(5, 2))
