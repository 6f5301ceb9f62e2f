"""Every runtime gives the network's own answers; the quickest is found by running them."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from depthwise.layers import Standardise
from depthwise.reshaping.quantise import quantise_network
from depthwise.runtimes import RUNTIMES, Program, compiled, picking
from depthwise.runtimes.eager import Eager
from depthwise.runtimes.onnx_graph import sharing_graphs
from depthwise.runtimes.onnx_runtime import run_onnx
from depthwise.runtimes.picking import agrees, race, rank, too_many
from depthwise.runtimes.saturation import probe, saturates

pytestmark = pytest.mark.numerical

NEEDED = {"onnxruntime": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("openvino",)}


def small_cnn() -> nn.Sequential:
    """Two convolutions, a pool, two linear layers, of 6 x 7 pixels."""
    torch.manual_seed(0)
    standardise = Standardise(1, image=True)
    standardise.set_statistics(torch.tensor([120.0]), torch.tensor([70.0]))
    layers = [standardise, nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(5 * 3 * 3, 7), nn.ReLU(), nn.Linear(7, 3)]
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    return small_cnn()


@pytest.fixture(scope="module")
def samples() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (20, 1, 6, 7), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def whole(network: nn.Sequential, samples: torch.Tensor) -> nn.Sequential:
    """The network in 8-bit numbers."""
    return quantise_network(network, samples)


@pytest.fixture(scope="module", autouse=True)
def files_made_once() -> Iterator[None]:
    with sharing_graphs():
        yield


@pytest.mark.parametrize(
    "name", ["eager", "channels-last", "torch.export", "onnxruntime", "openvino"]
)
def test_a_runtime_answers_as_eager_does_at_any_batch(
    name: str, network: nn.Sequential, whole: nn.Sequential, samples: torch.Tensor
) -> None:
    for package in NEEDED.get(name, ()):
        pytest.importorskip(package)
    with torch.inference_mode():
        expected = network(samples).numpy()
        rounded = whole(samples).numpy()
    for precision, truth, within in (("fp32", expected, 1e-5), ("int8", rounded, tie(whole))):
        wanted = whole if precision == "int8" else network
        program = RUNTIMES[name].prepare(wanted, samples, precision=precision)
        for batch in (1, 7, 20):
            given = program(samples[:batch].numpy())
            np.testing.assert_allclose(given, truth[:batch], atol=within)


def tie(whole: nn.Sequential) -> float:
    """What a value rounded the other way may do to an answer: a value of the convolution, a step
    that the linear layers above enlarge by their weights, at most; or one of the linear layer."""
    conv, first, last = whole[1], whole[5], whole[7]
    later = float(last.weight.abs().max())
    through = first.weight.abs().max(dim=0).values.max() * last.weight.abs().sum(dim=1).max()
    return float(conv.outgoing.scale * through) + float(first.outgoing.scale) * later


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_weights_of_eight_bits_are_exact_too_whatever_the_processor(
    name: str, network: nn.Sequential, samples: torch.Tensor
) -> None:
    for package in NEEDED[name]:
        pytest.importorskip(package)
    wide = quantise_network(network, samples, weight_bits=8)
    with torch.inference_mode():
        expected = wide(samples).numpy()
    given = RUNTIMES[name].prepare(wide, samples, precision="int8")(samples.numpy())
    np.testing.assert_allclose(given, expected, atol=tie(wide))


def test_a_processor_that_saturates_is_found_by_its_answers() -> None:
    """Referees: the probe's file multiplied exactly, and in pairs of 16 bits (numpy)."""
    onnx = pytest.importorskip("onnx")
    weights = onnx.numpy_helper.to_array(onnx.load_from_string(probe()).graph.initializer[0])
    pairs = weights.astype(np.int64).reshape(16, 32, 2)

    def run(most: int) -> Callable[[bytes], Any]:
        products = np.minimum(255 * pairs.sum(axis=2), most).sum(axis=1) * 1e-4  # (16,)
        return lambda graph: lambda pixels: np.broadcast_to(products[:, None, None], (1, 16, 4, 4))

    assert saturates(run(2**15 - 1)) and not saturates(run(2**31 - 1))
    if RUNTIMES["onnxruntime"].available() is None:
        assert not saturates(lambda graph: run_onnx(graph, "int8", 1))  # it is told not to


def test_int8_graph_is_computed_in_bytes_from_the_pixels_on(
    whole: nn.Sequential, samples: torch.Tensor, tmp_path: Path
) -> None:
    """Referee: what ONNX Runtime's own optimiser makes of the file."""
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    graph = RUNTIMES["onnxruntime"].prepare(whole, samples, precision="int8").graph
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert kinds["QLinearConv"] == 1 and kinds["QGemm"] == 2
    assert not kinds.keys() & {"Conv", "Gemm", "Relu", "QuantizeLinear", "DequantizeLinear"}
    made = onnx.load_from_string(graph)
    assert made.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert b"/" not in b"".join(node.SerializeToString() for node in made.graph.node)  # no paths


def test_relu_stays_where_bytes_may_stand_for_numbers_below_zero() -> None:
    onnx = pytest.importorskip("onnx")
    from depthwise.runtimes.whole_numbers import compute_in_whole_numbers

    for zero_point, kept in ((0, []), (3, ["Relu"])):
        nodes = [
            onnx.helper.make_node("DequantizeLinear", ["q", "s", "z"], ["x"]),
            onnx.helper.make_node("Relu", ["x"], ["r"]),
            onnx.helper.make_node("Neg", ["r"], ["y"]),
        ]
        graph = onnx.helper.make_graph(
            nodes,
            "g",
            [onnx.helper.make_tensor_value_info("q", onnx.TensorProto.UINT8, [2])],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2])],
            [
                onnx.numpy_helper.from_array(np.float32(0.5), "s"),
                onnx.numpy_helper.from_array(np.uint8(zero_point), "z"),
            ],
        )
        model = compute_in_whole_numbers(onnx.helper.make_model(graph))
        assert [node.op_type for node in model.graph.node if node.op_type == "Relu"] == kept


def test_without_a_compiler_torch_compile_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    assert "install g++" in (RUNTIMES["torch.compile"].available() or "")


# -- picking -------------------------------------------------------------------------------------


def test_race_knows_the_quicker_one() -> None:
    times = race([lambda: sum(range(9000)), lambda: sum(range(3000))], seconds=0.2)
    assert 0 < times[1] < times[0]


def test_long_runs_of_one_thread_count_by_the_processors_time() -> None:
    """Waiting, as for a core that others hold, is not the program's; of several threads it is."""
    waits = [lambda: time.sleep(0.004)] * 2
    alone, several = race(waits, seconds=0.1, threads=[1, 2])
    assert alone < 0.002 and several >= 0.004


def test_agreement_is_of_probabilities_and_of_classes() -> None:
    logits = np.array([[0.0, 1.0], [2.0, 0.0]])
    assert agrees("fp32", logits, logits, True) == ""
    assert agrees("fp32", logits + 5, logits, True) == ""  # softmax is the same
    assert "differs" in agrees("fp32", logits * 1.1, logits, True)
    assert agrees("int8", logits * 1.1, logits, True) == ""
    assert "50.0% of 2 same" in agrees("int8", logits[:, ::-1] * [[1], [-1]], logits, True)
    assert "differs" in agrees("int8", logits * 1.3, logits, False)
    assert "finite" in agrees("int8", logits * np.nan, logits, True)


@pytest.mark.parametrize("items", [1, 5, 6, 88, 512])
def test_classes_that_changed_are_too_many_by_the_binomial_law(items: int) -> None:
    """Referee: the sum of the law itself. One of few is chance, all are not."""
    for changed in range(items + 1):
        terms = (math.comb(items, d) * 0.01**d * 0.99 ** (items - d) for d in range(changed))
        assert too_many(changed, items) == (1 - sum(terms) < 0.05)
    assert too_many(items, items) and not too_many(0, items)
    assert not too_many(3, 88) and too_many(4, 88)


def test_a_runtime_whose_products_are_not_exact_is_out(
    network: nn.Sequential, samples: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Near enough to fp32, but not to torch's int8, which errs to the other side."""
    with torch.inference_mode():
        little = 0.07 * float(network(samples).std())

    class Above(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answers: torch.Tensor = network(x) + little
            return answers

    class Below(Eager):
        def prepare(self, *given: Any, **about: Any) -> Program:
            program = super().prepare(network, samples)
            return Program(lambda x: program(x) - little, "int8", 1)

    monkeypatch.setitem(RUNTIMES, "eager", Below())
    monkeypatch.setattr(picking, "in_precision", lambda *given: Above())
    ways: dict[str, Any] = {"candidates": [("eager", "int8")], "threads": [1], "logits": False}
    (out,) = rank(network, samples, seconds=0.01, **ways)
    assert out.program is None and "8-bit products are not exact" in out.reason
    monkeypatch.setattr(picking, "in_precision", lambda *given: network)
    (fine,) = rank(network, samples, seconds=0.01, **ways)
    assert fine.program is not None and not fine.reason


def test_every_contender_is_timed_or_says_why_not(
    network: nn.Sequential, samples: torch.Tensor
) -> None:
    ways = [("eager", "fp32"), ("channels-last", "fp32"), ("executorch", "fp32"), ("eager", "int9")]
    ranked = rank(network, samples, seconds=0.05, candidates=ways, threads=[1])
    assert [c.name for c in ranked if not c.reason] == [
        c.name for c in sorted(ranked[:2], key=lambda c: c.seconds)
    ]
    out = {(c.name, c.precision): c.told(1)["out"] for c in ranked if c.reason}
    assert "depthwise[mobile]" in out["executorch", "fp32"]
    assert "precision must be" in out["eager", "int9"]
