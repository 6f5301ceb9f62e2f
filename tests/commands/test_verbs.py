"""fit, predict, sample and reconstruct of a model of the data itself, as a person gives them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from depthwise.catalog import FAMILIES, load_model
from depthwise.cli import main
from made_ink import Ink


@pytest.fixture(scope="module", autouse=True)
def ink_in_the_catalogue():
    FAMILIES["ink"] = Ink
    yield
    del FAMILIES["ink"]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def refused(capsys, *arguments: object) -> str:
    """The one line that a wrong command gets, after progress."""
    capsys.readouterr()
    assert run(*arguments) == 2
    told = capsys.readouterr()
    assert "Traceback" not in told.err and told.out == ""
    return told.err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def data(tmp_path_factory, digits) -> Path:
    path = tmp_path_factory.mktemp("data") / "few.npz"
    np.savez(path, x=digits[0][:300], y=digits[1][:300])
    return path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, data) -> Path:
    folder = tmp_path_factory.mktemp("models") / "labelled"
    assert run("fit", data, "--family", "ink", "--epochs", "5", "--out", folder, "-q") == 0
    return folder


@pytest.fixture(scope="module")
def blind(tmp_path_factory, data) -> Path:
    folder = tmp_path_factory.mktemp("models") / "blind"
    arguments = ("--family", "ink", "--set", "epochs=5", "--unlabelled", "-q")
    assert run("fit", data, *arguments, "--out", folder) == 0
    return folder


@pytest.fixture
def pictures(tmp_path, digits) -> list[Path]:
    for i, image in enumerate(digits[2][:3]):
        Image.fromarray(image[0]).save(tmp_path / f"{i}.png")
    return [tmp_path / f"{i}.png" for i in range(3)]


# -- fit ---------------------------------------------------------------------------------------


def test_a_model_without_labels_tells_its_log_likelihood_in_nats(data, blind, capsys):
    arguments = ("--family", "ink", "--set", "epochs=5", "--unlabelled", "-q")
    assert run("fit", data, *arguments, "--out", blind) == 0
    told = capsys.readouterr().out
    assert "test log-likelihood  -" in told and " nats (95% interval ±" in told
    assert "nothing was trained" in told and str(blind) in told
    assert run("fit", data, *arguments, "--out", blind, "--json") == 0
    quality = json.loads(capsys.readouterr().out)["log_likelihood"]
    assert quality["unit"] == "nats" and quality["low"] < quality["value"] < quality["high"] < 0


def test_a_model_with_labels_tells_its_accuracy(data, labelled, capsys):
    assert run("fit", data, "--family", "ink", "--epochs", "5", "--out", labelled) == 0
    assert "test accuracy  " in capsys.readouterr().out
    assert load_model(labelled).n_outputs == 10


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--set", "epoch=3"], "did you mean epochs"),
        (["--set", "epochs=many"], "epochs must be a number"),
        (["--set", "epochs"], "--set takes NAME=VALUE"),
        (["--set", "epochs=3", "--epochs", "4"], "epochs is given twice"),
        (["--set", "false_alarms=7"], "false_alarms must be"),
        (["--size", "xs"], "ink has no setting size"),
        (["--lr", "0.1"], "ink has no setting lr"),
        (["--set", "visible=gauss"], "visible must be one of"),
    ],
)
def test_wrong_settings_are_named_and_nothing_is_left_behind(
    data, tmp_path, capsys, arguments, said
):
    line = refused(capsys, "fit", data, "--family", "ink", "--out", tmp_path / "out", *arguments)
    assert line.startswith("error: ") and said in line
    assert not (tmp_path / "out").exists()


def test_unlabelled_is_refused_by_a_family_that_learns_from_labels(data, tmp_path, capsys):
    arguments = ("--family", "dnn", "--unlabelled", "--out", tmp_path / "out")
    assert "learns from labels" in refused(capsys, "fit", data, *arguments)
    assert not (tmp_path / "out").exists()


# -- predict -----------------------------------------------------------------------------------


def test_predict_without_labels_tells_what_is_strange(blind, pictures, tmp_path, capsys):
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "white.png")  # 64 of ink
    assert run("predict", blind, *pictures, tmp_path / "white.png") == 0
    heads, *lines, note = capsys.readouterr().out.splitlines()
    assert heads.split() == ["file", "anomaly", "score", "verdict"]
    assert lines[-1].split()[1:] == ["64.00", "strange"] and lines[0].split()[2] == "usual"
    assert f"above {load_model(blind).threshold_:.2f}" in note
    assert run("predict", blind, tmp_path / "white.png", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["strange"] is True and told["anomaly_score"] == 64.0


def test_predict_with_labels_tells_classes(labelled, pictures, capsys):
    assert run("predict", labelled, *pictures) == 0
    assert "probability" in capsys.readouterr().out


# -- sample ------------------------------------------------------------------------------------


def test_sample_draws_a_grid_and_the_same_again(labelled, tmp_path, capsys):
    out = tmp_path / "new" / "grid.png"
    assert run("sample", labelled, "-n", "10", "--out", out) == 0
    first = out.read_bytes()
    assert Image.open(out).size == (2 + 5 * 50, 2 + 2 * 50)  # 5 x 2 tiles of 8 x 8, six times
    assert "10 samples of ink" in capsys.readouterr().out
    assert run("sample", labelled, "-n", "10", "--out", out) == 0
    assert out.read_bytes() == first
    assert run("sample", labelled, "-n", "10", "--out", out, "--seed", "9") == 0
    assert out.read_bytes() != first


def test_sample_takes_labels_in_turn_and_tells_json(labelled, tmp_path, capsys):
    out = tmp_path / "s.npz"
    assert run("sample", labelled, "-n", "5", "--labels", "3,1", "--out", out, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "out": str(out), "items": 5, "labels": ["3", "1", "3", "1", "3"],
    }  # fmt: skip
    with np.load(out) as held:
        expected = load_model(labelled).sample(5, labels=["3", "1", "3", "1", "3"])
        assert np.array_equal(held["x"], expected)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["-n", "0"], "-n must be 1 to 1,000,000; got 0"),
        (["-n", "900000"], "too large"),
        (["--seed", "-1"], "--seed must be"),
        (["--labels", "12"], "'12' is not among the classes: 0, 1, 2"),
        (["--labels", "1,2,3", "-n", "2"], "names 3 classes, but -n is 2"),
    ],
)
def test_wrong_wishes_are_named_and_nothing_is_written(labelled, tmp_path, capsys, arguments, said):
    out = tmp_path / "x" / "grid.png"
    assert said in refused(capsys, "sample", labelled, "--out", out, *arguments)
    assert not out.parent.exists()


def test_a_file_of_yours_is_never_replaced(labelled, tmp_path, capsys):
    for name in ("a.png", "a.csv", "a.npz"):
        (tmp_path / name).write_text("years of work")
        assert "exists" in refused(capsys, "sample", labelled, "--out", tmp_path / name)
        assert (tmp_path / name).read_text() == "years of work"


def test_labels_of_a_model_without_and_a_model_that_cannot_sample(blind, data, tmp_path, capsys):
    out = tmp_path / "grid.png"
    assert "fitted with labels" in refused(capsys, "sample", blind, "--labels", "3", "--out", out)
    assert run("fit", data, "--family", "logistic", "--out", tmp_path / "m", "-q") == 0
    assert "a logistic cannot sample" in refused(capsys, "sample", tmp_path / "m", "--out", out)
    said = refused(capsys, "reconstruct", tmp_path / "m", "a.png")
    assert "a logistic cannot reconstruct" in said and "rbm" in said
    assert not out.exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_place_that_cannot_be_written_is_one_line(labelled, capsys):
    assert "/proc" in refused(capsys, "sample", labelled, "--out", "/proc/grid.png")


# -- reconstruct -------------------------------------------------------------------------------


def test_reconstruct_shows_each_file_above_its_image(blind, pictures, digits, tmp_path, capsys):
    out = tmp_path / "grid.png"
    assert run("reconstruct", blind, *pictures, "--out", out) == 0
    told = capsys.readouterr().out
    assert "anomaly score" in told and "rms difference" in told and str(out) in told
    shown = np.asarray(Image.open(out))
    for k, image in enumerate(digits[2][:3, 0]):  # tiles of 8 x 8 six times, two pixels between
        left = 2 + 50 * k
        assert np.array_equal(shown[2:50:6, left : left + 48 : 6], image)
        assert np.array_equal(shown[52:100:6, left : left + 48 : 6], 255 - image)


def test_reconstruct_as_json_is_an_object_a_line(blind, digits, tmp_path, capsys):
    np.save(tmp_path / "few.npy", digits[2][:2])
    assert run("reconstruct", blind, tmp_path / "few.npy", "--json") == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [entry["row"] for entry in told] == [0, 1]
    assert told[1]["anomaly_score"] == pytest.approx(digits[2][1].sum() / 255, rel=1e-5)
    assert set(told[0]) == {
        "file", "row", "anomaly_score", "threshold", "strange", "rms_difference",
    }  # fmt: skip


def test_a_bad_file_is_told_beside_the_good_which_are_drawn(blind, pictures, tmp_path, capsys):
    (tmp_path / "broken.png").write_text("no picture")
    out = tmp_path / "out.png"
    assert run("reconstruct", blind, pictures[0], tmp_path / "broken.png", "--out", out) == 1
    told = capsys.readouterr()
    assert str(pictures[0]) in told.out and told.err.count("\n") == 1 and "broken.png" in told.err
    assert Image.open(out).width > 0
    nothing = ("--out", tmp_path / "none.png")
    assert run("reconstruct", blind, tmp_path / "broken.png", *nothing) == 2
    assert not (tmp_path / "none.png").exists()


def test_a_folder_and_a_quoted_pattern_are_their_files(blind, pictures, capsys):
    named = [str(path) for path in pictures]
    for asked in (pictures[0].parent, pictures[0].parent / "*.png"):
        capsys.readouterr()
        assert run("predict", blind, asked, "--json") == 0
        lines = capsys.readouterr().out.splitlines()
        assert [json.loads(line)["file"] for line in lines] == named


def test_reconstruct_into_a_wrong_place_is_refused_first(blind, pictures, tmp_path, capsys):
    (tmp_path / "mine.png").write_text("years of work")
    for out, said in (("mine.png", "exists"), ("a.gif", "must end in"), ("mine.png/x", "mine.png")):
        line = refused(capsys, "reconstruct", blind, pictures[0], "--out", tmp_path / out)
        assert said in line
    assert (tmp_path / "mine.png").read_text() == "years of work"


def test_a_folder_that_is_no_model_is_refused_by_the_new_verbs(tmp_path, capsys):
    for command in (
        ["sample", tmp_path, "--out", tmp_path / "a.png"],
        ["reconstruct", tmp_path, "a"],
    ):
        assert "is not a saved model" in refused(capsys, *command)


def test_help_of_the_new_verbs_explains_their_options(capsys):
    for command, words in (
        ("sample", ("--labels", "--seed")),
        ("reconstruct", ("--out", "--json")),
    ):
        assert run(command, "--help") == 0
        told = capsys.readouterr().out
        assert all(word in told for word in words)
    assert run("fit", "--help") == 0
    told = capsys.readouterr().out
    assert "--set" in told and "NAME=VALUE" in told and "--unlabelled" in told
