"""`depthwise devices`: the list, and what calibrating writes."""

import json
from dataclasses import replace

import pytest
import torch
import typer
from typer.testing import CliRunner

from depthwise.commands.devices import devices
from depthwise.errors import InputError
from depthwise.measuring.counting import count
from depthwise.measuring.devices import machine, measured_tables
from depthwise.measuring.devices.corrections import NEUTRAL
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.devices.device_finder import find
from depthwise.measuring.devices.reference_networks import REFERENCES
from depthwise.measuring.predict import predict_latency


@pytest.fixture
def app(here, monkeypatch):
    """The command, on a machine that is measured in no time."""
    monkeypatch.setattr(machine, "calibrate", lambda rounds: replace(here, price_usd=float(rounds)))
    monkeypatch.setattr(machine, "this_machine", lambda: here)
    cli = typer.Typer()
    cli.command()(devices)
    return lambda *words: CliRunner().invoke(cli, words, catch_exceptions=True)


def test_without_an_action_all_devices_are_listed(app):
    listed = json.loads(app("--json").stdout)
    assert [d["id"] for d in listed] == ["this-machine", *catalog()]
    assert "raspberry-pi-5" in app().stdout


def test_calibrating_tells_ceilings_and_how_far_predictions_are_right(app, here):
    told = json.loads(app("calibrate", "--rounds", "3", "--json", "--quiet").stdout)
    assert told["peaks"]["fp32"] == here.peak_gflops
    assert told["spread"]["fp32"]["1"] == here.calibration["tables"]["fp32"]["1"]["spread"] >= 1
    factor = here.calibration["tables"]["fp32"]["1"]["spread"]
    assert f"within a factor of {factor:.2f} (1 threads)" in app("calibrate", "--quiet").stdout


def test_a_calibrated_machine_is_a_device_for_others(app, here, tmp_path):
    path = tmp_path / "box.toml"
    assert app("calibrate", "--out", str(path), "--rounds", "2", "--quiet").exit_code == 0
    box = find(path)
    assert not box.is_here and box.price_usd == 2
    assert box.name.endswith(f", {here.cores} cores") and "this machine" not in box.name
    reference = REFERENCES["ds-cnn"]
    counts = count(reference.build().eval(), torch.zeros(1, *reference.input_shape))
    there, known = (predict_latency(counts, d) for d in (box, here))
    assert there.value == pytest.approx(known.value, rel=1e-3)
    assert (there.low, there.high) == pytest.approx((known.low, known.high), rel=1e-3)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["calibrat"], "action must be one of calibrate; got 'calibrat'"),
        (["--out", "x.toml"], "--out is for `depthwise devices calibrate`"),
        (["calibrate", "--out", "x.json"], "--out must end in .toml; got 'x.json'"),
        (["calibrate", "--out", "/no/such/x.toml"], "there is no folder '/no/such'"),
    ],
)
def test_wrong_words_are_told_before_anything_is_measured(app, monkeypatch, words, named):
    monkeypatch.setattr(machine, "calibrate", lambda rounds: pytest.fail("measured"))
    error = app(*words).exception
    assert isinstance(error, InputError) and named in str(error)


@pytest.mark.parametrize("name", sorted(catalog()))
def test_every_device_survives_its_own_toml(name, tmp_path):
    path = tmp_path / "copy.toml"
    path.write_text(catalog()[name].to_toml(), "utf-8")
    assert find(path) == catalog()[name]


def small_table():
    grid = {"widths": [1, 2], "rows": [1, 9], "gflops": [[1.0, 2.0], [3.0, 4.0]]}
    curve = {"bytes": [1, 2], "seconds": [1.0, 2.0]}
    operators = {
        **dict.fromkeys(measured_tables.GRIDS["fp32"], grid),
        **dict.fromkeys((*measured_tables.CURVES, "norm"), curve),
        "view_seconds": 0.0,
    }
    return {"operators": operators, "gains": {"single": dict(NEUTRAL)}, "spread": 1.3}


def changed(path, value):
    """A calibration whose fp32.1 has `value` at the path."""
    table = json.loads(json.dumps(small_table()))
    inner = table
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return {"tables": {"fp32": {"1": table}}}


def test_the_small_table_is_sound():
    assert measured_tables.checked(changed(["spread"], 1.2), "x")


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (["operators"], 3, "operators must be a table"),
        (["operators", "linear"], None, "linear must be a table"),
        (["operators", "linear", "gflops"], [[1.0, 2.0]], "a line for each width"),
        (["operators", "linear", "gflops"], [[1.0], [2.0]], "a number for each row"),
        (["operators", "linear", "gflops"], [[1.0, 0.0], [2.0, 2.0]], "numbers above 0"),
        (["operators", "linear", "rows"], [9, 9], "must rise"),
        (["operators", "norm", "seconds"], [1.0], "bytes and seconds differ"),
        (["operators", "norm", "seconds"], [1.0, float("nan")], "numbers above 0"),
        (["operators", "view_seconds"], None, "a number that cannot be"),
        (["operators", "view_seconds"], True, "a number that cannot be"),
        (["spread"], 0.5, "a number that cannot be"),
        (["gains", "single", "conv"], -1.0, "a number that cannot be"),
        (["gains", "single"], [], "gains.single must be a table"),
    ],
)
def test_a_damaged_calibration_is_refused_by_name(path, value, named):
    with pytest.raises(InputError, match=named):
        measured_tables.checked(changed(path, value), "box.toml")


@pytest.mark.parametrize("value", [3, {"tables": 3}, {"tables": {"fp64": {}}}])
def test_what_is_no_calibration_is_refused(value):
    with pytest.raises(InputError, match="calibration"):
        measured_tables.checked(value, "box.toml")


def test_a_real_calibration_holds_every_road(here):
    assert Device.from_dict(here.to_dict()).calibration == here.calibration
