"""Interpolation between measured points, and the road an operator takes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from depthwise.measuring.counting import count
from depthwise.measuring.devices import operators
from depthwise.measuring.devices.operators import Run

GRID = {"widths": [4, 16, 64], "rows": [1, 100], "gflops": [[1.0, 2.0], [3.0, 8.0], [5.0, 9.0]]}


def test_a_grid_gives_back_its_points_and_its_edges():
    for i, width in enumerate(GRID["widths"]):
        for j, rows in enumerate(GRID["rows"]):
            assert operators._on_grid(GRID, width, rows) == pytest.approx(GRID["gflops"][i][j])
    assert operators._on_grid(GRID, 1000, 1e6) == pytest.approx(9.0)
    assert operators._on_grid(GRID, 1, 0.5) == pytest.approx(1.0)


def test_halfway_in_logarithms_is_the_geometric_mean():
    assert operators._on_grid(GRID, 8, 1) == pytest.approx((1.0 * 3.0) ** 0.5)
    assert operators._on_grid(GRID, 16, 10) == pytest.approx((3.0 * 8.0) ** 0.5)


@given(st.floats(1, 1e4), st.floats(0.1, 1e6))
def test_no_point_lies_outside_the_grids_range(width, rows):
    assert 1.0 - 1e-9 <= operators._on_grid(GRID, width, rows) <= 9.0 + 1e-9


def test_bytes_beyond_the_curve_take_time_in_proportion():
    curve = {"bytes": [10, 1000], "seconds": [1.0, 5.0]}
    assert operators._on_curve(curve, 3000) == pytest.approx(15.0)
    assert operators._on_curve(curve, 1) == pytest.approx(1.0)


def flat(gflops):
    """A grid that reaches the same everywhere."""
    return {"widths": [1, 100], "rows": [1, 100], "gflops": [[gflops] * 2] * 2}


CURVE = {"bytes": [1, 1e9], "seconds": [1e-12, 1e-3]}  # a byte takes a picosecond
TABLE = {
    "conv native first": flat(2.0),
    "conv library first": flat(8.0),
    "conv batched first": flat(16.0),
    "pointwise batched": flat(32.0),
    "linear": flat(4.0),
    "elementwise": CURVE,
    "view_seconds": 5e-7,
}


def working(network, *shape):
    return [op for op in count(network, torch.zeros(*shape)).operations if op.kind != "view"]


def run(items, counted=1, precision="fp32", footprint=0.0):
    return Run(items, counted, precision, 1, footprint)


def test_small_images_take_the_native_road_and_large_ones_the_librarys():
    conv = nn.Conv2d(3, 5, 3, padding=1, bias=False)
    (small,), (large,) = working(conv, 1, 3, 8, 8), working(conv, 1, 3, 96, 96)
    flops = 2 * 3 * 9 * 5
    assert operators.seconds(small, run(1), TABLE) == pytest.approx(flops * 64 / 2e9)
    assert operators.seconds(large, run(1), TABLE) == pytest.approx(flops * 96**2 / 8e9)


@pytest.mark.parametrize(("items", "counted"), [(6, 1), (6, 6), (6, 2)])
def test_a_batch_has_its_own_road_however_it_was_counted(items, counted):
    (op,) = working(nn.Conv2d(3, 5, 3, padding=1, bias=False), counted, 3, 8, 8)
    flops = 2 * 3 * 9 * 5 * 64 * 6
    assert operators.seconds(op, run(items, counted), TABLE) == pytest.approx(flops / 16e9)


def test_numbers_of_16_bits_move_half_the_bytes():
    (op,) = working(nn.ReLU(), 1, 1000)
    full, half = (operators.seconds(op, run(1, 1, p), TABLE) for p in ("fp32", "bf16"))
    assert full == pytest.approx(8000e-12) and half == pytest.approx(4000e-12)


def test_8_bit_runtimes_fuse_norm_and_activation():
    ops = working(nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()).eval(), 1, 3, 5, 5)
    table = {**TABLE, "view_seconds": 0.0, "norm": CURVE}
    assert [operators.seconds(op, run(1, 1, "int8"), table) for op in ops] == [0.0, 0.0]
    assert all(operators.seconds(op, run(1), table) > 0 for op in ops)


def test_an_operator_takes_at_least_what_the_smallest_measured_did():
    (op,) = working(nn.Linear(1, 1, bias=False), 1, 1)
    slow = {"widths": [8, 64], "rows": [1, 8], "gflops": [[1e-3, 1.0], [1.0, 1.0]]}
    assert operators.seconds(op, run(1), {**TABLE, "linear": slow}) == pytest.approx(2 * 64 / 1e6)


def test_weights_too_large_for_the_cache_are_fetched_from_farther():
    (op,) = working(nn.Linear(100, 100, bias=False), 1, 100)
    falling = {"widths": [100, 10_000], "rows": [1, 8], "gflops": [[10.0, 10.0], [1.0, 1.0]]}
    table = {**TABLE, "linear": falling}
    near = operators.seconds(op, run(1), table)
    far = operators.seconds(op, run(1, footprint=4 * 10_000**2), table)
    assert near == pytest.approx(20_000 / 10e9)
    assert far == pytest.approx(20_000 / 1e9)  # at the pace of one row and all those weights
