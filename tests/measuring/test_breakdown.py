import json
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from depthwise.measuring.breakdown import breakdown, layer_seconds
from depthwise.measuring.devices import catalog
from depthwise.measuring.metric import Metric
from depthwise.measuring.scorecard import Scorecard, costs

BOARD = catalog()["raspberry-pi-5"]


class Slow(nn.Module):
    """Sleeps before and after the module inside it."""

    def __init__(self, inside: nn.Module | None, seconds: float):
        super().__init__()
        self.inside, self.seconds = inside or nn.Identity(), seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return self.inside(x)


def test_a_module_is_charged_for_itself_and_not_for_what_is_inside_it():
    network = Slow(Slow(None, 0.004), 0.012)
    spent = layer_seconds(network, torch.zeros(1, 3), threads=1)
    assert set(spent) == {"", "inside", "inside.inside"}
    assert 0.004 <= spent["inside"] < 0.010
    assert 0.012 <= spent[""] < 0.018
    assert spent["inside.inside"] < 0.002


def test_hooks_are_gone_and_the_network_is_as_it_was():
    network = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train()
    layer_seconds(network, torch.zeros(1, 3), threads=1)
    assert network.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_layers_add_up_to_the_scorecards_time_and_energy():
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 5 * 3, 2))
    card = costs(network, (3, 7, 5), "float32", BOARD, flexibility=False)
    made = breakdown(network, torch.zeros(1, 3, 7, 5), BOARD, card)
    assert made["how"] == "predicted" and made["energy_how"] == "predicted"
    assert sum(layer["seconds"] for layer in made["layers"]) == pytest.approx(
        1e-3 * card.latency.value
    )
    parts = ("arithmetic_mj", "bytes_mj", "rest_mj")
    spent = sum(layer[part] for layer in made["layers"] for part in parts)
    assert spent == pytest.approx(card.energy.value)
    # 3 channels in, a window of 9, 5 channels and 5 x 3 positions out; then 75 inputs, 2 outputs
    assert made["macs"] == 3 * 9 * 5 * 15 + 75 * 2
    assert made["ceilings"]["gflops"] == pytest.approx(BOARD.peak_gflops)
    json.dumps(made, allow_nan=False)


def test_the_rest_of_a_layers_time_is_what_the_device_draws_beyond_its_work():
    network = nn.Linear(7, 2)
    card = costs(network, (7,), "float32", BOARD, flexibility=False)
    (layer,) = breakdown(network, torch.zeros(1, 7), BOARD, card)["layers"]
    # fourteen products are nothing beside starting the operator
    assert layer["rest_mj"] > 100 * layer["arithmetic_mj"] > 0


def test_an_unknown_energy_is_no_number_and_layers_still_have_their_parts():
    device = replace(BOARD, busy_watts=None)
    card = Scorecard(
        device.name,
        latency=Metric(1.0, "ms", "predicted"),
        energy=Metric(float("nan"), "mJ", "predicted"),
    )
    made = breakdown(nn.Linear(7, 2), torch.zeros(1, 7), device, card)
    assert made["energy_mj"] is None
    assert made["layers"][0]["arithmetic_mj"] > 0
    json.dumps(made, allow_nan=False)


def test_this_machines_layers_are_timed():
    here = replace(BOARD, id="this-machine")
    network = Slow(nn.Linear(7, 2), 0.003)
    card = Scorecard(
        here.name,
        latency=Metric(3.5, "ms", "measured", details={"threads": 1}),
        energy=Metric(2.0, "mJ", "predicted"),
    )
    made = breakdown(network, torch.zeros(1, 7), here, card)
    assert made["how"] == "measured" and made["threads"] == 1
    assert made["ceilings"]["gflops"] == pytest.approx(BOARD.peak_gflops / BOARD.cores)
    assert sum(layer["seconds"] for layer in made["layers"]) == pytest.approx(3.5e-3)
