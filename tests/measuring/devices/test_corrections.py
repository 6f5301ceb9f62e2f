"""Gains that made the times are found again, and the interval holds what it says."""

import math
import random

import pytest
import torch
from torch import nn

from depthwise.measuring.counting import count
from depthwise.measuring.devices import corrections
from depthwise.measuring.devices.corrections import (
    GROUPS,
    NEUTRAL,
    Measured,
    fit,
    run_seconds,
    spread,
)


def flat(gflops):
    return {"widths": [1, 100], "rows": [1, 1000], "gflops": [[gflops] * 2] * 2}


CURVE = {"bytes": [1, 1e9], "seconds": [1e-10, 0.1]}
ALONE = {
    **{f"conv {road} first": flat(4.0) for road in ("native", "library", "batched")},
    **{f"pointwise {road}": flat(2.0) for road in ("native", "batched")},
    **{f"depthwise {road} first": flat(0.5) for road in ("single", "batched")},
    "linear": flat(1.0),
    "norm": CURVE,
    "elementwise": CURVE,
    "view_seconds": 0.0,
}
TRUTH = {
    "single": {**NEUTRAL, "conv": 1.4, "linear": 1.2, "depthwise": 0.8, "move": 1.1},
    "batched": {**NEUTRAL, "conv": 1.1, "linear": 0.9, "pointwise": 1.5, "norm": 1.3},
}


def networks():
    for width in (3, 5, 8, 13, 21):
        conv = [nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 4, 3)]
        yield f"plain {width}", nn.Sequential(*conv), (3, 9, 9)
        mixed = [nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, width, 1), nn.BatchNorm2d(width)]
        yield f"separable {width}", nn.Sequential(*mixed, nn.ReLU()), (3, 9, 9)
        yield f"dense {width}", nn.Sequential(nn.Linear(40, width), nn.ReLU()), (40,)


def timed(table, noise=0.0, seed=0):
    draw = random.Random(seed)
    for name, network, shape in networks():
        counts = count(network.eval(), torch.zeros(1, *shape))
        for batch in (1, 32):
            seconds = run_seconds(counts, batch, table, "fp32", 1)
            yield Measured(name, counts, batch, seconds * math.exp(draw.gauss(0, noise)))


def test_gains_that_made_the_times_explain_them_again():
    truth = {"operators": ALONE, "gains": TRUTH}
    found = fit([*timed(truth)], {"operators": ALONE}, "fp32", 1)
    for run in timed(truth):
        predicted = run_seconds(run.counts, run.batch, found, "fp32", 1)
        assert predicted == pytest.approx(run.seconds, rel=0.05)
    assert found["gains"]["single"]["conv"] == pytest.approx(1.4, abs=0.05)
    # beside a depthwise product there is little of it, so that the pull to 1 is felt
    assert 1.25 < found["gains"]["batched"]["pointwise"] < 1.5
    assert found["spread"] < 1.1


def test_a_group_that_no_network_has_keeps_a_gain_of_one():
    truth = {"operators": ALONE, "gains": TRUTH}
    dense = [run for run in timed(truth) if run.name.startswith("dense")]
    gains = fit(dense, {"operators": ALONE}, "fp32", 1)["gains"]["single"]
    assert gains["conv"] == gains["depthwise"] == 1.0
    assert gains["linear"] == pytest.approx(1.2, abs=0.06)


def test_the_interval_grows_with_the_noise_and_holds_nine_in_ten_of_new_networks():
    truth = {"operators": ALONE, "gains": TRUTH}
    quiet, noisy = (fit([*timed(truth, n)], {"operators": ALONE}, "fp32", 1) for n in (0.02, 0.2))
    assert 1.0 < quiet["spread"] < noisy["spread"]
    held, total = 0, 0
    for seed in range(1, 6):
        for run in timed(truth, 0.2, seed):
            ratio = run_seconds(run.counts, run.batch, noisy, "fp32", 1) / run.seconds
            held += 1 / noisy["spread"] <= ratio <= noisy["spread"]
            total += 1
    assert held >= 0.8 * total


@pytest.mark.parametrize(
    ("errors", "kept"),
    [
        ([0.1], 0.1),  # too few for nine in ten: the largest
        ([0.01 * k for k in range(1, 10)], 0.09),  # ceil(0.9 * 10) = 9
        ([-0.01 * k for k in range(1, 20)], 0.18),  # ceil(0.9 * 20) = 18
    ],
)
def test_the_spread_is_the_conformal_ninth_decile(errors, kept):
    assert spread(errors) == pytest.approx(math.exp(kept))


def test_layers_add_up_to_the_run():
    _, network, shape = next(iter(networks()))
    counts = count(network.eval(), torch.zeros(1, *shape))
    table = {"operators": {**ALONE, "run_seconds": 1e-6}, "gains": TRUTH}
    parts = corrections.by_operator(counts, 1, table, "fp32", 1)
    assert run_seconds(counts, 1, table, "fp32", 1) == pytest.approx(1e-6 + sum(parts))
    assert {corrections.group(op) for op in counts.operations} <= {*GROUPS}
