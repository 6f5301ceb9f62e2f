"""The commands as a person gives them: through `main`, on a few hundred of the scanned digits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthwise.cli import main
from depthwise.measuring.devices import machine
from depthwise.measuring.devices.device_catalog import catalog

MODEL = ("--family", "dnn", "--size", "xs", "--epochs", "8")


def run(*arguments: str) -> int:
    """The exit code of one command."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def data(tmp_path_factory, digits) -> Path:
    """300 digits as an .npz without split."""
    path = tmp_path_factory.mktemp("data") / "few.npz"
    np.savez(path, x=digits[0][:300], y=digits[1][:300])
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory, data) -> Path:
    folder = tmp_path_factory.mktemp("models") / "dnn"
    assert (
        run("fit", data, "--family", "dnn", "--size", "xs", "--epochs", "8", "--out", folder) == 0
    )
    return folder


@pytest.fixture
def pictures(tmp_path, digits) -> list[Path]:
    for i, image in enumerate(digits[2][:3]):
        Image.fromarray(image[0]).save(tmp_path / f"{i}.png")
    return [tmp_path / f"{i}.png" for i in range(3)]


@pytest.fixture
def quick_machine(monkeypatch) -> None:
    """This machine without its seconds of measuring."""
    monkeypatch.setattr(machine, "this_machine", lambda: catalog()["server-cpu-2-core"])


# -- fit ---------------------------------------------------------------------------------------


def test_fit_tells_accuracy_with_interval_and_where_the_model_is_and_again(data, model, capsys):
    assert run("fit", data, *MODEL, "--out", model) == 0
    told = capsys.readouterr()
    assert "test accuracy" in told.out and "95% interval" in told.out
    assert str(model) in told.out and "nothing was trained" in told.out
    assert "Traceback" not in told.err and "Warning" not in told.err


def test_fit_as_json_is_alone_on_stdout(data, model, capsys):
    assert run("fit", data, *MODEL, "--out", model, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == str(model) and 0 <= told["accuracy"]["low"] <= told["accuracy"]["value"]


def test_quiet_says_nothing_but_the_result(data, tmp_path, capsys):
    assert run("fit", data, "--family", "logistic", "--out", tmp_path / "m", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_fit_killed_with_no_warning_leaves_a_folder_that_the_same_command_completes(data, tmp_path):
    """A real kill -9, at whatever moment it strikes once the run has claimed its folder."""
    command = [sys.executable, "-m", "depthwise", "fit", str(data), "--family", "dnn", "--out"]
    command += [str(tmp_path / "run"), "--epochs", "40", "--size", "xxs"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (tmp_path / "run" / "fit.json").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert run(*command[3:-4], "--epochs", "40", "--size", "xxs") == 0
    assert json.loads((tmp_path / "run" / "fit.json").read_text())["result"]


# -- predict -----------------------------------------------------------------------------------


def test_predict_tells_a_class_a_picture_the_same_as_the_library(model, pictures, digits, capsys):
    from depthwise.catalog import load_model

    assert run("predict", model, *pictures) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    expected = load_model(model).predict(digits[2][:3])
    assert [line.split()[1] for line in lines] == [str(label) for label in expected]
    assert [line.split()[0] for line in lines] == [str(path) for path in pictures]


def test_predict_as_json_lines_ranks_the_classes_and_sums_to_one(model, pictures, capsys):
    assert run("predict", model, pictures[0], "--top", "10", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    shares = [entry["probability"] for entry in told["top"]]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(1, abs=1e-5)
    assert told["class"] == told["top"][0]["class"] and told["file"] == str(pictures[0])


def test_a_broken_file_among_good_ones_is_one_line_and_the_others_are_told(
    model, pictures, tmp_path, capsys
):
    (tmp_path / "broken.jpg").write_text("no picture")
    assert run("predict", model, pictures[0], tmp_path / "broken.jpg", pictures[1]) == 1
    told = capsys.readouterr()
    assert "broken.jpg" not in told.out and len(told.out.splitlines()) == 3
    assert told.err.startswith("error: ") and told.err.count("\n") == 1 and "broken.jpg" in told.err


# -- measure, inspect, devices -----------------------------------------------------------------


def test_measure_gives_all_six_metrics_where_data_is_given(model, data, capsys):
    assert run("measure", model, "--data", data, "--device", "raspberry-pi-5", "--json") == 0
    card = json.loads(capsys.readouterr().out)
    for name in ("accuracy", "throughput", "latency", "energy", "hardware_cost", "flexibility"):
        assert card[name]["value"] is not None and card[name]["unit"]
    assert card["latency"]["how"] == "predicted" and card["accuracy"]["how"] == "measured"


def test_measure_for_another_device_without_data_runs_nothing_but_what_is_asked_for(model, capsys):
    assert run("measure", model, "--device", "raspberry-pi-5", "--json") == 0
    told = capsys.readouterr()
    card = json.loads(told.out)
    assert card["flexibility"] is None and "--flexibility quick" in told.err
    assert card["latency"]["how"] == card["throughput"]["how"] == "predicted"
    wanted = ("--device", "raspberry-pi-5", "--flexibility", "quick", "--json")
    assert run("measure", model, *wanted) == 0
    assert json.loads(capsys.readouterr().out)["flexibility"]["value"] == 1


def test_measure_brings_pictures_of_another_size_to_the_models(model, tmp_path, capsys):
    for name in ("0", "1"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(5):
            colour = np.random.default_rng([int(name), i]).integers(0, 256, (13, 11, 3), np.uint8)
            Image.fromarray(colour).save(tmp_path / "data" / name / f"{i}.png")
    arguments = ("--data", tmp_path / "data", "--device", "raspberry-pi-4")
    assert run("measure", model, *arguments) == 0
    assert "accuracy" in capsys.readouterr().out


def test_inspect_tells_the_shape_the_parts_and_the_classes(data, capsys):
    assert run("inspect", data) == 0
    told = capsys.readouterr()
    assert "300 images of 8 x 8 pixels" in told.out and "train" in told.out and told.err == ""
    assert run("inspect", data, "--json") == 0
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert sum(counts.values()) == 300


def test_devices_begin_with_this_machine(quick_machine, capsys):
    assert run("devices", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed[0]["id"] == "server-cpu-2-core" and len(listed) == len(catalog()) + 1
    assert run("devices") == 0
    assert "raspberry-pi-5" in capsys.readouterr().out


# -- choose ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chosen(tmp_path_factory, data) -> tuple[Path, list[str]]:
    out = tmp_path_factory.mktemp("choices") / "out"
    arguments = ["choose", str(data), "--device", "raspberry-pi-5", "--families", "logistic,dnn"]
    arguments += ["--max-size-mb", "0.03", "--train-minutes", "0.02", "--out", str(out)]
    assert run(*arguments) == 0
    return out, arguments


def test_choose_leaves_a_report_a_record_and_a_model_that_predict_takes(chosen, pictures, capsys):
    out, _ = chosen
    assert {"best", "choice.json", "report.html"} <= {entry.name for entry in out.iterdir()}
    assert run("predict", out / "best", *pictures) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_choose_again_tells_the_same_record_as_json_alone_on_stdout(chosen, capsys):
    out, arguments = chosen
    assert run(*arguments, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((out / "choice.json").read_text())
    winner = next(c for c in record["candidates"] if c["name"] == record["winner"])
    assert winner["scorecard"]["hardware_cost"]["details"]["weight_bytes"] <= 30_000


def test_choose_prints_what_to_ship_and_where_it_lies(chosen, capsys):
    out, arguments = chosen
    assert run(*arguments) == 0
    told = " ".join(capsys.readouterr().out.split())
    winner = json.loads((out / "choice.json").read_text())["winner"]
    assert f"Ship {winner}. It gets" in told
    assert f"model {out / 'best'}" in told and f"report {out / 'report.html'}" in told


def test_limits_that_nothing_meets_are_exit_code_3_with_the_limit_to_relax(data, tmp_path, capsys):
    arguments = ("--device", "stm32u575", "--families", "logistic", "--max-latency-ms", "0.00001")
    assert run("choose", data, *arguments, "--out", tmp_path / "out") == 3
    told = capsys.readouterr()
    assert told.err.splitlines()[-1].startswith("error: ") and "--max-latency-ms" in told.err
    assert "dropped" in told.out and (tmp_path / "out" / "report.html").exists()


def test_choose_for_another_task_tells_its_score_and_shows_what_the_winner_has_learnt(
    data, pictures, tmp_path, capsys
):
    out = tmp_path / "out"
    arguments = ("--task", "anomaly", "--device", "raspberry-pi-5", "--families", "rbm")
    assert run("choose", data, *arguments, "--train-minutes", "0.03", "--out", out) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "It tells spoilt items from sound ones with an AUROC of" in told and "accuracy" not in told
    )
    record = json.loads((out / "choice.json").read_text())
    assert record["task"] == "anomaly" and record["test"]["unit"] == "AUROC"
    assert all(record["pictures"][name] for name in ("filters", "samples", "reconstructions"))
    assert (out / "report.html").read_text().count("<img") == 3
    assert run("predict", out / "best", *pictures) == 0
    assert "anomaly score" in capsys.readouterr().out


# -- the program -------------------------------------------------------------------------------


def test_help_appears_at_once_and_imports_nothing_heavy():
    code = (
        "import sys, depthwise.cli\n"
        "try: depthwise.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'matplotlib', 'PIL', 'rich', 'jinja2'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    seconds = []
    for _ in range(3):
        began = os.times()
        subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
        ended = os.times()
        spent = ended.children_user + ended.children_system
        seconds.append(spent - began.children_user - began.children_system)
    assert min(seconds) < 0.4  # of processor: a neighbour on the same core must not fail this


def test_version_is_the_packages(capsys):
    from importlib.metadata import version

    assert run("--version") == 0
    assert capsys.readouterr().out == f"depthwise {version('depthwise')}\n"


def test_help_of_every_command_explains_every_option(capsys):
    verbs = ("choose", "fit", "predict", "sample", "reconstruct", "generate", "measure", "shrink")
    verbs += ("export", "inspect", "devices")
    for command in verbs:
        assert run(command, "--help") == 0
        assert command in capsys.readouterr().out
