"""The runtime is picked by measurement: what that gains over eager torch, and over work by hand.

    python benchmarks/costs/runtime_choice.py [--epochs 2] [--seconds 10] [--rounds 3]

The network is conv32-conv64-pool-fc128-10 (1.2 million weights, 12 million products), trained here
for a moment, once (kept in benchmarks/out). Then, one thread, contenders taking turns in short
bursts, each judged by the median of its quietest burst (a batch takes longer than a turn on a busy
core, so that its processor time counts). Run it twice: a process that has just trained keeps its
freed memory, which makes eager torch twice as fast as in a plain one.

    eager        the trained network, as torch runs it, NCHW fp32
    ours         the int8 model after `best_runtime`, by its program, arrays in and out
    by hand      torch.onnx.export of the same network; onnxruntime.quantization.quantize_static
                 (QDQ, per channel, 512 images); both files by ONNX Runtime and by OpenVINO

at batch 1 and batch 256. Accuracy is on all 10,000 test images.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from depthwise import CNN, load_data
from depthwise.layers import Standardise
from depthwise.reshaping.quantise import METHODS, quantise
from depthwise.runtimes.attached import best_runtime
from depthwise.runtimes.onnx_graph import INPUT, to_onnx
from depthwise.runtimes.picking import race

HERE = Path(__file__).resolve().parents[1]
SHARED = HERE.parents[1] / "shared" / "data"


class SmallCNN(CNN):
    """The network of the baseline figures."""

    def build(self, input_shape: tuple[int, ...], n_classes: int) -> nn.Module:
        return nn.Sequential(
            Standardise(input_shape[0], image=True),
            nn.Conv2d(input_shape[0], 32, 3),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * 12 * 12, 128),
            nn.ReLU(),
            nn.Linear(128, n_classes),
        )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--epochs", type=float, default=2)
    asked.add_argument("--seconds", type=float, default=10, help="of timing, a batch and round")
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--method", default="minmax", choices=METHODS)
    given = asked.parse_args()
    torch.set_num_threads(1)
    began, cpu = time.perf_counter(), time.process_time()
    name = "fashion-mnist" if (SHARED / "fashion-mnist").exists() else "mnist"
    data = load_data(str(SHARED / name))
    model = trained(data, given.epochs, HERE / "out" / f"small_cnn_{name}.safetensors")
    X, y = data.test
    labels = np.asarray(data.classes)[y]
    samples = data.train.X[:512]

    small = quantise(model, samples, method=given.method)
    say(f"{name}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    report_accuracy(model, small, X, labels)
    programs: dict[str, Any] = {"eager fp32": eager(model.network_)}
    with tempfile.TemporaryDirectory() as scratch:
        programs |= by_hand(model, samples, Path(scratch))
        for batch in (1, 256):
            contest(programs, small, X, samples, batch, given.seconds, given.rounds)
    say(f"{time.process_time() - cpu:.0f} CPU s, {time.perf_counter() - began:.0f} s")


def trained(data: Any, epochs: float, kept: Path) -> CNN:
    model = SmallCNN(epochs=epochs, lr=0.003, augment=None, threads=1)
    if kept.exists():  # no training here: it changes how the process gets its memory
        from safetensors.torch import load_file

        model.input_shape_, model.input_dtype_ = data.input_shape, "uint8"
        model.n_features_in_ = int(np.prod(data.input_shape))
        model.classes_ = np.asarray(data.classes)
        model.network_ = model.build(data.input_shape, len(data.classes)).eval()
        model.network_.load_state_dict(load_file(kept))
        return model
    from safetensors.torch import save_file

    model.fit(data)
    kept.parent.mkdir(exist_ok=True)
    save_file(model.network_.state_dict(), kept)
    return trained(data, epochs, kept)


def report_accuracy(model: CNN, small: CNN, X: Any, labels: Any) -> None:
    before, after = model.score(X, labels), small.score(X, labels)
    say(f"accuracy: fp32 {before:.2%}, int8 {after:.2%}, lost {100 * (before - after):+.2f} points")


def eager(network: nn.Module) -> Any:
    def run(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(x)).numpy()

    return run


def by_hand(model: CNN, samples: np.ndarray, scratch: Path) -> dict[str, Any]:
    """The fp32 file and the one that ONNX Runtime's own tool makes of it, by both runtimes."""
    import onnxruntime
    import openvino
    from onnxruntime import quantization as tool
    from onnxruntime.quantization.shape_inference import quant_pre_process

    files = {"fp32": scratch / "fp32.onnx", "int8": scratch / "int8.onnx"}
    files["fp32"].write_bytes(to_onnx(model.network_, torch.from_numpy(samples)))
    quant_pre_process(str(files["fp32"]), str(scratch / "ready.onnx"))

    class Reader(tool.CalibrationDataReader):
        def __init__(self) -> None:
            self.parts = iter(np.split(samples, 8))

        def get_next(self) -> dict[str, np.ndarray] | None:
            part = next(self.parts, None)
            return None if part is None else {INPUT: part}

    tool.quantize_static(
        str(scratch / "ready.onnx"),
        str(files["int8"]),
        Reader(),
        quant_format=tool.QuantFormat.QDQ,
        per_channel=True,
        activation_type=tool.QuantType.QUInt8,
        weight_type=tool.QuantType.QInt8,
    )
    programs: dict[str, Any] = {}
    for precision, file in files.items():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        programs[f"by hand: ONNX Runtime {precision}"] = lambda x, s=session: s.run(
            None, {INPUT: x}
        )[0]
        compiled = openvino.Core().compile_model(
            str(file), "CPU", {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
        )
        request = compiled.create_infer_request()
        programs[f"by hand: OpenVINO {precision}"] = lambda x, r=request: r.infer({0: x})[0]
    return programs


def contest(
    programs: dict[str, Any],
    small: CNN,
    X: np.ndarray,
    samples: np.ndarray,
    batch: int,
    seconds: float,
    rounds: int,
) -> None:
    choice = best_runtime(small, samples, batch=batch, seconds=seconds, threads=[1])
    assert small.running_ is not None
    programs = {**programs, "ours": small.running_.program()}
    say(f"batch {batch}: best_runtime chose {choice['name']} {choice['precision']}")
    items = np.ascontiguousarray(X[:batch])
    runs = [lambda p=program: p(items) for program in programs.values()]
    times = np.array([race(runs, seconds) for _ in range(rounds)])  # (rounds, contenders)
    best = times.min(axis=0)
    names = list(programs)
    for name, took, each in zip(names, best, times.T, strict=True):
        spread = f"{1e6 * each.min():.0f} .. {1e6 * each.max():.0f}"
        faster = best[0] / took
        say(f"  {name:<28} {1e6 * took:9.0f} us ({spread}), {batch / took:9.0f}/s, {faster:5.1f}x")
    hand = min(t for n, t in zip(names, best, strict=True) if n.startswith("by hand"))
    ours = best[names.index("ours")]
    say(f"  ours: {best[0] / ours:.1f}x eager, {hand / ours:.2f}x the best by hand")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
