"""Answers from the GPU that a model computes on, and data that stay there, held without one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depthwise import compute as computing
from depthwise.catalog import FAMILIES
from depthwise.families.cnn import CNN
from depthwise.families.dnn.dnn import DNN
from depthwise.models import gpu_answers
from depthwise.training import visits


def test_data_that_have_no_room_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    free = [1000]
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free[0], 10**6))
    assert computing.has_room("cpu", 10**12)
    assert computing.has_room("cuda", 400) and not computing.has_room("cuda", 401)
    items = torch.zeros(1000, dtype=torch.uint8)
    assert visits.on_device_if_room(items, "cuda") is items
    monkeypatch.setattr(visits, "has_room", lambda device, size: True)
    assert visits.on_device_if_room(items, "meta").device.type == "meta"


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
    monkeypatch.setattr(
        "depthwise.models.answers.placed", lambda model, network, inputs: copied_there
    )

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
