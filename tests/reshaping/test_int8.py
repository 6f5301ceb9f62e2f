"""Networks in 8-bit whole numbers: their arithmetic, ranges, learning and saving."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from depthwise import CNN, DNN
from depthwise import load as load_model
from depthwise.errors import InputError, ModelFileError
from depthwise.layers import Standardise
from depthwise.reshaping.int8 import (
    Int8Conv2d,
    Int8Linear,
    Pixels,
    Quantiser,
    is_int8,
    learning,
    may_saturate,
)
from depthwise.reshaping.quantise import METHODS, quantise, quantise_network

pytestmark = pytest.mark.numerical


def shapes_of(items: int, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Bright squares in one of three corners, on noise."""
    rng = np.random.default_rng(3)
    X = rng.integers(0, 90, (items, channels, 9, 7), dtype=np.uint8)
    y = np.arange(items) % 3
    for image, label in zip(X, y):
        image[
            :, 5 * (label // 2) : 5 * (label // 2) + 4, 3 * (label % 2) : 3 * (label % 2) + 4
        ] += 150
    return X, y


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return shapes_of(90, channels=3)


@pytest.fixture(scope="module")
def cnn(data: tuple[np.ndarray, np.ndarray]) -> CNN:
    return CNN(size="xxs", epochs=8, augment=None).fit(*data)


# -- arithmetic ----------------------------------------------------------------------------------


def test_rounding_equals_torchs_own_quantisation() -> None:
    x = torch.randn(500, generator=torch.Generator().manual_seed(0)) * 3
    quantiser = Quantiser().eval()
    quantiser.set_range(-2.0, 5.0)
    scale, zero_point = float(quantiser.scale), int(quantiser.zero_point)
    theirs = torch.fake_quantize_per_tensor_affine(x, scale, zero_point, 0, 255)
    torch.testing.assert_close(quantiser(x), theirs, rtol=0, atol=1e-6)


def test_zero_is_kept_exactly_and_a_range_from_zero_rectifies() -> None:
    quantiser = Quantiser().eval()
    quantiser.set_range(-1.0, 2.0)
    assert quantiser(torch.zeros(1)).item() == 0.0
    quantiser.set_range(0.0, 2.0)
    assert quantiser(torch.tensor([-3.0, -1e-9])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("most", [64, 127])
def test_linear_layer_is_the_whole_number_product(most: int) -> None:
    layer = nn.Linear(5, 3)
    ours = Int8Linear(layer, incoming=True, most=most).eval()
    ours.incoming.set_range(-1.0, 1.0)
    x = torch.rand(7, 5) * 2 - 1
    s, z = float(ours.incoming.scale), int(ours.incoming.zero_point)
    q = np.clip(np.rint(x.numpy() / s) + z, 0, 255).astype(np.int64) - z
    rows = layer.weight.detach().numpy()
    steps = np.abs(rows).max(axis=1) / most
    w = np.rint(rows / steps[:, None]).astype(np.int64)
    by_hand = (q @ w.T) * s * steps + layer.bias.detach().numpy()
    np.testing.assert_allclose(ours(x).detach().numpy(), by_hand, atol=1e-5)


@pytest.mark.parametrize(("bits", "most"), [(7, 64), (8, 127)])
def test_weights_are_a_byte_each_with_a_scale_an_output(bits: int, most: int) -> None:
    layer = nn.Conv2d(2, 3, 3)
    ours = quantise_network(nn.Sequential(layer), torch.rand(4, 2, 5, 5), weight_bits=bits)[0]
    assert isinstance(ours, Int8Conv2d)
    assert ours.weight_int8 is not None and ours.weight_int8.dtype == torch.int8
    assert ours.weight_int8.flatten(1).abs().amax(dim=1).tolist() == [most] * 3
    step = layer.weight.detach().flatten(1).abs().amax(dim=1) / most
    apart = (ours.weight - layer.weight).detach().flatten(1).abs().amax(dim=1)
    assert (apart <= step / 2 * 1.001).all()
    assert may_saturate(ours) == (bits == 8)


def saturating_product(q: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(B, D) bytes by (O, D) signed bytes as x86 without VNNI multiplies them (vpmaddubsw): pairs
    of products are added in 16 bits, which saturate; the sums of pairs in 32."""
    pairs = q.reshape(len(q), 1, -1, 2).astype(np.int64) * w.reshape(1, len(w), -1, 2)
    return np.clip(pairs.sum(axis=3), -(2**15), 2**15 - 1).sum(axis=2)


@pytest.mark.parametrize("sign", [1, -1])
def test_weights_of_seven_bits_never_saturate(sign: int) -> None:
    """Referee: the arithmetic of such a processor, on bytes and weights that are large together."""
    rng = np.random.default_rng(0)
    layer, apart = nn.Linear(24, 5), {}
    with torch.no_grad():
        layer.weight.abs_().mul_(sign)
    q = np.where(rng.random((40, 24)) < 0.7, 255, rng.integers(0, 256, (40, 24)))
    for bits in (7, 8):
        ours = quantise_network(nn.Sequential(layer), torch.rand(64, 24), weight_bits=bits)[0]
        w = ours.weight_int8.numpy().astype(np.int64)
        apart[bits] = np.abs(saturating_product(q, w) - q @ w.T).max()
    assert apart[7] == 0 < apart[8]


def test_weights_trained_again_stay_within_their_bits() -> None:
    for bits, most in ((7, 64), (8, 127)):
        network = quantise_network(
            nn.Sequential(nn.Linear(3, 2)), torch.rand(9, 3), weight_bits=bits
        )
        with learning(network), torch.no_grad():
            network[0].latent *= 5
        assert int(network[0].weight_int8.abs().max()) == most


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_an_untouched_first_layer_lose_nothing_but_weight_rounding(channels: int) -> None:
    """Standardisation, padding included, taken into weights: the answer is the float network's
    when the weights are whole numbers already, since pixels are."""
    standardise = Standardise(channels, image=True)
    mean = torch.tensor([40.0, 90.0, 200.0])[:channels]  # whole, so that padding is exact too
    standardise.set_statistics(mean, torch.full((channels,), 64.0))
    conv = nn.Conv2d(channels, 2, 3, padding=1)
    with torch.no_grad():
        conv.weight.copy_(torch.randint(-3, 4, conv.weight.shape).float())
        conv.weight[:, 0, 0, 0] = 64.0
        conv.weight /= 64
    network = nn.Sequential(standardise, conv).eval()
    x = torch.randint(0, 256, (5, channels, 6, 4), dtype=torch.uint8)
    ours = quantise_network(network, x)
    assert isinstance(ours[0], Pixels) and bool(ours[0].border) == (channels > 1)
    torch.testing.assert_close(ours(x), network(x), rtol=1e-4, atol=1e-4)


# -- ranges --------------------------------------------------------------------------------------


def test_methods_are_ordered_by_their_own_measure() -> None:
    """A far-off value: min-max holds it, the search has the least squared error of the three."""
    generator = torch.Generator().manual_seed(1)
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        network[0].weight.copy_(torch.eye(4))
        network[0].bias.zero_()
    x = torch.randn(4000, 4, generator=generator)
    x[0, 0] = 60.0
    tops, errors = {}, {}
    for method in METHODS:
        quantiser = quantise_network(network, x, method=method)[0].outgoing
        tops[method] = float(quantiser.scale * (255 - quantiser.zero_point.float()))
        errors[method] = float((quantiser(x) - x).square().mean())
    assert tops["minmax"] == pytest.approx(60, abs=0.5)
    assert tops["percentile"] < 10
    assert errors["mse"] == min(errors.values())


def test_whole_network_is_rounded_sums_too(cnn: CNN, data: tuple[np.ndarray, np.ndarray]) -> None:
    network = quantise(cnn, data[0]).network_
    kinds = [type(module).__name__ for module in network.modules()]
    assert not [kind for kind in kinds if kind in ("Conv2d", "Linear", "BatchNorm2d")]
    assert kinds.count("Quantised") == 3  # a residual block a stage
    values = network.stages[0](network.stem(network.standardise(torch.from_numpy(data[0]))))
    whole = values / network.stages[0].outgoing.scale
    torch.testing.assert_close(whole, whole.round(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_quantised_cnn_answers_as_before(
    cnn: CNN, data: tuple[np.ndarray, np.ndarray], method: str
) -> None:
    X, y = data
    ours = quantise(cnn, X, method=method)
    assert cnn.score(X, y) > 0.9 and ours.score(X, y) >= cnn.score(X, y) - 0.03
    assert not is_int8(cnn.network_) and cnn.shrunk_ == []
    np.testing.assert_array_equal(
        ours.predict(X), ours.classes_[ours.predict_proba(X).argmax(axis=1)]
    )
    assert len(ours.transform(X[:2]).T) == len(cnn.transform(X[:2]).T)


@pytest.mark.parametrize("settings", [{}, {"activation": "logistic"}, {"normalise": False}])
def test_quantised_dnn_answers_as_before(settings: dict[str, Any]) -> None:
    X, y = shapes_of(90)
    for inputs in (X, X.reshape(90, -1).astype(np.float32)):
        model = DNN(hidden=(16, 8), epochs=20, lr=0.01, **settings).fit(inputs, y)
        ours = quantise(model, inputs)
        assert is_int8(ours.network_)
        assert np.abs(ours.predict_proba(inputs) - model.predict_proba(inputs)).mean() < 0.02


def test_what_cannot_be_quantised_is_said(cnn: CNN, data: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(InputError, match="minmax, percentile, mse"):
        quantise(cnn, data[0], method="guess")
    with pytest.raises(InputError, match="weight_bits must be 7 or 8; got 4"):
        quantise(cnn, data[0], weight_bits=4)
    with pytest.raises(InputError, match="0 items"):
        quantise(cnn, data[0][:0])
    with pytest.raises(InputError, match="no convolution or linear"):
        quantise_network(nn.Flatten(), torch.zeros(2, 3))


# -- learning ------------------------------------------------------------------------------------


def test_learning_gives_gradients_to_weights_and_rounds_them_again() -> None:
    network = quantise_network(nn.Sequential(nn.Linear(3, 2)).eval(), torch.randn(64, 3))
    before = network[0].weight.clone()
    with learning(network):
        weight = network[0].latent
        network(torch.randn(5, 3)).sum().backward()
        assert weight.grad is not None and weight.grad.abs().sum() > 0
        with torch.no_grad():
            weight -= 0.3 * before.abs().max() * torch.ones_like(weight)
    assert network[0].latent is None and network[0].weight_int8.dtype == torch.int8
    assert not torch.equal(network[0].weight, before)


def test_fine_tuning_wins_back_what_coarse_ranges_lost(
    cnn: CNN, data: tuple[np.ndarray, np.ndarray]
) -> None:
    X, y = data
    ours = quantise(cnn, X)
    with torch.no_grad():
        for module in ours.network_.modules():
            if isinstance(module, Int8Conv2d):
                module.bias += 0.4 * torch.randn(
                    module.bias.shape, generator=torch.Generator().manual_seed(5)
                )
    spoilt = ours.score(X, y)
    ours.set_params(lr=0.003)
    for _ in range(6):
        ours.partial_fit(X, y)
    assert ours.score(X, y) > spoilt and is_int8(ours.network_)
    assert [edit["kind"] for edit in ours.shrunk_] == ["folded", "int8"]


# -- saving --------------------------------------------------------------------------------------


def test_saved_int8_model_answers_the_same_and_is_smaller(
    data: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, y = data
    model = CNN(width=24, epochs=0.2, augment=None).fit(X, y)
    ours = quantise(model, X)
    again = load_model(ours.save(tmp_path / "int8"))
    np.testing.assert_array_equal(again.predict_proba(X), ours.predict_proba(X))
    sizes = [
        (folder / "model.safetensors").stat().st_size
        for folder in (tmp_path / "int8", model.save(tmp_path / "fp32"))
    ]
    assert sizes[1] / sizes[0] > 3.6
    again.partial_fit(X, y)


def test_int8_models_saved_before_weights_had_a_width_keep_all_their_bits(
    cnn: CNN, data: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    ours = quantise(cnn, data[0], weight_bits=8)
    path = ours.save(tmp_path) / "model.json"
    stored = json.loads(path.read_text())
    del stored["shrunk"][1]["weight_bits"]
    path.write_text(json.dumps(stored))
    again = load_model(tmp_path)
    np.testing.assert_array_equal(again.predict_proba(data[0]), ours.predict_proba(data[0]))
    with learning(again.network_):
        pass  # rounded anew, nothing is lost
    np.testing.assert_array_equal(again.predict_proba(data[0]), ours.predict_proba(data[0]))


@pytest.mark.parametrize(
    "change",
    [
        {"layers": {"output": [False, False], "stem": [True, True]}},
        {"layers": {"output": 3}},
        {"layers": ["output"]},
        {"sums": ["nowhere"]},
        {"sums": [""]},
        {"sums": 5},
        {"pixels": {"path": "output", "layer": "stem.0.0", "border": [], "pad": []}},
        {"pixels": {"path": "standardise", "layer": "stem.0.0", "border": [1], "pad": [1] * 4}},
        {
            "pixels": {
                "path": "standardise",
                "layer": "stem.0.0",
                "border": [1, 2, 3],
                "pad": [-1] * 4,
            }
        },
        {
            "pixels": {
                "path": "standardise",
                "layer": "stem.0.0",
                "border": [1, 2, 3],
                "pad": [10**9] * 4,
            }
        },
        {"pixels": "standardise"},
        {"weight_bits": 9},
        {"weight_bits": "7"},
    ],
)
def test_int8_edits_that_do_not_fit_are_refused(
    cnn: CNN, data: tuple[np.ndarray, np.ndarray], tmp_path: Path, change: dict[str, Any]
) -> None:
    path = quantise(cnn, data[0]).save(tmp_path) / "model.json"
    stored = json.loads(path.read_text())
    edits = copy.deepcopy(stored["shrunk"])
    edits[1].update(change)
    path.write_text(json.dumps({**stored, "shrunk": edits}))
    with pytest.raises(ModelFileError, match="does not describe"):
        load_model(tmp_path)
