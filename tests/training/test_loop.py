"""The loop, held to its laws: seeded, resumable bit for bit, stoppable, watched, in time."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from depthwise.checkpoint import read_state, write_state
from depthwise.compute import Compute
from depthwise.errors import DivergedError, InputError, ModelFileError
from depthwise.losses import smoothed_cross_entropy
from depthwise.training.loop import Event, History, look_in_time, train
from depthwise.training.step import GradientUpdate, Recipe, WeightAverage, lr_factor

CPU = Compute()


def blobs(items: int = 101) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(items) % 3
    return torch.randn(items, 5, generator=generator) + labels[:, None].float(), labels


def small_network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    layers = nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Dropout(0.2), nn.Linear(7, 3)
    return nn.Sequential(*layers)


def fit(network: nn.Module, recipe: Recipe, **options: object) -> History:
    x, y = blobs()
    update = GradientUpdate(network, smoothed_cross_entropy, recipe, CPU)
    return train(network, update, x, y, recipe, compute=CPU, **options)  # type: ignore[arg-type]


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values())
    return all(torch.equal(x, y) for x, y in pairs)


class Killed(Exception):
    pass


def kill_at(step: int):
    """A watcher that breaks the run off, as a kill would, once `step` is reached."""

    def watch(event: Event) -> None:
        if event.step >= step:
            raise Killed

    return watch


def test_the_same_seed_gives_the_same_weights() -> None:
    a, b, other = small_network(), small_network(), small_network()
    fit(a, Recipe(epochs=3, batch_size=16, seed=7))
    fit(b, Recipe(epochs=3, batch_size=16, seed=7))
    fit(other, Recipe(epochs=3, batch_size=16, seed=8))
    assert same_weights(a, b)
    assert not same_weights(a, other)


def test_training_leaves_the_callers_randomness_and_threads_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    fit(small_network_without_reseeding(), Recipe(epochs=1))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def small_network_without_reseeding() -> nn.Module:
    with torch.random.fork_rng():
        return small_network()


@pytest.mark.parametrize("step", [1, 6, 7, 8, 20, 21])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("enough", [None, (2, 1.05)])  # the second shortens it after its first pass
def test_a_run_broken_off_anywhere_resumes_bit_for_bit(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
    optimizer: str,
    enough: tuple[float, float] | None,
) -> None:
    recipe = Recipe(  # 7 steps an epoch
        epochs=3.5, batch_size=16, optimizer=optimizer, lr=0.01, enough=enough
    )
    x, y = blobs()

    def validate(network: nn.Module) -> tuple[float]:
        return (-float(smoothed_cross_entropy(network(x), y)),)

    whole, broken = small_network(), small_network()
    expected = fit(whole, recipe, validate=validate)

    # a clock that strikes a quarter of a second at every look, so that each step is told and saved
    ticks = iter(range(10**9))
    monkeypatch.setattr(time, "monotonic", lambda: 0.26 * next(ticks))
    options = {"validate": validate, "checkpoint": tmp_path / "run", "checkpoint_seconds": 0.2}
    with pytest.raises(Killed):
        fit(broken, recipe, watch=kill_at(step), **options)
    history = fit(broken_start(), recipe, **options)
    resumed = broken_start.last
    assert same_weights(resumed, whole)
    strip = [{k: v for k, v in e.items() if k != "seconds"} for e in history.epochs]
    assert strip == [{k: v for k, v in e.items() if k != "seconds"} for e in expected.epochs]


@pytest.mark.parametrize(
    ("enough", "passes"),
    [(None, 8), ((3, 99.0), 3), ((1, 99.0), 2), ((3, 0.0), 8), ((30, 99.0), 8)],
)
def test_easy_data_ends_the_run_early_with_the_learning_rate_come_down(
    enough: tuple[float, float] | None, passes: int
) -> None:
    rates: list[float] = []

    class Told(GradientUpdate):
        def rate(self, group: dict[str, object], progress: float) -> float:
            rates.append(progress)
            return super().rate(group, progress)

    network, (x, y) = small_network(), blobs()
    recipe = Recipe(epochs=8, batch_size=16, enough=enough)
    update = Told(network, smoothed_cross_entropy, recipe, CPU)
    history = train(network, update, x, y, recipe, compute=CPU)
    assert (history.stopped, len(history.epochs), history.steps) == ("finished", passes, 7 * passes)
    assert rates == sorted(rates) and rates[-1] == pytest.approx(1 - 1 / history.steps)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_moments_come_back_in_the_memory_order_of_their_weights(
    tmp_path: Path, optimizer: str
) -> None:
    """Channels-last weights: a step after a resume is the step that would have been."""

    def learner() -> GradientUpdate:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        recipe = Recipe(optimizer=optimizer, lr=0.05)
        return GradientUpdate(network, smoothed_cross_entropy, recipe, Compute(channels_last=True))

    x, y = torch.rand(8, 3, 8, 8), torch.arange(8) % 2
    whole = learner()
    for step in range(4):
        whole(x, y, step / 4)
    first, second = learner(), learner()
    for step in range(2):
        first(x, y, step / 4)
    write_state(tmp_path / "state", {"update": first.state_dict()})
    second.network.load_state_dict(first.network.state_dict())
    second.load_state_dict(read_state(tmp_path / "state")["update"])
    for step in range(2, 4):
        second(x, y, step / 4)
    assert same_weights(second.network, whole.network)


def broken_start() -> nn.Module:
    """A fresh network, as a process begun again makes; the last one made is kept."""
    broken_start.last = small_network()  # type: ignore[attr-defined]
    return broken_start.last  # type: ignore[attr-defined,no-any-return]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    fit(small_network(), Recipe(epochs=1), checkpoint=tmp_path / "run", fingerprint="a")
    with pytest.raises(ModelFileError, match="other data or settings"):
        fit(small_network(), Recipe(epochs=1), checkpoint=tmp_path / "run", fingerprint="b")


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"not a checkpoint")
    with pytest.raises(ModelFileError, match="run"):
        fit(small_network(), Recipe(epochs=1), checkpoint=tmp_path / "run")


def test_a_full_disk_is_one_clear_line() -> None:
    with pytest.raises(InputError, match="cannot write"):
        fit(small_network(), Recipe(epochs=1), checkpoint=Path("/dev/null/run"))


def test_divergence_is_caught_with_advice() -> None:
    recipe = Recipe(epochs=30, lr=1e30, optimizer="sgd", clip_norm=None)
    with pytest.raises(DivergedError, match="Lower lr"):
        fit(small_network(), recipe)


def test_an_interrupt_ends_with_the_best_so_far() -> None:
    scores = iter([(0.5,), (0.9,), (0.1,)])
    kept: list[nn.Module] = []

    def validate(network: nn.Module) -> tuple[float]:
        kept.append(WeightAverage(network, 1).network)
        try:
            return next(scores)
        except StopIteration:
            raise KeyboardInterrupt from None

    network = small_network()
    history = fit(network, Recipe(epochs=10, batch_size=16), validate=validate)
    assert history.stopped == "interrupted"
    assert same_weights(network, kept[1])


def test_patience_stops_a_run_that_no_longer_improves() -> None:
    scores = iter([0.3, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    history = fit(
        small_network(), Recipe(epochs=8, patience=3), validate=lambda network: (next(scores),)
    )
    assert history.stopped == "patience"
    assert len(history.epochs) == 5


def test_a_time_limit_is_kept() -> None:
    started = time.monotonic()
    history = fit(small_network(), Recipe(epochs=10**6), seconds_limit=0.3)
    assert history.stopped == "time"
    assert time.monotonic() - started < 3
    assert history.epochs


class Counted:
    """An update on a clock of its own: the n-th step takes `seconds(n)`, and `progress` is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float]):
        self.now, self.seconds, self.progress = 0.0, seconds, []
        monkeypatch.setattr("depthwise.training.loop.time.monotonic", lambda: self.now)

    def __call__(self, inputs: torch.Tensor, targets: torch.Tensor, progress: float):
        self.progress.append(progress)
        self.now += self.seconds(len(self.progress))
        return torch.zeros(())

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass

    def scores(self, seconds: float) -> Callable[[nn.Module], tuple[float, ...]]:
        def validate(network: nn.Module) -> tuple[float, ...]:
            self.now += seconds
            return (0.5,)

        return validate

    def run(self, limit: float, **options: object) -> History:
        x, y = blobs()
        recipe = Recipe(epochs=10, batch_size=10)  # 11 steps an epoch
        options = {"compute": CPU, "seconds_limit": limit, **options}
        return train(small_network(), self, x, y, recipe, **options)  # type: ignore[arg-type]


def test_a_schedule_too_long_for_its_limit_is_gone_through_faster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    update = Counted(monkeypatch, lambda n: 1.0)
    history = update.run(limit=55)  # of 110 steps of a second
    assert history.stopped == "time"
    assert 53 <= history.steps <= 55
    assert update.progress[-1] > 0.95  # the learning rate has come down
    assert sorted(update.progress) == update.progress


def test_a_short_hold_up_costs_no_step_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    update = Counted(monkeypatch, lambda n: 6.0 if n <= 10 else 0.5)
    history = update.run(limit=60 + 0.5 * 100 + 1)
    assert history.steps == 110
    assert history.stopped == "finished"


def test_a_limit_leaves_time_to_validate(monkeypatch: pytest.MonkeyPatch) -> None:
    update = Counted(monkeypatch, lambda n: 1.0)
    update.run(limit=60, validate=update.scores(20.0), held_out=10)
    assert update.now <= 60 + 1
    update = Counted(monkeypatch, lambda n: 1.0)  # thresholds are taken from it once more
    update.run(limit=60, validate=update.scores(20.0), held_out=10, scorings=2)
    assert update.now <= 40 + 1


def test_before_the_first_validation_its_time_is_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    update = Counted(monkeypatch, lambda n: 1.0)
    update.run(limit=8, validate=update.scores(3.6), held_out=90)  # 9 batches, 0.4 s each
    assert update.now <= 1.1 * 8 + 2  # steps of an eighth of the limit, and none too many


def test_slow_first_steps_foretell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    update = Counted(monkeypatch, lambda n: 10.0 if n == 1 else 0.1)
    history = update.run(limit=20, validate=update.scores(2.0), held_out=90)
    assert history.steps > 30 and update.now <= 20 + 1


def test_one_step_is_made_whatever_the_limit() -> None:
    assert fit(small_network(), Recipe(epochs=3), seconds_limit=0.0).steps == 1


def test_a_fraction_of_an_epoch_is_that_many_steps() -> None:
    assert fit(small_network(), Recipe(epochs=0.5, batch_size=10)).steps == round(0.5 * 11)


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    first, again = small_network(), small_network()
    fit(first, Recipe(epochs=2), checkpoint=tmp_path / "run")
    fit(again, Recipe(epochs=2), checkpoint=tmp_path / "run", watch=kill_at(0))
    assert same_weights(first, again)


def test_nothing_to_train_on_is_an_error() -> None:
    network = small_network()
    update = GradientUpdate(network, smoothed_cross_entropy, Recipe(), CPU)
    empty = torch.empty(0, 5), torch.empty(0, dtype=torch.long)
    with pytest.raises(InputError, match="0 items"):
        train(network, update, *empty, Recipe(), compute=CPU)


def test_an_update_is_the_textbook_step() -> None:
    """One step of plain SGD against w - lr * gradient, the gradient by finite differences."""
    x, y = blobs(11)
    network = nn.Linear(5, 3).double()
    before = network.weight.detach().clone()

    def loss_at(weight: torch.Tensor) -> float:
        z = x.double() @ weight.T + network.bias.detach()
        return float(-torch.log_softmax(z, 1)[torch.arange(len(y)), y].mean())

    gradient = torch.zeros_like(before)
    for i in range(3):
        for j in range(5):
            step = torch.zeros_like(before)
            step[i, j] = 1e-6
            gradient[i, j] = (loss_at(before + step) - loss_at(before - step)) / 2e-6
    recipe = Recipe(optimizer="sgd", lr=0.1, schedule="constant", weight_decay=0, clip_norm=None)
    GradientUpdate(network, nn.functional.cross_entropy, recipe, CPU)(x.double(), y, 0.0)
    # Nesterov's first step is (1 + momentum) times the gradient
    assert torch.allclose(network.weight, before - 0.1 * 1.9 * gradient, atol=1e-6)


def test_clipping_bounds_the_step() -> None:
    x, y = blobs(11)
    network = nn.Linear(5, 3)
    before = network.weight.detach().clone(), network.bias.detach().clone()
    recipe = Recipe(optimizer="sgd", lr=1.0, schedule="constant", weight_decay=0, clip_norm=0.01)
    GradientUpdate(network, lambda z, t: 1e3 * z.sum(), recipe, CPU)(x, y, 0.0)
    moved = [(network.weight - before[0]).flatten(), (network.bias - before[1]).flatten()]
    assert float(torch.cat(moved).detach().norm()) == pytest.approx(1.9 * 0.01, rel=1e-3)


def test_schedules_begin_low_peak_at_one_and_end_at_zero() -> None:
    for name, peak in (("onecycle", 0.25), ("cosine", 0.05)):
        assert lr_factor(name, 0) == pytest.approx(0.04)
        assert lr_factor(name, peak) == pytest.approx(1)
        assert lr_factor(name, 1) == pytest.approx(0, abs=1e-12)
        assert lr_factor(name, (1 + peak) / 2) == pytest.approx(0.5)
    assert [lr_factor("constant", p) for p in (0, 0.5, 1)] == [1, 1, 1]


def test_the_average_follows_its_formula() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    average = WeightAverage(network, horizon=4)
    expected = 0.0
    for step in range(60):
        with torch.no_grad():
            network.weight.fill_(math.sin(step))
        average.update(step)
        keep = min(0.75, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * math.sin(step)
    assert float(average.network.weight.detach()) == pytest.approx(expected, abs=1e-6)


SCRIPT = """
import sys, torch
from depthwise import CNN
from sklearn.datasets import load_digits
data = load_digits()
images = (data.images * 15.9).astype("uint8")[:, None]
model = CNN(size="xxs", epochs=4, random_state=3, threads=1, precision="bfloat16")
from depthwise import training
training.train.__kwdefaults__["checkpoint_seconds"] = 0.05
model.fit(images[:900], data.target[:900], validation=(images[900:], data.target[900:]),
          checkpoint=sys.argv[1])
model.save(sys.argv[2])
"""


def test_a_process_killed_with_kill_9_resumes_to_the_same_weights(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(checkpoint: str, out: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / checkpoint), str(tmp_path / out)]
        return subprocess.Popen(command, env=environment)

    assert start("whole.run", "whole").wait(120) == 0
    kills = 0
    for _ in range(2):
        process = start("killed.run", "killed")
        known = _stamp(tmp_path / "killed.run")
        while _stamp(tmp_path / "killed.run") == known and process.poll() is None:
            time.sleep(0.005)
        time.sleep(0.02)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait(60)
    assert kills == 2
    assert start("killed.run", "killed").wait(120) == 0
    whole, killed = (tmp_path / name / "model.safetensors" for name in ("whole", "killed"))
    assert whole.read_bytes() == killed.read_bytes()
    steps = json.loads((tmp_path / "killed" / "model.json").read_text())["history"]["steps"]
    assert steps == 4 * math.ceil(900 / 32)


def _stamp(path: Path) -> float | None:
    return path.stat().st_mtime_ns if path.exists() else None


@pytest.mark.parametrize(("seconds", "looked"), [(None, 70), (0.0, 10), (1e9, 70)])
def test_looking_ends_with_the_time_and_never_before_a_part(
    seconds: float | None, looked: int
) -> None:
    order = np.random.default_rng(3).permutation(70)
    found, places = look_in_time(order, 10, lambda part: part.sum(), seconds)
    assert (places == order[:looked]).all()
    assert found == [order[i : i + 10].sum() for i in range(0, looked, 10)]


def test_looking_goes_on_until_what_was_seen_is_enough() -> None:
    order = np.arange(70)
    _found, places = look_in_time(order, 10, len, 0.0, enough=lambda done: done.max() > 25)
    assert len(places) == 30
