import json
import subprocess
import sys
import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import depthwise.measuring.devices.device as devices
from depthwise.errors import InputError
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.devices.device_finder import find
from depthwise.measuring.devices.device_names import known_as

BOARD = 'name = "my board"\npeak_gflops = 3.5\nmemory_mb = 64\nbandwidth_gb_s = 0.8\n'


@pytest.fixture
def board(tmp_path):
    def write(text):
        path = tmp_path / "my board.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_catalogue_has_many_devices_of_every_kind():
    kinds = [device.kind for device in catalog().values()]
    assert len(catalog()) >= 30
    for kind in ("microcontroller", "single-board computer", "phone", "laptop", "server", "gpu"):
        assert kinds.count(kind) >= 2, kind


def test_phones_and_laptops_have_batteries():
    portable = [d for d in catalog().values() if d.kind in ("phone", "laptop")]
    assert all(d.battery_wh and 10 < d.battery_wh < 100 for d in portable)


@pytest.mark.parametrize("name", sorted(catalog()))
def test_figures_of_a_device_do_not_contradict_each_other(name):
    device = catalog()[name]
    peaks = device.peaks
    assert 0 < device.idle_watts < device.busy_watts < 1000
    assert [*peaks.values()] == sorted(peaks.values())  # fp32, bf16, int8
    assert device.cache_kb is None or device.cache_kb / 1e3 < device.memory_mb
    # bytes a second lie below operations a second on anything that computes
    assert device.bandwidth_gb_s < 10 * max(peaks.values())
    assert device.clock_ghz < 6
    if device.kind != "gpu":  # no processor does more than AMX's 1,024 multiply-adds a cycle
        assert max(peaks.values()) <= 2048 * device.cores * device.clock_ghz * 4.1


@pytest.mark.parametrize("name", sorted(catalog()))
def test_every_catalogue_figure_that_matters_has_a_source_and_a_date(name):
    device = catalog()[name]
    needed = {"memory_mb", "bandwidth_gb_s", "busy_watts", "idle_watts", "price_usd"}
    needed |= {"overhead_us", "efficiency"}
    peaks = ("peak_gflops", "peak_gflops_bf16", "peak_gops_int8", "battery_wh", "flash_mb")
    needed |= {field for field in peaks if getattr(device, field) is not None}
    assert needed <= set(device.sources)
    assert device.as_of == "2026-11"
    assert device.idle_watts < device.busy_watts


def test_every_field_is_explained_at_the_top_of_the_catalogue():
    text = (Path(devices.__file__).parent / "devices.toml").read_text("utf-8")
    explained = {line.split()[1] for line in text.splitlines() if line.startswith("#   ")}
    assert set(devices.FIELDS) - {"id", "calibration"} <= explained


def test_a_device_survives_json():
    device = catalog()["pixel-8"]
    assert Device.from_dict(json.loads(json.dumps(device.to_dict()))) == device


def test_a_device_cannot_be_changed_and_can_be_a_key():
    device = catalog()["h100"]
    assert {device: 1}[device] == 1
    with pytest.raises(FrozenInstanceError):
        device.cores = 2


@pytest.mark.parametrize("name", ["rasberry-pi-5", "Rapsberry Pi 5", "rspberry_pi_5"])
def test_a_misspelt_device_gets_a_suggestion(name):
    with pytest.raises(InputError, match="Did you mean raspberry-pi-5"):
        find(name)


@pytest.mark.parametrize(
    "name, wanted",
    [
        *[(n, "raspberry-pi-5") for n in ("rpi5", "RPi-5", "pi 5", "Raspberry Pi 5", "raspi_5")],
        *[("rpi zero 2w", "raspberry-pi-zero-2-w"), ("pico2", "raspberry-pi-pico-2")],
        *[
            ("orin nano", "jetson-orin-nano"),
            ("Jetson_Nano", "jetson-nano"),
            ("opi5", "orange-pi-5"),
        ],
        *[("nano 33 BLE", "nrf52840"), ("Teensy 4.1", "teensy-4-1"), ("edgetpu", "coral-usb")],
        *[("4090", "rtx-4090"), ("H100 SXM", "h100"), ("nucleo-h7a3", "stm32h7a3")],
    ],
)
def test_what_people_call_a_device_finds_it(name, wanted):
    assert find(name).id == wanted


def test_every_name_of_the_catalogue_is_its_own_whatever_its_spelling():
    for name in catalog():
        for spelling in (name, name.upper(), name.replace("-", " "), name.replace("-", "")):
            assert known_as(spelling, catalog()) == name
    assert known_as("GPU", catalog()) == "cuda" and known_as("cpu", catalog()) == "this"


def test_a_name_that_could_be_two_devices_is_asked_about():
    for name in ("nano", "rpi6"):
        with pytest.raises(InputError, match="Did you mean"):
            find(name)


def test_a_name_like_nothing_gets_the_list():
    with pytest.raises(InputError, match="Known: this, cuda, stm32h7a3"):
        find("zzzzzz")


def test_a_users_own_file_describes_a_device(board):
    device = find(board(BOARD + "price_usd = 12.5\n"))
    assert (device.name, device.peak_gflops, device.price_usd) == ("my board", 3.5, 12.5)
    assert device.busy_watts is None  # not given, not made up


def test_a_base_lends_what_the_file_does_not_say(board):
    device = find(board('base = "raspberry-pi-4"\nmemory_mb = 8000\n'))
    assert device.memory_mb == 8000
    assert device.peak_gflops == catalog()["raspberry-pi-4"].peak_gflops
    assert device.sources["memory_mb"][0] == "B"


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("price_usd = -3", "price_usd must be above 0; got -3"),
        ('cores = "four"', "cores must be a number; got 'four'"),
        ("cores = 2.5", "cores must be a whole number; got 2.5"),
        ("efficiency = 40", "efficiency is a share"),
        ("busy_watts = nan", "busy_watts must be a number; got nan"),
        ("idle_watts = true", "idle_watts must be a number; got True"),
        ("spread = 0.5", "spread is a factor of at least 1"),
        ("lanes = 1.5", "lanes must be a whole number; got 1.5"),
        ("cache_kb = 0", "cache_kb must be above 0; got 0"),
        ('runtime = "fast"', 'runtime must be "eager" or "fused"; got \'fast\''),
        ("relative = 3", "relative must be a table"),
        ("relative = { pool = 0.5 }", "pool = 0.5 is none of them"),
        ('relative = { linear = "x" }', "relative.linear must be a number; got 'x'"),
        ("relative = { linear = 0 }", "relative.linear must be above 0; got 0"),
        ("batery_wh = 9", "Did you mean battery_wh"),
        ('kind = "toaster"', "kind must be one of"),
        ("id = 3", "id must be text"),
        ('base = "raspbery-pi-4"', "Did you mean raspberry-pi-4"),
        ("base = 4", "base must be a device's name"),
        ("cores = = 2", "not valid TOML"),
        ("sources = 3", "sources must be a table"),
        ('[sources]\nmemory_mb = ["Z", "x"]', "sources.memory_mb must be"),
    ],
)
def test_a_wrong_line_is_named_with_its_value(board, line, named):
    with pytest.raises(InputError, match=named):
        find(board(BOARD + line + "\n"))


@pytest.mark.parametrize("field", ["memory_mb", "bandwidth_gb_s", "peak_gflops"])
def test_a_missing_figure_is_named(board, field):
    rest = "\n".join(line for line in BOARD.splitlines() if not line.startswith(field))
    with pytest.raises(InputError, match=f"{field} is missing"):
        find(board(rest))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.toml cannot be read: No such file"):
        find(tmp_path / "absent.toml")


def test_binary_rubbish_is_not_valid_toml(tmp_path):
    path = tmp_path / "rubbish.toml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(InputError, match="not valid TOML"):
        find(path)


def test_an_integer_only_device_says_what_it_runs():
    coral = catalog()["coral-usb"]
    assert coral.precision == "int8"
    with pytest.raises(InputError, match="no figure for 'fp32'; it runs int8"):
        coral.gflops_reached("fp32")


def test_the_8_bit_peak_has_its_own_efficiency():
    chip = catalog()["stm32h7a3"]
    assert chip.gflops_reached("int8") == pytest.approx(1.12 * 0.6)
    assert chip.gflops_reached() == pytest.approx(0.56 * 0.354)


def test_the_catalogue_is_read_without_torch():
    code = (
        "import sys; from depthwise.measuring import find; find('h100'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_catalogue_file_has_no_key_twice():
    text = (Path(devices.__file__).parent / "devices.toml").read_text("utf-8")
    assert set(tomllib.loads(text)) == set(catalog())  # tomllib refuses duplicates
