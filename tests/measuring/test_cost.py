from dataclasses import replace

import pytest
import torch
from torch import nn

from depthwise.errors import InputError
from depthwise.measuring.cost import Prices, fits_memory, hardware_cost, usd_per_million_items
from depthwise.measuring.counting import count
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.metric import Metric
from depthwise.measuring.predict import predict_memory

PI = catalog()["raspberry-pi-5"]


def test_a_million_items_are_power_and_wear():
    # 3.6 mJ an item: 1e6 items are 1 Wh = 0.001 kWh
    power = 0.001 * 0.5
    # 100 items a second: 1e4 s of a year's 31,557,600 s, all of them at work
    wear = 80 * 1e4 / 31_557_600
    cost = usd_per_million_items(PI, 100.0, 3.6, Prices(0.5, life_years=1, utilisation=1))
    assert cost == pytest.approx(power + wear)


def test_what_is_unknown_is_left_out():
    priceless = replace(PI, price_usd=None)
    assert usd_per_million_items(priceless, 100.0, 3.6, Prices(1.0)) == pytest.approx(0.001)
    assert usd_per_million_items(priceless, 100.0, float("nan")) is None
    only_wear = usd_per_million_items(PI, 100.0, float("nan"), Prices(life_years=1, utilisation=1))
    assert only_wear == pytest.approx(80 * 1e4 / 31_557_600)


def test_a_million_items_take_the_intervals_of_both_figures():
    counts = count(nn.Linear(7, 5), torch.zeros(1, 7))
    rate = Metric(100.0, "items/s", "predicted", low=50.0, high=200.0)
    energy = Metric(3.6, "mJ", "predicted", low=1.8, high=7.2)
    prices = Prices(usd_per_kwh=0.5, life_years=1, utilisation=1)
    memory = Metric(208.0, "bytes", "predicted")
    about = hardware_cost(counts, PI, rate, energy, memory, prices).details
    power, wear = 0.0005, 80 * 1e4 / 31_557_600
    assert about["usd_per_million_items"] == pytest.approx(power + wear)
    assert about["usd_per_million_low"] == pytest.approx(power / 2 + wear / 2)
    assert about["usd_per_million_high"] == pytest.approx(2 * power + 2 * wear)
    assert about["usd_per_million_power"] == pytest.approx(power)
    assert about["usd_per_million_device"] == pytest.approx(wear)
    assert about["usd_per_kwh"] == 0.5


@pytest.mark.parametrize("wrong", [{"life_years": 0}, {"utilisation": 1.5}, {"usd_per_kwh": -1}])
def test_prices_that_are_none_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Prices(**wrong)
    assert Prices(usd_per_kwh=0).usd_per_kwh == 0  # power may be free


def card(device):
    counts = count(nn.Linear(7, 5), torch.zeros(1, 7))
    rate, energy = Metric(100.0, "items/s", "predicted"), Metric(3.6, "mJ", "predicted")
    return hardware_cost(counts, device, rate, energy, Metric(208.0, "bytes", "predicted"))


def test_hardware_cost_holds_what_the_network_takes():
    metric = card(PI)
    assert (metric.value, metric.unit) == (80, "USD")
    assert metric.details["parameters"] == 40
    assert metric.details["weight_bytes"] == 160
    assert metric.details["macs"] == 35
    assert metric.details["peak_memory_bytes"] == 208
    assert metric.details["fits_memory"] is True
    assert "2026-11" in metric.source


def test_an_unknown_price_is_unknown_with_the_remedy():
    metric = card(replace(PI, price_usd=None))
    assert not metric.known
    assert "price_usd" in metric.source


def test_a_microcontrollers_weights_lie_in_its_flash():
    counts = count(nn.Linear(1000, 400), torch.zeros(1, 1000))  # 1.6 MB of weights
    chip = catalog()["stm32h7a3"]  # 1.4 MB of RAM, 2 MB of flash
    peak = Metric(counts.peak_memory_bytes, "bytes", "predicted")
    assert fits_memory(peak, counts, chip)
    assert not fits_memory(peak, counts, replace(chip, flash_mb=None))
    assert not fits_memory(peak, counts, replace(chip, flash_mb=1.5))
    assert not fits_memory(peak, counts, replace(chip, memory_mb=0.005))


def test_a_chip_of_8_bits_only_keeps_a_quarter_of_the_bytes():
    counts = count(nn.Linear(1000, 400), torch.zeros(1, 1000))  # 1.6 MB in fp32, 0.4 MB in int8
    chip = replace(catalog()["stm32h7a3"], peak_gflops=None, flash_mb=0.5)
    assert chip.precision == "int8"
    peak = predict_memory(counts, chip)
    assert peak.details["weight_bytes"] == pytest.approx(counts.weight_bytes / 4)
    assert fits_memory(peak, counts, chip)
    assert not fits_memory(peak, counts, replace(chip, flash_mb=0.3))
