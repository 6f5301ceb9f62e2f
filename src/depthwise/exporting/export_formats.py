"""What a network can be written as: files in a folder, and a Program of them to check by.

    onnx           model.onnx               ONNX Runtime, OpenVINO, browsers, most accelerators
    torch-export   model.pt2                torch without its Python
    openvino       model.xml, model.bin     OpenVINO without reading ONNX first
    executorch     model.pte, about.json    phones and boards; one item at a time

Each file holds `about` as JSON text: class names, shape and kind of the raw inputs, what is done to
them inside. What is missing on this machine is told by `requires`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthwise.runtimes import RUNTIMES, Program
from depthwise.runtimes.executorch_runtime import run_executorch, to_executorch
from depthwise.runtimes.exported import export_program
from depthwise.runtimes.onnx_graph import to_onnx
from depthwise.runtimes.onnx_runtime import run_onnx
from depthwise.runtimes.openvino_runtime import run_openvino
from depthwise.runtimes.program import torch_program

__all__ = ["FORMATS", "Format"]

About = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """`write(network, example, about, folder)` makes the files; `read(folder)` runs them, and
    `read_slowly` without this processor's 8-bit products, None where none are used."""

    files: tuple[str, ...]
    runtime: str
    write: Callable[[nn.Module, Tensor, About, Path], None]
    read: Callable[[Path], Program]
    read_slowly: Callable[[Path], Program] | None = None
    largest_batch: int = 4096

    def requires(self) -> str | None:
        """What to do before it can be written and checked here; None for nothing."""
        return RUNTIMES[self.runtime].available()


def _write_onnx(network: nn.Module, example: Tensor, about: About, folder: Path) -> None:
    graph = to_onnx(network, example, metadata={"about": json.dumps(about)})
    (folder / "model.onnx").write_bytes(graph)


def _read_onnx(folder: Path, in_bytes: bool = True) -> Program:
    return run_onnx((folder / "model.onnx").read_bytes(), "fp32", 1, in_bytes=in_bytes)


def _write_torch(network: nn.Module, example: Tensor, about: About, folder: Path) -> None:
    program = export_program(network, example)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = {"about.json": json.dumps(about)}
        torch.export.save(program, folder / "model.pt2", extra_files=kept)


def _read_torch(folder: Path) -> Program:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch_program(torch.export.load(folder / "model.pt2").module(), "fp32", 1)


def _write_openvino(network: nn.Module, example: Tensor, about: About, folder: Path) -> None:
    import openvino

    model = openvino.Core().read_model(to_onnx(network, example))
    model.set_rt_info(json.dumps(about), "about")
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)


def _read_openvino(folder: Path, in_bytes: bool = True) -> Program:
    return run_openvino(folder / "model.xml", "fp32", 1, in_bytes=in_bytes)


def _write_executorch(network: nn.Module, example: Tensor, about: About, folder: Path) -> None:
    graph = to_executorch(network, example[:1])
    (folder / "model.pte").write_bytes(graph)
    (folder / "about.json").write_text(json.dumps(about))


def _read_executorch(folder: Path) -> Program:
    return run_executorch((folder / "model.pte").read_bytes(), "fp32", 1)


FORMATS: dict[str, Format] = {
    "onnx": Format(
        ("model.onnx",), "onnxruntime", _write_onnx, _read_onnx, partial(_read_onnx, in_bytes=False)
    ),
    "torch-export": Format(("model.pt2",), "torch.export", _write_torch, _read_torch),
    "openvino": Format(
        ("model.xml", "model.bin"),
        "openvino",
        _write_openvino,
        _read_openvino,
        partial(_read_openvino, in_bytes=False),
    ),
    "executorch": Format(
        ("model.pte", "about.json"),
        "executorch",
        _write_executorch,
        _read_executorch,
        largest_batch=1,
    ),
}
