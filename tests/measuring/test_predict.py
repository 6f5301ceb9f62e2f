import statistics
from dataclasses import replace

import pytest
import torch
from torch import nn

from depthwise.errors import InputError
from depthwise.measuring import predict
from depthwise.measuring.counting import Counts, Operation, Product, count
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.devices.reference_networks import REFERENCES
from depthwise.measuring.predict import predict_latency, predict_memory, predict_throughput
from depthwise.measuring.speed import latency, peak_memory

BOARD = Device(
    id="board",
    name="board",
    memory_mb=1,
    bandwidth_gb_s=2,
    peak_gflops=10,
    peak_gops_int8=40,
    efficiency=0.5,
    overhead_us=3,
    spread=1.5,
)


def product(macs, moved=0, weights=0):
    shape = Product(rows=1, inner=macs, columns=1)
    return Operation("mm", "", "linear", shape, False, moved, 0, weights, moved)


def counted(*operations):
    weights = sum(op.weight_bytes for op in operations)
    return Counts(1, weights // 4, weights, 0, list(operations))


def test_the_roofline_is_that_of_hand_arithmetic():
    bound_by_work = product(macs=25_000, moved=2_000)  # 50,000 / 5e9 = 10 us, over 1 us
    bound_by_bytes = product(macs=2_500, moved=16_000, weights=24_000)  # 40,000 / 2e9 = 20 us
    metric = predict_latency(counted(bound_by_work, bound_by_bytes), BOARD)
    assert metric.value == pytest.approx(1e-3 * (10 + 3 + 20 + 3))
    assert (metric.low, metric.high) == pytest.approx((0.036 / 1.5, 0.036 * 1.5))
    assert metric.how == "predicted"


def test_a_batch_shares_the_weights_and_the_starts():
    op = product(macs=2_500, moved=16_000, weights=24_000)
    four = predict_latency(counted(op), BOARD, batch=4)
    assert four.value == pytest.approx(1e-3 * ((4 * 16_000 + 24_000) / 2e3 + 3))


def test_layers_by_hand_and_their_sum():
    work = product(macs=25_000, moved=2_000)  # 10 us of work + 3
    traffic = product(macs=2_500, moved=16_000, weights=24_000)  # 20 us of bytes + 3
    start = product(macs=5)  # 3 us to start
    named = [replace(op, layer=name) for op, name in ((work, "a"), (traffic, "b"), (start, "c"))]
    rows = predict.by_layer(counted(*named), BOARD)
    assert [row.layer for row in rows] == ["a", "b", "c"]
    assert [row.bound for row in rows] == ["compute", "memory", "overhead"]
    assert [row.seconds for row in rows[:2]] == pytest.approx([13e-6, 23e-6])
    assert (rows[1].macs, rows[1].read_bytes, rows[1].weight_bytes) == (2_500, 16_000, 24_000)
    latency_ms = predict_latency(counted(*named), BOARD).value
    assert sum(row.seconds for row in rows) == pytest.approx(1e-3 * latency_ms)


def test_layers_of_a_batch_in_8_bits_have_its_bytes():
    op = product(macs=50, moved=40_000, weights=800)
    (row,) = predict.by_layer(counted(op), BOARD, batch=3, precision="int8")
    assert (row.macs, row.read_bytes, row.weight_bytes) == (150, 30_000, 200)


def test_views_cost_nothing_on_a_described_device():
    view = Operation("view", "", "view", None, False, 0, 0, 0, 0)
    assert predict_latency(counted(view), BOARD).value == 0


def test_8_bits_move_a_quarter_of_the_bytes_at_their_own_peak():
    op = product(macs=50_000, moved=40_000)
    metric = predict_latency(counted(op), BOARD, precision="int8")
    assert metric.value == pytest.approx(1e-3 * (max(100_000 / 20e3, 10_000 / 2e3) + 3))


def test_a_precision_without_a_figure_is_refused():
    with pytest.raises(InputError, match="board has no figure for 'bf16'; it runs fp32, int8"):
        predict_latency(counted(product(5)), BOARD, precision="bf16")


def test_throughput_takes_the_largest_batch_that_fits_where_starts_dominate():
    op = product(macs=5, moved=40_000)  # 16 items are 0.64 MB of the board's 1 MB, 64 are not
    metric = predict_throughput(counted(op), BOARD)
    assert metric.details["batch"] == 16
    assert metric.value == pytest.approx(16 / (16 * 40_000 / 2e9 + 3e-6))


def test_memory_scales_with_the_batch_but_for_weights():
    counts = count(nn.Sequential(nn.Linear(5, 100), nn.ReLU()), torch.zeros(1, 5))
    assert predict_memory(counts, BOARD).value == counts.peak_memory_bytes
    eight = count(nn.Sequential(nn.Linear(5, 100), nn.ReLU()), torch.zeros(8, 5))
    assert predict_memory(counts, BOARD, batch=8).value == eight.peak_memory_bytes


def test_a_fused_runtime_needs_the_memory_of_the_best_order(resnet_8):
    counts, chip = resnet_8, catalog()["stm32h7a3"]
    metric = predict_memory(counts, chip, precision="int8")
    live = 3 * 16 * 32 * 32  # x, and both sides of the first block's second convolution
    assert metric.value == counts.weight_bytes / 4 + live
    assert metric.details["exact"] is True
    floats = predict_memory(counts, chip, batch=3, precision="fp32").value
    assert floats == counts.weight_bytes + 3 * 4 * live
    assert predict_memory(counts, BOARD).details["exact"] is None


@pytest.fixture(scope="module")
def resnet_8():
    """Counts of MLPerf Tiny's image classification."""
    reference = REFERENCES["resnet-8"]
    return count(reference.build().eval(), torch.zeros(1, *reference.input_shape))


@pytest.mark.parametrize(
    ("device", "precision", "published_ms"),
    [
        ("stm32h7a3", "int8", 40.8),
        ("stm32h7a3", "fp32", 124.2),
        ("stm32u575", "int8", 109.5),
        ("stm32l4r5", "int8", 165.7),
        ("gap9", "int8", 0.95),
    ],
)
def test_published_mlperf_tiny_latencies_lie_in_the_interval(
    device, precision, published_ms, resnet_8
):
    metric = predict_latency(resnet_8, catalog()[device], precision=precision)
    assert metric.low <= published_ms <= metric.high


def test_devices_come_in_the_order_everybody_knows(resnet_8):
    names = ("stm32l4r5", "stm32h7a3", "raspberry-pi-zero-2-w", "raspberry-pi-5", "pixel-8")
    times = [predict_latency(resnet_8, catalog()[name]).value for name in names]
    assert times == sorted(times, reverse=True)


def small_networks():
    def conv(before, after, stride=1, groups=1):
        layer = nn.Conv2d(before, after, 3, stride, 1, groups=groups, bias=False)
        return [layer, nn.BatchNorm2d(after), nn.ReLU()]

    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    yield nn.Sequential(*conv(1, 12), *conv(12, 24, 2), *head, nn.Linear(24, 10)), (1, 28, 28)
    yield nn.Sequential(*conv(3, 40), *conv(40, 40), *head, nn.Linear(40, 10)), (3, 32, 32)
    yield nn.Sequential(*conv(3, 16), *conv(16, 16, groups=16), *head), (3, 32, 32)
    mlp = [nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10)]
    yield nn.Sequential(*mlp), (1, 28, 28)


def test_memory_predicted_here_is_within_a_quarter_of_the_allocators_record(here):
    for network, shape in small_networks():
        sample = torch.rand(1, *shape)
        predicted = predict_memory(count(network, sample), here).value
        assert predicted == pytest.approx(peak_memory(network, sample).value, rel=0.25)


def test_latency_predicted_here_is_of_the_measured_size(here):
    """The figure is benchmarks/predict_error.py's; under a test run's noise, a factor of two."""
    ratios = []
    for network, shape in small_networks():
        sample = torch.rand(1, *shape)
        predicted = predict_latency(count(network, sample), here, threads=1).value
        ratios.append(predicted / latency(network, sample, seconds=0.2, threads=1).value)
    assert 0.5 < statistics.median(ratios) < 2.0
