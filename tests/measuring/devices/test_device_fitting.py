"""A device whose figures are known is found again from the times of networks on it."""

from dataclasses import replace

import pytest
import torch

from depthwise.errors import InputError
from depthwise.measuring.counting import count
from depthwise.measuring.devices.device import Device
from depthwise.measuring.devices.fitting import DOUBT, Timed, corrected, fitted
from depthwise.measuring.devices.reference_networks import REFERENCES
from depthwise.measuring.predict import predict_latency, seconds_of_run

BOARD = Device(
    id="board",
    name="board",
    memory_mb=1,
    bandwidth_gb_s=1,
    peak_gflops=1,
    peak_gops_int8=2,
    efficiency=0.5,
    relative={"depthwise": 0.5, "linear": 0.7},
    overhead_us=40,
    lanes=4,
    runtime="fused",
)
LOOSE = dict.fromkeys(DOUBT, 10.0)


@pytest.fixture(scope="module")
def networks():
    return {
        name: count(reference.build().eval(), torch.zeros(1, *reference.input_shape))
        for name, reference in REFERENCES.items()
    }


def timed(networks, device, precision="int8"):
    return [Timed(c, seconds_of_run(c, device, precision=precision)) for c in networks.values()]


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_figures_that_made_the_times_are_found_again(networks, precision):
    truth = corrected(
        BOARD, {"efficiency": -0.4, "depthwise": -0.5, "linear": 0.3, "overhead_us": 0.7}, precision
    )
    runs = timed(networks, truth, precision)
    found = fitted(BOARD, runs, precision, LOOSE, noise=1e-4)
    assert found.gflops_reached(precision) == pytest.approx(
        truth.gflops_reached(precision), rel=0.02
    )
    assert found.relative == pytest.approx(truth.relative, rel=0.02)
    assert found.overhead_us == pytest.approx(truth.overhead_us, rel=0.02)
    assert timed(networks, found, precision) == [
        replace(t, seconds=pytest.approx(t.seconds, rel=0.01)) for t in runs
    ]


def test_what_the_times_say_nothing_of_stays_as_described(networks):
    only_matrices = [Timed(networks["autoencoder"], 2e-3)]
    found = fitted(BOARD, only_matrices, "int8")
    assert found.relative["depthwise"] == pytest.approx(0.5, rel=1e-3)
    seconds = seconds_of_run(networks["autoencoder"], found, precision="int8")
    assert seconds == pytest.approx(2e-3, rel=0.05)


def test_a_board_of_half_the_clock_takes_twice_the_time_of_every_network(networks):
    half = replace(BOARD, efficiency=0.25, overhead_us=80, bandwidth_gb_s=0.5)
    found = fitted(BOARD, timed(networks, half)[:3], "int8", noise=1e-3)
    last = networks["autoencoder"]
    assert predict_latency(last, found, precision="int8").value == pytest.approx(
        predict_latency(last, half, precision="int8").value, rel=0.15
    )


def test_power_is_the_geometric_mean_of_energy_over_time(networks):
    counts = networks["ds-cnn"]
    runs = [Timed(counts, 2.0, 0.2), Timed(counts, 2.0, 0.8), Timed(counts, 2.0)]
    assert fitted(BOARD, runs, "int8").busy_watts == pytest.approx(0.2)  # of 0.1 and 0.4


def test_an_efficiency_never_passes_its_peak(networks):
    quick = [Timed(c, 1e-7) for c in networks.values()]
    assert fitted(BOARD, quick, "int8").efficiency_int8 == 1.0


@pytest.mark.parametrize("runs", [[], [0.0], [-1.0]])
def test_times_that_cannot_be_are_refused(networks, runs):
    with pytest.raises(InputError, match="more than 0 seconds"):
        fitted(BOARD, [Timed(networks["ds-cnn"], seconds) for seconds in runs])
