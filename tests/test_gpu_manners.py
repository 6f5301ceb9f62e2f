"""What a GPU asks of the library, held without one: clocks that wait for it, draws that leave other
GPUs alone, answers from where the model computes, runs that go on on another device."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depthwise import compute as computing
from depthwise import gpu_answers, pacing, stages, training
from depthwise.catalog import FAMILIES
from depthwise.checkpoint import moved, read_state, write_state
from depthwise.choosing import trials
from depthwise.compute import Compute, fastest, is_here, own_randomness, resolve_device
from depthwise.errors import InputError
from depthwise.families.cnn import CNN
from depthwise.families.dbm_learning import JointUpdate
from depthwise.families.dbm_network import DBMNetwork
from depthwise.families.dnn import DNN
from depthwise.families.rbm import RBM
from depthwise.graphs import (
    WARM_STEPS,
    RecordedUpdate,
    Recording,
    copied,
    settled_step_seconds,
)
from depthwise.losses import Taught, Weighted, smoothed_cross_entropy
from depthwise.pacing import AHEAD, Pace
from depthwise.training import recorded_compute, train
from depthwise.updates import GradientUpdate, Recipe

GPU = Compute("cuda")


class Queue:
    """A GPU that is given work at once and does it when somebody waits for it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waits = 0

    def give(self, seconds: float) -> None:
        self.seconds += seconds

    def synchronize(self, *_: Any) -> None:
        self.waits += 1
        time.sleep(self.seconds)
        self.seconds = 0.0


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    queue = Queue()
    monkeypatch.setattr(torch.cuda, "synchronize", queue.synchronize)
    monkeypatch.setattr(computing, "_gpu_at_work", lambda device: own_randomness())
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
    assert computing._seconds(lambda way: queue.give(0.001), GPU) < 0.03


def test_products_are_timed_without_the_way_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrices lie on the device before the clock starts."""
    shown: list[Any] = []

    def note(run: Any, ways: list[Compute], **_: Any) -> Compute:
        shown.extend(run.args)
        return ways[0]

    monkeypatch.setattr(stages, "fastest", note)
    monkeypatch.setattr(stages, "cached_choice", lambda key, measure: measure())
    monkeypatch.setattr(stages, "resolve_device", lambda device: "meta")
    monkeypatch.setattr(stages, "has_bfloat16", lambda device: True)
    model = RBM(device="cuda")
    chosen = stages.compute_for(model, nn.Linear(400, 300))
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
    assert trials._best_of(2, lambda: queue.give(0.01), "cuda") >= 0.01
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
    path = written(tmp_path, device="cuda", precision="bfloat16", graph=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert recorded_compute(path) is None
    assert recorded_compute(path, "cpu") is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert recorded_compute(path) == Compute("cuda", "bfloat16", graph=True)
    assert recorded_compute(path, "cpu") is None


def test_a_checkpoint_of_before_says_nothing_of_recordings(tmp_path: Path) -> None:
    path = tmp_path / "run"
    old = {"device": "cpu", "precision": "float32", "channels_last": True, "threads": 2}
    write_state(path, {"history": {"compute": old}})
    assert recorded_compute(path) == Compute("cpu", "float32", True, 2)


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


# -- data and answers -----------------------------------------------------------------------------


def test_data_that_have_no_room_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    free = [1000]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[0], 10**6))
    assert computing.has_room("cpu", 10**12)
    assert computing.has_room("cuda", 400) and not computing.has_room("cuda", 401)
    items = torch.zeros(1000, dtype=torch.uint8)
    assert training.kept(items, "cuda") is items
    monkeypatch.setattr(training, "has_room", lambda device, size: True)
    assert training.kept(items, "meta").device.type == "meta"


def test_held_out_items_are_uploaded_once(monkeypatch: pytest.MonkeyPatch, digits: Any) -> None:
    """A processor in the part of a GPU: items are handed over once a fit, not once an epoch."""
    X, y, X_test, y_test = digits
    handed: list[int] = []
    plain = gpu_answers.as_tensor

    def counted(array: np.ndarray) -> Tensor:
        handed.append(len(array))
        return plain(array)

    monkeypatch.setattr(gpu_answers, "as_tensor", counted)
    monkeypatch.setattr(gpu_answers, "is_gpu", lambda device: True)
    monkeypatch.setattr(gpu_answers, "has_room", lambda device, size: True)
    settings: dict[str, Any] = {"size": "xxs", "epochs": 3, "random_state": 0}
    model = DNN(**settings).fit(X, y, validation=(X_test, y_test))
    assert handed == [len(X_test)]
    assert model._kept_there is None
    monkeypatch.undo()
    again = DNN(**settings).fit(X, y, validation=(X_test, y_test))
    assert again.history_["epochs"][-1]["score"] == model.history_["epochs"][-1]["score"]


@pytest.fixture
def many() -> np.ndarray:
    return np.zeros((2000, 1, 28, 28), dtype=np.uint8)


def test_many_items_are_answered_where_the_model_computes(
    monkeypatch: pytest.MonkeyPatch, many: np.ndarray
) -> None:
    monkeypatch.setattr(gpu_answers, "resolve_device", lambda device: "meta")
    monkeypatch.setattr(gpu_answers, "is_gpu", lambda device: torch.device(device).type == "meta")
    monkeypatch.setattr(gpu_answers, "is_here", lambda device: device == "meta")
    model, network = CNN(device="auto"), nn.Linear(3, 2)
    model.network_ = network
    where = gpu_answers.placed(model, network, many)
    assert gpu_answers.home_of(where).type == "meta"
    assert gpu_answers.home_of(network).type == "cpu"
    assert gpu_answers.placed(model, network, many[:5]) is network  # few
    assert gpu_answers.placed(model, network, many.astype(np.float64)) is network
    assert gpu_answers.placed(model, nn.Linear(3, 2), many) is not where
    model.device = "cpu"
    assert gpu_answers.placed(model, network, many) is network
    model.device = "cuda:3"  # saved elsewhere
    assert gpu_answers.placed(model, network, many) is network


def test_another_network_than_the_models_own_stays_where_it_is(
    monkeypatch: pytest.MonkeyPatch, many: np.ndarray
) -> None:
    monkeypatch.setattr(gpu_answers, "gpu_of", lambda model: "meta")
    model, other = CNN(), nn.Linear(3, 2)
    model.network_ = copy.deepcopy(other)
    assert gpu_answers.placed(model, other, many) is other


def test_a_gpu_without_memory_leaves_answers_to_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, inputs = DNN(), np.ones((5, 3), dtype=np.float32)
    model.network_ = nn.Linear(3, 2)
    copied_there = copy.deepcopy(model.network_)
    monkeypatch.setattr("depthwise.base.placed", lambda model, network, inputs: copied_there)

    def run(network: nn.Module, x: Tensor) -> Tensor:
        if network is copied_there:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return network(x)

    answers = model._rows(inputs, run)
    assert torch.equal(answers, model.network_(torch.ones(5, 3)).detach())
    with pytest.raises(torch.OutOfMemoryError):  # elsewhere than at home there is nobody to ask
        model._rows(inputs, run, copied_there)


def test_a_model_without_a_device_has_no_gpu() -> None:
    assert gpu_answers.gpu_of(FAMILIES["logistic"]()) is None
    assert gpu_answers.gpu_of(CNN(device="cpu")) is None


# -- recorded steps -------------------------------------------------------------------------------


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
    monkeypatch.setattr("depthwise.networks.resolve_device", lambda device: "cuda")
    chosen = model._choose_compute(
        torch.from_numpy(X), torch.from_numpy(y), model.recipe(64), model._loss()
    )
    assert chosen == Compute("cuda", "float32", False, 1, wanted == "1")


def test_in_a_hurry_ways_to_compute_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = CNN(size="xl")
    model.network_, model.classes_ = nn.Linear(3 * 2**10, 10**6, device="meta"), np.arange(10)
    monkeypatch.setattr("depthwise.networks.resolve_device", lambda device: "cuda")
    monkeypatch.setattr("depthwise.networks.has_bfloat16", lambda device: True)
    monkeypatch.setattr("depthwise.networks.own_randomness", lambda **_: own_randomness())
    x = torch.zeros(50_000, 3, 32, 32, device="meta")
    chosen = model._choose_compute(x, None, model.recipe(50_000), model._loss(), 30.0)
    assert chosen == Compute("cuda", "bfloat16", True, 1)


def test_settled_steps_are_timed_alone() -> None:
    slow, made = [0.01] * (WARM_STEPS + 2), []

    def update(x: Tensor, y: Any, progress: float) -> Tensor:
        made.append(1)
        time.sleep(slow.pop() if slow else 0.001)
        return x

    seconds = settled_step_seconds(update, torch.zeros(1), None, Compute(), 0.02)
    assert 0.001 <= seconds < 0.005
    assert len(made) > WARM_STEPS + 5


def test_pacing_is_torchs_own_event_on_a_gpu() -> None:
    assert pacing.Pace("cuda").mark is torch.cuda.Event
