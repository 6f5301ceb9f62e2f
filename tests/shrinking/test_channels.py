"""What goes together is found, and a narrower network is the old one with those channels unread."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from depthwise import CNN, DNN
from depthwise.families.autoencoder.autoencoder import DeepAutoencoder
from depthwise.reshaping.edits import reshape
from depthwise.reshaping.widths import keep, resize
from depthwise.shrinking.channels import Channels, channels_of
from depthwise.shrinking.pruning import lowest, pruned_network

NETWORKS = {
    "cnn": (CNN(size="xxs"), (1, 13, 7)),
    "large images": (CNN(size="xxs", blocks=2), (3, 67, 70)),
    "separable": (CNN(width=3, separable=True), (2, 11, 9)),
    "dnn of odd sizes": (DNN(hidden=(11, 7, 5)), (1, 5, 3)),
    "logistic dnn": (DNN(hidden=(9, 5), activation="logistic"), (6,)),
    "autoencoder": (DeepAutoencoder(hidden=(13, 7)), (9,)),
}


def generic(network: nn.Module, seed: int = 0) -> nn.Module:
    """Double precision, and no number zero or one as it is in a new network."""
    generator = torch.Generator().manual_seed(seed)
    network = network.double().eval()
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float64)
            tensor.data = noise + 0.5 if "running_var" in name else noise - 0.4
    return network


def masked(network: nn.Module, found: Channels, removed: set[int]) -> nn.Module:
    """The whole network, in which nothing reads the removed channels."""
    network = copy.deepcopy(network)
    for index in removed:
        for (path, side), places in found.channels[index].places.items():
            if side == "in":
                network.get_submodule(path).weight.data[:, places] = 0
    return network


def some(found: Channels, share: float, seed: int) -> set[int]:
    rng = np.random.default_rng(seed)
    removed: set[int] = set()
    for members in found.bundles().values():
        n = min(int(share * len(members)), len(members) - 2)
        removed |= set(rng.choice(members, max(n, 0), replace=False).tolist())
    return removed


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=4, deadline=None)
@given(share=st.floats(0, 1), seed=st.integers(0, 99))
def test_pruned_network_equals_masked_one(name: str, share: float, seed: int) -> None:
    model, shape = NETWORKS[name]
    network = generic(model.build(shape, 3), seed)
    x = torch.rand(3, *shape, dtype=torch.float64)
    found = channels_of(network, x[:1])
    assert found.channels
    removed = some(found, share, seed)
    small = pruned_network(network, found, removed)
    wanted = masked(network, found, removed)(x)
    torch.testing.assert_close(small(x), wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["cnn", "separable", "dnn of odd sizes"])
def test_products_are_torchs_own_counters(name: str) -> None:
    model, shape = NETWORKS[name]
    network = model.build(shape, 3).eval()
    found = channels_of(network, torch.zeros(1, *shape))
    removed = some(found, 0.6, 1)
    assert removed
    for left in (set(), removed):
        small = pruned_network(network, found, left)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            small(torch.zeros(1, *shape))
        assert 2 * found.macs(left) == counter.get_total_flops()


def test_a_residual_stream_is_one_bundle() -> None:
    """xxs, one block a stage: streams of 4, 8, 16 channels, each with a hidden width of its own."""
    found = channels_of(CNN(size="xxs").build((1, 8, 8), 3), torch.zeros(1, 1, 8, 8))
    assert sorted(len(b) for b in found.bundles().values()) == [4, 4, 8, 8, 16, 16]
    streams = [c for c in found.channels if ("stem.0.0", "out") in c.places]
    assert all(("stages.0.second.0", "out") in c.places for c in streams)


class Odd(nn.Module):
    """Operators that mix channels, weights used twice, two inputs joined."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 6, 3, padding=1)
        self.b = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.GroupNorm(2, 6)
        self.c = nn.Conv2d(10, 5, 1)
        self.tied = nn.Linear(5, 7)
        self.out = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.cat([torch.relu(self.norm(self.a(x))), torch.sigmoid(self.b(x))], dim=1)
        h = self.c(joined).amax(dim=(2, 3))
        return self.out(torch.tanh(self.tied(h)) @ self.tied.weight)


def test_what_mixes_channels_freezes_them() -> None:
    network = generic(Odd())
    x = torch.rand(2, 2, 5, 5, dtype=torch.float64)
    found = channels_of(network, x[:1])
    makers = {path for c in found.channels for path, side in c.places if side == "out"}
    assert makers == {"b"}  # a is normalised in groups, c and tied belong to shared weights
    removed = some(found, 0.5, 0)
    torch.testing.assert_close(
        pruned_network(network, found, removed)(x), masked(network, found, removed)(x)
    )


def test_the_least_important_for_what_it_saves_goes_first() -> None:
    """Two hidden layers; by hand: a unit of `0` costs 4 + 2 products, one of `2` 3 + 1."""
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    found = channels_of(network, torch.zeros(1, 4))
    assert found.macs() == 4 * 3 + 3 * 2 + 2 * 1
    paths = [next(iter(c.places))[0] for c in found.channels]
    assert [found.savings(found.products)[i] for i in (0, 3)] == [6, 4]
    assert paths == ["0", "0", "0", "2", "2"]
    scores = np.array([9.0, 1.0, 9.0, 9.0, 9.0])
    assert lowest(found, scores, 0.95, found.products) == {1}


def test_widths_remain_multiples() -> None:
    network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 13), nn.ReLU()).append(
        nn.Linear(13, 2)
    )
    found = channels_of(network, torch.zeros(1, 4))
    scores = np.arange(len(found.channels), dtype=float)
    for share in (0.9, 0.6, 0.3):
        small = pruned_network(network, found, lowest(found, scores, share, found.products, 4))
        for layer in (0, 2):
            width = small[layer].out_features
            assert width % 4 == 0 or width == network[layer].out_features


def test_narrow_layers_are_rebuilt_from_the_edit() -> None:
    model, shape = NETWORKS["separable"]
    network = generic(model.build(shape, 3))
    found = channels_of(network, torch.zeros(1, *shape))
    small = pruned_network(network, found, some(found, 0.5, 3))
    found = channels_of(small, torch.zeros(1, *shape))
    smaller = pruned_network(small, found, some(found, 0.3, 4))  # pruned twice, one edit
    assert len(smaller.edits) == 1
    with torch.device("meta"):
        again = reshape(model.build(shape, 3), smaller.edits).double().eval()
    again.load_state_dict(smaller.state_dict(), strict=True, assign=True)
    x = torch.rand(2, *shape, dtype=torch.float64)
    assert torch.equal(again(x), smaller(x))


@pytest.mark.parametrize(
    "layers",
    [
        None,
        {"nowhere": [1, 1]},
        {"0": [0, 4]},
        {"0": [4, 4]},
        {"0": [3, 4, 4]},
        {"0": [True, 4]},
        {"0": [2, None]},
        {"1": [1, 1]},
    ],
)
def test_widths_that_do_not_fit_are_refused(layers: object) -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    with pytest.raises(ValueError, match=r"wide|layer"):
        resize(network, {"kind": "widths", "layers": layers})


def test_the_network_that_was_given_stays() -> None:
    network = nn.Linear(4, 3)
    before = network.weight
    keep(copy.deepcopy(network), {("", "out"): torch.tensor([0])})
    assert network.weight is before and network.out_features == 3
