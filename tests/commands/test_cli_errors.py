"""Bad input at the command line: one clear line on stderr, the right exit code, no traceback."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from depthwise.cli import main
from depthwise.commands import look
from depthwise.errors import DivergedError

MODEL = {"format": 1, "family": "cnn"}


def outcome(capsys, *arguments) -> tuple[int, str]:
    """Exit code and stderr's last line; stderr is otherwise progress and never a traceback."""
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    told = capsys.readouterr().err
    assert "Traceback" not in told and "Warning" not in told
    return int(ended.value.code or 0), told.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.npz"
    random = np.random.default_rng(0)
    np.savez(path, x=random.standard_normal((60, 3)), y=np.arange(60) % 2)
    return path


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--device", "raspbery-pi-5"], "Did you mean raspberry-pi-5"),
        (["--device", "none.toml"], "none.toml"),
        (["--device", "stm32u575", "--families", "cnn,logistc"], "Did you mean 'logistic'"),
        (["--max-latency-ms", "-1"], "--max-latency-ms must be above 0; got -1"),
        (["--max-size-mb", "0"], "--max-size-mb must be above 0; got 0"),
        (["--max-energy-mj", "nan"], "--max-energy-mj must be above 0; got nan"),
        (["--max-memory-mb", "inf"], "--max-memory-mb must be above 0; got inf"),
        (["--train-minutes", "0"], "--minutes must be above 0"),
        (["--task", "anomalies"], "--task must be one of classification, generate, anomaly"),
        (["--task", "generate", "--families", "cnn"], "cnn cannot do the task generate"),
        (["--device", "stm32u575", "--families", "cnn"], "images only"),
        (["--device", "stm32u575", "--image-size", "axb"], "--image-size must be"),
        (["--device", "stm32u575", "--format", "cvs"], "did you mean 'csv'"),
        (["--device", "stm32u575", "--seed", "-3"], "seed"),
    ],
)
def test_a_wrong_option_of_choose_is_named_with_its_remedy(data, tmp_path, capsys, arguments, said):
    code, line = outcome(capsys, "choose", data, "--out", tmp_path / "out", *arguments)
    assert code == 2 and line.startswith("error: ") and said in line
    assert not (tmp_path / "out" / "choice.json").exists()


@pytest.mark.parametrize("command", ["choose", "inspect"])
def test_a_data_path_that_is_not_there_is_named(command, tmp_path, capsys):
    code, line = outcome(capsys, command, tmp_path / "digts-folder")
    assert code == 2 and "digts-folder" in line
    code, line = outcome(capsys, command, "digts")
    assert code == 2 and "did you mean digits?" in line


def test_a_misspelt_label_column_gets_a_suggestion(tmp_path, capsys):
    rows = "\n".join(f"{i},{i % 2}" for i in range(40))
    (tmp_path / "t.csv").write_text(f"size,colour\n{rows}\n")
    code, line = outcome(capsys, "inspect", tmp_path / "t.csv", "--label", "color")
    assert code == 2 and "did you mean 'colour'" in line


def test_an_empty_folder_and_one_class_are_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert outcome(capsys, "inspect", tmp_path / "empty")[0] == 2
    np.savez(tmp_path / "one.npz", x=np.zeros((9, 2)), y=np.zeros(9, int))
    code, line = outcome(capsys, "inspect", tmp_path / "one.npz")
    assert code == 2 and "one.npz" in line


@pytest.mark.parametrize("out", ["a-file", "a-file/below"])
def test_a_file_in_the_place_of_the_out_folder_is_refused_before_training(
    data, tmp_path, capsys, out
):
    (tmp_path / "a-file").write_text("mine")
    for command in (["choose", data], ["fit", data, "--family", "dnn"]):
        code, line = outcome(capsys, *command, "--out", tmp_path / out)
        assert code == 2 and "--out" in line and "a-file" in line
    assert (tmp_path / "a-file").read_text() == "mine"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_folder_that_cannot_be_made_is_one_line(data, capsys):
    code, line = outcome(capsys, "fit", data, "--family", "logistic", "--out", "/proc/depthwise")
    assert code == 2 and "/proc/depthwise" in line


@pytest.mark.parametrize(
    "text, said",
    [
        (None, "is not a saved model"),
        ("", "cannot be read"),
        ("{}", "not a depthwise model"),
        (json.dumps({**MODEL, "format": 99}), "newer than this version"),
        (json.dumps(MODEL), "model.safetensors"),
    ],
)
def test_a_folder_that_is_no_model_is_refused_by_every_verb_that_takes_one(
    tmp_path, capsys, text, said
):
    if text is not None:
        (tmp_path / "model.json").write_text(text)
    for command in (["measure", tmp_path], ["predict", tmp_path, "a.png"]):
        code, line = outcome(capsys, *command)
        assert code == 2 and said in line and str(tmp_path) in line


def test_a_misspelt_family_size_and_setting_of_fit_are_named(data, tmp_path, capsys):
    out = ["--out", tmp_path / "out"]
    code, line = outcome(capsys, "fit", data, "--family", "logistc", *out)
    assert code == 2 and "Did you mean 'logistic'" in line
    code, line = outcome(capsys, "fit", data, "--family", "dnn", "--size", "huge", *out)
    assert code == 2 and "huge" in line and "xxs" in line
    code, line = outcome(capsys, "fit", data, "--family", "logistic", "--epochs", "3", *out)
    assert code == 2 and "no setting epochs" in line
    code, line = outcome(capsys, "fit", data, "--family", "dnn", "--epochs", "-1", *out)
    assert code == 2 and "epochs" in line


@pytest.mark.parametrize(
    "arguments", [["chose"], ["choose"], ["fit", "x", "--famly", "cnn"], ["predict", "m", "-k"]]
)
def test_wrong_usage_is_exit_code_2_and_shows_how(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    assert ended.value.code == 2 and "Usage: depthwise" in told.err and told.out == ""


# -- what nobody foresees ----------------------------------------------------------------------


def failing(monkeypatch, error: BaseException) -> None:
    def load(*arguments, **options):
        raise error

    monkeypatch.setattr(look, "load_told", load)


@pytest.mark.parametrize(
    "error, code, said",
    [
        (OSError(28, "No space left on device", "/data/x"), 2, "/data/x: No space left on device"),
        (PermissionError(13, "Permission denied", "/data/x"), 2, "/data/x: Permission denied"),
        (MemoryError(), 2, "out of memory"),
        (DivergedError("the loss became nan"), 4, "the loss became nan"),
        (KeyError("lable"), 1, "KeyError: 'lable'"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ValueError("two\nlines \x1b[31m"), 1, "two lines [31m"),
    ],
)
def test_every_error_is_one_line_with_its_exit_code(monkeypatch, capsys, error, code, said):
    failing(monkeypatch, error)
    got, line = outcome(capsys, "inspect", "digits", "--quick")
    assert got == code and said in line


def test_debug_shows_the_traceback_wherever_it_stands(monkeypatch):
    failing(monkeypatch, KeyError("lable"))
    for arguments in (
        ["--debug", "inspect", "digits", "--quick"],
        ["inspect", "digits", "--quick", "--debug"],
    ):
        with pytest.raises(KeyError, match="lable"):
            main(arguments)


INSPECT = [sys.executable, "-m", "depthwise", "inspect", "digits", "--quick"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_stdout_is_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(INSPECT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: writing the output failed: No space left on device.\n"


def test_a_reader_that_goes_away_is_no_traceback():
    process = subprocess.Popen(INSPECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() in (0, 1)


@pytest.mark.parametrize(("closed", "told"), [(1, False), (2, True)])
def test_a_stream_closed_beforehand_is_no_error(closed, told):
    line = shlex.join(INSPECT)
    done = subprocess.run(["sh", "-c", f"{line} {closed}>&-"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == ""
    assert ("digits" in done.stdout) == told


def test_a_wrong_path_without_a_stderr_says_nothing_on_stdout():
    line = shlex.join([*INSPECT[:-1], "no/such/data"])
    done = subprocess.run(["sh", "-c", f"{line} 2>&-"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
