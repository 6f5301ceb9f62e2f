"""Every family's operations, against torch's own counter and against arithmetic by hand."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from depthwise.catalog import FAMILIES
from depthwise.families.cnn import CNN
from depthwise.families.dnn.dnn import DNN
from depthwise.measuring.counting import count

SHAPE, OUTPUTS = (3, 12, 10), 4


def built(family, size=None, shape=SHAPE):
    make = FAMILIES[family]
    settings = {} if size is None else {"size": size}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make(**settings).build(shape, OUTPUTS).eval()


def pixels(batch, shape=SHAPE):
    return torch.zeros(batch, *shape, dtype=torch.uint8)


def torchs_own_flops(network, sample):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(sample)
    return counter.get_total_flops()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_counts_as_torch_does(family, batch):
    network = built(family)
    counts = count(network, pixels(batch))
    unseen = sum(op.flops for op in counts.operations if op.name == "mv")  # by torch's counter
    assert counts.flops - unseen == torchs_own_flops(network, pixels(batch))


RUNGS = [(family, size) for family, make in FAMILIES.items() for size in getattr(make, "sizes", {})]


@pytest.mark.parametrize(("family", "size"), [r for r in RUNGS if r[1] in ("xxs", "xs", "m")])
def test_every_rung_counts_as_torch_does(family, size):
    network = built(family, size)
    counts = count(network, pixels(1))
    unseen = sum(op.flops for op in counts.operations if op.name == "mv")
    assert counts.flops - unseen == torchs_own_flops(network, pixels(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_operations_and_bytes_grow_with_the_batch_and_weights_do_not(family):
    network = built(family)
    one, three = count(network, pixels(1)), count(network, pixels(3))
    assert three.macs == 3 * one.macs
    assert three.weight_bytes == one.weight_bytes
    assert three.peak_live_bytes > 2 * one.peak_live_bytes
    layers = three.by_layer()
    assert max(row["live_bytes"] for row in layers.values()) == three.peak_live_bytes
    assert sum(row["written_bytes"] for row in layers.values()) == three.written_bytes


@pytest.mark.parametrize(("height", "width"), [(12, 10), (7, 9), (24, 20)])
def test_a_cnn_by_hand_at_any_input_size(height, width):
    network = CNN(size="xs").build((3, height, width), OUTPUTS)
    counts = count(network, pixels(2, (3, height, width)))
    half_height, half_width = (height + 1) // 2, (width + 1) // 2
    area1, area2 = height * width, half_height * half_width
    area3 = ((half_height + 1) // 2) * ((half_width + 1) // 2)
    stem = area1 * 9 * 3 * 8
    blocks = 2 * 9 * (area1 * 8 * 8 + area2 * 16 * 16 + area3 * 32 * 32)
    between = 9 * (area2 * 8 * 16 + area3 * 16 * 32)
    assert counts.macs == 2 * (stem + blocks + between + 64 * OUTPUTS)


def test_a_dnn_by_hand():
    network = DNN(hidden=(7, 5)).build((2, 3, 4), OUTPUTS)
    counts = count(network, pixels(3, (2, 3, 4)))
    assert counts.macs == 3 * (24 * 7 + 7 * 5 + 5 * OUTPUTS)


def test_counting_a_larger_input_needs_no_other_network():
    """Sums of by_layer at twice the side: four times the work of a convolution."""
    network = CNN(size="xxs", blocks=1).build((1, 16, 16), OUTPUTS)
    small, large = (count(network, pixels(1, (1, side, side))).by_layer() for side in (16, 32))
    convolutions = [name for name, row in small.items() if row["macs"] and name != "output"]
    assert len(convolutions) == 9
    assert all(large[name]["macs"] == 4 * small[name]["macs"] for name in convolutions)
    assert large["output"]["macs"] == small["output"]["macs"] == 32 * OUTPUTS
