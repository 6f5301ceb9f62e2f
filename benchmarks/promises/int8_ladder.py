"""Int8 exports of the whole ladder, verified with and without VNNI.

    python benchmarks/promises/int8_ladder.py [--sizes xxs xs s m l] [--epochs 6] [--out FOLDER]

Every rung of CNN and DNN is trained for a moment on scikit-learn's digits (1,347 train, 450 test),
quantised with weights of 7 and of 8 bits, and exported to ONNX and OpenVINO here. Then the files
are run in processes of their own, on this processor as it is and as one with AVX2 alone
(plain_cpu.c: x86-64 Linux whose /proc/cpuinfo lists cpuid_fault, and a C compiler), three ways:

    ours      as depthwise runs them (`run_onnx`, `run_openvino`)
    others'   as any program does: ONNX Runtime and OpenVINO with their own defaults

A cell is the share of the test items whose class is the int8 model's own, the worst of the files;
"same" is all of them. `export` refuses what the binomial law says is under 99% (picking.py).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
SIZES = ["xxs", "xs", "s", "m", "l"]
PLAIN = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=SIZES)
    parser.add_argument("--families", nargs="+", default=["cnn", "dnn"])
    parser.add_argument("--epochs", type=float, default=6)
    parser.add_argument("--out", help="keep the files here")
    parser.add_argument("--check", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.check:
        print(json.dumps(check(Path(given.check))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(given.out or scratch)
        ladder(given.families, given.sizes, given.epochs, out, shim(Path(scratch)))


def ladder(families: list[str], sizes: list[str], epochs: float, out: Path, plain: Any) -> None:
    heads = ["rung", "bits", "fp32 right", "int8 right"]
    for who in ("as it is", "AVX2 alone"):
        heads += [f"{who}: ours", f"{who}: others'"]
    print("| " + " | ".join(heads) + " |\n|" + " --- |" * len(heads))
    for family in families:
        for size in sizes:
            for bits, right, folder in exported(family, size, epochs, out):
                cells = [f"{family}-{size}", str(bits), *(f"{100 * share:.1f}%" for share in right)]
                for environment in ({}, plain):
                    cells += told(folder, environment)
                print("| " + " | ".join(cells) + " |", flush=True)


def exported(family: str, size: str, epochs: float, out: Path) -> Any:
    """(bits, shares right of fp32 and int8, folder) of both kinds of a rung."""
    from depthwise import load_data
    from depthwise.catalog import FAMILIES
    from depthwise.exporting import export
    from depthwise.reshaping.quantise import quantise

    data = load_data("digits", cache=False)
    model: Any = FAMILIES[family](size=size, epochs=epochs, threads=1).fit(data)
    X, y = data.test
    truth = np.asarray(data.classes)[y].astype(str)
    right = float((model.predict(X).astype(str) == truth).mean())
    for bits in (7, 8):
        small = quantise(model, data.train.X[:512], weight_bits=bits)
        folder = out / f"{family}-{size}-{bits}"
        for to in ("onnx", "openvino"):
            export(small, to, folder, X)
        np.savez(folder / "check.npz", X=X, answers=answers(small, X))
        yield bits, (right, float((small.predict(X).astype(str) == truth).mean())), folder


def answers(model: Any, X: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        told: np.ndarray = model.network_(torch.from_numpy(X)).numpy()
        return told


def check(folder: Path) -> dict[str, list[float]]:
    """Shares of the items with the class of the int8 model, by who runs the files."""
    import onnxruntime
    import openvino

    from depthwise.runtimes.onnx_runtime import run_onnx
    from depthwise.runtimes.openvino_runtime import run_openvino

    kept = np.load(folder / "check.npz")
    X, wanted = kept["X"], kept["answers"].argmax(axis=1)
    graph = (folder / "model.onnx").read_bytes()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(folder / "model.xml"), "CPU")
    runs: dict[str, list[Any]] = {
        "ours": [run_onnx(graph, "int8", 1), run_openvino(folder / "model.xml", "int8", 1)],
        "others'": [lambda x: session.run(None, {"inputs": x})[0], lambda x: compiled(x)[0]],
    }
    return {
        who: [float((run(X).argmax(axis=1) == wanted).mean()) for run in each]
        for who, each in runs.items()
    }


def told(folder: Path, environment: dict[str, str] | None) -> list[str]:
    if environment is None:
        return ["not simulated here"] * 2
    command = [sys.executable, str(Path(__file__)), "--check", str(folder)]
    for _ in range(3):  # the handler of plain_cpu.c is at the mercy of other people's threads
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True
        )
        if done.returncode == 0:
            shares = json.loads(done.stdout.splitlines()[-1]).values()
            return ["same" if min(each) == 1 else f"{100 * min(each):.1f}%" for each in shares]
    return [f"failed ({done.returncode})"] * 2


def shim(folder: Path) -> dict[str, str] | None:
    """What makes a process see AVX2 alone, where that can be done."""
    place, cpu = folder / "plain_cpu.so", Path("/proc/cpuinfo")
    if not cpu.exists() or "cpuid_fault" not in cpu.read_text():
        return None
    build = ["cc", "-O2", "-shared", "-fPIC", "-o", str(place), str(HERE / "plain_cpu.c")]
    if subprocess.run(build, capture_output=True).returncode:
        return None
    return {**PLAIN, "LD_PRELOAD": str(place)}


if __name__ == "__main__":
    main()
