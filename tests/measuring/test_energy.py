from dataclasses import replace

import pytest

from depthwise.measuring.devices import catalog
from depthwise.measuring.energy import (
    Nvml,
    Rapl,
    find_counter,
    items_per_charge,
    measure_energy,
    predict_energy,
)
from depthwise.measuring.metric import Metric


@pytest.fixture
def powercap(tmp_path):
    """Two packages; one has a part; the control type's own folder has no counter."""
    for name, now in [("intel-rapl:0", 1000), ("intel-rapl:1", 900_000), ("intel-rapl:0:0", 7)]:
        zone = tmp_path / name
        zone.mkdir()
        (zone / "energy_uj").write_text(f"{now}\n")
        (zone / "max_energy_range_uj").write_text("999999\n")
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def write(powercap, zone, value):
    (powercap / zone / "energy_uj").write_text(f"{value}\n")


def test_packages_are_summed_and_their_parts_left_out(powercap):
    counter = Rapl.find(powercap)
    write(powercap, "intel-rapl:0", 401_000)
    write(powercap, "intel-rapl:1", 950_000)
    write(powercap, "intel-rapl:0:0", 900_000)
    assert counter.joules() == pytest.approx(0.400 + 0.050)


def test_a_counter_that_starts_again_goes_on(powercap):
    counter = Rapl.find(powercap)
    write(powercap, "intel-rapl:1", 100)  # 900,000 up to 999,999, one more to 0, then 100
    assert counter.joules() == pytest.approx(1e-6 * (99_999 + 1 + 100))
    write(powercap, "intel-rapl:1", 50)  # all the way round
    assert counter.joules() == pytest.approx(1e-6 * (100_100 + 999_950))


def test_no_counters_or_unreadable_ones_are_none(tmp_path, powercap):
    assert Rapl.find(tmp_path / "absent") is None
    (powercap / "intel-rapl:0" / "energy_uj").write_text("")
    assert Rapl.find(powercap) is None


def test_only_the_device_that_runs_has_a_counter(powercap):
    here = replace(catalog()["server-cpu-2-core"], id="this-machine")
    assert isinstance(find_counter(here, powercap), Rapl)
    assert find_counter(catalog()["raspberry-pi-5"], powercap) is None


class World:
    """A clock and a counter in which resting takes 10 W and a run takes 0.1 s and 3 J in all."""

    scope = "a test's counter"

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
    metric = measure_energy(
        world.run, device, world, items=4, window_seconds=0.95, clock=world.clock, rest=world.rest
    )
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


def test_the_gpus_millijoules_are_joules():
    class Library:
        def nvmlDeviceGetHandleByIndex(self, index):
            return f"gpu {index}"

        def nvmlDeviceGetTotalEnergyConsumption(self, handle):
            assert handle == "gpu 0"
            return 123_456

    assert Nvml(Library()).joules() == pytest.approx(123.456)
