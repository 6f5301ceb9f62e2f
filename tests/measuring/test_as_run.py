"""One folder costs the same, whoever tells it: `measure`, `shrink`, `choose`, `export` and the
file itself, over the ladders and all edits, on this machine, a board and a microcontroller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from depthwise import CNN, DNN
from depthwise import load as load_model
from depthwise.exporting import FORMATS, export
from depthwise.layers import parameter_count
from depthwise.measuring.as_run import counts_of, file_bytes, precision_on, size_bytes
from depthwise.measuring.devices.device_finder import find
from depthwise.measuring.scorecard import Scorecard, costs, measure
from depthwise.reshaping.quantise import quantise
from depthwise.shrinking.costing import Costing, Way
from depthwise.shrinking.storing import low_rank, store
from depthwise.shrinking.structures import narrowed

EDITS: dict[str, Any] = {
    "as trained": lambda model, X: model,
    "narrower": lambda model, X: narrowed(model, 0.5, "weights", 0),
    "low rank": lambda model, X: low_rank(model, 0.4),
    "weights-int8": lambda model, X: store(model, 8),
    "weights-int4": lambda model, X: store(model, 4),
    "int8": quantise,
    "int8 of narrower": lambda model, X: quantise(narrowed(model, 0.5, "weights", 0), X),
    "int8 of weights-int4": lambda model, X: quantise(store(model, 4), X),
}
DEVICES = ("stm32h7a3", "raspberry-pi-5")
MODELS: dict[str, Any] = {
    "cnn-xxs": lambda: CNN(size="xxs", epochs=0.2, augment=None),
    "dnn": lambda: DNN(hidden=(40, 33), epochs=1),
}


@pytest.fixture(scope="module")
def items() -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(70) % 3
    return np.random.default_rng(0).integers(0, 256, (70, 1, 9, 7), dtype=np.uint8), y


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, items: tuple[np.ndarray, np.ndarray]) -> Any:
    return MODELS[request.param]().fit(*items)


def told_by_measure(model: Any, device: str) -> tuple[float, ...]:
    return figures(measure(model, device=device, flexibility=False))


def figures(card: Scorecard) -> tuple[float, ...]:
    assert card.latency and card.energy and card.hardware_cost
    about = card.hardware_cost.details
    known = card.latency.value, card.energy.value, about["weight_bytes"] / 1e6
    return *known, about["peak_memory_bytes"] / 1e6, about["parameters"], about["macs"]


def told_by_shrink(model: Any, way: str, X: np.ndarray, device: str) -> tuple[float, ...]:
    costing = Costing(find(device), X)
    counts = costing.counts(model)
    program = costing.program(model, Way(way))
    told = costing.figures(model, Way(way), counts, program)
    known = told.latency_ms, told.energy_mj, told.size_mb, told.memory_mb
    return *known, counts.parameters, counts.macs


@pytest.mark.parametrize("edit", EDITS)
def test_a_folder_costs_the_same_whoever_tells_it(
    edit: str, model: Any, items: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, _ = items
    made = EDITS[edit](model, X)
    file = made.save(tmp_path) / "model.safetensors"
    again = load_model(tmp_path)
    assert file.stat().st_size == file_bytes(again.network_) == file_bytes(made.network_)
    assert size_bytes(again.network_, find("this")) == file.stat().st_size
    way = "int8" if edit.startswith("int8") else "fp32"
    for device in DEVICES:
        told = told_by_measure(again, device)
        assert told == pytest.approx(told_by_shrink(made, way, X, device), abs=1e-6)


def test_nothing_is_measured_of_a_machine_that_is_not_here(model: Any) -> None:
    card = measure(model, device="raspberry-pi-5", flexibility=True)
    ways = [card.latency, card.throughput, card.energy, card.flexibility]
    assert [metric.how for metric in ways if metric] == ["predicted"] * 4


@pytest.mark.parametrize("size", list(CNN.sizes)[:4])
def test_a_rung_is_screened_as_it_will_run(size: str) -> None:
    """On a microcontroller in bytes: a quarter of the numbers' size, and int8 products."""
    network = CNN(size=size).build((1, 12, 9), 3).eval()
    board, chip = (
        costs(network, (1, 12, 9), "uint8", device, flexibility=False) for device in DEVICES[::-1]
    )
    assert chip.latency and board.latency and chip.hardware_cost and board.hardware_cost
    assert chip.latency.details["precision"] == "int8"
    assert board.latency.details["precision"] == "fp32"
    sizes = [card.hardware_cost.details["weight_bytes"] for card in (chip, board)]
    assert sizes == [round(file_bytes(network) / 4), file_bytes(network)]
    assert chip.hardware_cost.details["parameters"] == parameter_count(network)


def test_int8_has_the_products_and_numbers_of_the_network_it_was_made_of(
    model: Any, items: tuple[np.ndarray, np.ndarray]
) -> None:
    """Referee: the folded network itself, which has as many weights and a bias a layer."""
    small = quantise(model, items[0]).network_
    one = torch.from_numpy(items[0][:1])
    before, after = counts_of(model.network_, one), counts_of(small, one)
    assert after.macs == before.macs
    layers = [
        m for m in model.network_.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    ]
    weights = sum(layer.weight.numel() + len(layer.weight) for layer in layers)
    assert after.parameters == weights
    assert precision_on(small, find("raspberry-pi-5")) == "int8"


@pytest.mark.parametrize("bits", [8, 4])
def test_stored_weights_are_exported_as_bytes(
    bits: int, items: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    if remedy := FORMATS["onnx"].requires():
        pytest.skip(remedy)
    model = MODELS["dnn"]().fit(*items)
    small = store(model, bits)
    done = export(small, "onnx", tmp_path, items[0])
    whole = export(model, "onnx", tmp_path / "whole", items[0])
    numbers = 4 * parameter_count(model.network_)
    assert done.size_bytes == done.files[0].stat().st_size < whole.size_bytes - numbers / 3
    assert done.max_difference < 1e-5
