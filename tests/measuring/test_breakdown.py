import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from depthwise.measuring import breakdown as measured
from depthwise.measuring.breakdown import breakdown, layer_seconds
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.metric import Metric
from depthwise.measuring.scorecard import Scorecard, costs

BOARD = catalog()["raspberry-pi-5"]


class Clock:
    """Seconds that pass only when somebody says so."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Slow(nn.Module):
    """Takes some seconds of the clock before the module inside it."""

    def __init__(self, inside: nn.Module | None, clock: Clock, seconds: float):
        super().__init__()
        self.inside, self.clock, self.seconds = inside or nn.Identity(), clock, seconds

    def forward(self, x):
        self.clock.now += self.seconds
        return self.inside(x)


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(measured, "time", made)
    return made


def test_a_module_is_charged_for_itself_and_not_for_what_is_inside_it(clock):
    network = Slow(Slow(None, clock, 0.004), clock, 0.012)
    spent = layer_seconds(network, torch.zeros(1, 3), threads=1)
    assert spent == pytest.approx({"": 0.012, "inside": 0.004, "inside.inside": 0.0})


def test_timing_ends_in_time_whatever_a_pass_takes(clock):
    network = Slow(None, clock, 3.0)  # longer than all passes may take together
    layer_seconds(network, torch.zeros(1, 3), threads=1)
    assert clock.now == pytest.approx(3.0)


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


class SlowLinear(nn.Linear):
    def forward(self, x):
        self.clock.now += 1e-3 * self.in_features
        return super().forward(x)


def test_this_machines_layers_are_timed_and_scaled_to_the_latency(clock):
    here = replace(BOARD, id="this-machine")
    network = nn.Sequential(SlowLinear(6, 2), SlowLinear(2, 3))
    network[0].clock = network[1].clock = clock
    card = Scorecard(
        here.name,
        latency=Metric(4.0, "ms", "measured", details={"threads": 1}),
        energy=Metric(2.0, "mJ", "predicted"),
    )
    made = breakdown(network, torch.zeros(1, 6), here, card)
    assert made["how"] == "measured" and made["threads"] == 1
    assert made["ceilings"]["gflops"] == pytest.approx(BOARD.peak_gflops / BOARD.cores)
    seconds = [layer["seconds"] for layer in made["layers"]]
    assert seconds == pytest.approx([3e-3, 1e-3])  # 6 to 2, of 4 ms
