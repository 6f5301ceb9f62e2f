"""Every family on a GPU that is only pretended: it learns there, goes on there, answers from there,
and no tensor meets one of another device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import depthwise
from depthwise.catalog import FAMILIES
from depthwise.models import compute_choice, gpu_answers
from depthwise.training.loop import Event
from pretend_gpu import pretend_gpu

SETTINGS: dict[str, dict[str, Any]] = {
    "tabular": {"size": "s", "epochs": 1, "hidden": 12},
    "dnn": {"hidden": (12,), "epochs": 2},
    "cnn": {"width": 3, "epochs": 2},
    "dsn": {"n_hidden": 20, "epochs": 2, "init_epochs": 2, "batch_size": 30, "softmax": True},
    "dbn": {"hidden": (12, 13), "epochs": 1, "finetune_epochs": 1},
    "dbm": {"hidden": (12, 11), "epochs": 1, "pretrain_epochs": 1, "finetune_epochs": 1},
    "autoencoder": {"hidden": (12,), "code_size": 3, "epochs": 1},
    "rbm": {"n_hidden": 12, "epochs": 1, "batch_size": 15, "label_units": True},
}
WAYS: dict[str, dict[str, Any]] = {
    "dnn pretrained": {"family": "dnn", "pretrain": "dbn", "pretrain_epochs": 1},
    "dnn denoising": {"family": "dnn", "pretrain": "autoencoder", "pretrain_epochs": 1},
    "dnn lengths kept": {"family": "dnn", "max_norm": 2.0},
    "cnn cut out": {"family": "cnn", "augment": ("affine", "cutout", "flip"), "dropout": 0.2},
    "dsn tensor": {"family": "dsn", "variant": "tensor"},
    "dsn kernel": {"family": "dsn", "variant": "kernel"},
    "dbn persistent": {"family": "dbn", "persistent": "all"},
    "dbm sparse": {"family": "dbm", "sparsity": 0.1},
    "autoencoder pretrained": {"family": "autoencoder", "pretrain": "rbm", "pretrain_epochs": 1},
    "autoencoder noise": {"family": "autoencoder", "noise": "masking", "contractive": 0.1},
    "rbm tempered": {"family": "rbm", "temperatures": 3, "sparsity": 0.1, "momentum": 0.5},
    "rbm rectified": {"family": "rbm", "hidden": "relu", "persistent": False},
}


@pytest.fixture(params=[*SETTINGS, *WAYS])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(name: str, **changes: Any) -> Any:
    way = dict(WAYS.get(name, {"family": name}))
    family = way.pop("family")
    plain = {"device": "cuda", "precision": "float32", "random_state": 0}
    return FAMILIES[family](**{**SETTINGS[family], **plain, **way, **changes})


@pytest.fixture
def some(digits: Any) -> tuple[np.ndarray, np.ndarray]:
    return digits[0][:90], digits[1][:90] % 3


@pytest.fixture(autouse=True)
def _small_inputs_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_answers, "WORTH_MOVING", 0)


def homes(value: Any, gpu: Any, seen: set[int] | None = None) -> set[str]:
    """Where all tensors of a model lie, however deep."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, type):
        return set()
    seen.add(id(value))
    if isinstance(value, Tensor):
        return {"cuda" if gpu.has(value) else "cpu"}
    if isinstance(value, nn.Module):
        value = value.state_dict()
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return set().union(*(homes(part, gpu, seen) for part in value), set())
    return homes(vars(value), gpu, seen) if hasattr(value, "__dict__") else set()


def test_a_family_learns_on_the_gpu_and_is_at_home_again(
    name: str, some: Any, tmp_path: Path
) -> None:
    X, y = some
    with pretend_gpu() as gpu:
        model = make(name).fit(X, y, validation=(X[:40], y[:40]))
        assert model.history_.get("compute", {}).get("device", "cuda") == "cuda"
        model.transform(X)
        model.predict(X)
        model.partial_fit(X[:40], y[:40])
        assert homes(model, gpu) == {"cpu"}
    again = depthwise.load(model.save(tmp_path / "model"))
    assert again.predict(X).shape == (90,)


@pytest.mark.parametrize("family", ["rbm", "dbn", "dbm", "autoencoder"])
@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
@pytest.mark.filterwarnings(
    "ignore::depthwise.families.boltzmann.partition.UntrustedEstimateWarning"
)
def test_a_model_of_the_data_is_asked_on_the_gpu(family: str, visible: str, some: Any) -> None:
    X = some[0] if visible == "bernoulli" else some[0].reshape(90, -1).astype(np.float32)
    changes: dict[str, Any] = {"label_units": False} if family == "rbm" else {}
    with pretend_gpu() as gpu:
        model = make(family, visible=visible, **changes).fit(X, validation=(X[:20], None))
        known = np.ones(X.shape[1:], dtype=bool)
        for answer in (
            model.anomaly_score(X),
            model.reconstruct(X),
            model.score_samples(X[:7]),
            model.sample(3),
            model.inpaint(X[:3], known) if hasattr(model, "inpaint") else model.transform(X),
        ):
            assert np.isfinite(answer).all()
        if hasattr(model, "log_partition"):
            model.log_partition("ais", chains=5, steps=20)
        assert homes(model, gpu) == {"cpu"}


BREAKS = {3, 8, 15, 26, 40, 70, 150, 300}  # by the events so far


class BrokenOff(Exception):
    pass


def save_every_fourth(loop: Any) -> None:
    if loop.step % 4 == 0:
        loop._save()


@pytest.mark.parametrize("then", ["cuda", "cpu"])
def test_broken_off_it_goes_on(
    name: str, then: str, some: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it keeps comes back where it is needed, in every stage."""
    X, y = some
    y = None if "autoencoder" in name and "dnn" not in name else y  # whose classifier is slow
    monkeypatch.setattr("depthwise.training.loop._Loop._save_now_and_then", save_every_fourth)
    monkeypatch.setattr("os.fsync", lambda file: None)
    monkeypatch.setattr("depthwise.training.loop._Loop._look_around", lambda loop: loop._tell(0.0))
    steps, sittings = [0], 0

    def watch(event: Event) -> None:
        steps[0] += 1
        if steps[0] in BREAKS:
            raise BrokenOff

    while True:
        sittings += 1
        try:
            with pretend_gpu():
                model = make(name, device="cuda" if sittings == 1 else then)
                model.fit(X, y, checkpoint=tmp_path / "run", watch=watch)
            break
        except BrokenOff:
            continue
    assert model.history_["stopped"] == "finished"
    assert sittings > 1 or name == "dsn kernel"  # which takes no step


def test_the_way_to_compute_is_timed_on_the_gpu(some: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_choice, "_is_tiny", lambda network, x: False)
    with pretend_gpu():
        model = make("cnn", precision="float32", epochs=1).fit(*some)
    assert model.history_["compute"]["device"] == "cuda"


def test_data_without_room_are_brought_batch_by_batch(
    some: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pretend_gpu():
        expected = make("cnn").fit(*some)
        for place in ("depthwise.training.visits", "depthwise.models.gpu_answers"):
            monkeypatch.setattr(f"{place}.has_room", lambda device, size: False)
        model = make("cnn").fit(*some)
    for a, b in zip(expected.network_.parameters(), model.network_.parameters()):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_pretending_refuses_what_a_gpu_refuses() -> None:
    """The referee itself."""
    with pretend_gpu() as gpu:
        there, here = torch.ones(3, device="cuda"), torch.ones(3)
        assert gpu.has(there[1:]) and gpu.has(torch.rand_like(there)) and not gpu.has(there.cpu())
        assert gpu.has(nn.Linear(3, 2).to("cuda").weight) and there.device.type == "cuda"
        assert gpu.has(there + 1) and gpu.has(there * torch.tensor(2.0))
        with pytest.raises(RuntimeError, match="cuda:0 and cpu"):
            there + here
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(2, device="cuda", generator=torch.Generator())
        with pytest.raises(RuntimeError, match="cuda:0 and cpu"):
            here[torch.zeros(2, dtype=torch.int64, device="cuda")]
