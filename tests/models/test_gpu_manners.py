"""What a GPU asks of the library, held without one: clocks that wait for it, draws that leave other
GPUs alone, runs that go on on another device."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from depthwise import compute as computing
from depthwise.catalog import FAMILIES
from depthwise.checkpoint import moved, read_state, write_state
from depthwise.choosing import trials
from depthwise.compute import Compute, fastest, is_here, own_randomness, resolve_device
from depthwise.errors import InputError
from depthwise.families.cnn import CNN
from depthwise.families.dbm.joint_learning import JointUpdate
from depthwise.families.dbm.network import DBMNetwork
from depthwise.families.rbm import RBM
from depthwise.losses import smoothed_cross_entropy
from depthwise.training import compute_for as choosing
from depthwise.training import loop as training
from depthwise.training.loop import recorded_compute, train
from depthwise.training.pacing import AHEAD, Pace
from depthwise.training.step import GradientUpdate, Recipe

GPU = Compute("cuda")


class Queue:
    """A GPU that is given work at once and does it when somebody waits for it, and a clock of its
    own, so that nobody's neighbour has a say."""

    def __init__(self) -> None:
        self.now = self.left = 0.0
        self.waits = 0

    def give(self, seconds: float) -> None:
        self.now += 1e-6  # to ask is quick
        self.left += seconds

    def synchronize(self, *_: Any) -> None:
        self.waits += 1
        self.now += self.left
        self.left = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    queue = Queue()
    monkeypatch.setattr(torch.cuda, "synchronize", queue.synchronize)
    monkeypatch.setattr(computing, "_gpu_at_work", lambda device: own_randomness())
    monkeypatch.setattr(computing, "time", queue)
    monkeypatch.setattr(trials, "time", queue)
    return queue


# -- clocks ---------------------------------------------------------------------------------------


def test_the_fastest_way_is_the_one_whose_gpu_is_done_first(queue: Queue) -> None:
    """Asking is as quick for both; the work is not."""
    slow, quick = Compute("cuda"), Compute("cuda", "bfloat16")
    work = {slow: 0.02, quick: 0.002}
    assert fastest(lambda way: queue.give(work[way]), [slow, quick]) == quick
    assert fastest(lambda way: queue.give(work[way]), [quick, slow]) == quick


def test_what_was_asked_for_before_is_not_timed(queue: Queue) -> None:
    queue.give(0.05)
    assert computing._seconds(lambda way: queue.give(0.001), GPU) == pytest.approx(0.001, abs=1e-4)


def test_products_are_timed_without_the_way_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices lie on the device before the clock starts."""
    shown: list[Any] = []

    def note(run: Any, ways: list[Compute], **_: Any) -> Compute:
        shown.extend(run.args)
        return ways[0]

    monkeypatch.setattr(choosing, "fastest", note)
    monkeypatch.setattr(choosing, "cached_choice", lambda key, measure: measure())
    monkeypatch.setattr(choosing, "resolve_device", lambda device: "meta")
    monkeypatch.setattr(choosing, "has_bfloat16", lambda device: True)
    model = RBM(device="cuda")
    chosen = choosing.compute_for(model, nn.Linear(400, 300))
    assert chosen.device == "meta"
    assert [matrix.device.type for matrix in shown] == ["meta", "meta"]


def test_a_processor_is_a_few_steps_ahead_of_its_gpu_at_most() -> None:
    given, done = [0], [0]

    class Mark:
        def record(self) -> None:
            given[0] += 1
            self.place = given[0]

        def synchronize(self) -> None:
            done[0] = self.place

    pace = Pace("cuda", Mark)
    for step in range(1, 20):
        pace()
        assert step - done[0] <= AHEAD
    assert done[0] > 0


def test_a_processors_steps_are_not_waited_for() -> None:
    pace = Pace("cpu")
    pace()
    assert pace.mark is None and not pace.asked


def test_the_loop_paces_itself_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    class Counted(Pace):
        def __call__(self) -> None:
            steps.append(1)

    monkeypatch.setattr(training, "Pace", Counted)
    recipe, network = Recipe(epochs=2, batch_size=7), nn.Linear(3, 2)
    update = GradientUpdate(network, smoothed_cross_entropy, recipe, Compute())
    history = train(
        network, update, torch.randn(20, 3), torch.arange(20) % 2, recipe, compute=Compute()
    )
    assert len(steps) == history.steps == 6


def test_a_candidates_pace_is_taken_where_it_will_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[str] = []
    candidate: Any = SimpleNamespace(model=lambda: CNN(device="cuda"), make=CNN)
    monkeypatch.setattr(trials, "resolve_device", lambda device: device)
    monkeypatch.setattr(trials, "has_bfloat16", lambda device: placed.append(device) or True)
    ways = trials._likely_ways(candidate)
    assert placed == ["cuda"]
    assert {way.device for way in ways} == {"cuda"}
    assert {way.precision for way in ways} == {"float32", "bfloat16"}
    assert trials._device(SimpleNamespace(model=lambda: FAMILIES["logistic"]())) == "cpu"


def test_a_pace_waits_for_the_gpu(queue: Queue) -> None:
    assert trials._best_of(2, lambda: queue.give(0.01), "cuda") == pytest.approx(0.01, abs=1e-4)
    assert queue.waits >= 4


# -- draws ----------------------------------------------------------------------------------------


def test_draws_inside_begin_at_the_seed_and_leave_no_trace() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with own_randomness(7):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(inside, torch.rand(3, generator=torch.Generator().manual_seed(7)))


def test_no_gpu_is_woken_by_draws_on_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("get_rng_state", "set_rng_state", "manual_seed", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: pytest.fail("a GPU was asked"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with own_randomness(3):
        torch.rand(2)


def test_only_the_runs_own_gpu_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(torch.cuda, "device", lambda device: own_randomness())
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: asked.append(device))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: asked.append(device))
    monkeypatch.setattr(torch.cuda, "manual_seed", asked.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with own_randomness(3, "cuda:1"):
        pass
    assert asked == [torch.device("cuda:1"), 3, torch.device("cuda:1")]


# -- devices --------------------------------------------------------------------------------------


def test_a_gpu_that_is_not_there_is_refused_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == "cuda:1"
    assert is_here("cuda") and not is_here("cuda:2")
    with pytest.raises(InputError, match="cuda:2"):
        resolve_device("cuda:2")


def written(tmp_path: Path, **fields: Any) -> Path:
    path = tmp_path / "run"
    write_state(path, {"history": {"compute": Compute(**fields).to_dict()}})
    return path


def test_a_run_begun_on_a_gpu_goes_on_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, device="cuda", precision="bfloat16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert recorded_compute(path) is None
    assert recorded_compute(path, "cpu") is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert recorded_compute(path) == Compute("cuda", "bfloat16")
    assert recorded_compute(path, "cpu") is None


def test_a_cnn_begun_on_a_gpu_ends_on_a_processor(digits: Any, tmp_path: Path) -> None:
    """The checkpoint's history says "cuda"; this machine has none."""
    X, y, path = digits[0][:90], digits[1][:90], tmp_path / "run"
    CNN(size="xxs", epochs=1, random_state=0).fit(X, y, checkpoint=path)
    state = read_state(path)
    state["history"]["compute"]["device"] = "cuda:7"
    write_state(path, state)
    model = CNN(size="xxs", epochs=1, random_state=0, device="cpu").fit(X, y, checkpoint=path)
    assert model.history_["compute"]["device"] == "cpu"


def test_moving_a_state_moves_every_tensor_and_nothing_else() -> None:
    state = {"a": [torch.ones(2), 3], 0: {"b": (torch.zeros(1), "x")}, "betas": (0.9, 0.99)}
    there = moved(state, "meta")
    assert there["a"][0].device.type == there[0]["b"][0].device.type == "meta"
    assert there["a"][1] == 3 and there[0]["b"][1] == "x" and there["betas"] == (0.9, 0.99)
    assert isinstance(there[0]["b"], tuple)


def test_what_an_update_keeps_comes_back_on_the_runs_device(tmp_path: Path) -> None:
    """A checkpoint is read on the processor; its running means are lerped on the device."""
    loaded: list[Any] = []
    machine = DBMNetwork((4,), (3, 2))

    class Noted(JointUpdate):
        def load_state_dict(self, state: dict[str, Any]) -> None:
            loaded.append(state["means"][0].device)

    loop: Any = training._Loop.__new__(training._Loop)
    path, update = tmp_path / "run", Noted(machine, Recipe())
    update.means = [torch.zeros(3)]
    write_state(path, {**_blank(machine), "update": update.state_dict()})
    loop.checkpoint, loop.fingerprint, loop.network, loop.update = path, "", machine, update
    loop.average, loop.loss_sum = SimpleNamespace(is_live=True), torch.zeros(())
    loop.compute, loop.steps, loop.recipe = Compute("meta"), 1, Recipe()
    loop._resume()
    assert loaded == [torch.device("meta")]


def _blank(network: nn.Module) -> dict[str, Any]:
    history = {"epochs": [], "seconds": 0.0, "compute": {}}
    blank: dict[str, Any] = {"fingerprint": "", "step": 1, "network": network.state_dict()}
    blank |= {"loss_sum": torch.zeros(()), "best": None, "best_scores": [], "best_epoch": 0}
    return {**blank, "history": history}


def test_pacing_is_torchs_own_event_on_a_gpu() -> None:
    assert Pace("cuda").mark is torch.cuda.Event
