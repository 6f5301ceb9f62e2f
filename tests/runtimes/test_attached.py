"""A model keeps to its quickest runtime, through saving too, and does without where it must."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthwise import DNN, DeepAutoencoder
from depthwise import load as load_model
from depthwise.errors import InputError, ModelFileError
from depthwise.measuring.scorecard import measure
from depthwise.reshaping.quantise import quantise
from depthwise.runtimes.attached import best_runtime

pytestmark = pytest.mark.numerical

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def data() -> Data:
    rng = np.random.default_rng(2)
    y = np.arange(60) % 3
    X = rng.integers(0, 40, (60, 1, 5, 3), dtype=np.uint8)
    X[np.arange(60), 0, y] += 180
    return X, y


@pytest.fixture(scope="module")
def fitted(data: Data) -> DNN:
    return DNN(hidden=(6,), epochs=8, lr=0.02).fit(*data)


@pytest.fixture
def model(fitted: DNN) -> DNN:
    return copy.deepcopy(fitted)


@pytest.fixture(scope="module")
def by_onnx(fitted: DNN, data: Data) -> DNN:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    model = quantise(fitted, data[0])
    best_runtime(model, data[0], seconds=0.1, candidates=[("onnxruntime", "int8")], threads=[1])
    return model


def run_eagerly(model: DNN, data: Data) -> dict[str, Any]:
    return best_runtime(model, data[0], seconds=0.05, candidates=[("eager", "fp32")], threads=[1])


def test_model_predicts_by_its_runtime(by_onnx: DNN, fitted: DNN, data: Data) -> None:
    X, _ = data
    assert by_onnx.runtime_ == {"name": "onnxruntime", "precision": "int8", "threads": 1}
    assert by_onnx.running_ is not None
    program = by_onnx.running_.program()
    assert program is not None
    asked: list[int] = []
    plain = program.run
    program.run = lambda x: asked.append(len(x)) or plain(x)  # type: ignore[func-returns-value]
    np.testing.assert_array_equal(by_onnx.predict(X), fitted.predict(X))
    program.run = plain
    assert asked == [60]


def test_saved_model_runs_by_its_runtime_and_copies_do(
    by_onnx: DNN, data: Data, tmp_path: Path
) -> None:
    X, _ = data
    again = load_model(by_onnx.save(tmp_path))
    assert again.runtime_ == by_onnx.runtime_ and (tmp_path / "model.onnx").is_file()
    for twin in (again, copy.deepcopy(by_onnx), pickle.loads(pickle.dumps(by_onnx))):
        assert twin.runtime_ == by_onnx.runtime_
        np.testing.assert_array_equal(twin.predict_proba(X), by_onnx.predict_proba(X))


def test_without_the_library_torch_answers_after_one_warning(
    by_onnx: DNN, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from depthwise.runtimes import attached

    def fails(*given: object) -> None:
        raise ImportError("No module named 'onnxruntime'")

    again = load_model(by_onnx.save(tmp_path))
    monkeypatch.setitem(attached.READERS, "onnxruntime", fails)
    with pytest.warns(UserWarning, match="torch runs it instead"):
        again.predict(data[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(again.predict(data[0]), by_onnx.predict(data[0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "nothing"}, "does not describe"),
        ({"name": "eager"}, "does not describe"),
        ({"precision": "int9"}, "does not describe"),
        ({"threads": 0}, "does not describe"),
        ({"threads": "2"}, "does not describe"),
        ({"graph_sha256": None}, "does not describe"),
        ({"graph_sha256": "00"}, "not the file that was saved"),
    ],
)
def test_damaged_choices_are_refused(
    by_onnx: DNN, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = by_onnx.save(tmp_path) / "model.json"
    stored = json.loads(path.read_text())
    stored["runtime"].update(change)
    path.write_text(json.dumps(stored))
    with pytest.raises(ModelFileError, match=message):
        load_model(tmp_path)


def test_swapped_graph_is_refused(by_onnx: DNN, tmp_path: Path) -> None:
    by_onnx.save(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"another")
    with pytest.raises(ModelFileError, match=r"model\.onnx is not the file"):
        load_model(tmp_path)


def test_learning_more_forgets_the_runtime(model: DNN, data: Data) -> None:
    choice = run_eagerly(model, data)
    assert choice["latency_ms"] > 0 and choice["tried"][0]["name"] == "eager"
    assert model.runtime_ == {"name": "eager", "precision": "fp32", "threads": 1}
    model.partial_fit(*data)
    assert model.runtime_ is None
    run_eagerly(model, data)
    model.fit(*data)
    assert model.runtime_ is None


def test_another_network_forgets_the_runtime(model: DNN, data: Data) -> None:
    run_eagerly(model, data)
    assert model.runtime_ is not None
    assert quantise(model, data[0]).runtime_ is None


def test_scorecard_is_timed_by_the_runtime_and_says_which(
    by_onnx: DNN, model: DNN, data: Data
) -> None:
    card = measure(by_onnx, seconds=0.1, flexibility=False)
    assert card.latency is not None and card.throughput is not None
    assert card.latency.details["runtime"] == card.throughput.details["runtime"] == "onnxruntime"
    assert card.latency.details["threads"] == 1
    plain = measure(model, seconds=0.1, flexibility=False)
    assert plain.latency is not None and plain.latency.details["runtime"] == "torch"
    with pytest.raises(InputError, match="flexibility must be"):
        measure(model, flexibility="some")


def test_models_that_predict_nothing_are_told_so(data: Data) -> None:
    model = DeepAutoencoder(hidden=(4,), code_size=2, epochs=1).fit(data[0])
    with pytest.raises(InputError, match="models that predict"):
        best_runtime(model, data[0])
    with pytest.raises(InputError, match="at least 1"):
        best_runtime(DNN(hidden=(3,), epochs=1).fit(*data), data[0][:0])
