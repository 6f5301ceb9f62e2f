from dataclasses import replace

import pytest

from depthwise.errors import InputError
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.device_catalog import catalog
from depthwise.measuring.operation_energy import device_factor, layer_energies
from depthwise.measuring.predict import LayerCost

# reaches 1e9 products a second in fp32, drawing 4.6 W more than at rest: 4.6 nJ a product, which is
# a thousand times the 4.6 pJ of the bare arithmetic
BOARD = Device(
    "board",
    "a board",
    memory_mb=100,
    bandwidth_gb_s=1,
    peak_gflops=2,
    peak_gops_int8=8,
    efficiency=1,
    idle_watts=0.4,
    busy_watts=5.0,
    cache_kb=100,
)


def layer(macs=0, moved=0, weights=0, live=0, seconds=1e-6):
    return LayerCost("a", "conv", macs, moved, 0, weights, live, seconds, "compute")


def test_arithmetic_is_the_tables_figure_times_the_devices_factor():
    assert device_factor(BOARD, "fp32").value == pytest.approx(1000)
    (spent,) = layer_energies([layer(macs=10**6)], BOARD, "fp32")
    assert spent.arithmetic_mj == pytest.approx(1e3 * 1e6 * 4.6e-9)
    # int8 reaches four times as many: 1.15 nJ a product
    (spent,) = layer_energies([layer(macs=10**6)], BOARD, "int8")
    assert spent.arithmetic_mj == pytest.approx(1e3 * 1e6 * 1.15e-9)


def test_a_kind_of_layer_that_reaches_half_spends_twice():
    slow = replace(BOARD, relative={"conv": 0.5})
    (spent,) = layer_energies([layer(macs=10**6)], slow, "fp32")
    assert spent.arithmetic_mj == pytest.approx(2 * 1e3 * 1e6 * 4.6e-9)


def test_bytes_cost_an_eighth_of_an_access_of_64_bits():
    (near,) = layer_energies([layer(moved=80_000, live=80_000)], BOARD, "fp32")
    assert near.bytes_mj == pytest.approx(1e3 * 10_000 * 100e-12)  # 10,000 accesses of 100 pJ
    (far,) = layer_energies([layer(moved=80_000, live=200_000)], BOARD, "fp32")
    low, high = 1e3 * 10_000 * 1.3e-9, 1e3 * 10_000 * 2.6e-9
    assert low < far.bytes_mj < high
    assert far.bytes_mj**2 == pytest.approx(low * high)


def test_weights_and_live_tensors_together_must_fit_the_cache():
    apart = layer(moved=8, weights=60_000), layer(moved=8, live=60_000)
    together = layer_energies(apart, BOARD, "fp32")
    alone = layer_energies(apart[:1], BOARD, "fp32")
    assert together[0].bytes_mj > 10 * alone[0].bytes_mj


def test_a_layer_that_is_fused_into_another_moves_nothing_of_its_own():
    (spent,) = layer_energies([layer(moved=80_000, seconds=0.0)], BOARD, "fp32")
    assert spent.mj == 0


def test_a_microcontroller_has_no_memory_but_its_own():
    chip = replace(BOARD, kind="microcontroller")
    (spent,) = layer_energies([layer(moved=8_000_000, live=8_000_000)], chip, "fp32")
    assert spent.bytes_mj == pytest.approx(1e3 * 1e6 * 100e-12)


def test_idle_power_is_charged_for_the_time_of_the_run_by_share():
    (spent,) = layer_energies([layer(seconds=0.5)], BOARD, "fp32", power_share=0.25)
    assert spent.idle_mj == pytest.approx(1e3 * 0.25 * 0.4 * 0.5)
    assert spent.mj == pytest.approx(spent.arithmetic_mj + spent.bytes_mj + spent.idle_mj)


def test_without_a_power_the_factor_is_that_of_devices_of_its_kind():
    known = [
        device_factor(d, "int8").value for d in catalog().values() if d.kind == "microcontroller"
    ]
    factor = device_factor(replace(BOARD, kind="microcontroller", busy_watts=None), "int8")
    assert (factor.low, factor.high) == pytest.approx((min(known), max(known)))
    assert factor.low <= factor.value <= factor.high
    assert "unknown" in factor.source


def test_a_microcontroller_spends_far_more_on_a_product_than_the_arithmetic_and_a_gpu_little():
    chip, gpu = (device_factor(catalog()[name], "int8").value for name in ("stm32h7a3", "h100"))
    # MLPerf Tiny v1.2: 5.09 mJ over 12.5 million products are 407 pJ, of which 0.3 are arithmetic
    assert chip == pytest.approx(407 / 0.3, rel=0.25)
    assert gpu < 30


def test_a_precision_without_a_figure_is_named():
    with pytest.raises(InputError, match="int3"):
        device_factor(BOARD, "int3")
