"""On a GPU: every family learns there and is at home again, a recorded step is the step itself, and
what was begun on one device goes on on another. Without a GPU these tests are skipped; what can be
held without one is in test_gpu_manners.py."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import depthwise
from depthwise.catalog import FAMILIES
from depthwise.compute import Compute, own_randomness
from depthwise.data.pictures.augment import augmenter
from depthwise.errors import InputError
from depthwise.families.cnn import SIZES, CNNNetwork
from depthwise.losses import Weighted, smoothed_cross_entropy
from depthwise.training.graphs import WARM_STEPS, RecordedUpdate
from depthwise.training.loop import Event, train
from depthwise.training.step import GradientUpdate, Recipe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SETTINGS: dict[str, dict[str, Any]] = {
    "tabular": {"size": "s", "epochs": 4},
    "dnn": {"size": "xs", "epochs": 4},
    "cnn": {"size": "xxs", "epochs": 4},
    "dsn": {"n_hidden": 100},
    "dbn": {"hidden": (50, 60), "epochs": 3, "finetune_epochs": 2},
    "dbm": {"hidden": (50, 40), "epochs": 3, "pretrain_epochs": 2, "finetune_epochs": 4},
    "autoencoder": {"hidden": (50,), "code_size": 8, "epochs": 4},
    "rbm": {"n_hidden": 50, "epochs": 3, "label_units": True},
}
GPU = Compute("cuda")


@pytest.fixture(params=list(SETTINGS))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(family: str, **changes: Any) -> Any:
    return FAMILIES[family](**{**SETTINGS[family], "device": "cuda", **changes})


def devices_of(value: Any) -> set[str]:
    """Of all tensors in a model, however deep."""
    if isinstance(value, Tensor):
        return {value.device.type}
    if isinstance(value, nn.Module):
        return devices_of(value.state_dict())
    if isinstance(value, dict):
        return set().union(*map(devices_of, value.values()), set())
    if isinstance(value, list | tuple):
        return set().union(*map(devices_of, value), set())
    return devices_of(vars(value)) if hasattr(value, "__dict__") else set()


def kill_at(step: int) -> Any:
    def watch(event: Event) -> None:
        if event.step >= step:
            raise BrokenOff

    return watch


class BrokenOff(Exception):
    pass


# -- families -------------------------------------------------------------------------------------


def test_a_family_learns_on_the_gpu_and_is_at_home_again(
    family: str, digits: Any, tmp_path: Path
) -> None:
    X, y, X_test, y_test = digits
    model = make(family).fit(X, y, validation=(X_test, y_test))
    assert model.history_["compute"]["device"] == "cuda"
    assert devices_of(model) == {"cpu"}
    assert model.score(X_test, y_test) > 0.5
    model.transform(X_test)
    again = depthwise.load(model.save(tmp_path / "model"))
    assert np.array_equal(again.predict(X_test), model.predict(X_test))
    pickle.loads(pickle.dumps(model.partial_fit(X[:64], y[:64])))
    assert devices_of(model) == {"cpu"}


@pytest.mark.parametrize("name", ["rbm", "dbn", "dbm", "autoencoder"])
def test_what_a_model_of_the_data_can_do_it_can_do_after_a_gpu(name: str, digits: Any) -> None:
    model = make(name).fit(digits[0], digits[1])
    many = np.concatenate([digits[2]] * 30)  # worth the way to the GPU
    here = copy.copy(model).set_params(device="cpu")
    for there, at_home in (
        (model.anomaly_score(many), here.anomaly_score(many)),
        (model.reconstruct(many), here.reconstruct(many)),
    ):
        np.testing.assert_allclose(there, at_home, rtol=1e-3, atol=1.01)
    assert np.isfinite(model.score_samples(digits[2][:20])).all()
    assert model.sample(3).shape == (3, 1, 8, 8)
    assert devices_of(model) == {"cpu"}


@pytest.mark.parametrize("name", ["cnn", "dnn", "rbm", "dbm", "dbn", "autoencoder"])
@pytest.mark.parametrize("then", ["cuda", "cpu"])
def test_broken_off_on_a_gpu_it_goes_on(name: str, then: str, digits: Any, tmp_path: Path) -> None:
    X, y, at = digits[0], digits[1], tmp_path / "run"
    monkey = pytest.MonkeyPatch()
    monkey.setattr("depthwise.training.loop._Loop._save_now_and_then", lambda loop: loop._save())
    monkey.setattr("depthwise.training.loop._Loop._look_around", lambda loop: loop._tell(0.0))
    with monkey.context(), pytest.raises(BrokenOff):
        make(name).fit(X, y, checkpoint=at, watch=kill_at(25))
    monkey.undo()
    model = make(name, device=then).fit(X, y, checkpoint=at)
    assert model.history_["stopped"] == "finished"
    assert model.history_["compute"]["device"] == then
    if then == "cuda" and name in ("cnn", "dnn"):
        whole = make(name).fit(X, y)
        assert abs(whole.score(X, y) - model.score(X, y)) < 0.05


def test_tasks_on_a_backbone_learn_on_a_gpu() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (90, 3, 40, 40), dtype=np.uint8)
    y = np.arange(90) % 3
    X[y == 1, 0] //= 4
    X[y == 2, 1] //= 4
    cnn = depthwise.CNN(size="xs", epochs=3, device="cuda").fit(X, y)
    assert cnn.predict(X).shape == (90,)
    regressor = depthwise.CNNRegressor(size="xs", epochs=3, device="cuda").fit(X, y.astype(float))
    assert regressor.predict(X).shape == (90,)


# -- answers --------------------------------------------------------------------------------------


def test_many_answers_from_the_gpu_are_the_processors(digits: Any) -> None:
    model = make("cnn").fit(digits[0], digits[1])
    many = np.concatenate([digits[2]] * 40)
    there = model.predict_proba(many)
    home = model.set_params(device="cpu").predict_proba(many)
    np.testing.assert_allclose(there, home, atol=1e-5)


def test_the_callers_draws_on_the_gpu_go_on_as_if_nothing_had_been_drawn(digits: Any) -> None:
    torch.cuda.manual_seed(5)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed(5)
    make("cnn", epochs=1).fit(digits[0], digits[1])
    make("rbm", epochs=1).fit(digits[0], digits[1]).sample(2)
    assert torch.equal(torch.rand(3, device="cuda"), expected)
    assert not torch.backends.cudnn.benchmark


# -- recorded steps -------------------------------------------------------------------------------


def learn(
    recorded: bool, optimizer: str = "adamw", precision: str = "float32", weighted: bool = False
) -> tuple[nn.Module, RecordedUpdate | GradientUpdate]:
    """Three epochs of two batch shapes, augmented and with dropout, on 403 pictures of noise."""
    compute = Compute("cuda", precision, True, 1, recorded)
    recipe = Recipe(epochs=3, batch_size=12, lr=1e-3, optimizer=optimizer, average=0.02, seed=3)
    with own_randomness(1, "cuda"):
        x = torch.randint(0, 256, (403, 3, 10, 12), dtype=torch.uint8)
        y: Any = torch.randint(0, 5, (403,))
        network = compute.place(CNNNetwork((3, 10, 12), 5, SIZES["xs"], 0.2))
    targets = Weighted(y, torch.rand(403) + 0.5) if weighted else y
    update: Any = GradientUpdate(
        network, smoothed_cross_entropy, recipe, compute, augmenter("auto", (3, 10, 12))
    )
    update = RecordedUpdate(update) if recorded else update
    train(network, update, x, targets, recipe, compute=compute)
    return network, update


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_recorded_step_is_the_step_itself(optimizer: str, precision: str, weighted: bool) -> None:
    torch.backends.cudnn.allow_tf32 = False
    try:
        plain, _ = learn(False, optimizer, precision, weighted)
        again, _ = learn(False, optimizer, precision, weighted)
        network, update = learn(True, optimizer, precision, weighted)
    finally:
        torch.backends.cudnn.allow_tf32 = True
    assert isinstance(update, RecordedUpdate)
    assert len(update.recordings) == 2  # two shapes
    noise = distance(plain, again)  # sums in another order
    assert distance(plain, network) < 5 * noise + 0.02


def distance(a: nn.Module, b: nn.Module) -> float:
    """Relative, of all weights."""
    pairs = [(x.double(), z.double()) for x, z in zip(a.parameters(), b.parameters())]
    apart = sum(float((x - z).square().sum()) for x, z in pairs)
    return (apart / sum(float(x.square().sum()) for x, _ in pairs)) ** 0.5


def test_draws_of_a_recorded_step_differ_from_step_to_step() -> None:
    network, x = nn.Linear(4, 2, device="cuda"), torch.ones(6, 4, device="cuda")
    seen: list[Tensor] = []

    def augment(batch: Tensor) -> Tensor:
        seen.append(drawn := torch.rand_like(batch))
        return batch * drawn

    recipe = Recipe(batch_size=6)
    update = GradientUpdate(network, nn.functional.cross_entropy, recipe, GPU, augment)
    recorded, y = RecordedUpdate(update), torch.zeros(6, dtype=torch.int64, device="cuda")
    with own_randomness(0, "cuda"):
        draws = []
        for step in range(WARM_STEPS + 3):
            torch.cuda.manual_seed(step)
            recorded(x, y, 0.5)
            draws.append(seen[-1].clone())
        torch.cuda.manual_seed(WARM_STEPS + 1)
        expected = torch.rand_like(x)
    assert not torch.equal(draws[-1], draws[-2])
    assert torch.equal(draws[WARM_STEPS + 1], expected)


def test_a_step_that_asks_the_gpu_for_a_number_is_refused() -> None:
    network = nn.Linear(4, 2, device="cuda")

    def loss(z: Tensor, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(z, y) * (1 if float(z.sum()) else 2)

    recorded = RecordedUpdate(GradientUpdate(network, loss, Recipe(batch_size=6), GPU))
    x = torch.rand(6, 4, device="cuda")
    y = torch.arange(6, device="cuda") % 2
    for _ in range(WARM_STEPS):
        recorded(x, y, 0.25)
    with pytest.raises(InputError, match="DEPTHWISE_GRAPHS"):
        recorded(x, y, 0.25)


def test_a_family_learns_by_recorded_steps(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPTHWISE_GRAPHS", "1")
    for name in ("cnn", "dnn", "tabular"):
        X = digits[0] if name != "tabular" else digits[0].reshape(len(digits[0]), -1)
        model = make(name, epochs=12).fit(X, digits[1])
        assert model.history_["compute"]["graph"]
        assert model.score(X, digits[1]) > 0.8
