"""Seconds of one operator on a described device, by hand."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from depthwise.measuring.counting import count
from depthwise.measuring.devices import roofline
from depthwise.measuring.devices.device import Device

BOARD = Device(
    id="board",
    name="board",
    memory_mb=1,
    bandwidth_gb_s=1,
    peak_gflops=10,
    peak_gops_int8=40,
    efficiency=0.5,
    relative={"depthwise": 0.25},
    overhead_us=2,
    lanes=4,
    runtime="fused",
)


def operations(network, channels=3, side=6):
    return count(network.eval(), torch.zeros(1, channels, side, side)).operations


def share(network, precision="fp32", device=BOARD, **shape):
    (op,) = [op for op in operations(network, **shape) if op.product is not None]
    return roofline.share(op, 1, device, precision)


def test_a_depthwise_convolution_reaches_a_quarter():
    plain, depthwise = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=4)
    assert share(plain, channels=4).compute == pytest.approx(2 * 16 * 9 * 16 / 5e9)
    assert share(depthwise, channels=4).compute == pytest.approx(2 * 16 * 9 * 4 / (5e9 / 4))


@pytest.mark.parametrize(("channels", "padded"), [(1, 4), (3, 4), (4, 4), (5, 8)])
def test_channels_fill_whole_lanes_in_8_bits(channels, padded):
    network = nn.Conv2d(channels, 2, (3, 2))
    positions = 4 * 5
    work = 2 * positions * padded * 6 * 2
    assert share(network, "int8", channels=channels).compute == pytest.approx(work / 20e9)
    exact = 2 * positions * channels * 6 * 2
    assert share(network, "fp32", channels=channels).compute == pytest.approx(exact / 5e9)


def test_a_fused_runtime_takes_nothing_for_norm_and_activation():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    working = [op for op in operations(network) if op.kind != "view"]
    fused = [roofline.share(op, 1, BOARD, "fp32").seconds for op in working]
    eager = replace(BOARD, runtime="eager")
    assert [seconds > 0 for seconds in fused] == [True, False, False]
    assert all(roofline.share(op, 1, eager, "fp32").seconds > 2e-6 for op in working)


class Sum(nn.Module):
    def forward(self, x):
        return x * 2 + x.exp()


def test_a_sum_of_two_maps_is_not_free():
    found = [roofline.share(op, 1, BOARD, "fp32").seconds for op in operations(Sum())]
    moved = 3 * 4 * 3 * 6 * 6
    assert found == pytest.approx([0, 0, moved / 1e9 + 2e-6])


def test_what_binds_is_what_takes_most():
    parts = [roofline.Share(3.0, 1.0, 0.5), roofline.Share(0.0, 2.0, 0.5)]
    assert roofline.bound(parts) == "compute"
    assert roofline.bound([*parts, roofline.Share(0.0, 2.0, 0.5)]) == "memory"
    assert roofline.bound([roofline.Share(1.0, 1.0, 1.5)]) == "overhead"
