import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import psutil
import pytest

from depthwise.measuring import energy_counters
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.energy_counters import Battery, Nvml, Rapl, Zeus, find_counter

HERE = replace(catalog()["server-cpu-2-core"], id="this-machine")


@pytest.fixture(autouse=True)
def without_zeus(monkeypatch):
    monkeypatch.setitem(sys.modules, "zeus.monitor", None)


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
    assert isinstance(find_counter(HERE, powercap=powercap), Rapl)
    assert find_counter(catalog()["raspberry-pi-5"], powercap=powercap) is None


def test_the_gpus_millijoules_are_joules():
    class Library:
        def nvmlDeviceGetHandleByIndex(self, index):
            return f"gpu {index}"

        def nvmlDeviceGetTotalEnergyConsumption(self, handle):
            assert handle == "gpu 0"
            return 123_456

    assert Nvml(Library()).joules() == pytest.approx(123.456)


# -- zeus ------------------------------------------------------------------------------------------


class Monitor:
    """As zeus.monitor.ZeusMonitor answers: a package and its memory, 2 J and 0.5 J a window."""

    windows = SimpleNamespace(cpu_energy={0: 2.0}, dram_energy={0: 0.5}, gpu_energy={})

    def __init__(self, gpu_indices):
        self.gpu_indices, self.open = gpu_indices, set()

    def begin_window(self, key):
        assert key not in self.open  # zeus raises ValueError
        self.open.add(key)

    def end_window(self, key):
        self.open.remove(key)
        return self.windows


def with_zeus(monkeypatch, monitor):
    module = ModuleType("zeus.monitor")
    module.ZeusMonitor = monitor
    monkeypatch.setitem(sys.modules, "zeus.monitor", module)


def test_zeus_adds_its_windows_up_and_memory_is_counted(monkeypatch, powercap):
    with_zeus(monkeypatch, Monitor)
    counter = find_counter(HERE, powercap=powercap)
    assert isinstance(counter, Zeus)
    before = counter.joules()
    assert counter.joules() - before == pytest.approx(2.5)
    assert "memory" in counter.scope


def test_zeus_without_a_processor_counter_leaves_the_kernels_files(monkeypatch, powercap):
    class Blind(Monitor):
        windows = SimpleNamespace(cpu_energy=None, dram_energy=None, gpu_energy={})

    with_zeus(monkeypatch, Blind)
    assert isinstance(find_counter(HERE, powercap=powercap), Rapl)


def test_the_gpu_is_read_by_zeus_where_it_is_there(monkeypatch):
    class Card(Monitor):
        windows = SimpleNamespace(cpu_energy=None, dram_energy=None, gpu_energy={0: 7.0})

    with_zeus(monkeypatch, Card)
    counter = find_counter(replace(catalog()["h100"], id="cuda"))
    assert isinstance(counter, Zeus) and counter.monitor.gpu_indices == [0]
    assert counter.joules() == pytest.approx(
        7 + 7
    )  # one window was spent on seeing that it answers


# -- the battery -----------------------------------------------------------------------------------


@pytest.fixture
def battery(tmp_path, monkeypatch):
    """50 Wh left, discharging, beside a mains adapter."""
    monkeypatch.setattr(psutil, "sensors_battery", lambda: SimpleNamespace(power_plugged=False))
    for name, files in {
        "AC": {"type": "Mains", "online": "0"},
        "BAT0": {"type": "Battery", "status": "Discharging", "energy_now": "50000000"},
    }.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text + "\n")
    return tmp_path


def test_the_gauge_counts_what_the_battery_has_lost(battery):
    counter = Battery.find(battery)
    (battery / "BAT0" / "energy_now").write_text("49990000\n")  # 10 mWh less
    assert counter.joules() == pytest.approx(36.0)


def test_a_gauge_of_charge_is_read_with_its_voltage(battery):
    (battery / "BAT0" / "energy_now").unlink()
    (battery / "BAT0" / "voltage_now").write_text("12000000\n")
    (battery / "BAT0" / "charge_now").write_text("4000000\n")
    counter = Battery.find(battery)
    (battery / "BAT0" / "charge_now").write_text("3999000\n")  # 1 mAh at 12 V is 12 mWh
    assert counter.joules() == pytest.approx(43.2)


def test_a_gauge_says_nothing_while_the_mains_feed_the_machine(battery, monkeypatch):
    monkeypatch.setattr(psutil, "sensors_battery", lambda: SimpleNamespace(power_plugged=True))
    assert Battery.find(battery) is None


def test_a_gauge_is_read_only_where_a_minute_may_pass(battery, tmp_path):
    absent = tmp_path / "no-powercap"
    assert find_counter(HERE, 1.0, absent, battery) is None
    assert isinstance(find_counter(HERE, 60.0, absent, battery), Battery)


def test_a_machine_without_any_counter_has_none(tmp_path, monkeypatch):
    monkeypatch.setattr(energy_counters.psutil, "sensors_battery", lambda: None)
    assert find_counter(HERE, 60.0, tmp_path / "absent", tmp_path / "absent") is None
