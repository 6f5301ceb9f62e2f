"""Weights in 8 and 4 bits, and layers of low rank."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from depthwise import CNN, DNN, InputError
from depthwise import load as load_model
from depthwise.errors import ModelFileError
from depthwise.measuring.counting import count
from depthwise.reshaping.rank import factor, factored, fullest_rank
from depthwise.reshaping.storage import Stored, pack_int4, stored, unpack_int4
from depthwise.shrinking.storing import file_bytes, low_rank, rank_edit, store

Parts = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 99))
def test_unpacking_undoes_packing(rows: int, columns: int, seed: int) -> None:
    q = torch.from_numpy(np.random.default_rng(seed).integers(-8, 8, (rows, columns)))
    assert torch.equal(unpack_int4(pack_int4(q), columns), q.to(torch.int8))


def test_two_numbers_a_byte_by_hand() -> None:
    assert pack_int4(torch.tensor([[-8, 7, 1]])).tolist() == [[0 + 16 * 15, 9 + 16 * 8]]


def settled(layer: nn.Module, bits: int, group: int | None) -> nn.Module:
    edit = {"kind": f"weights-int{bits}", "layers": ["0"], "group": group}
    network = stored(nn.Sequential(layer), edit)
    network[0].settle()
    return network


@pytest.mark.parametrize(("bits", "most"), [(8, 127), (4, 7)])
def test_no_weight_moves_further_than_half_a_step(bits: int, most: int) -> None:
    """For a row without clipping: the step is max|W| / most."""
    torch.manual_seed(0)
    weight = torch.randn(5, 3, 3, 3)
    layer = nn.Conv2d(3, 5, 3, bias=False)
    layer.weight.data.copy_(weight)
    after = settled(layer, bits, None)[0].weight
    steps = after.flatten(1) / settled(copy.deepcopy(layer), bits, None)[0].weight_scale.float()
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
    assert steps.abs().max() <= most
    worst = (after - weight).flatten(1).abs().amax(dim=1)
    largest = weight.flatten(1).abs().amax(dim=1)
    # unclipped weights: half a step; clipped ones: at most the clipping, 0.3 of the largest
    assert (worst <= torch.maximum(0.51 * largest / most, 0.31 * largest)).all()
    if bits == 8:
        assert (worst <= 0.51 * largest / most).all()  # so fine that clipping never pays


def test_groups_are_nearer_than_rows() -> None:
    torch.manual_seed(1)
    weight = torch.randn(4, 70) * torch.linspace(0.01, 1, 70)
    errors = {}
    for group in (None, 32):
        layer = nn.Linear(70, 4)
        layer.weight.data.copy_(weight)
        after = settled(layer, 4, group)[0].weight.detach()
        errors[group] = float((after - weight).square().sum())
    assert errors[32] < 0.6 * errors[None]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", ["cnn", "dnn"])
def test_stored_model_is_the_same_after_loading_and_really_smaller(
    name: str, bits: int, parts: Parts, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    X, y, X_held, _ = parts
    before = [p.clone() for p in model.network_.parameters()]
    small = store(model, bits)
    assert all(torch.equal(a, b) for a, b in zip(before, model.network_.parameters()))
    whole = model.save(tmp_path / "whole") / "model.safetensors"
    file = small.save(tmp_path / "small") / "model.safetensors"
    assert file.stat().st_size == file_bytes(small.network_)
    assert file.stat().st_size < whole.stat().st_size * (0.36 if bits == 8 else 0.26)
    again = load_model(tmp_path / "small")
    np.testing.assert_array_equal(again.predict_proba(X_held), small.predict_proba(X_held))
    assert (small.predict(X_held) == model.predict(X_held)).mean() > 0.95
    names = model.classes_[y]
    again.partial_fit(X, names)  # learns, and is still on its grid
    learnt = load_model(again.save(tmp_path / "learnt"))
    assert learnt.shrunk_ == small.shrunk_
    np.testing.assert_array_equal(learnt.predict_proba(X_held), again.predict_proba(X_held))
    assert not np.array_equal(learnt.predict_proba(X_held), small.predict_proba(X_held))


@pytest.mark.parametrize(
    "layer", [nn.Linear(11, 7), nn.Linear(5, 9, bias=False), nn.Conv2d(4, 6, 3, 2, 1)]
)
def test_all_of_the_rank_is_the_layer_itself(layer: nn.Module) -> None:
    torch.manual_seed(0)
    rows, columns = layer.weight.flatten(1).shape
    rank = fullest_rank(layer)
    assert rank * (rows + columns) < rows * columns <= (rank + 1) * (rows + columns)
    u, s, v = torch.linalg.svd(layer.weight.data.flatten(1), full_matrices=False)
    s[rank:] = 0  # a layer that has no more rank than that
    layer.weight.data.copy_((u * s @ v).reshape(layer.weight.shape))
    shape = (3, layer.weight.shape[1], 7, 5)[: layer.weight.dim() or 2]
    x = torch.randn(shape if layer.weight.dim() == 4 else shape[:2])
    wanted = layer(x)
    edit = {"kind": "low-rank", "layers": {"0": rank}}
    torch.testing.assert_close(factored(nn.Sequential(layer), edit)(x), wanted, rtol=0, atol=1e-4)


def test_what_is_lost_is_the_energy_beyond_the_rank() -> None:
    """Eckart and Young: |W - A B|^2 = sum of the squared singular values left out."""
    torch.manual_seed(2)
    layer = nn.Linear(12, 10)
    weight, values = layer.weight.data.clone(), torch.linalg.svdvals(layer.weight.data)
    network = factored(nn.Sequential(layer), {"kind": "low-rank", "layers": {"0": 3}})
    product = network[0][1].weight @ network[0][0].weight
    torch.testing.assert_close((weight - product).square().sum(), values[3:].square().sum())


def test_least_rank_for_the_energy_by_hand() -> None:
    layer = nn.Linear(8, 8, bias=False)
    layer.weight.data = torch.diag(torch.tensor([4.0, 3.0, 0, 0, 0, 0, 0, 0]))  # 16 + 9
    network = nn.Sequential(layer)
    assert rank_edit(network, 0.64)["layers"] == {"0": 1}  # 16 / 25 exactly
    assert rank_edit(network, 0.65)["layers"] == {"0": 2}


def test_low_rank_model_saves_products_and_comes_back(
    cnn: CNN, parts: Parts, tmp_path: Path
) -> None:
    small = low_rank(cnn, 0.8)
    one = torch.from_numpy(parts[2][:1])
    assert count(small.network_, one).macs < count(cnn.network_, one).macs
    again = load_model(small.save(tmp_path))
    np.testing.assert_array_equal(again.predict_proba(parts[2]), small.predict_proba(parts[2]))
    with pytest.raises(InputError, match="less energy"):
        low_rank(DNN(hidden=(2,), epochs=1, threads=1).fit(parts[2], parts[3]), 1.0)


@pytest.mark.parametrize(
    "edit",
    [
        {"kind": "weights-int8", "layers": ["stem.0.1"], "group": None},
        {"kind": "weights-int8", "layers": ["output", "output"], "group": None},
        {"kind": "weights-int4", "layers": [3], "group": None},
        {"kind": "weights-int4", "layers": ["output"], "group": 0},
        {"kind": "weights-int4", "layers": "output", "group": 2},
        {"kind": "weights-int4"},
        {"kind": "low-rank", "layers": {"output": 0}},
        {"kind": "low-rank", "layers": {"output": 10**9}},
        {"kind": "low-rank", "layers": {"nowhere": 1}},
        {"kind": "low-rank", "layers": ["output"]},
        {"kind": "exits", "places": [], "classes": 10},
        {"kind": "exits", "places": [["stages.0", 8, 4]], "classes": 10**12},
        {"kind": "exits", "places": [["stages.0", 10**12, 4]], "classes": 10},
        {"kind": "exits", "places": [["nowhere", 8, 4]], "classes": 10},
        {"kind": "exits", "places": [["stages.0", 8]], "classes": 10},
        {"kind": "widths", "layers": {"stem.0.0": [10**9, 1]}},
    ],
)
def test_edits_of_anyones_file_are_refused(cnn: CNN, tmp_path: Path, edit: object) -> None:
    path = cnn.save(tmp_path) / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "shrunk": [edit]}))
    with pytest.raises(ModelFileError, match="does not describe"):
        load_model(tmp_path)


def test_layers_without_numbers_yet_take_no_memory() -> None:
    with torch.device("meta"):
        network = factor(
            nn.Sequential(nn.Linear(512, 512)), {"kind": "low-rank", "layers": {"0": 3}}
        )
        network = stored(network, {"kind": "weights-int4", "layers": ["0.0"], "group": 32})
    assert all(tensor.is_meta for tensor in network.state_dict().values())
    assert any(isinstance(module, Stored) for module in network.modules())
