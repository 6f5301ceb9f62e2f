"""An exported file answers as the model does, by a script that knows nothing of depthwise."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from depthwise import DNN
from depthwise.catalog import FAMILIES
from depthwise.errors import InputError, MissingExtraError
from depthwise.exporting import FORMATS, export
from depthwise.exporting.export import _tokens
from depthwise.reshaping.quantise import quantise
from depthwise.runtimes import Program

pytestmark = pytest.mark.numerical

Data = tuple[np.ndarray, np.ndarray]
# whose networks are least like a plain stack of layers; the others: benchmarks/costs/support_matrix
BRIEF: dict[str, dict[str, Any]] = {
    "dsn": {"n_modules": 2, "hidden": 6, "epochs": 1},
    "dbm": {"hidden": (5, 4), "epochs": 1, "pretrain_epochs": 1},
}


@pytest.fixture(scope="module")
def data() -> Data:
    rng = np.random.default_rng(4)
    y = np.array(["ant", "bee", "cow"])[np.arange(48) % 3]
    X = rng.integers(0, 60, (48, 1, 4, 5), dtype=np.uint8)
    X[np.arange(48), 0, np.arange(48) % 3] += 170
    return X, y


@pytest.fixture(scope="module")
def dnn(data: Data) -> DNN:
    return DNN(hidden=(5,), epochs=6, lr=0.02).fit(*data)


def require(to: str) -> None:
    if remedy := FORMATS[to].requires():
        pytest.skip(remedy)


def told_by_script(folder: Path, script: Path, items: np.ndarray) -> list[str]:
    np.save(folder / "items.npy", items)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder / "items.npy")],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    return done.stdout.split()


@pytest.mark.parametrize("to", ["onnx", "torch-export", "openvino"])
def test_script_without_depthwise_tells_the_models_classes(
    dnn: DNN, data: Data, to: str, tmp_path: Path
) -> None:
    require(to)
    done = export(dnn, to, tmp_path / "out", data[0])
    assert done.real and done.same_class == 1.0 and done.max_difference < 1e-5
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *FORMATS[to].files,
        done.script.name,
    }
    text = done.script.read_text()
    assert "import depthwise" not in text and len(text.splitlines()) <= 60
    told = told_by_script(tmp_path, done.script, data[0][:7])
    assert told == dnn.predict(data[0][:7]).tolist()


@pytest.mark.parametrize("family", BRIEF)
def test_classifiers_of_the_catalogue_become_onnx(family: str, data: Data, tmp_path: Path) -> None:
    require("onnx")
    model: Any = FAMILIES[family]()
    known = model.get_params()
    model.set_params(**{k: v for k, v in BRIEF[family].items() if k in known}).fit(*data)
    assert export(model, "onnx", tmp_path, data[0]).same_class == 1.0


def test_trees_are_a_network_like_any_other(data: Data, tmp_path: Path) -> None:
    model = FAMILIES["boosting"](max_iter=2).fit(*data)
    assert export(model, "torch-export", tmp_path, data[0]).max_difference < 1e-6


def test_int8_model_becomes_onnx_with_its_bytes_and_names(
    dnn: DNN, data: Data, tmp_path: Path
) -> None:
    require("onnx")
    import onnx

    model = quantise(dnn, data[0])
    done = export(model, "onnx", tmp_path, data[0])
    assert done.same_class is not None and done.same_class >= 0.99
    written = onnx.load(done.files[0])
    dtypes = {tensor.data_type for tensor in written.graph.initializer if len(tensor.dims) == 2}
    assert dtypes == {onnx.TensorProto.INT8}
    about = json.loads({p.key: p.value for p in written.metadata_props}["about"])
    assert about["classes"] == ["ant", "bee", "cow"] and about["shrunk"] == ["folded", "int8"]
    assert about["input_dtype"] == "uint8" and about["input_shape"] == [1, 4, 5]
    batch = written.graph.input[0].type.tensor_type.shape.dim[0]
    assert batch.dim_param and not batch.dim_value


# -- refusals ------------------------------------------------------------------------------------


def test_wrong_arguments_are_named(dnn: DNN, data: Data, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="onnx, torch-export, openvino, executorch; got 'tflite'"):
        export(dnn, "tflite", tmp_path)
    with pytest.raises(InputError, match=r"samples must be \(N, 1, 4, 5\)"):
        export(dnn, "torch-export", tmp_path, data[0][:, :, :3])
    with pytest.raises(InputError, match="not fitted"):
        export(DNN(), "torch-export", tmp_path)


def test_missing_library_is_told_with_the_extra(
    dnn: DNN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from depthwise.runtimes import executorch_runtime, onnx_graph

    for place in (onnx_graph, executorch_runtime):
        monkeypatch.setattr(place, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install \"depthwise\[export\]\""):
        export(dnn, "onnx", tmp_path)
    with pytest.raises(MissingExtraError, match=r"depthwise\[export,openvino\]"):
        export(dnn, "openvino", tmp_path)
    with pytest.raises(MissingExtraError, match=r"depthwise\[mobile\]"):
        export(dnn, "executorch", tmp_path)


class Wrong(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.flatten(x, 1)[:, :3].float()


def test_file_that_answers_otherwise_is_not_left(
    dnn: DNN, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    honest = FORMATS["torch-export"]

    def write(network: nn.Module, *rest: Any) -> None:
        honest.write(Wrong(), *rest)

    monkeypatch.setitem(FORMATS, "torch-export", dataclasses.replace(honest, write=write))
    with pytest.raises(InputError, match="does not answer as the model"):
        export(dnn, "torch-export", tmp_path / "out", data[0])
    assert not (tmp_path / "out").exists()


def saturating(read: Callable[[Path], Program]) -> Callable[[Path], Program]:
    """Reads files so that they run as on a processor whose products lose what is beyond 16 bits."""

    def run(folder: Path) -> Program:
        program = read(folder)
        return Program(lambda x: -program(x), "int8", 1)

    return run


def test_flaw_of_this_processor_does_not_veto_an_int8_file(
    dnn: DNN, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dataclasses

    model, honest = quantise(dnn, data[0]), FORMATS["torch-export"]
    flawed = dataclasses.replace(
        honest, read=saturating(honest.read), read_slowly=honest.read, runtime="torch.export"
    )
    monkeypatch.setitem(FORMATS, "torch-export", flawed)
    done = export(model, "torch-export", tmp_path / "out", data[0])
    assert done.same_class == 1.0 and done.files[0].exists()
    assert "Not verified with torch.export's 8-bit products" in str(done)
    with pytest.raises(InputError, match="does not answer as the model"):
        export(dnn, "torch-export", tmp_path / "float", data[0])  # no bytes: no excuse
    wrong = dataclasses.replace(flawed, read_slowly=saturating(honest.read))
    monkeypatch.setitem(FORMATS, "torch-export", wrong)
    with pytest.raises(InputError, match="does not answer as the model"):
        export(model, "torch-export", tmp_path / "wrong", data[0])


@pytest.mark.parametrize("to", ["onnx", "openvino"])
@pytest.mark.parametrize("bits", [7, 8])
def test_int8_files_are_verified_on_any_processor(
    dnn: DNN, data: Data, tmp_path: Path, to: str, bits: int
) -> None:
    """`make test-plain-cpu` runs this where products saturate."""
    require(to)
    done = export(quantise(dnn, data[0], weight_bits=bits), to, tmp_path, data[0])
    assert done.max_difference < 0.02 and "Not verified" not in done.note
    assert ("other programs may answer otherwise" in done.note) == (bits == 8)


def test_compiler_that_fails_is_one_line(
    dnn: DNN, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Branching(Wrong):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if bool(x.float().mean() > 3) else super().forward(x) * 2

    monkeypatch.setattr(dnn, "network_", Branching())
    with pytest.raises(InputError, match="cannot be written as torch-export") as caught:
        export(dnn, "torch-export", tmp_path / "out", data[0])
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


# -- command -------------------------------------------------------------------------------------


def test_command_exports_and_tells(
    dnn: DNN, data: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from depthwise.commands.export import export as command

    dnn.save(tmp_path / "model")
    np.savez(tmp_path / "data.npz", X=data[0], y=data[1])
    options = {"out": str(tmp_path / "out"), "quiet": True}
    command(str(tmp_path / "model"), to="torch-export", data=str(tmp_path / "data.npz"), **options)
    assert "real samples" in capsys.readouterr().out
    command(str(tmp_path / "model"), to="torch-export", json=True, **options)
    assert json.loads(capsys.readouterr().out)["real"] is False
    with pytest.raises(InputError, match="--data"):
        command(str(tmp_path / "model"), precision="int8", **options)


def test_made_up_texts_differ_so_that_answers_do() -> None:
    made = _tokens(SimpleNamespace(input_shape_=(2, 16)), None)
    assert made.shape == (64, 2, 16) and set(np.unique(made)) == {0, 1}
    assert len(np.unique(made, axis=0)) == 64 and made[..., 0].all()
