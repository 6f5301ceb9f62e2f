import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from depthwise.measuring.counting import count, weight_bytes


def torchs_own_flops(network, sample):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(sample)
    return counter.get_total_flops()


class Attention(nn.Module):
    def forward(self, x):  # (B, heads, T, E)
        return nn.functional.scaled_dot_product_attention(x, x, x)


class Bilinear(nn.Module):
    def forward(self, x):  # (B, T, D)
        return torch.bmm(x, x.transpose(1, 2)) @ x


NETWORKS = {
    "linear": (nn.Linear(7, 5), (3, 7)),
    "linear without bias": (nn.Linear(7, 5, bias=False), (3, 7)),
    "conv": (nn.Conv2d(3, 7, 5, stride=2, padding=1), (2, 3, 11, 13)),
    "grouped conv": (nn.Conv2d(6, 9, 3, groups=3), (2, 6, 7, 5)),
    "depthwise conv": (nn.Conv2d(5, 5, 3, padding=1, groups=5), (1, 5, 9, 7)),
    "depth multiplier": (nn.Conv2d(5, 10, 3, groups=5), (1, 5, 9, 7)),
    "pointwise conv": (nn.Conv2d(5, 11, 1), (2, 5, 3, 7)),
    "dilated conv": (nn.Conv2d(2, 3, 3, dilation=2), (1, 2, 9, 9)),
    "oblong conv": (nn.Conv2d(2, 3, (1, 5)), (1, 2, 9, 9)),
    "transposed conv": (nn.ConvTranspose2d(3, 5, 3, stride=2), (2, 3, 5, 7)),
    "grouped transposed conv": (nn.ConvTranspose2d(4, 6, 3, groups=2), (2, 4, 5, 7)),
    "one-dimensional conv": (nn.Conv1d(3, 4, 5), (2, 3, 17)),
    "batched product": (Bilinear(), (2, 5, 3)),
    "recurrent": (nn.GRU(5, 7), (3, 2, 5)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_operations_agree_with_torchs_own_counter(name):
    network, shape = NETWORKS[name]
    sample = torch.randn(shape)
    assert count(network, sample).flops == torchs_own_flops(network, sample) > 0


def test_attention_is_two_products_a_head():
    counts = count(Attention(), torch.randn(2, 3, 5, 8))  # torch's counter misses it on processors
    assert counts.macs == 2 * 3 * (5 * 8 * 5 + 5 * 5 * 8)


def test_a_convolution_is_counted_as_by_hand():
    network = nn.Conv2d(3, 7, 5, padding=1)
    counts = count(network, torch.zeros(2, 3, 11, 13))
    positions = 2 * 9 * 11  # 11 + 2 - 5 + 1 and 13 + 2 - 5 + 1
    assert counts.macs == positions * 7 * (3 * 5 * 5)
    assert counts.parameters == 7 * 3 * 25 + 7
    assert counts.weight_bytes == 4 * counts.parameters
    assert counts.read_bytes == 4 * (2 * 3 * 11 * 13) + counts.weight_bytes
    assert counts.written_bytes == 4 * positions * 7
    assert counts.operations[0].kind == "conv"


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.Conv2d(4, 4, 3, groups=4), "depthwise"),
        (nn.Conv2d(4, 6, 1), "pointwise"),
        (nn.Conv2d(4, 6, 3, groups=2), "conv"),
        (nn.BatchNorm2d(4), "norm"),
        (nn.MaxPool2d(2), "pool"),
        (nn.ReLU(), "elementwise"),
        (nn.AdaptiveAvgPool2d(1), "reduction"),
        (nn.Flatten(), "view"),
    ],
)
def test_kinds(layer, kind):
    working = [op for op in count(layer, torch.zeros(1, 4, 6, 6)).operations if op.name != "empty"]
    assert [op.kind for op in working] == [kind]


def test_a_view_moves_nothing_and_an_in_place_operator_does():
    counts = count(nn.Sequential(nn.Flatten(), nn.Unflatten(1, (3, 5))), torch.zeros(2, 15))
    assert counts.read_bytes == counts.written_bytes == counts.launches == 0
    inner = count(nn.ReLU(inplace=True), torch.zeros(2, 15))
    assert (inner.read_bytes, inner.written_bytes, inner.launches) == (120, 120, 1)


def test_a_chain_holds_two_neighbours_at_its_peak():
    network = nn.Sequential(nn.Linear(5, 100), nn.ReLU(), nn.Linear(100, 3))
    counts = count(network, torch.zeros(7, 5))
    weights = 4 * (5 * 100 + 100 + 100 * 3 + 3)
    assert counts.weight_bytes == weights
    # the sample stays, and both sides of the ReLU
    assert counts.peak_memory_bytes == weights + 4 * 7 * (5 + 100 + 100)


class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.ReLU(), nn.ReLU()

    def forward(self, x):
        start = x * 2
        return start + self.second(self.first(start))


def test_a_skip_connection_is_held_until_it_is_added():
    size = 4 * 3 * 11
    counts = count(Skip(), torch.zeros(3, 11))
    # the sample, the start, and two sides of the second ReLU or of the addition
    assert counts.peak_live_bytes == 4 * size


def test_what_dies_is_not_counted_on():
    shallow = count(nn.Sequential(*[nn.ReLU() for _ in range(2)]), torch.zeros(3, 11))
    deep = count(nn.Sequential(*[nn.ReLU() for _ in range(40)]), torch.zeros(3, 11))
    assert deep.peak_live_bytes == shallow.peak_live_bytes


def test_shared_weights_are_counted_once():
    layer = nn.Linear(6, 6)
    network = nn.Sequential(layer, nn.ReLU(), layer)
    counts = count(network, torch.zeros(1, 6))
    assert counts.parameters == 42
    assert weight_bytes(network) == 4 * 42
    assert counts.macs == 72


class Pixels(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten())

    def forward(self, images_u8):
        return self.body(images_u8.float() / 255)


def test_raw_pixels_are_one_byte_each():
    counts = count(Pixels(), torch.zeros(2, 1, 5, 7, dtype=torch.uint8))
    assert counts.sample_bytes == 2 * 35
    assert counts.operations[0].read_bytes == 2 * 35
    assert counts.operations[0].written_bytes == 4 * 2 * 35


class Trees(nn.Module):
    """Two stumps in tensor operations: compare a column, take one of two leaves."""

    def __init__(self):
        super().__init__()
        self.register_buffer("columns", torch.tensor([1, 4]))
        self.register_buffer("thresholds", torch.tensor([0.5, -0.5]))
        self.register_buffer("leaves", torch.randn(2, 2, 3))

    def forward(self, x):  # (B, D)
        right = x[:, self.columns] > self.thresholds
        return torch.where(right[..., None], self.leaves[:, 1], self.leaves[:, 0]).sum(1)


def test_trees_in_tensor_operations_have_bytes_and_no_products():
    counts = count(Trees(), torch.randn(7, 5))
    gather = next(op for op in counts.operations if op.name == "index")
    assert gather.written_bytes == 4 * 7 * 2
    assert gather.read_bytes == 4 * 7 * 2 + 8 * 2  # what it picks, and the two indices
    assert counts.macs == 0
    assert counts.weight_bytes == 2 * 8 + 2 * 4 + 12 * 4


def test_layers_add_up_to_the_whole():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(75, 2))
    counts = count(network, torch.zeros(1, 1, 7, 7))
    layers = counts.by_layer()
    assert layers["0"]["macs"] == 25 * 27
    assert layers["2"]["macs"] == 150
    assert sum(row["macs"] for row in layers.values()) == counts.macs
    assert sum(r["bytes"] for r in layers.values()) == counts.read_bytes + counts.written_bytes


def test_channels_last_is_seen():
    x = torch.zeros(1, 4, 5, 5).contiguous(memory_format=torch.channels_last)
    assert count(nn.Conv2d(4, 4, 3), x).operations[0].channels_last
    assert not count(nn.Conv2d(4, 4, 3), x.contiguous()).operations[0].channels_last


def test_counting_leaves_no_trace():
    network = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5)).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    count(network, torch.randn(3, 4))
    assert network.training and network[0].training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_a_network_that_fails_raises_its_own_error_and_keeps_no_hooks():
    network = nn.Sequential(nn.Linear(3, 2))
    with pytest.raises(RuntimeError):
        count(network, torch.zeros(1, 4))
    assert not network[0]._forward_hooks
