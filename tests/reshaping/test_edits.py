"""What was done to a network is told again from its settings, edits and tensors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from depthwise import CNN, DNN
from depthwise import load as load_model
from depthwise.errors import ModelFileError
from depthwise.reshaping.edits import edits_of, reshape
from depthwise.reshaping.folding import fold, foldable

pytestmark = pytest.mark.numerical


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (30, 2, 7, 5), dtype=np.uint8), np.arange(30) % 3


@pytest.fixture(scope="module")
def cnn(images: tuple[np.ndarray, np.ndarray]) -> CNN:
    return CNN(size="xxs", epochs=1, augment=None).fit(*images)


def folded(model: CNN | DNN) -> nn.Module:
    import copy

    network = copy.deepcopy(model.network_)
    edit = foldable(network)
    assert edit is not None
    return reshape(network, [edit]).eval()


def test_folding_one_norm_is_the_hand_made_sum() -> None:
    layer, norm = nn.Linear(1, 1), nn.BatchNorm1d(1, eps=1.0)
    with torch.no_grad():
        layer.weight.fill_(3.0)
        layer.bias.fill_(5.0)
        norm.weight.fill_(4.0)
        norm.bias.fill_(7.0)
        norm.running_mean.fill_(2.0)
        norm.running_var.fill_(3.0)  # sqrt(3 + 1) = 2, so that s = 4 / 2
    network = nn.Sequential(layer, norm)
    fold(network, {"kind": "folded", "layers": [["0", "1"]]})
    assert network[0].weight.item() == 6.0  # 2 * 3
    assert network[0].bias.item() == 13.0  # 2 * (5 - 2) + 7


def test_folded_network_answers_as_before(cnn: CNN, images: tuple[np.ndarray, np.ndarray]) -> None:
    x = torch.from_numpy(images[0])
    network = folded(cnn)
    assert not [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    torch.testing.assert_close(network(x), cnn.network_(x), rtol=1e-4, atol=1e-4)


def test_folded_model_is_the_same_after_loading(
    images: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, y = images
    model = DNN(hidden=(5, 3), epochs=1).fit(X.reshape(30, -1).astype(np.float32), y)
    assert model.shrunk_ == []
    model.network_ = folded(model)
    again = load_model(model.save(tmp_path))
    assert again.shrunk_ == model.shrunk_ == edits_of(again.network_) != []
    flat = X.reshape(30, -1).astype(np.float32)
    np.testing.assert_array_equal(again.predict_proba(flat), model.predict_proba(flat))


def test_fit_forgets_the_edits_and_partial_fit_keeps_them(
    images: tuple[np.ndarray, np.ndarray],
) -> None:
    model = CNN(size="xxs", epochs=1, augment=None).fit(*images)
    model.network_ = folded(model)
    assert model.partial_fit(*images).shrunk_[0]["kind"] == "folded"
    assert model.fit(*images).shrunk_ == []


@pytest.mark.parametrize(
    "edits",
    [
        [{"kind": "no such kind"}],
        [{}],
        ["folded"],
        {"kind": "folded"},
        [{"kind": "folded"}],
        [{"kind": "folded", "layers": [["stem.0.1", "stem.0.0"]]}],
        [{"kind": "folded", "layers": [["stem.0.0", "nowhere"]]}],
        [{"kind": "folded", "layers": [["stem.0.0"]]}],
        [{"kind": "folded", "layers": [["output", "stem.0.1"]]}],
        [{"kind": "folded", "layers": 3}],
        [{"kind": "folded", "layers": []}] * 65,
    ],
)
def test_edits_that_do_not_fit_are_refused(cnn: CNN, tmp_path: Path, edits: object) -> None:
    path = cnn.save(tmp_path) / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shrunk": edits}))
    with pytest.raises(ModelFileError, match="does not describe"):
        load_model(tmp_path)
