"""Networks that are products of the same few weights over and over, as Boltzmann machines are:
operations by hand, weights once."""

import pytest
import torch
from torch import nn

from depthwise.families.rbm import ItemRBM
from depthwise.measuring.counting import count
from depthwise.measuring.devices.device_finder import find
from depthwise.measuring.flexibility import flexibility
from depthwise.measuring.predict import predict_latency
from depthwise.measuring.scorecard import costs

D, H, J, K = 12, 7, 5, 3
PIXELS = torch.randint(
    0, 256, (64, 1, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


class MeanField(nn.Module):
    """Two layers of hidden units that settle on each other: a deep Boltzmann machine's inference,
    written as plain products."""

    def __init__(self, sweeps):
        super().__init__()
        torch.manual_seed(0)
        self.sweeps = sweeps
        self.lower, self.upper = nn.Parameter(torch.randn(D, H)), nn.Parameter(torch.randn(H, J))
        self.biases = nn.ParameterList(torch.zeros(n) for n in (D, H, J))
        self.register_buffer("log_z", torch.full((2,), float("nan")))

    def forward(self, x):
        v = torch.flatten(x, 1).float() / 255
        drive = torch.addmm(self.biases[1], v, self.lower)  # D H
        q = torch.sigmoid(drive)
        for _ in range(self.sweeps):
            top = torch.sigmoid(self.biases[2] + torch.matmul(q, self.upper))  # H J
            q = torch.sigmoid(torch.addmm(drive, top, self.upper.t()))  # J H
        return torch.sigmoid(q @ self.lower.t() + self.biases[0])  # H D


def machine(labels=0):
    torch.manual_seed(0)
    network = ItemRBM((1, 4, 3), H, n_labels=labels)
    nn.init.normal_(network.weight)
    network.standardise.inverse_std.fill_(1 / 255)
    return network.eval()


@pytest.mark.parametrize("batch", [1, 5])
def test_a_reconstruction_is_two_products(batch):
    counts = count(machine(), PIXELS[:batch])
    assert counts.macs == batch * (D * H + H * D)
    assert counts.flops == 2 * counts.macs


def test_free_energies_of_all_labels_need_one_product_with_the_weights():
    network = machine(labels=K)
    counts = count(network, PIXELS[:1])
    least, most = D * H, D * H + 3 * D + 3 * K * H  # beside it: biases, and what labels add
    assert least <= counts.macs <= most
    assert network(PIXELS[:2]).shape == (2, K)


@pytest.mark.parametrize("sweeps", [0, 1, 10])
def test_mean_field_is_counted_sweep_by_sweep(sweeps):
    counts = count(MeanField(sweeps), PIXELS[:1])
    assert counts.macs == D * H + sweeps * 2 * H * J + H * D


@pytest.mark.parametrize("sweeps", [1, 10])
def test_weights_that_are_used_again_and_again_are_held_once(sweeps):
    network = MeanField(sweeps)
    counts = count(network, PIXELS[:1])
    weights = D * H + H * J + D + H + J
    assert counts.parameters == weights
    assert counts.weight_bytes == 4 * (weights + 2)  # and the two of log Z
    once = sum(op.weight_bytes for op in count(MeanField(0), PIXELS[:1]).operations)
    moved = sum(op.weight_bytes for op in counts.operations)
    assert moved == once + 4 * sweeps * (2 * H * J + J)  # but every sweep reads them


def test_memory_does_not_grow_with_the_sweeps():
    few, many = (count(MeanField(n), PIXELS[:9]).peak_live_bytes for n in (2, 20))
    # at the end there are the pixels, v, drive, q, top, and the last sum with its sigmoid
    assert few == many == 9 * (D + 4 * (D + H + H + J + D + D))


def test_a_longer_inference_is_predicted_to_take_longer():
    device = find("raspberry-pi-5")
    short, long = (predict_latency(count(MeanField(n), PIXELS[:1]), device) for n in (2, 40))
    assert long.value > 2 * short.value


@pytest.mark.parametrize("network", [machine(), MeanField(6)], ids=["rbm", "mean-field"])
def test_reconstructions_run_everywhere_and_agree(network):
    metric = flexibility(network, PIXELS, logits=False)
    assert metric.value == 1.0, [c for c in metric.details["cells"] if not c["ok"]]


class Drifting(nn.Module):
    """Answers with 784 numbers that are 1% off once several items come together."""

    def forward(self, x):
        means = torch.sigmoid(torch.flatten(x, 1).float() / 64 - 2)
        means = means.repeat(1, 784 // D + 1)
        return means * (1 + 0.01 * (means.shape[0] > 1))


def test_numbers_are_compared_as_numbers():
    # as probabilities of 800 "classes" a hundredth would be nothing
    cells = {
        flag: flexibility(Drifting(), PIXELS, logits=flag).details["cells"]
        for flag in (True, False)
    }
    eager = {flag: [c for c in cells[flag] if c["runtime"] == "eager"] for flag in cells}
    assert [c["ok"] for c in eager[True] if c["precision"] == "fp32"] == [True, True]
    assert [c["ok"] for c in eager[False] if c["precision"] == "fp32"] == [True, False]


def test_a_network_without_classes_has_its_costs_here():
    card = costs(MeanField(3), (1, 4, 3), "uint8", "this", seconds=0.05, logits=False)
    assert card.latency.value > 0 and card.flexibility.value == 1.0
    assert card.hardware_cost.details["macs"] == D * H + 3 * 2 * H * J + H * D
