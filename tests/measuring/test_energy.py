import math
from dataclasses import replace

import pytest
import torch

from depthwise.measuring.counting import count
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.devices.reference_networks import REFERENCES
from depthwise.measuring.energy import items_per_charge, measure_energy, predict_energy
from depthwise.measuring.metric import Metric
from depthwise.measuring.predict import by_layer


class World:
    """A clock and a counter in which resting takes 10 W and a run takes 0.1 s and 3 J in all."""

    scope, kind, window_seconds, step_joules = "a test's counter", "counter", 0.95, 0.0

    def __init__(self):
        self.now, self.total = 0.0, 5.0

    def clock(self):
        return self.now

    def joules(self):
        return self.total

    def rest(self, seconds):
        self.now += seconds
        self.total += 10 * seconds

    def run(self):
        self.now += 0.1
        self.total += 3.0


def test_idle_power_is_taken_off():
    world = World()
    device = catalog()["pixel-8"]
    metric = measure_energy(world.run, device, world, items=4, clock=world.clock, rest=world.rest)
    # ten runs: 30 J in 1 s, of which 10 J idle, over 40 items
    assert metric.details["runs"] == 10
    assert metric.value == pytest.approx(1e3 * 20 / 40)
    assert metric.high == pytest.approx(1e3 * 30 / 40)
    assert metric.low == pytest.approx(1e3 * 15 / 40)
    assert metric.details["watts"] == pytest.approx(20)
    assert metric.how == "measured"


def test_less_than_idle_is_no_energy_and_never_negative():
    world = World()
    metric = measure_energy(
        lambda: setattr(world, "now", world.now + 0.1),
        catalog()["pixel-8"],
        world,
        clock=world.clock,
        rest=world.rest,
    )
    assert metric.value == metric.low == 0.0
    assert metric.details["items_per_charge"] is None


def test_the_prediction_is_power_times_time():
    metric = predict_energy(catalog()["stm32h7a3"], Metric(40.8, "ms", "predicted", 30.6, 54.4))
    assert metric.value == pytest.approx(0.125 * 40.8)  # MLPerf Tiny measured 5.09 mJ
    assert metric.low < 5.09 < metric.high
    assert metric.low == pytest.approx(0.125 * 30.6 / 1.15)  # a measured power: 15 % either way
    assert metric.how == "predicted"


def test_an_assumed_power_has_a_factor_of_two():
    metric = predict_energy(catalog()["iphone-16-pro"], Metric(1.0, "ms", "measured", 1.0, 1.0))
    assert (metric.low, metric.value, metric.high) == pytest.approx((2.5, 5.0, 10.0))
    assert metric.source == "5 W x time; power: 4 to 6 W (C)"


def test_a_gauges_step_widens_the_interval_both_ways():
    world = World()
    world.step_joules = 2.0
    metric = measure_energy(
        world.run, catalog()["pixel-8"], world, clock=world.clock, rest=world.rest
    )
    # ten runs: 30 J in 1 s, of which 10 J idle
    assert metric.high == pytest.approx(1e3 * 32 / 10)
    assert metric.low == pytest.approx(1e3 * (30 - 2 - 15) / 10)


def test_an_unknown_power_is_unknown_energy_with_the_remedy():
    device = replace(catalog()["h100"], busy_watts=None)
    metric = predict_energy(device, Metric(1.0, "ms", "predicted"))
    assert not metric.known
    assert "busy_watts" in metric.source


def test_items_of_a_charge_are_the_battery_over_an_item():
    phone = catalog()["pixel-8"]
    # 17.1 Wh are 61,560 J
    assert items_per_charge(phone, millijoules=61.56) == pytest.approx(1e6)
    assert items_per_charge(catalog()["h100"], 1.0) is None


# -- the two ways ----------------------------------------------------------------------------------

RESNET = REFERENCES["resnet-8"]


def layers_of(device, precision="int8"):
    counts = count(RESNET.build(), torch.zeros(1, *RESNET.input_shape))
    return by_layer(counts, device, precision=precision)


def test_a_measured_time_settles_it_and_the_interval_spans_both_ways():
    chip = catalog()["stm32h7a3"]
    published = Metric(40.8, "ms", "measured", 40.8, 40.8, details={"precision": "int8"})
    metric = predict_energy(chip, published, layers=layers_of(chip))
    ways = metric.details["ways"]
    assert metric.value == ways["power x time"] == pytest.approx(0.125 * 40.8)
    assert metric.low <= min(ways.values()) and max(ways.values()) <= metric.high
    assert metric.low < 5.09 < metric.high  # MLPerf Tiny v1.2
    assert metric.how == "predicted" and metric.details["kind"] == "estimate"


def test_a_predicted_time_weighs_both_ways_alike():
    chip = catalog()["stm32h7a3"]
    time = Metric(50.0, "ms", "predicted", 40.0, 60.0, details={"precision": "int8"})
    metric = predict_energy(chip, time, layers=layers_of(chip))
    first, second = metric.details["ways"].values()
    assert metric.value == pytest.approx(math.sqrt(first * second))


def test_an_unknown_power_leaves_operations_and_bytes_and_a_wide_interval():
    chip = replace(catalog()["stm32h7a3"], busy_watts=None)
    time = Metric(40.8, "ms", "predicted", details={"precision": "int8"})
    metric = predict_energy(chip, time, layers=layers_of(chip))
    assert list(metric.details["ways"]) == ["operations and bytes"]
    assert metric.low < 5.09 < metric.high and metric.high > 4 * metric.low
    assert "its power is unknown" in metric.source


def test_items_share_the_energy_of_a_batch():
    chip = catalog()["raspberry-pi-5"]
    time = Metric(40.0, "ms", "predicted", 40.0, 40.0, details={"precision": "int8"})
    one = predict_energy(chip, time, layers=layers_of(chip))
    eight = predict_energy(chip, time, items=8, layers=layers_of(chip))
    assert eight.value == pytest.approx(one.value / 8)
    assert (eight.low, eight.high) == pytest.approx((one.low / 8, one.high / 8))
