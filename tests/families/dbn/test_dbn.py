"""The deep belief network as an estimator, on scikit-learn's digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import depthwise.training.loop as training
from depthwise.data.load import load
from depthwise.errors import InputError
from depthwise.families.boltzmann.network import RBMNetwork
from depthwise.families.boltzmann.partition import exact_log_partition
from depthwise.families.dbn.dbn import DBN
from depthwise.families.dbn.network import DBNNetwork

QUICK: dict[str, Any] = {"hidden": (40, 30), "epochs": 3, "finetune_epochs": 2, "threads": 1}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    data = load("digits", cache=False)
    return np.asarray(data.inputs), data.labels


@pytest.fixture(scope="module")
def trained(digits: Any) -> DBN:
    X, y = digits
    settings: dict[str, Any] = {"epochs": 30, "finetune_epochs": 40, "threads": 1}
    return DBN(hidden=(100, 100), **settings).fit(X[:1400], y[:1400])


def copies(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_class_conditional_samples_are_recognised_by_another_classifier(
    trained: DBN, digits: Any
) -> None:
    X, y = digits
    judge = LogisticRegression(max_iter=300).fit(X.reshape(len(X), -1) / 255, y)
    wanted = np.repeat(np.arange(10), 20)
    samples = trained.sample(200, wanted)
    assert samples.shape == (200, 1, 8, 8)
    assert samples.dtype == np.uint8
    assert judge.score(samples.reshape(200, -1) / 255, wanted) > 0.6  # of 10 classes


def test_it_classifies(trained: DBN, digits: Any) -> None:
    X, y = digits
    assert trained.score(X[1400:], y[1400:]) > 0.85


def test_noise_is_stranger_than_digits(trained: DBN, digits: Any) -> None:
    X = digits[0][1400:]
    mixed = np.random.default_rng(0).permuted(X.reshape(len(X), -1), axis=1).reshape(X.shape)
    assert trained.is_anomaly(mixed).mean() > 0.9
    assert trained.is_anomaly(X).mean() < 0.1


def test_the_bound_beats_independent_pixels(trained: DBN, digits: Any) -> None:
    X = digits[0].reshape(-1, 64) / 255
    rates = X[:1400].mean(axis=0).clip(0.01, 0.99)
    independent = (X[1400:] * np.log(rates) + (1 - X[1400:]) * np.log(1 - rates)).sum(axis=1)
    assert trained.score_samples(digits[0][1400:]).mean() > independent.mean() + 2


def test_reconstructions_are_near(trained: DBN, digits: Any) -> None:
    X = digits[0][1400:].astype(float)
    seen = trained.reconstruct(digits[0][1400:]).astype(float)
    assert ((seen - X) ** 2).mean() < 0.5 * X.var(axis=0).mean()


def test_every_layer_is_shown(trained: DBN, digits: Any) -> None:
    X = digits[0][:7]
    v = torch.from_numpy(X.reshape(7, -1) / 255).float()
    layer = trained.network_.directed[0]
    means = torch.sigmoid(v @ layer.recognition_weight + layer.recognition_bias)
    np.testing.assert_allclose(trained.transform(X, layer=1), means.detach(), atol=1e-5)
    assert trained.transform(X).shape == (7, 100)


def test_log_partition_is_kept_and_told(trained: DBN, digits: Any) -> None:
    log_z, stderr = trained.log_partition("ais", chains=100, steps=700)
    again, _ = trained.log_partition("ais", chains=100, steps=700, seed=1)
    assert again == pytest.approx(log_z, abs=5 * stderr + 0.1)
    before = trained.score_samples(digits[0][:3])
    trained.network_.log_z[0] += 2
    np.testing.assert_allclose(trained.score_samples(digits[0][:3]), before - 2, atol=1e-4)


def test_exact_and_annealed_log_partition_agree(digits: Any) -> None:
    model = DBN(**{**QUICK, "hidden": (40, 12)}).fit(*digits)
    exact, none = model.log_partition("exact")
    estimate, stderr = model.log_partition("ais", steps=1000)
    assert none == 0
    assert estimate == pytest.approx(exact, abs=max(0.1, 4 * stderr))


def test_greedy_stages_leave_the_layers_below_as_they_were(
    digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = DBN(**{**QUICK, "hidden": (20, 15, 25), "finetune_epochs": 0}), []
    grow = DBN._grow

    def watched(self: DBN, stages: Any, depth: int, *rest: Any, **options: Any) -> Any:
        before = [copies(layer) for layer in self.network_.directed[:depth]]
        machine = grow(self, stages, depth, *rest, **options)
        after = [copies(layer) for layer in self.network_.directed[:depth]]
        seen.append(depth)
        for was, now in zip(before, after):
            assert all(torch.equal(was[key], now[key]) for key in was)
        return machine

    monkeypatch.setattr(DBN, "_grow", watched)
    model.fit(digits[0][:200])
    assert seen == [0, 1, 2]


@torch.no_grad()
def test_a_wide_layer_begins_as_the_one_below_upside_down(digits: Any) -> None:
    settings = {**QUICK, "hidden": (12, 70), "epochs": (20, 1e-9), "finetune_epochs": 0}
    network = DBN(**settings).fit(digits[0]).network_  # the second machine has made one small step
    first, layer = RBMNetwork(64, 12), network.directed[0]
    for name, tensor in (
        ("weight", layer.generative_weight),
        ("visible_bias", layer.generative_bias),
        ("hidden_bias", layer.recognition_bias),
    ):
        getattr(first, name).copy_(tensor)
    v = torch.from_numpy(digits[0].reshape(-1, 64) > 100).float()
    alone = -first.free_energy(v) - exact_log_partition(first).log_z
    bound = network.bound(v) - exact_log_partition(network.top).log_z
    torch.testing.assert_close(bound.mean(), alone.mean(), atol=0.05, rtol=0)


@pytest.mark.parametrize("hidden", [(30,), (20, 25, 15)])
@pytest.mark.parametrize("labelled", [True, False])
def test_any_depth_with_and_without_labels(hidden: Any, labelled: bool, digits: Any) -> None:
    X, y = digits[0][:150], digits[1][:150]
    model = DBN(**{**QUICK, "hidden": hidden}).fit(X, y if labelled else None)
    assert np.isfinite(model.score_samples(X[:9])).all()
    assert model.sample(2).shape == (2, 1, 8, 8)
    assert len(model.network_.representations(torch.from_numpy(X[:2]))) == len(hidden)
    if not labelled:
        with pytest.raises(InputError, match="fitted without"):
            model.sample(2, labels=1)


def test_tables_of_any_scale_are_learnt(digits: Any) -> None:
    noise = np.random.default_rng(0)
    kind = noise.integers(0, 2, 600)
    X = (kind[:, None] * 2 - 1) * np.array([3.0, -30, 0.3, 0]) + noise.normal(size=(600, 4)) * [
        1,
        10,
        0.1,
        5,
    ]
    model = DBN(hidden=(16, 16), epochs=25, finetune_epochs=10, threads=1).fit(X, kind)
    assert model.visible_ == "gaussian"
    assert model.score(X, kind) > 0.97
    samples = model.sample(400, labels=1)
    np.testing.assert_allclose(samples.mean(axis=0)[:3], [3, -30, 0.3], rtol=0.35)
    assert model.is_anomaly(np.array([[30.0, 300, 3, 0]])).all()


class Stop(Exception):
    pass


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_a_fit_killed_in_any_stage_resumes_as_never_killed(
    stage: int, digits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = digits[0][:200], digits[1][:200]
    monkeypatch.setitem(training.train.__kwdefaults__, "checkpoint_seconds", 0.0)

    def kill(event: Any) -> None:
        if event.epoch >= (1, 4, 7)[stage]:
            raise Stop

    whole = DBN(**QUICK).fit(X, y)
    with pytest.raises(Stop):
        DBN(**QUICK).fit(X, y, checkpoint=tmp_path / "run", watch=kill)
    resumed = DBN(**QUICK).fit(X, y, checkpoint=tmp_path / "run")
    for name, tensor in whole.network_.state_dict().items():
        assert torch.equal(tensor.nan_to_num(), resumed.network_.state_dict()[name].nan_to_num())


def test_partial_fit_goes_on_and_forgets_log_z(digits: Any) -> None:
    X, y = digits[0][:200], digits[1][:200]
    model = DBN(**QUICK).fit(X, y)
    model.log_partition(steps=50)
    before = copies(model.network_)
    model.partial_fit(X, y)
    assert model.network_.log_z.isnan().all()
    assert not torch.equal(before["top.weight"], model.network_.top.weight)


def test_saved_and_loaded_it_scores_the_same(digits: Any, tmp_path: Path) -> None:
    model = DBN(**QUICK).fit(*digits)
    model.log_partition(steps=100)
    network = model.build((1, 8, 8), 10)
    network.load_state_dict(model.network_.state_dict())
    again = DBN(**QUICK)
    again.__dict__.update({**model.__dict__, "network_": network.eval()})
    np.testing.assert_array_equal(
        model.score_samples(digits[0][:20]), again.score_samples(digits[0][:20])
    )


def test_a_network_is_built_without_memory() -> None:
    with torch.device("meta"):
        network = DBN(size="l").build((1, 28, 28), 10)
    assert isinstance(network, DBNNetwork)
    assert network.top.weight.shape == (500, 2000)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden", ()),
        ("size", "xl"),
        ("epochs", 0),
        ("epochs", (1, 2, 3)),
        ("finetune_epochs", -1),
        ("batch_size", 0),
        ("lr", 0),
        ("lr", (0.1,)),
        ("finetune_lr", -1),
        ("sweeps", ()),
        ("sweeps", (0, 1)),
        ("k", 0),
        ("persistent", "bottom"),
        ("draws", 0),
        ("momentum", 1),
        ("average", -0.1),
        ("false_alarms", 1.5),
        ("visible", "softmax"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value(name: str, value: Any, digits: Any) -> None:
    hidden = {} if name in ("hidden", "size") else {"hidden": (5, 4)}
    with pytest.raises(InputError, match=name):
        DBN(**{**hidden, name: value}).fit(digits[0][:40], digits[1][:40])
