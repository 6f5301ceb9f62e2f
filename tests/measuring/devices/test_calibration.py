"""What is measured has the right shape, and what is asked of ONNX Runtime really runs."""

import time

import numpy as np
import pytest
import torch
from torch import nn

from depthwise.measuring.devices import calibration, calibration_networks
from depthwise.measuring.devices.calibration import grid, merged, quickest


def test_the_quicker_of_two_measurements_is_kept_point_by_point():
    one = {"conv": {"widths": [4], "gflops": [[1.0, 9.0]]}, "view_seconds": 3.0}
    other = {"conv": {"widths": [4], "gflops": [[2.0, 7.0]]}, "view_seconds": 2.0}
    curve = ({"bytes": [1, 2], "seconds": [5.0, 6.0]}, {"bytes": [1, 2], "seconds": [4.0, 8.0]})
    both = merged({**one, "norm": curve[0]}, {**other, "norm": curve[1]})
    assert both == {
        "conv": {"widths": [4], "gflops": [[2.0, 9.0]]},
        "view_seconds": 2.0,
        "norm": {"bytes": [1, 2], "seconds": [4.0, 6.0]},
    }


def test_a_point_too_large_to_time_is_that_before_it():
    found = grid((1, 2), (3, 4), lambda w, s: 1.0 * w * s if w * s < 8 else None, (9, 16))
    assert found == {"widths": [1, 2], "rows": [9, 16], "gflops": [[3.0, 4.0], [6.0, 6.0]]}


def test_the_threads_own_clock_stands_still_while_it_sleeps():
    def nap():
        time.sleep(0.01)

    by_wall = quickest(nap, bursts=2)
    assert by_wall >= 0.01
    assert quickest(nap, bursts=2, clock=time.thread_time) < 0.5 * by_wall


def test_work_takes_as_long_by_either_clock():
    a = torch.ones(200, 200)
    by_wall, by_thread = (
        quickest(lambda: a @ a, bursts=20, limit_seconds=0.2, clock=clock)
        for clock in (time.perf_counter, time.thread_time)
    )
    assert by_thread == pytest.approx(by_wall, rel=1.0)


@pytest.mark.parametrize("name", calibration_networks.chains())
def test_chains_run_in_both_precisions(name):
    network, shape = calibration_networks.chains()[name]
    with torch.no_grad():
        assert network(torch.rand(2, *shape)).shape == (2, 10)


def test_no_chain_is_a_network_of_the_ladder():
    names = calibration_networks.chains()
    assert len(names) == 12 and not any("cnn" in name for name in names)


class TestIntegers:
    """Graphs of integer operators made by hand, in ONNX Runtime."""

    @pytest.fixture(autouse=True)
    def _needs_onnxruntime(self):
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")

    def answer(self, layers, x):
        import onnxruntime

        from depthwise.measuring.devices.calibration_int8 import quantised_graph

        graph = quantised_graph(layers, x.shape)
        ready = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        (shown,) = ready.run(None, {"x": x})
        return shown

    @pytest.mark.parametrize("name", calibration_networks.chains())
    def test_every_chain_runs_and_answers_in_bytes(self, name):
        network, shape = calibration_networks.chains()[name]
        x = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype(np.uint8)
        shown = self.answer([*network], x)
        assert shown.shape == (3, 10) and shown.dtype == np.uint8

    def test_a_linear_layer_computes_what_integers_do(self):
        x = np.random.default_rng(1).integers(0, 256, (2, 7)).astype(np.uint8)
        shown = self.answer([nn.Linear(7, 3)], x)
        weight = np.random.default_rng(0).integers(-127, 128, (3, 7))
        exact = x.astype(int) @ weight.T / 64  # scales of 1/64 each, and of the answer
        assert np.abs(shown - np.clip(exact, 0, 255)).max() <= 0.5 + 1e-6

    def test_a_sum_doubles_and_saturates(self):
        from depthwise.measuring.devices.calibration_int8 import Doubled

        x = np.array([[0, 3, 100, 200]], np.uint8)
        assert self.answer([Doubled()], x).tolist() == [[0, 6, 200, 255]]

    def test_norm_and_activation_leave_no_node(self):
        import onnx

        from depthwise.measuring.devices.calibration_int8 import quantised_graph

        layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)]
        model = onnx.load_model_from_string(quantised_graph(layers, (1, 3, 6, 6)))
        assert [node.op_type for node in model.graph.node] == ["QLinearConv", "MaxPool"]


def test_grids_and_curves_of_one_thread_are_above_zero(here):
    table = here.calibration["tables"]["fp32"]["1"]["operators"]
    assert set(table) >= {"conv native first", "conv batched last", "linear", "norm", "pool"}
    for name, entry in table.items():
        if isinstance(entry, dict):
            points = np.array(entry.get("gflops", entry.get("seconds")))
            assert (points > 0).all() and np.isfinite(points).all(), name


def test_known_precisions_have_a_type():
    assert calibration.DTYPES["bf16"] is torch.bfloat16
