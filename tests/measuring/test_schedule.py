"""Planned memory, against all orders tried one by one and against hand arithmetic."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from depthwise.families.cnn import CNN
from depthwise.measuring import schedule
from depthwise.measuring.counting import Counts, Operation, Storage, count
from depthwise.measuring.devices.reference_networks import REFERENCES
from depthwise.measuring.schedule import Graph, as_executed, plan


def graph_of(parents, sizes, results=None):
    """Counts of a graph whose operator i reads the outputs of parents[i] (0 is the sample) and
    writes storage i + 1."""
    operations = [
        Operation("op", "", "conv", None, False, 0, 0, 0, 0, tuple(reads), (i + 1,))
        for i, reads in enumerate(parents)
    ]
    storages = {i: Storage(size, True) for i, size in enumerate(sizes)}
    return Counts(1, 0, 0, sizes[0], operations, storages, frozenset(results or {len(parents)}))


def peak_by_hand(parents, sizes, order):
    """Follows one order step by step; None where it uses what is not there yet."""
    alive, peak = {0}, 0
    for position, i in enumerate(order):
        if not set(parents[i]) <= alive:
            return None
        alive.add(i + 1)
        peak = max(peak, sum(sizes[s] for s in alive))
        later = {s for j in order[position + 1 :] for s in parents[j]}
        alive &= later | {len(parents)}
    return peak


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 6))
    choices = [st.sets(st.integers(0, i), min_size=1, max_size=3) for i in range(n)]
    parents = [sorted(draw(choice)) for choice in choices]
    return parents, draw(st.lists(st.integers(1, 50), min_size=n + 1, max_size=n + 1))


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_no_order_has_a_lower_peak(graph):
    parents, sizes = graph
    found = plan(graph_of(parents, sizes))
    tried = (peak_by_hand(parents, sizes, o) for o in itertools.permutations(range(len(parents))))
    assert found.exact
    assert found.peak_bytes == max(sizes[0], min(p for p in tried if p is not None))
    assert found.peak_bytes == max(sizes[0], peak_by_hand(parents, sizes, found.order))


# the sample feeds two branches, each swells and shrinks, and their ends are joined
BRANCHES = [(0,), (0,), (1,), (2,), (3, 4)], [1, 100, 70, 5, 5, 5]


def test_one_branch_is_finished_before_the_other_swells():
    swollen_together = 1 + 100 + 70
    assert as_executed(graph_of(*BRANCHES)).peak_bytes > swollen_together
    assert plan(graph_of(*BRANCHES)).peak_bytes == 1 + 100 + 5  # sample, swollen, its end


def test_past_the_limit_a_beam_finds_an_order_and_says_it_is_not_proved(monkeypatch):
    monkeypatch.setattr(schedule, "LIMIT", 2)
    found = plan(graph_of(*BRANCHES))
    assert not found.exact
    assert found.peak_bytes == 106


def test_results_stay_to_the_end():
    both = graph_of([(0,), (1,), (2,)], [8, 30, 20, 2], results={1, 3})
    assert plan(both).peak_bytes == 30 + 20 + 2  # the first is wanted too


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.norm, self.second = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return torch.relu(x + self.second(torch.relu(self.norm(self.first(x)))))


def test_norm_activation_and_sum_are_written_in_place():
    counts = count(Residual().eval(), torch.zeros(2, 3, 5, 7))
    assert plan(counts).peak_bytes == 3 * 4 * 2 * 3 * 5 * 7  # x, and both sides of `second`


def test_8_bit_activations_are_a_quarter_and_pixels_are_not():
    network = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU())
    counts = count(network, torch.zeros(1, 1, 5, 7))
    assert plan(counts, item_bytes=1).peak_bytes == 35 + 6 * 35
    pixels = torch.zeros(1, 1, 5, 7, dtype=torch.uint8)

    class Cast(nn.Module):
        def forward(self, x):
            return network(x.float())

    assert plan(count(Cast(), pixels), item_bytes=1).peak_bytes == 35 + 6 * 35


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("resnet-8", 3 * 16 * 32 * 32),  # x, and both sides of the block's second convolution
        ("mobilenet", (8 + 16) * 48 * 48),  # both sides of the first 1x1 convolution
        ("ds-cnn", 2 * 64 * 25 * 5),
        ("autoencoder", 640 + 128),
    ],
)
def test_mlperf_tinys_networks_need_in_8_bits_what_hand_arithmetic_says(name, numbers):
    reference = REFERENCES[name]
    counts = count(reference.build().eval(), torch.zeros(1, *reference.input_shape))
    found = plan(counts, item_bytes=1)
    assert found.exact and found.peak_bytes == numbers


def test_a_plan_never_needs_more_than_running_did():
    counts = count(CNN(size="xs").build((3, 32, 32), 10), torch.zeros(2, 3, 32, 32))
    best, ran = plan(counts), as_executed(counts)
    assert best.peak_bytes <= ran.peak_bytes <= counts.peak_live_bytes
    assert sorted(best.order) == sorted(ran.order)
    assert best.peak_bytes == max(best.live_bytes)


def test_views_are_no_nodes():
    counts = count(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), torch.zeros(3, 2, 3))
    assert [n.index for n in Graph(counts, None).nodes] == [
        i for i, op in enumerate(counts.operations) if op.kind != "view"
    ]
