"""Interruption is made by a watcher that raises, at a point where a kill would strike too."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import torch

from depthwise.catalog import FAMILIES
from depthwise.commands.fit_folder import fit_in, make_model
from depthwise.data.load import load
from depthwise.errors import InputError
from depthwise.models import networks
from depthwise.training import loop, stages
from made_ink import Ink


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def rows():
    """Two classes of 5 features, easily told apart; 7 of the 130 have the wrong label."""
    random = np.random.default_rng(5)
    X = random.standard_normal((130, 5)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    y[:7] ^= 1
    return load((X, np.array(["left", "right"])[y]))


def small(**changes):
    settings = {"size": "xxs", "epochs": 3, "batch_size": 16, "random_state": 0}
    return make_model("dnn", {**settings, **changes})


def weights(model):
    return model.network_.state_dict()


def test_a_finished_run_tells_its_result_again_without_training(tmp_path, rows):
    first = fit_in(tmp_path / "run", rows, small())
    stamp = (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns
    again = fit_in(tmp_path / "run", rows, small(), watch=lambda event: pytest.fail("trained"))
    assert (first.how, again.how) == ("finished now", "finished before")
    assert again.quality == first.quality
    assert (tmp_path / "run" / "model.safetensors").stat().st_mtime_ns == stamp
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_the_accuracy_is_that_of_the_test_part_counted_by_hand(tmp_path, rows):
    done = fit_in(tmp_path / "run", rows, small())
    truth = np.asarray(rows.classes)[rows.test.y]
    assert done.quality.value == np.mean(done.model.predict(rows.test.X) == truth)
    assert done.quality.details["items"] == len(rows.test.y)


def test_a_killed_run_resumes_to_the_weights_of_one_never_killed(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(networks, "train", partial(loop.train, checkpoint_seconds=0.0))
    whole = fit_in(tmp_path / "whole", rows, small(threads=1))

    def kill(event):
        if event.epoch >= 2:
            raise Killed

    with pytest.raises(Killed):
        fit_in(tmp_path / "run", rows, small(threads=1), watch=kill)
    assert not (tmp_path / "run" / "model.json").exists()
    resumed = fit_in(tmp_path / "run", rows, small(threads=1))
    assert resumed.how == "resumed"
    for name, tensor in weights(whole.model).items():
        assert torch.equal(tensor, weights(resumed.model)[name]), name


def test_ctrl_c_leaves_the_best_so_far_and_no_result(tmp_path, rows):
    def interrupt(event):
        if event.epoch >= 1:
            raise KeyboardInterrupt

    done = fit_in(tmp_path / "run", rows, small(), watch=interrupt)
    assert done.how == "interrupted" and done.quality is None
    assert (tmp_path / "run" / "model.json").exists()
    assert json.loads((tmp_path / "run" / "fit.json").read_text())["result"] is None
    assert fit_in(tmp_path / "run", rows, small()).quality is not None


@pytest.mark.parametrize("change, said", [({"epochs": 5}, "epochs 3, now 5"), ({"lr": 0.1}, "lr")])
def test_other_settings_in_the_same_folder_are_refused_by_name(tmp_path, rows, change, said):
    fit_in(tmp_path / "run", rows, small())
    with pytest.raises(InputError, match=f"other settings \\(.*{said}"):
        fit_in(tmp_path / "run", rows, small(**change))


def test_other_data_in_the_same_folder_is_refused(tmp_path, rows):
    fit_in(tmp_path / "run", rows, small())
    X, y = rows.inputs[:100], np.asarray(rows.classes)[rows.labels[:100]]
    with pytest.raises(InputError, match="a run with other data"):
        fit_in(tmp_path / "run", load((X, y)), small())


@pytest.mark.parametrize("existed", [False, True])
def test_a_wrong_setting_leaves_no_run_behind_that_the_right_one_would_meet(
    tmp_path, rows, existed
):
    folder = tmp_path / "run"
    if existed:
        folder.mkdir()
    with pytest.raises(InputError, match="size must be one of"):
        fit_in(folder, rows, small(size="q"))
    assert folder.exists() == existed
    assert fit_in(folder, rows, small()).how == "finished now"


def test_a_folder_of_something_else_is_left_alone(tmp_path, rows):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"holds thesis\.txt.*another folder"):
        fit_in(tmp_path, rows, small())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path, rows):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is a file; give a folder"):
        fit_in(tmp_path / "out", rows, small())


@pytest.mark.parametrize("text", ["", "[]", '{"request": 3}', "\udcff"])
def test_a_damaged_run_file_is_named(tmp_path, rows, text):
    (tmp_path / "fit.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"fit\.json cannot be read.*Delete"):
        fit_in(tmp_path, rows, small())


def test_a_setting_that_a_family_lacks_is_named_with_those_it_has():
    with pytest.raises(InputError, match=r"logistic has no setting size; it has .*C"):
        make_model("logistic", {"size": "s", "random_state": 0})


# -- families that learn in stages -------------------------------------------------------------


@pytest.fixture(autouse=True)
def ink_in_the_catalogue(monkeypatch):
    monkeypatch.setitem(FAMILIES, "ink", Ink)


@pytest.fixture(scope="module")
def pictures(digits):
    return load((digits[0][:120], digits[1][:120]), labelled=False)


def stop_at(epoch, error):
    def watch(event):
        if event.epoch >= epoch:
            raise error

    return watch


@pytest.mark.parametrize("epoch", [1, 4])  # in the first of three epochs; in the second stage
def test_a_run_killed_in_any_stage_resumes_and_leaves_no_stage_behind(
    tmp_path, pictures, monkeypatch, epoch
):
    monkeypatch.setattr(stages, "train", partial(loop.train, checkpoint_seconds=0.0))
    whole = fit_in(tmp_path / "whole", pictures, Ink())
    with pytest.raises(Killed):
        fit_in(tmp_path / "run", pictures, Ink(), watch=stop_at(epoch, Killed()))
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left >= {"fit.json", "checkpoint.first.safetensors"} and "model.json" not in left
    assert ("checkpoint.second.safetensors" in left) == (epoch > 3)
    resumed = fit_in(tmp_path / "run", pictures, Ink())
    assert resumed.how == "resumed" and resumed.quality == whole.quality
    for name, tensor in weights(whole.model).items():
        assert torch.equal(tensor, weights(resumed.model)[name]), name
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "fit.json", "model.json", "model.safetensors",
    ]  # fmt: skip


def test_ctrl_c_in_a_stage_leaves_the_best_so_far_and_the_same_call_goes_on(tmp_path, pictures):
    done = fit_in(tmp_path / "run", pictures, Ink(), watch=stop_at(4, KeyboardInterrupt()))
    assert done.how == "interrupted" and done.told() == {"accuracy": None}
    assert (tmp_path / "run" / "model.json").exists()
    again = fit_in(tmp_path / "run", pictures, Ink())
    assert again.how == "resumed" and again.quality.unit == "nats"


def test_a_wrong_setting_of_a_staged_family_leaves_nothing_behind(tmp_path, pictures):
    with pytest.raises(InputError, match="epochs must be"):
        fit_in(tmp_path / "run", pictures, Ink(epochs=-1))
    assert not (tmp_path / "run").exists()


def test_the_log_likelihood_is_that_of_the_test_part_counted_by_hand(tmp_path, pictures):
    done = fit_in(tmp_path / "run", pictures, Ink())
    scores = done.model.score_samples(pictures.test.X)
    assert done.quality.value == pytest.approx(scores.mean())
    assert done.quality.details["items"] == len(scores)
    assert set(done.told()) == {"log_likelihood"}


def test_a_model_without_a_likelihood_is_scored_by_what_it_finds_strange(tmp_path, pictures):
    class Mute(Ink):
        def score_samples(self, X):
            raise InputError("no likelihood")

    done = fit_in(tmp_path / "run", pictures, Mute())
    assert done.quality.unit == "AUROC" and 0 <= done.quality.value <= 1
    assert set(done.told()) == {"auroc"}


def test_a_family_of_labels_gives_way_to_its_counterpart_where_numbers_are_learnt():
    assert make_model("dsn", {"size": "s"}, (), "regression").family == "dsn_regressor"
    assert make_model("dsn", {}, (), "classification").family == "dsn"
    assert make_model("dsn_regressor", {}).family == "dsn_regressor"
    assert make_model("logistic", {}, (), "regression").family == "logistic"
