import json
import os
import time

import psutil
import pytest

from depthwise.errors import InputError
from depthwise.measuring.devices import machine
from depthwise.measuring.devices.device_finder import find
from depthwise.measuring.devices.machine import this_machine


def test_this_machine_has_plausible_figures(here):
    assert here.is_here
    assert here.cores == len(psutil.Process().cpu_affinity())
    assert here.memory_mb == pytest.approx(psutil.virtual_memory().total / 1e6, rel=0.01)
    assert 1 < here.peak_gflops < 1e5
    assert 0.5 < here.bandwidth_gb_s < 5000
    assert 0.1 < here.overhead_us < 1000


def test_a_wide_convolution_reaches_more_than_a_narrow_one(here):
    grid = here.calibration["tables"]["fp32"]["1"]["operators"]["conv native first"]
    assert grid["gflops"][-1][-1] > 2 * grid["gflops"][0][0]


def test_the_second_start_reads_the_cache(here):
    start = time.perf_counter()
    assert find("this") == find("this-machine") == here
    assert time.perf_counter() - start < 0.5


def test_assumed_power_is_said_to_be_assumed(here):
    assert here.busy_watts == 5.0 * here.cores
    assert here.sources["busy_watts"][0] == "C"
    assert "assumed" in here.sources["busy_watts"][1]
    assert here.price_usd is None


def test_price_and_power_come_from_the_environment_and_not_into_the_cache(here, monkeypatch):
    monkeypatch.setenv("DEPTHWISE_PRICE_USD", "1200")
    monkeypatch.setenv("DEPTHWISE_WATTS", "35.5")
    told = this_machine()
    assert (told.price_usd, told.busy_watts) == (1200.0, 35.5)
    monkeypatch.undo()
    assert find("this").price_usd is None


@pytest.mark.parametrize("value", ["cheap", "-1", "nan", "inf"])
def test_a_wrong_price_is_named(here, monkeypatch, value):
    monkeypatch.setenv("DEPTHWISE_PRICE_USD", value)
    with pytest.raises(InputError, match=f"DEPTHWISE_PRICE_USD must be .*{value}"):
        this_machine()


def test_a_file_may_start_from_this_machine(here, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "this"\nprice_usd = 900\nbusy_watts = 28\n')
    mine = find(path)
    assert mine.is_here and mine.price_usd == 900 and mine.calibration == here.calibration


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id": 3}', "null"])
def test_a_damaged_cache_is_measured_anew(tmp_path, monkeypatch, here, content):
    monkeypatch.setenv("DEPTHWISE_CACHE", str(tmp_path))
    monkeypatch.setattr(machine, "_measure", lambda cores: here.to_dict())
    machine._cache_path(machine._processor(), here.cores).write_text(content)
    assert this_machine() == here
    stored = json.loads(machine._cache_path(machine._processor(), here.cores).read_text())
    assert stored["memory_mb"] == here.memory_mb


def test_a_measurement_on_a_busy_machine_is_trusted_for_an_hour(tmp_path, monkeypatch, here):
    monkeypatch.setenv("DEPTHWISE_CACHE", str(tmp_path))
    path = machine._cache_path(machine._processor(), here.cores)
    busy = {**here.to_dict(), "calibration": {**here.calibration, "busy": True}}
    machine._store(path, busy)
    assert machine._stored(path) is not None
    os.utime(path, (time.time() - 3700,) * 2)
    assert machine._stored(path) is None


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path, monkeypatch, here):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("DEPTHWISE_CACHE", str(blocked / "below"))
    monkeypatch.setattr(machine, "_measure", lambda cores: here.to_dict())
    assert this_machine() == here


def test_a_machine_without_a_gpu_says_so(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="no NVIDIA GPU"):
        find("cuda")
